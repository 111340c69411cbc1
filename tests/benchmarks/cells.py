"""The measurements of one pass: requests to the gateway and the pass-through in turns.

The speed of a shared machine varies from moment to moment. Two figures measured in turns vary together, so their
ratio is meaningful.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random

from tests.benchmarks.cold_import import ColdImport
from tests.benchmarks.fake_upstream import PAUSING
from tests.benchmarks.jobs import Api, Job
from tests.benchmarks.load import Answer, Connection
from tests.benchmarks.processes import Server, Servers

_CLEANUP_SECONDS = 0.02  # for a relay to clean up after its last response
SHORT = 3
# Beside chat completions, which the rows without a name are of.
OTHER_APIS: tuple[Api, ...] = ("responses", "messages")


@dataclass(frozen=True)
class Sizes:
    """The numbers of requests in one pass: by number of deltas, short ones, timed ones, streams at once, and
    repeated ones, few and many.
    """

    events: Mapping[int, int]
    requests: int
    timed: int
    streams: int
    repeated: tuple[int, int]


FULL = Sizes(events={200: 12, 2000: 3}, requests=50, timed=40, streams=64, repeated=(2_000, 20_000))
SMALLEST = Sizes(events={5: 1}, requests=1, timed=1, streams=2, repeated=(2, 20))


@dataclass(frozen=True)
class Pair:
    """The two figures of one row in one pass."""

    row: str
    gateway: float
    baseline: float


@dataclass(frozen=True)
class Relay:
    """A server, the request to it, and the check of its response."""

    server: Server
    request: bytes
    check: Callable[[Answer], None]


async def measure(servers: Servers, imports: ColdImport, sizes: Sizes, turn: int) -> AsyncIterator[Pair]:
    """Every row once. In odd turns the pass-through is first."""
    for deltas, times in sizes.events.items():
        row = f"CPU µs per event, {deltas:,} deltas"
        yield await _cpu(row, servers, Job(deltas), times, times * deltas, turn)
    for name, buffered in (("streamed", False), ("buffered", True)):
        row = f"CPU µs per request, {SHORT} deltas {name}"
        yield await _cpu(row, servers, Job(SHORT, buffered), sizes.requests, sizes.requests, turn)
    for api in OTHER_APIS:
        deltas, times = max(sizes.events.items())
        row = f"CPU µs per event, {api}, {deltas:,} deltas"
        yield await _cpu(row, servers, Job(deltas, api=api), times, times * deltas, turn)
        row = f"CPU µs per request, {api}, {SHORT} deltas streamed"
        yield await _cpu(row, servers, Job(SHORT, api=api), sizes.requests, sizes.requests, turn)
    yield await _first_token(servers, sizes.timed)
    row, logged = (
        f"CPU µs per request, {SHORT} deltas streamed, logged",
        replace(servers, gateway=servers.logged),
    )
    yield await _cpu(row, logged, Job(SHORT), sizes.requests, sizes.requests, turn)
    yield Pair("cold import, CPU ms", *imports.measure(turn))


def _relays(servers: Servers, job: Job) -> tuple[Relay, Relay]:
    return (
        Relay(servers.gateway, job.to_gateway(), job.check_gateway),
        Relay(servers.pass_through, job.to_pass_through(), job.check_messages),
    )


async def _cpu(row: str, servers: Servers, job: Job, times: int, units: int, turn: int) -> Pair:
    """CPU time per unit of both relays, for `times` requests each, in turns, over open connections."""
    relays = _relays(servers, job)[:: -1 if turn % 2 else 1]
    answers: dict[Relay, list[Answer]] = {relay: [] for relay in relays}
    with _connected(relays) as connections:
        for relay in relays:
            answers[relay].append(await connections[relay].send(relay.request))
        await asyncio.sleep(_CLEANUP_SECONDS)
        before = {relay: relay.server.cpu_ns() for relay in relays}
        for _ in range(times):
            for relay in relays:
                answers[relay].append(await connections[relay].send(relay.request))
        await asyncio.sleep(_CLEANUP_SECONDS)
        used = {relay.server: (relay.server.cpu_ns() - before[relay]) / 1000 / units for relay in relays}
    for relay in relays:
        for answer in answers[relay]:
            relay.check(answer)
    return Pair(row, used[servers.gateway], used[servers.pass_through])


async def _first_token(servers: Servers, times: int) -> Pair:
    """The time in ms that each relay adds to the upstream's time to the first delta: the difference of medians."""
    job = Job(SHORT, model=PAUSING)
    direct = Relay(servers.upstream, job.to_upstream(), job.check_messages)
    gateway, pass_through = _relays(servers, job)
    typical = await first_tokens([direct, gateway, pass_through], times)
    upstream_ms = typical[direct]
    return Pair("added ms to first token", typical[gateway] - upstream_ms, typical[pass_through] - upstream_ms)


async def first_tokens(relays: Sequence[Relay], times: int) -> Mapping[Relay, float]:
    """Median ms to the first delta per relay, of `times` requests in random turns."""
    milliseconds: dict[Relay, list[float]] = {relay: [] for relay in relays}
    rng = Random(times)  # noqa: S311 - the same order in every run
    with _connected(relays) as connections:
        for n in range(times + 1):
            for relay in rng.sample(relays, len(relays)):
                answer = await connections[relay].send(relay.request)
                relay.check(answer)
                if n:  # the first opens connections
                    milliseconds[relay].append(answer.first * 1000)
    return {relay: statistics.median(each) for relay, each in milliseconds.items()}


@contextmanager
def _connected(relays: Iterable[Relay]) -> Iterator[Mapping[Relay, Connection]]:
    with ExitStack() as stack:
        yield {relay: stack.enter_context(Connection(relay.server.port)) for relay in relays}
