"""What a key in a table, and its limits, add to the first token; beside a gateway with a key from its settings.

Warm, the key was looked up before, as all but one request a minute find it. Cold is a new process: it reads the
upstream's key from Secrets Manager and looks the caller's key up.
"""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from tests.benchmarks.access_servers import AccessServers
from tests.benchmarks.cells import SHORT, Pair, Relay, first_tokens
from tests.benchmarks.fake_upstream import PAUSING
from tests.benchmarks.jobs import Job
from tests.benchmarks.load import Connection, to_request
from tests.benchmarks.processes import Servers, server

_JOB = Job(SHORT, model=PAUSING)
_HEALTH = to_request("/health", b"", "", method="GET")


async def measure_access(servers: Servers, access: AccessServers, timed: int, turn: int) -> AsyncIterator[Pair]:
    """Every row once, in ms."""
    async for pair in _warm(servers, access, timed):
        yield pair
    async for pair in _cold(servers, access, turn):
        yield pair


async def _warm(servers: Servers, access: AccessServers, timed: int) -> AsyncIterator[Pair]:
    from_settings = Relay(servers.gateway, _JOB.to_gateway(), _JOB.check_gateway)
    on_tables = {
        f"warm, {place}, {limits}": Relay(
            gateway, _job(access.secrets[limits]).to_gateway(), _JOB.check_gateway
        )
        for (place, limits), gateway in access.gateways.items()
    }
    typical = await first_tokens([from_settings, *on_tables.values()], timed)
    for row, relay in on_tables.items():
        yield Pair(row, typical[relay], typical[from_settings])


async def _cold(servers: Servers, access: AccessServers, turn: int) -> AsyncIterator[Pair]:
    """Only on DynamoDB: a table in memory has nothing to load. In odd turns who was last goes first."""
    starts: list[tuple[str, Job, Mapping[str, str]]] = [("", _JOB, {})]
    starts += [(limits, _job(secret), access.environ) for limits, secret in access.secrets.items()]
    took = {
        limits: await _start(servers, job, environ) for limits, job, environ in starts[:: -1 if turn % 2 else 1]
    }
    for n, told in enumerate(("first request", "from the start", "CPU of the first request")):
        for limits in access.secrets:
            yield Pair(f"cold, {told}, {limits}", took[limits][n], took[""][n])


async def _start(servers: Servers, job: Job, environ: Mapping[str, str]) -> tuple[float, float, float]:
    """ms to the first token of a new process: from its first request, and from its start. ms of CPU time, too."""
    began = time.perf_counter()
    with (
        server("gateway", servers.core, servers.upstream.url, **environ) as gateway,
        Connection(gateway.port) as connection,
    ):
        await connection.ask(_HEALTH)  # it is there
        ready, used = time.perf_counter(), gateway.cpu_ns()
        answer = await connection.ask(job.to_gateway())
        used = gateway.cpu_ns() - used
        job.check_gateway(answer)
    return answer.first * 1000, (ready - began + answer.first) * 1000, used / 1e6


def _job(secret: str) -> Job:
    return replace(_JOB, key=secret)
