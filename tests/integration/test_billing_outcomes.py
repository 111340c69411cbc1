"""However a request ends, it is in the ledger once, and what it had reserved is given back or paid."""

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from claudexia.access.ledger import totals
from claudexia.access.limits import Limits
from tests.helpers.deployment import ASKED, Deployment, deployment
from tests.helpers.serving import (
    Reply,
    Upstream,
    error_body,
    let_servers_go_on,
    sse,
    start,
    text_events,
    tool_events,
)
from tests.helpers.waiting import PATIENCE

LIMITS = Limits(
    requests_per_minute=50, tokens_per_minute=10_000, concurrent_streams=2, usd_per_day_micros=10**6, max_tokens=100
)  # fmt: skip
TEXT = "one two three four five six seven eight"
HALF = sse(*text_events(TEXT)[:-3])
HALF_A_CALL = sse(*tool_events(("look", '{"q":"' + "x" * 394))[:5])  # 400 characters
OVERLOADED = Reply([error_body("overloaded_error", "x")], 529)
SENSELESS = Reply(
    [sse({"type": "message_start", "message": {**start(), "usage": "none"}}, {"type": "message_delta"})]
)
WHOLE = Reply([sse(*text_events())])
HANGS = Reply([HALF], then="hang")
SILENT = Reply(then="hang")
Act = Callable[[Deployment, Upstream, dict[str, str]], None]


def ask(deployed: Deployment, upstream: Upstream, headers: dict[str, str], **more: Any) -> None:
    with suppress(httpx.RemoteProtocolError):  # a stream that breaks off
        httpx.post(
            f"{deployed.url}/chat/completions", json={**ASKED, **more}, headers=headers, timeout=PATIENCE
        )


def leave(deployed: Deployment, upstream: Upstream, headers: dict[str, str], **more: Any) -> None:
    """Goes without a word, a little after the upstream was asked."""
    address, body = urlsplit(deployed.url), json.dumps({**ASKED, **more}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {headers['authorization']}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        assert upstream.requested.wait(PATIENCE)
        let_servers_go_on()
    assert upstream.disconnected.wait(PATIENCE)


def doing(act: Any, **more: Any) -> Act:
    return lambda deployed, upstream, headers: act(deployed, upstream, headers, **more)


S: dict[str, Any] = {"stream": True}
ENDS: list[Any] = [
    # How the upstream answers, what the client does, and requests, errors, input and output tokens.
    pytest.param([WHOLE], doing(ask), (1, 0, 7, 2), id="whole"),
    pytest.param([WHOLE], doing(ask, **S), (1, 0, 7, 2), id="streamed"),
    pytest.param([HANGS], doing(leave), (1, 0, 7, 9), id="left a whole answer half way"),
    pytest.param([HANGS], doing(leave, **S), (1, 0, 7, 9), id="left a stream half way"),
    pytest.param([SILENT], doing(leave), (1, 0, 18, 0), id="left a whole answer before its first event"),
    pytest.param([SILENT], doing(leave, **S), (1, 0, 18, 0), id="left a stream before its first event"),
    pytest.param([SILENT], doing(leave, n=2), (1, 0, 36, 0), id="left two whole answers before their first event"),
    pytest.param([HANGS], doing(leave, n=2), (1, 0, 14, 18), id="left two whole answers half way"),
    pytest.param([Reply([HALF])], doing(ask), (1, 1, 7, 9), id="a whole answer cut short"),
    pytest.param([Reply([HALF])], doing(ask, **S), (1, 1, 7, 9), id="a stream cut short"),
    pytest.param([Reply([HALF], then="break")], doing(ask, **S), (1, 1, 7, 9), id="a stream broken off"),
    pytest.param([SENSELESS], doing(ask), (1, 1, 0, 0), id="a whole answer that makes no sense"),
    pytest.param([SENSELESS], doing(ask, **S), (1, 1, 0, 0), id="a stream that makes no sense"),
    pytest.param([OVERLOADED], doing(ask), (1, 1, 0, 0), id="refused by the upstream"),
    pytest.param([OVERLOADED], doing(ask, **S), (1, 1, 0, 0), id="stream refused by the upstream"),
    pytest.param([WHOLE, Reply([500, error_body("overloaded_error", "x")], 529)], doing(ask, n=2), (1, 1, 7, 1), id="one of two refused"),
    pytest.param([WHOLE, Reply([HALF])], doing(ask, n=2), (1, 1, 14, 11), id="one of two cut short"),
    pytest.param([WHOLE, Reply([500, HALF])], doing(ask, n=2, **S), (1, 1, 14, 11), id="one of two streams cut short"),
    pytest.param([WHOLE], doing(ask, temperature=9), (1, 1, 0, 0), id="a bad request"),
    pytest.param([WHOLE], doing(ask, max_tokens=101), (1, 1, 0, 0), id="too many tokens asked for"),
]  # fmt: skip


@pytest.mark.parametrize(("replies", "act", "counted"), ENDS)
def test_an_end(replies: list[Reply], act: Act, counted: tuple[int, int, int, int]) -> None:
    upstream = Upstream(*replies)
    with deployment(upstream) as deployed:
        act(deployed, upstream, {"authorization": f"Bearer {deployed.key(limits=LIMITS)}"})
    assert deployed.counted() == counted
    assert_settled(deployed, max(1, len(upstream.bodies)))


def assert_settled(deployed: Deployment, requests: int = 1) -> None:
    """Nothing is held, no stream runs, and the meters have what the ledger has."""
    used = totals(deployed.usage())
    meters = deployed.meters()
    assert not any("holds" in item for item in meters.values())
    claimed = {name: item["claimed"] for name, item in meters.items()}
    assert claimed.pop("streams", 0) == 0
    # A request that is refused before it reserves tokens and money counts as a request.
    assert {"tokens": 0, "usd": 0, **claimed} == {
        "requests": requests,
        "tokens": used.tokens,
        "usd": used.cost_micros,
    }


def test_what_a_call_had_written_is_counted_too() -> None:
    reply = Reply([HALF_A_CALL], then="hang")
    for streamed in (False, True):
        upstream = Upstream(reply)
        with deployment(upstream) as deployed:
            headers = {"authorization": f"Bearer {deployed.key()}"}
            leave(deployed, upstream, headers, stream=streamed)
        assert deployed.counted() == (1, 0, 7, 100)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_bug_is_an_error(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr("claudexia.api.chat_completions.to_chat_completion", broken)
    monkeypatch.setattr("claudexia.translate.ChatCompletionStream.feed", broken)
    with deployment() as deployed:
        ask(deployed, Upstream(), {"authorization": f"Bearer {deployed.key(limits=LIMITS)}"}, stream=streamed)
    assert deployed.counted() == (1, 1, 7, 2)
    assert_settled(deployed)
