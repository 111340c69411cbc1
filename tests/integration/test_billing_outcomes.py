"""Each request is recorded in the ledger once, however it ends, and its reservations are settled."""

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
from tests.helpers.apis import CHAT, MESSAGES, RESPONSES, Api
from tests.helpers.deployment import Deployment, deployment
from tests.helpers.serving import (
    WHOLE_JSON,
    Reply,
    Upstream,
    error_body,
    let_servers_go_on,
    message_body,
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
HALF_TOOL_CALL = sse(*tool_events(("look", '{"q":"' + "x" * 394))[:5])  # 400 characters
OVERLOADED = Reply([error_body("overloaded_error", "x")], 529)
MALFORMED = Reply(
    [sse({"type": "message_start", "message": {**start(), "usage": "none"}}, {"type": "message_delta"})]
)
COMPLETE = Reply([sse(*text_events())])
HANGS_HALFWAY = Reply([HALF], then="hang")
SILENT = Reply(then="hang")
PAUSED = Reply([sse(*text_events("one", "pause_turn"))])
SEARCH: dict[str, Any] = {"web_search_options": {}}
ClientAction = Callable[[Deployment, Upstream, dict[str, str]], None]


def send_request(
    deployed: Deployment, upstream: Upstream, headers: dict[str, str], api: Api = CHAT, **fields: Any
) -> None:
    with suppress(httpx.RemoteProtocolError):  # a stream that breaks off
        httpx.post(deployed.url + api.path, json={**api.body, **fields}, headers=headers, timeout=PATIENCE)


def disconnect(
    deployed: Deployment, upstream: Upstream, headers: dict[str, str], api: Api = CHAT, **fields: Any
) -> None:
    """Closes the connection after the upstream has received the request."""
    address, body = urlsplit(deployed.url), json.dumps({**api.body, **fields}).encode()
    head = f"POST /v1{api.path} HTTP/1.1\r\nhost: x\r\nauthorization: {headers['authorization']}\r\n"
    last = upstream.replies[-1]
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        assert upstream.requested.wait(PATIENCE)
        while upstream.replies[0] is not last:
            let_servers_go_on()
        let_servers_go_on()
    assert upstream.disconnected.wait(PATIENCE)


def with_fields(action: Any, **fields: Any) -> ClientAction:
    return lambda deployed, upstream, headers: action(deployed, upstream, headers, **fields)


STREAM: dict[str, Any] = {"stream": True}
MESSAGE: dict[str, Any] = {"api": MESSAGES}
MESSAGE_STREAM: dict[str, Any] = {"api": MESSAGES, "stream": True}
RESPONSE: dict[str, Any] = {"api": RESPONSES}
RESPONSE_STREAM: dict[str, Any] = {"api": RESPONSES, "stream": True}
JSON = Reply([message_body()], headers=WHOLE_JSON)
NO_JSON = Reply([b"<html>"], headers=WHOLE_JSON)
HALF_JSON = Reply([message_body()[:50]], headers=WHOLE_JSON, then="hang")
OUTCOMES: list[Any] = [
    # Upstream replies, client action, expected (requests, errors, input tokens, output tokens).
    pytest.param([COMPLETE], with_fields(send_request), (1, 0, 7, 2), id="buffered"),
    pytest.param([COMPLETE], with_fields(send_request, **STREAM), (1, 0, 7, 2), id="streamed"),
    pytest.param([HANGS_HALFWAY], with_fields(disconnect), (1, 0, 7, 9), id="disconnect in the middle of a buffered response"),
    pytest.param([HANGS_HALFWAY], with_fields(disconnect, **STREAM), (1, 0, 7, 9), id="disconnect in the middle of a stream"),
    pytest.param([SILENT], with_fields(disconnect), (1, 0, 18, 0), id="disconnect before the first event of a buffered response"),
    pytest.param([SILENT], with_fields(disconnect, **STREAM), (1, 0, 18, 0), id="disconnect before the first event of a stream"),
    pytest.param([SILENT], with_fields(disconnect, n=2), (1, 0, 36, 0), id="disconnect before the first event of two buffered choices"),
    pytest.param([HANGS_HALFWAY], with_fields(disconnect, n=2), (1, 0, 14, 18), id="disconnect in the middle of two buffered choices"),
    pytest.param([Reply([HALF])], with_fields(send_request), (1, 1, 7, 9), id="truncated upstream stream, buffered"),
    pytest.param([Reply([HALF])], with_fields(send_request, **STREAM), (1, 1, 7, 9), id="truncated upstream stream, streamed"),
    pytest.param([Reply([HALF], then="break")], with_fields(send_request, **STREAM), (1, 1, 7, 9), id="broken upstream connection, streamed"),
    pytest.param([MALFORMED], with_fields(send_request), (1, 1, 0, 0), id="malformed upstream events, buffered"),
    pytest.param([MALFORMED], with_fields(send_request, **STREAM), (1, 1, 0, 0), id="malformed upstream events, streamed"),
    pytest.param([OVERLOADED], with_fields(send_request), (1, 1, 0, 0), id="upstream error, buffered"),
    pytest.param([OVERLOADED], with_fields(send_request, **STREAM), (1, 1, 0, 0), id="upstream error, streamed"),
    pytest.param([COMPLETE, Reply([500, error_body("overloaded_error", "x")], 529)], with_fields(send_request, n=2), (1, 1, 7, 1), id="upstream error for one of two choices"),
    pytest.param([COMPLETE, Reply([HALF])], with_fields(send_request, n=2), (1, 1, 14, 11), id="one of two choices truncated, buffered"),
    pytest.param([COMPLETE, Reply([500, HALF])], with_fields(send_request, n=2, **STREAM), (1, 1, 14, 11), id="one of two choices truncated, streamed"),
    pytest.param([COMPLETE], with_fields(send_request, temperature=9), (1, 1, 0, 0), id="a bad request"),
    pytest.param([COMPLETE], with_fields(send_request, max_tokens=101), (1, 1, 0, 0), id="max_tokens above the limit of the key"),
    # The Responses API.
    pytest.param([COMPLETE], with_fields(send_request, **RESPONSE), (1, 0, 7, 2), id="response, buffered"),
    pytest.param([COMPLETE], with_fields(send_request, **RESPONSE_STREAM), (1, 0, 7, 2), id="response, streamed"),
    pytest.param([HANGS_HALFWAY], with_fields(disconnect, **RESPONSE), (1, 0, 7, 9), id="disconnect in the middle of a response"),
    pytest.param([HANGS_HALFWAY], with_fields(disconnect, **RESPONSE_STREAM), (1, 0, 7, 9), id="disconnect in the middle of a streamed response"),
    pytest.param([SILENT], with_fields(disconnect, **RESPONSE), (1, 0, 18, 0), id="disconnect before a response"),
    pytest.param([SILENT], with_fields(disconnect, **RESPONSE_STREAM), (1, 0, 18, 0), id="disconnect before the first event of a response"),
    pytest.param([Reply([HALF])], with_fields(send_request, **RESPONSE), (1, 1, 7, 9), id="response truncated, buffered"),
    pytest.param([Reply([HALF])], with_fields(send_request, **RESPONSE_STREAM), (1, 1, 7, 9), id="response truncated, streamed"),
    pytest.param([Reply([HALF], then="break")], with_fields(send_request, **RESPONSE_STREAM), (1, 1, 7, 9), id="broken upstream connection, response"),
    pytest.param([MALFORMED], with_fields(send_request, **RESPONSE), (1, 1, 0, 0), id="malformed response, buffered"),
    pytest.param([MALFORMED], with_fields(send_request, **RESPONSE_STREAM), (1, 1, 0, 0), id="malformed response, streamed"),
    pytest.param([OVERLOADED], with_fields(send_request, **RESPONSE), (1, 1, 0, 0), id="upstream error, response buffered"),
    pytest.param([OVERLOADED], with_fields(send_request, **RESPONSE_STREAM), (1, 1, 0, 0), id="upstream error, response streamed"),
    pytest.param([COMPLETE], with_fields(send_request, **RESPONSE, temperature=9), (1, 1, 0, 0), id="a bad request for a response"),
    pytest.param([COMPLETE], with_fields(send_request, **RESPONSE, previous_response_id="resp_1"), (1, 1, 0, 0), id="a response to one that is not stored"),
    pytest.param([COMPLETE], with_fields(send_request, **RESPONSE, max_output_tokens=101), (1, 1, 0, 0), id="max_output_tokens above the limit of the key"),
    # The Messages API. The usage of a buffered message is known at its end only.
    pytest.param([JSON], with_fields(send_request, **MESSAGE), (1, 0, 7, 2), id="message, buffered"),
    pytest.param([COMPLETE], with_fields(send_request, **MESSAGE_STREAM), (1, 0, 7, 2), id="message, streamed"),
    pytest.param([HALF_JSON], with_fields(disconnect, **MESSAGE), (1, 0, 14, 0), id="disconnect in the middle of a message"),
    pytest.param([HANGS_HALFWAY], with_fields(disconnect, **MESSAGE_STREAM), (1, 0, 7, 9), id="disconnect in the middle of a streamed message"),
    pytest.param([SILENT], with_fields(disconnect, **MESSAGE), (1, 0, 14, 0), id="disconnect before a message"),
    pytest.param([SILENT], with_fields(disconnect, **MESSAGE_STREAM), (1, 0, 15, 0), id="disconnect before the first event of a message"),
    pytest.param([Reply([HALF])], with_fields(send_request, **MESSAGE_STREAM), (1, 1, 7, 9), id="message truncated"),
    pytest.param([Reply([HALF], then="break")], with_fields(send_request, **MESSAGE_STREAM), (1, 1, 7, 9), id="broken upstream connection, message"),
    pytest.param([NO_JSON], with_fields(send_request, **MESSAGE), (1, 1, 0, 0), id="malformed message, buffered"),
    pytest.param([MALFORMED], with_fields(send_request, **MESSAGE_STREAM), (1, 1, 0, 0), id="malformed message, streamed"),
    pytest.param([OVERLOADED], with_fields(send_request, **MESSAGE), (1, 1, 0, 0), id="upstream error, message buffered"),
    pytest.param([OVERLOADED], with_fields(send_request, **MESSAGE_STREAM), (1, 1, 0, 0), id="upstream error, message streamed"),
    pytest.param([JSON], with_fields(send_request, **MESSAGE, max_tokens="9"), (1, 1, 0, 0), id="a bad request for a message"),
    pytest.param([JSON], with_fields(send_request, **MESSAGE, max_tokens=101), (1, 1, 0, 0), id="message max_tokens above the limit of the key"),
]  # fmt: skip


@pytest.mark.parametrize(("replies", "action", "expected"), OUTCOMES)
def test_outcome_is_billed_once_and_reservations_are_settled(
    replies: list[Reply], action: ClientAction, expected: tuple[int, int, int, int]
) -> None:
    upstream = Upstream(*replies)
    with deployment(upstream) as deployed:
        action(deployed, upstream, {"authorization": f"Bearer {deployed.key(limits=LIMITS)}"})
    assert deployed.ledger_counts() == expected
    assert_settled(deployed, max(1, len(upstream.bodies)))


# The input of the resumption is estimated if Claude was working on it.
RESUMPTIONS: list[Any] = [
    pytest.param(SILENT, with_fields(disconnect, **SEARCH), (1, 0, 7 + 39, 1), id="disconnect, buffered"),
    pytest.param(SILENT, with_fields(disconnect, **SEARCH, **STREAM), (1, 0, 7 + 39, 1), id="disconnect, streamed"),
    pytest.param(OVERLOADED, with_fields(send_request, **SEARCH), (1, 1, 7, 1), id="upstream error"),
]  # fmt: skip


@pytest.mark.parametrize(("resumption", "action", "expected"), RESUMPTIONS)
def test_an_unanswered_resumption_is_billed(
    resumption: Reply, action: ClientAction, expected: tuple[int, int, int, int]
) -> None:
    upstream = Upstream(PAUSED, resumption)
    with deployment(upstream) as deployed:
        action(deployed, upstream, {"authorization": f"Bearer {deployed.key(limits=LIMITS)}"})
    assert deployed.ledger_counts() == expected
    assert_settled(deployed)


def assert_settled(deployed: Deployment, requests: int = 1) -> None:
    """No lease is left, no stream is counted, and the limit counters agree with the ledger."""
    used = totals(deployed.usage())
    assert not deployed.leases()
    claimed = deployed.counters()
    assert claimed.pop("streams", 0) == 0
    # A request that is refused before it reserves tokens and money counts as a request.
    assert {"tokens": 0, "usd": 0, **claimed} == {
        "requests": requests,
        "tokens": used.tokens,
        "usd": used.cost_micros,
    }


def test_partial_tool_input_counts_as_output() -> None:
    reply = Reply([HALF_TOOL_CALL], then="hang")
    for streamed in (False, True):
        upstream = Upstream(reply)
        with deployment(upstream) as deployed:
            headers = {"authorization": f"Bearer {deployed.key()}"}
            disconnect(deployed, upstream, headers, stream=streamed)
        assert deployed.ledger_counts() == (1, 0, 7, 100)


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_an_internal_error_is_billed_as_an_error(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_error(*arguments: Any, **keywords: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr("claudexia.api.chat_completions.to_chat_completion", raise_error)
    monkeypatch.setattr("claudexia.translate.ChatCompletionStream.feed", raise_error)
    with deployment() as deployed:
        send_request(
            deployed, Upstream(), {"authorization": f"Bearer {deployed.key(limits=LIMITS)}"}, stream=streamed
        )
    assert deployed.ledger_counts() == (1, 1, 7, 2)
    assert_settled(deployed)
