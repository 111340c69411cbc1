"""What is measured, one pass at a time: the gateway and the pass-through, request by request in turns.

A shared machine's pace changes from one moment to the next. Two figures taken side by side change together, so
it is their ratio that is worth reading.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

from tests.benchmarks.cold_import import ColdImport
from tests.benchmarks.fake_upstream import PAUSING
from tests.benchmarks.jobs import Job
from tests.benchmarks.load import Answer, Connection
from tests.benchmarks.processes import Server, Servers

_SETTLED = 0.02  # seconds in which a relay cleans up after its last answer
SHORT = 3


@dataclass(frozen=True)
class Sizes:
    """How much one pass asks for: requests by number of deltas, short requests, requests timed."""

    events: Mapping[int, int]
    requests: int
    timed: int


FULL = Sizes(events={200: 12, 2000: 3}, requests=50, timed=40)
SMALLEST = Sizes(events={5: 1}, requests=1, timed=1)


@dataclass(frozen=True)
class Pair:
    """One pass of one row."""

    row: str
    gateway: float
    baseline: float


@dataclass(frozen=True)
class Relay:
    """Who is asked, and for what."""

    server: Server
    request: bytes
    check: Callable[[Answer], None]


async def measure(servers: Servers, imports: ColdImport, sizes: Sizes, turn: int) -> AsyncIterator[Pair]:
    """Every row once. In odd turns the pass-through goes first."""
    for deltas, times in sizes.events.items():
        row = f"CPU µs per event, {deltas:,} deltas"
        yield await _cpu(row, servers, Job(deltas), times, times * deltas, turn)
    for name, whole in (("streamed", False), ("whole", True)):
        row = f"CPU µs per request, {SHORT} deltas {name}"
        yield await _cpu(row, servers, Job(SHORT, whole), sizes.requests, sizes.requests, turn)
    yield await _first_token(servers, sizes.timed)
    yield Pair("cold import, CPU ms", *imports.measure(turn))


def _relays(servers: Servers, job: Job) -> tuple[Relay, Relay]:
    return (
        Relay(servers.gateway, job.to_gateway(), job.check_gateway),
        Relay(servers.pass_through, job.to_pass_through(), job.check_messages),
    )


async def _cpu(row: str, servers: Servers, job: Job, times: int, units: int, turn: int) -> Pair:
    """CPU time of both relays for `times` requests each, by turns, over connections that are already warm."""
    relays = _relays(servers, job)[:: -1 if turn % 2 else 1]
    answers: dict[Relay, list[Answer]] = {relay: [] for relay in relays}
    with _connected(relays) as connections:
        for relay in relays:
            answers[relay].append(await connections[relay].ask(relay.request))
        await asyncio.sleep(_SETTLED)
        before = {relay: relay.server.cpu_ns() for relay in relays}
        for _ in range(times):
            for relay in relays:
                answers[relay].append(await connections[relay].ask(relay.request))
        await asyncio.sleep(_SETTLED)
        used = {relay.server: (relay.server.cpu_ns() - before[relay]) / 1000 / units for relay in relays}
    for relay in relays:
        for answer in answers[relay]:
            relay.check(answer)
    return Pair(row, used[servers.gateway], used[servers.pass_through])


async def _first_token(servers: Servers, times: int) -> Pair:
    """What either relay adds to the upstream's own time to the first delta, in ms: the medians' difference."""
    job = Job(SHORT, model=PAUSING)
    direct = Relay(servers.upstream, job.to_upstream(), job.check_messages)
    gateway, pass_through = _relays(servers, job)
    typical = await first_tokens([direct, gateway, pass_through], times)
    own = typical[direct]
    return Pair("added ms to first token", typical[gateway] - own, typical[pass_through] - own)


async def first_tokens(relays: Sequence[Relay], times: int) -> Mapping[Relay, float]:
    """Median ms to the first delta of each, of `times` requests by turns: whom one follows is left to chance."""
    took: dict[Relay, list[float]] = {relay: [] for relay in relays}
    chance = Random(times)  # noqa: S311 - the same order in every run
    with _connected(relays) as connections:
        for n in range(times + 1):
            for relay in chance.sample(relays, len(relays)):
                answer = await connections[relay].ask(relay.request)
                relay.check(answer)
                if n:  # the first opens connections
                    took[relay].append(answer.first * 1000)
    return {relay: statistics.median(each) for relay, each in took.items()}


@contextmanager
def _connected(relays: Iterable[Relay]) -> Iterator[Mapping[Relay, Connection]]:
    with ExitStack() as stack:
        yield {relay: stack.enter_context(Connection(relay.server.port)) for relay in relays}
