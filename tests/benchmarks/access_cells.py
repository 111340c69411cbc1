"""The time that a key in a table, and its limits, add to the first token, compared with a key in the settings.

Warm: the key is cached, as for all but one request a minute. Cold: a new process reads the upstream's key from Secrets
Manager and the client's key from the table, in its first request.
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
    """Only on DynamoDB: a table in memory has nothing to load. Odd turns reverse the order."""
    starts: list[tuple[str, Job, Mapping[str, str]]] = [("", _JOB, {})]
    starts += [(limits, _job(secret), access.environ) for limits, secret in access.secrets.items()]
    milliseconds = {
        limits: await _start(servers, job, environ) for limits, job, environ in starts[:: -1 if turn % 2 else 1]
    }
    for n, moment in enumerate(("first request", "from the start", "CPU of the first request")):
        for limits in access.secrets:
            yield Pair(f"cold, {moment}, {limits}", milliseconds[limits][n], milliseconds[""][n])


async def _start(servers: Servers, job: Job, environ: Mapping[str, str]) -> tuple[float, float, float]:
    """ms to the first token of a new process: from its first request, and from its start; ms of CPU time, too."""
    began = time.perf_counter()
    with (
        server("gateway", servers.core, servers.upstream.url, **environ) as gateway,
        Connection(gateway.port) as connection,
    ):
        await connection.send(_HEALTH)  # the process is ready
        ready, used = time.perf_counter(), gateway.cpu_ns()
        answer = await connection.send(job.to_gateway())
        used = gateway.cpu_ns() - used
        job.check_gateway(answer)
    return answer.first * 1000, (ready - began + answer.first) * 1000, used / 1e6


def _job(secret: str) -> Job:
    return replace(_JOB, key=secret)
