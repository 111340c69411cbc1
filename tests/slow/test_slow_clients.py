"""The local server with slow clients, and with more clients than it has file descriptors."""

import itertools
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.helpers.command import COMMAND, environment
from tests.helpers.waiting import PATIENCE

SERVER = """
from claudexia.app import create_app
from claudexia.settings import Settings
from claudexia_cli.serve import base_url, listen, serve
with listen("127.0.0.1", 0) as listener:
    print(listener.getsockname()[1], flush=True)
    serve(create_app(Settings()), listener, request_timeout=0.5)
"""
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 1000\r\n\r\n"
COMPLETE = b"GET /health HTTP/1.1\r\nhost: gateway\r\n\r\n"


@contextmanager
def server() -> Iterator[int]:
    """A server with a request timeout of half a second. Yields its port."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server() as port:
        yield port


SLOW: list[tuple[str, Iterable[bytes]]] = [
    ("nothing", ()),
    ("half a request line", (b"GET /he",)),
    ("half a header", (b"GET /health HTTP/1.1\r\nho",)),
    ("headers without an end", itertools.chain((b"GET /health HTTP/1.1\r\n",), itertools.repeat(b"x: y\r\n", 500))),
    ("no body", (HEAD,)),
    ("half a body", (HEAD, b"{" * 500)),
    ("a body byte by byte", itertools.chain((HEAD,), itertools.repeat(b"{", 500))),
    ("half a second request", (COMPLETE, b"GET /he")),
]  # fmt: skip


@pytest.mark.parametrize("pieces", [row[1] for row in SLOW], ids=[row[0] for row in SLOW])
def test_a_slow_request_is_closed(port: int, pieces: Iterable[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.settimeout(0.05)  # the pause between two pieces
        for piece in pieces:
            try:
                client.sendall(piece)
                client.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                return
        client.settimeout(PATIENCE)
        try:
            while client.recv(65536):
                pass
        except ConnectionError:
            pass
    assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=PATIENCE).json() == {
        "status": "ok"
    }


def test_too_many_connections_are_one_log_line_and_no_outage() -> None:
    command = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh", *COMMAND, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            assert process.stdout
            assert process.stderr
            line = next(line for line in process.stdout if line.startswith("Base URL: "))
            url = httpx.URL(line.removeprefix("Base URL: ").strip())
            with ExitStack() as clients:
                for _ in range(100):
                    clients.enter_context(socket.create_connection((url.host, url.port or 0), timeout=PATIENCE))
                assert "Too many open files" in process.stderr.readline()
            assert httpx.get(url.join("/health"), trust_env=False, timeout=PATIENCE).status_code == 200
            process.terminate()
            assert process.communicate(timeout=PATIENCE)[1] == ""
        finally:
            process.kill()
