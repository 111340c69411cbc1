"""Streams without comments: pings are not passed on, and silence is filled in the API's own shape."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from tests.helpers.serving import KEY, Reply, Upstream, gateway, sse, start, text_events, tool_events
from tests.helpers.waiting import PATIENCE

PING = {"type": "ping"}
ENOUGH = 2  # frames in each silence
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def thinking_events() -> list[dict[str, Any]]:
    deltas = [
        {"type": "thinking_delta", "thinking": "I am"},
        {"type": "thinking_delta", "thinking": " here"},
        {"type": "signature_delta", "signature": "c2ln"},
    ]
    block = {"type": "thinking", "thinking": "", "signature": ""}
    return [
        {"type": "message_start", "message": start()},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]


def is_empty(chunk: dict[str, Any]) -> bool:
    return any(
        (choice.get("delta") == {} or choice.get("text") == "") and choice["finish_reason"] is None
        for choice in chunk["choices"]
    )


@dataclass
class Streamed:
    """What a client received: the raw text, and the JSON of each event but the last, which is [DONE]."""

    text: str
    chunks: list[dict[str, Any]]


def streamed(url: str, path: str, body: dict[str, Any], silences: Sequence[threading.Event]) -> Streamed:
    """Ends each silence once it has ENOUGH frames."""
    text, seen, left = "", 0, list(silences)
    headers = {"authorization": f"Bearer {KEY}"}
    body = {"model": "claude-haiku-4-5", "stream": True, **body}
    with httpx.stream("POST", url + path, json=body, headers=headers, timeout=PATIENCE) as response:
        for line in response.iter_lines():
            text += line + "\n"
            if line.startswith("data: {"):
                seen = seen + 1 if is_empty(json.loads(line[6:])) else 0
            if seen >= ENOUGH and left:
                left.pop(0).set()
                seen = 0
    events = [event.removeprefix("data: ") for event in text.strip().split("\n\n")]
    assert events.pop() == "[DONE]"
    return Streamed(text, [json.loads(event) for event in events])


CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
# Where the silence is: after this many events.
CASES = [
    pytest.param("/chat/completions", CHAT, text_events(), [1], id="before-the-first-delta"),
    pytest.param("/chat/completions", CHAT, text_events(), [1, 2, 4, 5], id="several"),
    pytest.param("/chat/completions", CHAT, thinking_events(), [1, 2, 3], id="thinking"),
    pytest.param("/chat/completions", {**CHAT, "tools": [TOOL]}, tool_events(("f", '{"a": 1}')), [1, 2, 3], id="tool-call"),
    pytest.param("/chat/completions", CHAT, text_events(), [-2], id="before-the-end"),
    pytest.param("/completions", {"prompt": "Hi"}, text_events(), [1, 4], id="text-completion"),
    pytest.param("/chat/completions", {**CHAT, "stream_options": {"include_usage": True}}, text_events(), [1, 4], id="with-usage"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "events", "places"), CASES)
def test_silence_is_filled_with_chunks_that_are_empty(
    path: str, body: dict[str, Any], events: list[dict[str, Any]], places: list[int]
) -> None:
    silences = [threading.Event() for _ in places]
    pieces: list[bytes | threading.Event] = []
    for index, event in enumerate(events):
        if index in [place % len(events) for place in places]:
            pieces += [sse(PING), silences[len([p for p in pieces if isinstance(p, threading.Event)])]]
        pieces.append(sse(event))
    quiet = Upstream(Reply([sse(*events)]))
    with gateway(Upstream(Reply(pieces)), keepalive=0.01) as url:
        given = streamed(url, path, body, silences)
    with gateway(quiet) as url:
        expected = streamed(url, path, body, [])
    assert ":" not in [line[:1] for line in given.text.splitlines()]
    for chunk in given.chunks if path.startswith("/chat") else []:  # OpenAI's other type allows no null
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert [c for c in given.chunks if not is_empty(c)] == [
        {**c, "created": given.chunks[0]["created"]} for c in expected.chunks if not is_empty(c)
    ]
    assert len({(chunk["id"], chunk["model"], chunk["created"]) for chunk in given.chunks}) == 1
    assert len(list(filter(is_empty, given.chunks))) >= ENOUGH * len(places)
    assert given.chunks[-1].keys() == expected.chunks[-1].keys()


def test_pings_are_not_passed_on() -> None:
    pieces = [sse(PING, *[part for event in text_events() for part in (event, PING)])]
    with gateway(Upstream(Reply(pieces))) as url:
        given = streamed(url, "/chat/completions", CHAT, [])
    assert not list(filter(is_empty, given.chunks))
    assert "ping" not in given.text


def test_a_choice_that_is_complete_gets_no_more_chunks() -> None:
    """The first choice has ended while the second one is silent."""
    silence = threading.Event()
    half = text_events()
    upstream = Upstream(Reply([sse(*half)]), Reply([sse(*half[:4]), silence, sse(*half[4:])]))
    with gateway(upstream, keepalive=0.01) as url:
        chunks = streamed(url, "/chat/completions", {**CHAT, "n": 2}, [silence]).chunks
    ended: set[int] = set()
    for chunk in chunks:
        for choice in chunk["choices"]:
            assert choice["index"] not in ended
            if choice["finish_reason"]:
                ended.add(choice["index"])
    assert ended == {0, 1}


def test_the_sdk_collects_a_stream_whose_first_chunk_is_empty() -> None:
    silence, events = threading.Event(), text_events()
    upstream = Upstream(Reply([sse(*events[:1]), silence, sse(*events[1:])]))
    with gateway(upstream, keepalive=0.01) as url, OpenAI(base_url=url, api_key=KEY) as client:
        messages: Any = CHAT["messages"]
        with client.chat.completions.stream(model="claude-haiku-4-5", messages=messages) as stream:
            for event in stream:
                if event.type == "chunk":
                    silence.set()
            completion = stream.get_final_completion()
    assert completion.choices[0].message.content == "Hello there"
    assert completion.choices[0].finish_reason == "stop"


LINE_ENDS = "one\u2028two\u2029three\x85four\u00e9"


@pytest.mark.parametrize("path", ["/chat/completions", "/completions"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_line_ends_of_unicode_are_escaped(path: str, stream: bool) -> None:
    body = {**CHAT, "prompt": None} if path.startswith("/chat") else {"prompt": "Hi"}
    body = {"model": "claude-haiku-4-5", "stream": stream, **body}
    with gateway(Upstream(Reply([sse(*text_events(LINE_ENDS))]))) as url:
        response = httpx.post(
            url + path, json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE
        )
    assert response.status_code == 200
    assert r"one\u2028two\u2029three\u0085four" + "\u00e9" in response.text
    assert LINE_ENDS not in response.text
    assert response.text.splitlines() == response.text.rstrip("\n").split("\n") + [""] * stream


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"model": LINE_ENDS}, id="the-model"),
        pytest.param({"model": "claude-haiku-4-5", "messages": [{"role": LINE_ENDS, "content": "x"}]}, id="a-role"),
    ],
)  # fmt: skip
def test_line_ends_in_an_error_are_escaped(body: dict[str, Any]) -> None:
    with gateway(Upstream()) as url:
        response = httpx.post(
            f"{url}/chat/completions",
            json={**CHAT, **body},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=PATIENCE,
        )
    assert response.status_code in (400, 404)
    assert "\u2028" in response.json()["error"]["message"]
    assert len(response.text.splitlines()) == 1


def test_the_warnings_header_is_ascii() -> None:
    body = {"model": "claude-haiku-4-5", **CHAT, f"{LINE_ENDS}\U0001f600": 1}
    with gateway(Upstream()) as url:
        response = httpx.post(
            f"{url}/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE
        )
    warning = response.headers["x-claudexia-warnings"]
    assert warning.startswith(r"one\u2028two\u2029three\u0085four\u00e9\ud83d\ude00: ")
