"""The local server: its address, and its shutdown by signals."""

import re
import signal
import socket
import threading
from functools import partial

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tests.helpers.command import Command, claudexia, run_to_failure
from tests.helpers.serving import Reply, Upstream, serving
from tests.helpers.waiting import PATIENCE


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_breaks_a_running_stream(sig: signal.Signals) -> None:
    with claudexia() as command, command.streaming() as lines:
        status, output = command.end(sig)
        with pytest.raises(httpx.TransportError):  # the client must not take it for a complete response
            list(lines)
    assert (status, output) == (0, "")


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
def test_ctrl_c_cancels_a_pending_upstream_request(stream: bool) -> None:
    requested = threading.Event()
    upstream = Upstream(Reply(then="hang"))

    async def silent_upstream(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            requested.set()
        await upstream(scope, receive, send)

    with serving(silent_upstream) as url, claudexia("--upstream", url) as command:
        client = threading.Thread(target=partial(assert_request_breaks, command, stream=stream))
        client.start()
        assert requested.wait(PATIENCE)
        status, output = command.end()
        assert upstream.disconnected.wait(PATIENCE)
        client.join(PATIENCE)
    assert (status, output) == (0, "")


def assert_request_breaks(command: Command, *, stream: bool) -> None:
    with pytest.raises(httpx.TransportError):
        command.complete("hello", stream=stream)


def test_ctrl_c_ends_an_idle_server_without_output() -> None:
    with claudexia() as command:
        assert command.end() == (0, "")


def test_a_busy_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        second = run_to_failure("--port", str(port))
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"claudexia: Port {port} on 127.0.0.1 is already in use; "
        "choose another with --port (0 picks a free one).\n"
    )


def test_a_second_instance_cannot_use_the_same_port() -> None:
    with claudexia() as first:
        second = run_to_failure("--port", str(httpx.URL(first.url).port))
        assert (second.returncode, second.stdout) == (2, "")
        assert first.complete("still here").status_code == 200


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("localhost", r"(127\.0\.0\.1|\[::1\])"),
        ("0.0.0.0", r"127\.0\.0\.1"),  # noqa: S104 - only during the test
        ("::1", r"\[::1\]"),
        ("::", r"\[::1\]"),
    ],
)
def test_the_base_url_can_be_called(host: str, shown: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with claudexia("--host", host) as command:
        assert re.fullmatch(rf"http://{shown}:\d+/v1", command.url)
        assert command.complete("hello").status_code == 200


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
