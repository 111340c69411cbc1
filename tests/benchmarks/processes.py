"""The processes of a run: the measured process has its own core, all others share another core."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_PATIENCE = 5.0
_SETTINGS_PREFIXES = ("AWS_", "BENCHMARK_", "CLAUDEXIA_")


@dataclass(frozen=True)
class Server:
    """A process that listens on `port` of 127.0.0.1."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_ns(self) -> int:
        """The CPU time used so far by all threads of the process.

        Linux has a CPU clock for every process; its id is derived from the pid (`man clock_getcpuclockid`, and
        include/linux/posix-timers.h: the pid's complement above three bits, of which 2 is CPUCLOCK_SCHED). It has a
        resolution of a nanosecond, whereas /proc and getrusage count ticks or require the process to end.
        """
        return time.clock_gettime_ns((~self.pid << 3) | 2)


@dataclass(frozen=True)
class Servers:
    """`core` is for measured processes, `other_core` for all others; None if cores cannot be chosen.

    `logged` is a gateway that logs each request and counts it in metrics, as on Lambda.
    """

    core: int | None
    other_core: int | None
    upstream: Server
    gateway: Server
    logged: Server
    pass_through: Server


@contextmanager
def running() -> Iterator[Servers]:
    """Starts all servers, ready for connections, and ends them on exit."""
    measured_core, other_core = _cores()
    _pin(0, other_core)
    with ExitStack() as stack:
        upstream = stack.enter_context(server("fake_upstream", other_core))
        gateway = stack.enter_context(server("gateway", measured_core, upstream.url))
        logging = {"POWERTOOLS_LOG_LEVEL": "INFO", "BENCHMARK_METRICS": "on"}
        logged = stack.enter_context(server("gateway", measured_core, upstream.url, **logging))
        pass_through = stack.enter_context(server("pass_through", measured_core, upstream.url))
        yield Servers(measured_core, other_core, upstream, gateway, logged, pass_through)


@contextmanager
def server(module: str, core: int | None, *arguments: str, **more: str) -> Iterator[Server]:
    """Runs a module of this folder in a process; `more` is added to its environment."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS_PREFIXES)}
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        # The socket listens before the process starts, so that no connection is refused.
        port, descriptor = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", str(descriptor), *arguments]
        process = subprocess.Popen(
            command, env={**environ, **more}, pass_fds=[descriptor], stdout=subprocess.DEVNULL
        )
    try:
        _pin(process.pid, core)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _cores() -> tuple[int | None, int | None]:
    """A core for measured processes and one for all others; None if cores cannot be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[-1], cores[0]) if len(cores) > 1 else (None, None)


def _pin(pid: int, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(pid, {core})
