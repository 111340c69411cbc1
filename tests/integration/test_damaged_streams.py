"""Upstream streams that break the Messages API's protocol: always an error, buffered and streamed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.helpers.serving import (
    KEY,
    Reply,
    Upstream,
    gateway,
    message_body,
    sse,
    start,
    text_events,
    tool_events,
)
from tests.helpers.waiting import PATIENCE

Event = dict[str, Any]
BODY = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hello"}]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]

TEXT = text_events()
CALL = tool_events(("weather", '{"city": "Paris"}'))


def without_type(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] != kind]


def with_values(events: list[Event], kind: str, **values: object) -> list[Event]:
    """`events` with `values` in the first event of type `kind`."""
    index = next(index for index, event in enumerate(events) if event["type"] == kind)
    return [*events[:index], {**events[index], **values}, *events[index + 1 :]]


def to_frames(events: list[Any]) -> bytes:
    return b"".join(event if isinstance(event, bytes) else sse(event) for event in events)


def with_tool_block(**values: object) -> list[Event]:
    return with_values(CALL, "content_block_start", content_block={**CALL[1]["content_block"], **values})


def with_stop_reason(reason: object, events: list[Event] = TEXT) -> list[Event]:
    return with_values(events, "message_delta", delta={"stop_reason": reason})


def with_delta(value: object) -> list[Event]:
    return with_values(TEXT, "content_block_delta", delta=value)


# False equals the index 0, which the block has.
WRONG_INDICES: list[object] = [[], {}, None, "0", 0.5, 0.0, False]


def with_new_delta(index: object) -> list[Event]:
    """A delta of unknown type before the first one of the text."""
    return [*TEXT[:3], {**TEXT[3], "index": index, "delta": {"type": "new_delta"}}, *TEXT[3:]]


LATE: list[tuple[str, list[Any]]] = [
    ("the start of the text block is lost", without_type(TEXT, "content_block_start")),
    ("the start of the tool call is lost", without_type(CALL, "content_block_start")),
    ("the tool call is lost", [event for event in CALL if "content_block" not in event["type"]]),
    ("the end of an unknown block", with_values(TEXT, "content_block_stop", index=7)),
    ("message_delta is lost", without_type(TEXT, "message_delta")),
    ("message_stop is lost", without_type(TEXT, "message_stop")),
    ("the stop reason is null", with_stop_reason(None)),
    ("the stop reason is empty", with_stop_reason("")),
    ("the stop reason is a number", with_stop_reason(7)),
    ("the stop reason is an object", with_stop_reason({"type": "end_turn"})),
    ("the delta of message_delta is missing", [{k: v for k, v in e.items() if k != "delta" or e["type"] != "message_delta"} for e in TEXT]),
    ("the delta of message_delta is text", with_values(TEXT, "message_delta", delta="end_turn")),
    ("the tool id is a number", with_tool_block(id=7)),
    ("the tool id is missing", with_tool_block(id=None)),
    ("the tool name is a list", with_tool_block(name=["weather"])),
    ("the tool name is missing", with_tool_block(name=None)),
    ("the tool input is text", with_tool_block(input="Paris")),
    ("the block is text", with_values(TEXT, "content_block_start", content_block="text")),
    ("the block is missing", [{k: v for k, v in e.items() if k != "content_block"} for e in TEXT]),
    ("the block has no type", with_values(TEXT, "content_block_start", content_block={"text": ""})),
    ("the block's text is a number", with_values(TEXT, "content_block_start", content_block={"type": "text", "text": 7})),
    ("the block's index is text", with_values(TEXT, "content_block_start", index="0")),
    ("the block's index is missing", [{k: v for k, v in e.items() if k != "index"} for e in TEXT]),
    ("the delta's index is a list", with_values(TEXT, "content_block_delta", index=[0])),
    *((f"the index of a delta of the future is {index}", with_new_delta(index)) for index in WRONG_INDICES),
    *((f"the index of a later delta is {index}", [*TEXT[:4], {**TEXT[3], "index": index}, *TEXT[4:]]) for index in WRONG_INDICES),
    *((f"the index of a block's end is {index}", with_values(TEXT, "content_block_stop", index=index)) for index in WRONG_INDICES),
    ("the delta is null", with_delta(None)),
    ("the delta is text", with_delta("Hello")),
    ("the delta has no type", with_delta({"text": "Hello"})),
    ("the delta's text is a number", with_delta({"type": "text_delta", "text": 7})),
    ("the delta's text is null", with_delta({"type": "text_delta", "text": None})),
    ("a tool's delta in a text block", with_delta({"type": "input_json_delta", "partial_json": "{"})),
    ("a text delta in a tool call", with_values(CALL, "content_block_delta", delta={"type": "text_delta", "text": "Hi"})),
    ("the citation is text", with_delta({"type": "citations_delta", "citation": "page 7"})),
    ("a web search citation without a URL", with_delta({"type": "citations_delta", "citation": {"type": "web_search_result_location"}})),
    ("a delta after the end of its block", [*TEXT[:5], TEXT[5], TEXT[3], *TEXT[6:]]),
    ("the first block has the second index", [{**event, "index": 1} if "index" in event else event for event in TEXT]),
    ("a block is lost", [*TEXT[:-2], *({**event, "index": 2} for event in TEXT if "index" in event), *TEXT[-2:]]),
    ("the tool input is another JSON value", with_values(CALL, "content_block_delta", delta={"type": "input_json_delta", "partial_json": "[7]"})),
    ("redacted thinking without data", with_values(TEXT[:2] + TEXT[5:], "content_block_start", content_block={"type": "redacted_thinking"})),
    ("an event is null", [*TEXT[:3], b"event: content_block_delta\ndata: null\n\n", *TEXT[3:]]),
    ("an event has no type", [*TEXT[:3], b'event: content_block_delta\ndata: {"index": 0}\n\n', *TEXT[3:]]),
    ("two blocks with one index", [*TEXT[:6], *TEXT[1:2], *TEXT[6:]]),
    ("a stop_reason's details are text", with_values(TEXT, "message_delta", delta={"stop_reason": "refusal", "stop_details": "no"})),
    ("the event's type is a number", [*TEXT[:3], {"type": 7}, *TEXT[3:]]),
    ("a second message after text", [*TEXT[:-2], *TEXT]),
    *((f"a second message after an empty {kind} block", [TEXT[0], {**TEXT[1], "content_block": {"type": kind}}, *TEXT]) for kind in ("text", "thinking", "redacted_thinking", "server_tool_use", "new")),
]  # fmt: skip

EARLY = [
    ("no message in message_start", [{"type": "message_start"}, *TEXT[1:]]),
    ("the message is text", [{"type": "message_start", "message": "Hello"}, *TEXT[1:]]),
    ("the message's content is text", [{"type": "message_start", "message": {**start(), "content": "Hello"}}, *TEXT[1:]]),
    ("a block of the message's content is null", [{"type": "message_start", "message": {**start(), "content": [None]}}, *TEXT[1:]]),
    ("the message's content is null", [{"type": "message_start", "message": {**start(), "content": None}}, *TEXT[1:]]),
    ("the message's id is a number", [{"type": "message_start", "message": {**start(), "id": 7}}, *TEXT[1:]]),
    ("the message's model is null", [{"type": "message_start", "message": {**start(), "model": None}}, *TEXT[1:]]),
    ("no events but a ping", [{"type": "ping"}]),
    ("a delta comes first", TEXT[3:]),
]  # fmt: skip


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def client(upstream: Upstream) -> Iterator[httpx.Client]:
    with gateway(upstream) as url, httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        yield client


FLAT_TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
NATIVE_TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}]
# Path and body of each API that answers from a stream of events: the Messages API only streamed.
DOORS: dict[str, tuple[str, Event]] = {
    "chat": ("/chat/completions", {**BODY, "tools": TOOLS}),
    "choices": ("/chat/completions", {**BODY, "tools": TOOLS, "n": 2}),
    "text": ("/completions", {"model": BODY["model"], "prompt": "Hello"}),
    "responses": ("/responses", {"model": BODY["model"], "input": "Hello", "tools": FLAT_TOOLS}),
    "messages": ("/messages", {**BODY, "max_tokens": 50, "tools": NATIVE_TOOLS}),
}
SENT = [(door, stream) for door in DOORS for stream in (False, True) if stream or door != "messages"]
SENT_IDS = [f"{door}-{'streamed' if stream else 'buffered'}" for door, stream in SENT]


def send_request(
    client: httpx.Client, upstream: Upstream, reply: Reply, *, stream: bool, door: str = "chat"
) -> httpx.Response:
    upstream.replies.clear()
    upstream.replies.append(reply)
    path, body = DOORS[door]
    return client.post(path, json={**body, "stream": stream})


def assert_is_error(response: httpx.Response, *, stream: bool, door: str = "chat") -> None:
    """A 502 before the response has begun, otherwise an error frame at the end, without a sign of completeness."""
    if response.status_code == 200:
        assert stream
        last = json.loads(response.text.rstrip().rpartition("data: ")[2])
        error = last["response"]["error"] if door == "responses" else last["error"]
        for end in (
            "[DONE]",
            '"finish_reason":"',
            "response.completed",
            "response.incomplete",
            "event: message_stop",
        ):
            assert end not in response.text
    else:
        assert response.status_code == 502
        error = response.json()["error"]
    assert error.get("type", error.get("code")) in ("server_error", "api_error")
    assert "upstream" in error["message"].lower()


# tests/campaign sends damaged streams to the others, too.
@pytest.mark.parametrize(
    ("door", "stream"), [(door, stream) for door, stream in SENT if door not in ("choices", "text")]
)
@pytest.mark.parametrize(("name", "events"), LATE + EARLY, ids=[name for name, _ in LATE + EARLY])
def test_damaged_stream_is_an_upstream_error(
    client: httpx.Client, upstream: Upstream, name: str, events: list[Any], door: str, stream: bool
) -> None:
    response = send_request(client, upstream, Reply([to_frames(events)]), stream=stream, door=door)
    assert_is_error(response, stream=stream, door=door)
    if (name, events) in EARLY:
        assert response.status_code == 502


USAGES: list[tuple[str, object, int]] = [
    ("text", {"output_tokens": "many"}, 2),
    ("null", {"output_tokens": None}, 2),
    ("a fraction", {"output_tokens": 2.5}, 2),
    ("negative", {"output_tokens": -4}, 2),
    ("a list", {"output_tokens": [2]}, 2),
    ("a boolean", {"output_tokens": True}, 2),
    ("not an object", "many", 2),
    ("missing", None, 2),
    ("too large for JSON readers", {"output_tokens": 10**400}, 2),
    ("right", {"output_tokens": 5}, 5),
    ("right beside a wrong detail", {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": "x"}}, 5),
    ("right beside a detail that is text", {"output_tokens": 5, "output_tokens_details": "x"}, 5),
]


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(("usage", "tokens"), [row[1:] for row in USAGES], ids=[row[0] for row in USAGES])
def test_usage_of_a_wrong_type_is_estimated(
    client: httpx.Client, upstream: Upstream, usage: object, tokens: int, stream: bool
) -> None:
    """The answer is complete, so it is delivered. Its tokens are estimated from its 11 characters."""
    upstream.replies.clear()
    upstream.replies.append(Reply([sse(*with_values(TEXT, "message_delta", usage=usage))]))
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    response = client.post("/chat/completions", json={**BODY, **options})
    assert response.status_code == 200
    frames = response.text.split("data: ") if stream else []
    answer = json.loads(frames[-2]) if stream else response.json()
    assert answer["usage"]["completion_tokens"] == tokens


ANSWERS: list[tuple[str, Reply]] = [
    ("204", Reply(status=204)),
    ("301", Reply(status=301, headers={"location": "https://elsewhere.example"})),
    ("302 with a page", Reply([b"<html>moved</html>"], 302, {"content-type": "text/html"})),
    ("304", Reply(status=304)),
    ("an HTML page", Reply([b"<!doctype html><p>Hello</p>"], 200, {"content-type": "text/html"})),
    ("JSON that is a message", Reply([message_body()], 200, {"content-type": "application/json"})),
    ("JSON that is no message", Reply([b'{"ok": true}'], 200, {"content-type": "application/json"})),
    ("nothing", Reply()),
    ("bytes that are not UTF-8", Reply([b"data: \xff\xfe\n\n"])),
    (
        "compressed bytes that are damaged",
        Reply([b"\x1f\x8b\x08\x00damage"], 200, {"content-encoding": "gzip"}),
    ),
    ("data that is not JSON", Reply([b"data: {not json}\n\n"])),
    ("data that is a list", Reply([b'data: ["message_start"]\n\n'])),
]


@pytest.mark.parametrize(("door", "stream"), SENT, ids=SENT_IDS)
@pytest.mark.parametrize("reply", [row[1] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_answer_that_is_no_event_stream_is_a_502(
    client: httpx.Client, upstream: Upstream, reply: Reply, door: str, stream: bool
) -> None:
    response = send_request(client, upstream, reply, stream=stream, door=door)
    assert response.status_code == 502
    assert response.json()["error"]["type"] == ("api_error" if door == "messages" else "server_error")


VALID: list[tuple[str, Callable[[], list[Any]], str]] = [
    ("text", lambda: TEXT, "stop"),
    ("a tool call", lambda: CALL, "tool_calls"),
    ("a stop reason of the future", lambda: with_stop_reason("new_reason"), "stop"),
    ("an event of the future comes first", lambda: [{"type": "ping"}, {"type": "new_event", "index": 0}, *TEXT], "stop"),
    ("an event of the future", lambda: [*TEXT[:4], {"type": "new_event", "index": 0}, *TEXT[4:]], "stop"),
    ("a delta of the future", lambda: [*TEXT[:4], {**TEXT[3], "delta": {"type": "new_delta", "x": 1}}, *TEXT[4:]], "stop"),
    ("content in message_delta", lambda: with_values(TEXT, "message_delta", delta={"stop_reason": "end_turn", "content": "x"}), "stop"),
    ("a delta of the future without a block", lambda: [TEXT[0], {**TEXT[3], "delta": {"type": "new_delta"}}, *TEXT[1:]], "stop"),
    ("a delta of the future with known keys", lambda: [*TEXT[:4], {**TEXT[3], "delta": {"type": "new_delta", "text": 7}}, *TEXT[4:]], "stop"),
    ("a block of the future", lambda: [
        *TEXT[:-2],
        {"type": "content_block_start", "index": 1, "content_block": {"type": "new_block"}},
        {"type": "content_block_stop", "index": 1},
        *TEXT[-2:],
    ], "stop"),
    ("a block of the future with settings for citations", lambda: [
        *TEXT[:-2],
        {"type": "content_block_start", "index": 1, "content_block": {"type": "document", "citations": {"enabled": True}}},
        {"type": "content_block_stop", "index": 1},
        *TEXT[-2:],
    ], "stop"),
    ("a citation of the future", lambda: with_delta({"type": "citations_delta", "citation": {"type": "new_location", "title": {}}}), "stop"),
    ("an event of the future without a type", lambda: [*TEXT[:4], b'event: new_event\ndata: {"index": 0}\n\n', *TEXT[4:]], "stop"),
    ("a tool input that is no JSON", lambda: with_values(CALL, "content_block_delta", delta={"type": "input_json_delta", "partial_json": "city: Paris"}), "tool_calls"),
    ("no content_block_stop", lambda: without_type(TEXT, "content_block_stop"), "stop"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(("events", "reason"), [row[1:] for row in VALID], ids=[row[0] for row in VALID])
def test_unusual_stream_is_an_answer(
    client: httpx.Client, upstream: Upstream, events: Callable[[], list[Any]], reason: str, stream: bool
) -> None:
    response = send_request(client, upstream, Reply([to_frames(events())]), stream=stream)
    assert response.status_code == 200
    assert f'"finish_reason":"{reason}"' in response.text
    assert not stream or response.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("door", ["chat", "responses"])
def test_a_start_that_is_repeated_keeps_the_first_id(
    client: httpx.Client, upstream: Upstream, door: str, stream: bool
) -> None:
    again = {**TEXT[0], "message": {**TEXT[0]["message"], "id": "msg_again"}}
    response = send_request(
        client, upstream, Reply([to_frames([TEXT[0], again, *TEXT[1:]])]), stream=stream, door=door
    )
    assert response.status_code == 200
    assert TEXT[0]["message"]["id"].removeprefix("msg_") in response.text
    assert "again" not in response.text


SOURCE = {"type": "web_search_result_location", "url": "https://a.example", "title": "A", "cited_text": "Hi"}


def cited_events() -> list[Event]:
    """Two text blocks. The second is cited, in events 4 to 7."""
    pieces: list[tuple[str, Event]] = [
        ("start", {"content_block": {"type": "text", "text": ""}}),
        ("delta", {"delta": {"type": "citations_delta", "citation": SOURCE}}),
        ("delta", {"delta": {"type": "text_delta", "text": "Hi"}}),
        ("stop", {}),
    ]
    blocks = [
        {"type": f"content_block_{kind}", "index": index, **fields}
        for index in (0, 1)
        for kind, fields in pieces
        if index or "citation" not in str(fields)
    ]
    return [TEXT[0], *blocks, *TEXT[-2:]]


STRAY_ENDS = {
    "none": [],
    "of the block before, after a citation": [(6, 0)],
    "of the block before, in the text": [(7, 0)],
    "twice": [(4, 0), (8, 1)],
    "of the block before, twice": [(5, 0), (7, 0)],
}


@pytest.mark.parametrize("ends", STRAY_ENDS.values(), ids=STRAY_ENDS)
def test_the_end_of_a_block_that_has_ended_changes_nothing(
    client: httpx.Client, upstream: Upstream, ends: list[tuple[int, int]]
) -> None:
    events = cited_events()
    for position, index in reversed(ends):
        events.insert(position, {"type": "content_block_stop", "index": index})
    buffered, streamed = (
        send_request(client, upstream, Reply([sse(*events)]), stream=stream) for stream in (False, True)
    )
    message = buffered.json()["choices"][0]["message"]
    chunks = [json.loads(frame) for frame in streamed.text.split("data: ")[1:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    [annotations] = [delta["annotations"] for delta in deltas if "annotations" in delta]
    assert message["content"] == "".join(delta.get("content") or "" for delta in deltas) == "HiHi"
    assert message["annotations"] == annotations
    assert [
        (each["url_citation"]["start_index"], each["url_citation"]["end_index"]) for each in annotations
    ] == [(2, 4)]
