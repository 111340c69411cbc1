"""AWS's own Lambda emulator, which `sam local` runs in its containers, around a command."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.helpers.waiting import PATIENCE


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def emulator(
    rie: str, command: Sequence[str], environ: Mapping[str, str], started: Callable[[int], None] | None = None
) -> Iterator[str]:
    """`command` under the emulator `rie`, started by the first invocation; yields the URL to POST events to.

    `started` is called with the pid of the emulator before.
    """
    port = _free_port()
    addresses = [
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{port}",
        "--runtime-api-address",
        f"127.0.0.1:{_free_port()}",
    ]
    quiet = subprocess.DEVNULL
    with subprocess.Popen([rie, *addresses, *command], env=environ, stdout=quiet, stderr=quiet) as process:
        try:
            _wait_for(port)
            if started:
                started(process.pid)
            yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("the emulator does not listen")
