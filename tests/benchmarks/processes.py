"""The processes of a run: who is measured has a core to itself, everyone else shares the other one."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_PATIENCE = 5.0
_OURS = ("AWS_", "BENCHMARK_", "CLAUDEXIA_")


@dataclass(frozen=True)
class Server:
    """A process that listens on `port` of 127.0.0.1."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_ns(self) -> int:
        """The CPU time it has used so far, all threads together, read from outside.

        Linux gives every process a CPU clock; its id is made from the pid (`man clock_getcpuclockid`, and
        include/linux/posix-timers.h: the pid's complement above three bits, of which 2 is CPUCLOCK_SCHED). That
        is exact to the nanosecond, where /proc and getrusage count in ticks or need the process to end.
        """
        return time.clock_gettime_ns((~self.pid << 3) | 2)


@dataclass(frozen=True)
class Servers:
    """`core` is for whoever is measured, `other_core` for the rest; None where they cannot be chosen."""

    core: int | None
    other_core: int | None
    upstream: Server
    gateway: Server
    pass_through: Server


@contextmanager
def running() -> Iterator[Servers]:
    """All three servers, ready for connections; ended on the way out."""
    theirs, ours = _cores()
    _pin(0, ours)
    with ExitStack() as stack:
        upstream = stack.enter_context(server("fake_upstream", ours))
        gateway = stack.enter_context(server("gateway", theirs, upstream.url))
        pass_through = stack.enter_context(server("pass_through", theirs, upstream.url))
        yield Servers(theirs, ours, upstream, gateway, pass_through)


@contextmanager
def server(module: str, core: int | None, *arguments: str, **more: str) -> Iterator[Server]:
    """A new process of a module of this folder; `more` is added to its environment."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        # It listens before the process starts, so that connecting to it is never too early.
        port, descriptor = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", str(descriptor), *arguments]
        process = subprocess.Popen(command, env={**plain, **more}, pass_fds=[descriptor])
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
    """One for the relays, one for the rest; none where they cannot be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[-1], cores[0]) if len(cores) > 1 else (None, None)


def _pin(pid: int, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(pid, {core})
