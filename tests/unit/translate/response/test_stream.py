"""The deltas of a streamed completion, and that OpenAI's own SDK can collect them."""

from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.translate.report import DEFAULT_OPTIONS, ResponseOptions
from claudexia.translate.response.completion import to_chat_completion
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.types.anthropic import MessageStreamEvent
from tests.helpers.recorded_answers import (
    CREATED,
    Json,
    block,
    collected,
    deltas,
    events,
    message,
    source,
    text,
    thinking,
    tool,
)

TEXT_FIRST = {"role": "assistant", "content": "", "refusal": None}
OTHER_FIRST = {"role": "assistant", "content": None, "refusal": None}
SIGNED = {"index": 0, "type": "thinking", "thinking": "Hm, so", "signature": "sig"}
REDACTED = {"index": 1, "type": "redacted_thinking", "data": "xyz"}
WEATHER = {"index": 0, "id": "toolu_0", "type": "function", "function": {"name": "weather", "arguments": ""}}
SHELL = {"index": 0, "id": "toolu_0", "type": "custom", "custom": {"name": "shell", "input": ""}}
SEARCH = tool("web_search", '{"query": "x"}', kind="server_tool_use")
FOUND = block("web_search_tool_result", tool_use_id="toolu_0", content=[{"type": "web_search_result"}])


def annotation(start: int, end: int, url: str, title: str) -> Json:
    place = {"start_index": start, "end_index": end, "url": url, "title": title}
    return {"type": "url_citation", "url_citation": place}


CASES: list[Any] = [
    pytest.param(
        events(text("Hel", "lo")),
        DEFAULT_OPTIONS,
        [TEXT_FIRST, {"content": "Hel"}, {"content": "lo"}],
        id="text",
    ),
    pytest.param(
        events(thinking("Hm", ", so", signature="sig"), text("Yes")),
        DEFAULT_OPTIONS,
        [{**OTHER_FIRST, "reasoning_content": "Hm"}, {"reasoning_content": ", so"}, {"content": "Yes"}],
        id="reasoning",
    ),
    pytest.param(
        events(thinking("Hm", signature="sig"), text("Yes")),
        ResponseOptions(reasoning=False),
        [TEXT_FIRST, {"content": "Yes"}],
        id="no-reasoning",
    ),
    pytest.param(events(thinking(signature="sig")), DEFAULT_OPTIONS, [TEXT_FIRST], id="thinking-is-not-shown"),
    pytest.param(
        events(thinking("Hm")),
        DEFAULT_OPTIONS,
        [{**OTHER_FIRST, "reasoning_content": "Hm"}, {"content": ""}],
        id="reasoning-and-nothing-else",
    ),
    pytest.param(
        events(thinking("Hm", ", so", signature="sig"), block("redacted_thinking", data="xyz"), text("Yes")),
        ResponseOptions(thinking_blocks=True),
        [
            {**OTHER_FIRST, "reasoning_content": "Hm"},
            {"reasoning_content": ", so"},
            {"thinking_blocks": [SIGNED]},
            {"thinking_blocks": [REDACTED]},
            {"content": "Yes"},
        ],
        id="thinking-blocks",
    ),
    pytest.param(
        events(thinking("cut"), thinking("Hm, so", signature="sig"), text("Yes")),
        ResponseOptions(reasoning=False, thinking_blocks=True),
        [{**OTHER_FIRST, "thinking_blocks": [SIGNED]}, {"content": "Yes"}],
        id="a-block-without-signature-is-of-no-use",
    ),
    pytest.param(
        events(
            SEARCH,
            FOUND,
            text("It is 🌞: "),
            text("warm", " today", sources=[source("u1"), source("u2", None), source("u1")]),
            text("."),
            text("Dry", sources=[{"type": "char_location", "document_index": 0}, source("u3")]),
        ),
        DEFAULT_OPTIONS,
        [
            TEXT_FIRST,
            *({"content": piece} for piece in ("It is 🌞: ", "warm", " today", ".", "Dry")),
            {
                "annotations": [
                    annotation(9, 19, "u1", "A page"),
                    annotation(9, 19, "u2", "u2"),
                    annotation(20, 23, "u3", "A page"),
                ]
            },
        ],
        id="annotations",
    ),
    pytest.param(
        events(tool("weather", '{"a":', " 1}"), stop_reason="tool_use"),
        DEFAULT_OPTIONS,
        [
            {**OTHER_FIRST, "tool_calls": [WEATHER]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
        ],
        id="function",
    ),
    pytest.param(
        events(SEARCH, FOUND, thinking("Hm"), tool("weather"), stop_reason="tool_use"),
        DEFAULT_OPTIONS,
        [
            {**OTHER_FIRST, "reasoning_content": "Hm"},
            {"tool_calls": [WEATHER]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        ],
        id="server-tools-are-not-returned",
    ),
    pytest.param(
        events(tool("sh_", '{"inp', 'ut": "ls', ' \\"a', '\\"\\', 'n"}'), stop_reason="tool_use"),
        ResponseOptions(custom=frozenset({"sh_"}), original_name={"sh_": "shell"}.__getitem__),
        [
            {**OTHER_FIRST, "tool_calls": [SHELL]},
            *({"tool_calls": [{"index": 0, "custom": {"input": piece}}]} for piece in ("ls", ' "a', '"', "\n")),
        ],
        id="custom",
    ),
    pytest.param(
        events(tool("weather", '{"a":1}'), tool("other", "{}", id_="toolu_1"), stop_reason="tool_use"),
        ResponseOptions(function_call=True),
        [
            {**OTHER_FIRST, "function_call": {"name": "weather", "arguments": ""}},
            {"function_call": {"arguments": '{"a":1}'}},
        ],
        id="function-call",
    ),
]


@pytest.mark.parametrize(("parts", "options", "streamed_deltas"), CASES)
def test_deltas(parts: list[MessageStreamEvent], options: ResponseOptions, streamed_deltas: list[Json]) -> None:
    assert deltas(parts, options) == streamed_deltas


@pytest.mark.parametrize(("parts", "options", "streamed_deltas"), CASES)
def test_the_sdk_collects_chunks_to_the_buffered_completion(
    parts: list[MessageStreamEvent], options: ResponseOptions, streamed_deltas: list[Json]
) -> None:
    stream = ChatCompletionStream(created=CREATED, include_usage=True, options=options)
    chunks = [chunk for event in parts for chunk in stream.feed(event)]
    answer = collected([*chunks, stream.usage_chunk(message(parts)["usage"])])
    expected: Any = to_chat_completion([message(parts)], created=CREATED, options=[options])
    choice, buffered = answer["choices"][0], expected["choices"][0]
    assert choice["finish_reason"] == buffered["finish_reason"]
    assert answer["usage"] == expected["usage"]
    got = {"refusal": None, "content": None, "annotations": [], **choice["message"]}
    for entry in (*got.get("tool_calls", []), *got.get("thinking_blocks", [])):
        del entry["index"]
    assert got == buffered["message"]


@pytest.mark.parametrize(
    ("stop_reason", "options", "finish_reason"),
    [
        ("end_turn", DEFAULT_OPTIONS, "stop"),
        ("tool_use", DEFAULT_OPTIONS, "tool_calls"),
        ("tool_use", ResponseOptions(function_call=True), "function_call"),
        ("max_tokens", ResponseOptions(function_call=True), "length"),
        ("pause_turn", DEFAULT_OPTIONS, "length"),
        ("something new", DEFAULT_OPTIONS, "stop"),
    ],
)
def test_finish_reason(stop_reason: str, options: ResponseOptions, finish_reason: str) -> None:
    content = [text("Hi"), tool("weather")] if stop_reason == "tool_use" else [text("Hi")]
    parts = events(*content, stop_reason=stop_reason)
    stream = ChatCompletionStream(created=CREATED, options=options)
    chunks = [chunk for event in parts for chunk in stream.feed(event)]
    assert chunks[-1]["choices"][0] == {
        "index": 0, "delta": {}, "logprobs": None, "finish_reason": finish_reason,
    }  # fmt: skip
    completion = to_chat_completion([message(parts)], created=CREATED, options=[options])
    assert completion["choices"][0]["finish_reason"] == finish_reason


def test_several_choices_are_one_completion() -> None:
    answers = [events(text("One"), id_="msg_1"), events(text("Two"), id_="msg_2", tokens=7)]
    buffered = to_chat_completion([message(parts) for parts in answers], created=CREATED)
    assert buffered["id"] == "chatcmpl-1"
    assert [(choice["index"], choice["message"]["content"]) for choice in buffered["choices"]] == [
        (0, "One"),
        (1, "Two"),
    ]
    usage = buffered["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (20, 12, 32)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2

    streams = [ChatCompletionStream(created=CREATED, index=index, id="chatcmpl-1") for index in (0, 1)]
    chunks = [
        chunk
        for one, two in zip(*answers, strict=True)
        for stream, event in zip(streams, (one, two), strict=True)
        for chunk in stream.feed(event)
    ]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-1"}
    expected = [(choice["index"], choice["message"]["content"]) for choice in collected(chunks)["choices"]]
    assert expected == [(0, "One"), (1, "Two")]


@pytest.mark.parametrize("options", [DEFAULT_OPTIONS, ResponseOptions(json_object=True)])
def test_a_message_that_starts_again(options: ResponseOptions) -> None:
    again = events(text('{"again": 1}'))
    stream = ChatCompletionStream(created=CREATED, options=options)
    for event in (*events(thinking())[:3], *again[:1]):  # no delta of the first message was sent
        assert stream.feed(event) == []
    for event in again[1:3]:
        stream.feed(event)
    with pytest.raises(APIError, match="restarted"):
        stream.feed(again[0])
