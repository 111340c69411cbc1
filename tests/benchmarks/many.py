"""Many requests in one process: 64 streams at once, and the memory after many requests.

The figures are the gateway's own in both columns, so a ratio of 1 means that numbers do not matter.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.cells import SHORT, Pair, Sizes
from tests.benchmarks.fake_upstream import HOLDING, HOLDING_SECONDS
from tests.benchmarks.jobs import Job
from tests.benchmarks.load import Answer, Connection
from tests.benchmarks.processes import Server, Servers, server

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CLEANUP_SECONDS = 0.05
_CONNECTIONS = 8


async def measure_many(servers: Servers, sizes: Sizes) -> AsyncIterator[Pair]:
    """Every row once, in a new process."""
    with server("gateway", servers.core, servers.upstream.url) as gateway:
        async for pair in _streams(gateway, sizes):
            yield pair
        yield await _growth(gateway, sizes)


async def _streams(gateway: Server, sizes: Sizes) -> AsyncIterator[Pair]:
    """The upstream holds each stream after its first delta until all of them have one."""
    count, deltas = sizes.streams, min(sizes.events)
    held = Job(deltas, model=HOLDING)
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(gateway.port)) for _ in range(count)]
        await _send(connections[:1], Job(SHORT), count)
        idle = _resident(gateway)
        sending = asyncio.create_task(_send(connections, held, count))
        await asyncio.sleep(HOLDING_SECONDS / 2)
        streaming = _resident(gateway)
        await sending  # the second time, the connections to the upstream are open, too
        together = await _cpu_ns(gateway, connections, held, count)
        alone = await _cpu_ns(gateway, connections[:1], Job(deltas), count)
    events = deltas * count * 1000
    yield Pair(f"CPU µs per event, {count} streams at once", together / events, alone / events)
    # The difference, divided by the number of streams, is the memory of one.
    yield Pair(f"resident kB, {count} open streams", streaming / 1024, idle / 1024)


async def _growth(gateway: Server, sizes: Sizes) -> Pair:
    few, many = sizes.repeated
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(gateway.port)) for _ in range(_CONNECTIONS)]
        await _send(connections, Job(SHORT), few)
        before = _resident(gateway)
        await _send(connections, Job(SHORT), many - few)
        return Pair(
            f"resident kB after {many:,} and {few:,} requests", _resident(gateway) / 1024, before / 1024
        )


async def _cpu_ns(gateway: Server, connections: Sequence[Connection], job: Job, count: int) -> int:
    before = gateway.cpu_ns()
    await _send(connections, job, count)
    await asyncio.sleep(_CLEANUP_SECONDS)
    return gateway.cpu_ns() - before


async def _send(connections: Sequence[Connection], job: Job, count: int) -> None:
    """Sends `job` `count` times in all, over all connections at once."""
    request, remaining = job.to_gateway(), iter(range(count))

    async def send(connection: Connection) -> None:
        for _ in remaining:
            answer: Answer = await connection.send(request)
            job.check_gateway(answer)

    await asyncio.gather(*map(send, connections))


def _resident(process: Server) -> int:
    """Bytes of physical memory."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * _PAGE
