"""Every recorded response, streamed and buffered, with all response options, checked against three oracles.

OpenAI's published schemas validate chunks and completions, OpenAI's SDK collects the chunks, and Anthropic's SDK
reads the upstream's bytes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import anthropic.types
import jsonschema
import pytest
from anthropic._models import construct_type_unchecked
from anthropic.lib.streaming._messages import accumulate_event
from openai.types.chat import ChatCompletion
from pydantic_core import from_json

from claudexia.errors import APIError
from claudexia.translate.report import DEFAULT_OPTIONS, ResponseOptions
from claudexia.translate.response.accumulator import MessageAccumulator, replay_content
from claudexia.translate.response.completion import to_chat_completion
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.sse import EventDecoder
from claudexia.translate.types.anthropic import MessageStreamEvent
from tests.helpers import recordings
from tests.helpers.recorded_answers import CREATED, Json, collected

pytestmark = recordings.needs_recordings

EVENT = cast("type[Any]", anthropic.types.RawMessageStreamEvent)
STREAMS = recordings.names("streams", ".sse")
# How each broken stream ends: truncated, with an error event, or with a second message.
BROKEN = {
    "assembled-cut-before-message_stop": "cut",
    "assembled-cut-mid-text-no-error": "cut",
    "assembled-error-mid-text": "error",
    "quoted-error-as-first-event-http200": "error",
    # A second message_start after part of a tool call: no correct completion can be made of it.
    "vercel-ai-spliced-message-start": "begun anew",
}


FINISH_REASONS: dict[str | None, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "pause_turn": "length",
    "refusal": "content_filter",
    "model_context_window_exceeded": "length",
}

OPTIONS = {
    "as-it-is": DEFAULT_OPTIONS,
    "no-reasoning": ResponseOptions(reasoning=False),
    "thinking-blocks": ResponseOptions(thinking_blocks=True),
    "thinking-blocks-only": ResponseOptions(reasoning=False, thinking_blocks=True),
    "json-object": ResponseOptions(json_object=True),
    "function-call": ResponseOptions(function_call=True),
    "custom": ResponseOptions(),  # plus the names of all tools in the response, see options_for()
}


def decode(data: bytes, step: int = 1 << 30) -> list[MessageStreamEvent]:
    decoder = EventDecoder()
    pieces = (data[start : start + step] for start in range(0, len(data), step))
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def chunks_of(
    events: Iterable[MessageStreamEvent], include_usage: bool = True, options: ResponseOptions = DEFAULT_OPTIONS
) -> list[Json]:
    stream = ChatCompletionStream(created=CREATED, include_usage=include_usage, options=options)
    accumulator = MessageAccumulator()
    accumulated = [part for event in events for part in accumulator.feed(event)]
    chunks = [chunk for event in accumulated for chunk in stream.feed(event)]
    if not stream.finished:
        raise EOFError("the stream ended before its message")
    if include_usage:
        chunks.append(stream.usage_chunk(accumulator.usage))
    return cast("list[Json]", json.loads(json.dumps(chunks)))


def buffered_completion(
    events: Iterable[MessageStreamEvent], options: ResponseOptions = DEFAULT_OPTIONS
) -> Json:
    accumulator = MessageAccumulator()
    for event in events:
        accumulator.feed(event)
    assert accumulator.finished
    completion = to_chat_completion([accumulator.message], created=CREATED, options=[options])
    validate(completion, "CreateChatCompletionResponse")
    return ChatCompletion.model_validate(completion).model_dump(mode="json", exclude_none=True)


def validate(value: object, schema: str) -> None:
    root = {"$ref": f"#/components/schemas/{schema}", **recordings.openai_schemas()}
    jsonschema.Draft202012Validator(root).validate(json.loads(json.dumps(value)))


def comparable(completion: Json) -> Json:
    """The fields of a completion that do not depend on whether it was streamed."""
    message = {**completion["choices"][0]["message"]}
    message.setdefault("annotations", [])
    calls = [
        {key: call[key] for key in ("id", "type")} | {call["type"]: call_fields(call[call["type"]])}
        for call in message.pop("tool_calls", [])
    ]
    blocks = [
        {key: value for key, value in block.items() if key != "index"}
        for block in message.pop("thinking_blocks", [])
    ]
    finish_reason = completion["choices"][0]["finish_reason"]
    fields = {key: completion[key] for key in ("id", "created", "model", "usage")}
    return {**fields, "message": message, "blocks": blocks, "calls": calls, "finish_reason": finish_reason}


def call_fields(call: Json) -> Json:
    return {key: call[key] for key in ("name", "arguments", "input") if key in call}


def options_for(name: str, events: Iterable[MessageStreamEvent]) -> ResponseOptions:
    if name != "custom":
        return OPTIONS[name]
    tools = {
        block["name"]
        for event in events
        for block in [event.get("content_block"), *event.get("message", {}).get("content", [])]  # type: ignore[attr-defined]  # of any event
        if block and block.get("type") == "tool_use"
    }
    return replace(OPTIONS[name], custom=frozenset(tools))


def claude_sdk_message(data: bytes) -> anthropic.types.Message:
    """The message that Anthropic's own SDK reads from the upstream's bytes."""
    message: Any = None
    buffers: dict[int, bytes] = {}
    known = {"message_start", "message_delta", "message_stop"}
    for line in data.replace(b"\r\n", b"\n").split(b"\n"):
        event = json.loads(line[5:]) if line.startswith(b"data:") else {}
        if event.get("type") == "message_start":  # the SDK cannot do without usage, which one recording lacks
            event["message"].setdefault("usage", {"input_tokens": 0, "output_tokens": 0})
        if event.get("type") in known or str(event.get("type")).startswith("content_block"):
            typed: Any = construct_type_unchecked(value=event, type_=EVENT)
            message = accumulate_event(event=typed, current_snapshot=message, json_bufs=buffers)
    return cast("anthropic.types.Message", message)


def assert_same_meaning(completion: Json, message: anthropic.types.Message) -> None:
    """Text, tool calls, token counts, finish reason and model are equal."""
    answer = completion["choices"][0]["message"]
    assert (answer.get("content") or "") == "".join(b.text for b in message.content if b.type == "text")
    tool_uses = [block for block in message.content if block.type == "tool_use"]
    calls = answer.get("tool_calls") or []
    assert [(call["id"], call["function"]["name"]) for call in calls] == [
        (use.id, use.name) for use in tool_uses
    ]
    for call, use in zip(calls, tool_uses, strict=True):
        # Arguments that max_tokens truncated are not JSON; both SDKs' partial parsers read them the same way.
        assert from_json(call["function"]["arguments"], allow_partial=True) == use.input
    usage, counts = completion["usage"], message.usage
    cached, written = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
    assert usage["prompt_tokens"] == counts.input_tokens + cached + written
    assert usage["completion_tokens"] == counts.output_tokens
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == cached
    thinking = counts.output_tokens_details.thinking_tokens if counts.output_tokens_details else 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] == thinking
    assert completion["choices"][0]["finish_reason"] == FINISH_REASONS[message.stop_reason]
    assert completion["model"] == message.model


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in BROKEN])
def test_stream(name: str) -> None:
    data = recordings.read_bytes("streams", name, ".sse")
    events = decode(data)
    chunks = chunks_of(events)
    for chunk in chunks:
        validate(chunk, "CreateChatCompletionStreamResponse")
    completion = buffered_completion(events)
    assert comparable(collected(chunks)) == comparable(completion)
    assert_same_meaning(completion, claude_sdk_message(data))


@pytest.mark.parametrize("options_name", OPTIONS)
@pytest.mark.parametrize("name", [name for name in STREAMS if name not in BROKEN])
def test_chunks_add_up_to_the_buffered_completion(name: str, options_name: str) -> None:
    events = decode(recordings.read_bytes("streams", name, ".sse"))
    options = options_for(options_name, events)
    chunks = chunks_of(events, options=options)
    if not options.custom:  # OpenAI's chunk schema does not have custom tool calls
        for chunk in chunks:
            validate(chunk, "CreateChatCompletionStreamResponse")
    assert sum("annotations" in choice["delta"] for chunk in chunks for choice in chunk["choices"]) <= 1
    assert comparable(collected(chunks)) == comparable(buffered_completion(events, options))


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in BROKEN])
def test_replay_content_equals_the_received_content(name: str) -> None:
    data = recordings.read_bytes("streams", name, ".sse")
    accumulator = MessageAccumulator()
    for event in decode(data):
        accumulator.feed(event)
    received = [block.to_dict(mode="json") for block in claude_sdk_message(data).content]
    received = [block for block in received if block["type"] != "text" or str(block["text"]).strip()]
    sent = replay_content(accumulator.message)
    assert [without_nulls(block) for block in sent] == [without_nulls(block) for block in received]


def without_nulls(block: Mapping[str, object]) -> Json:
    if block["type"] == "compaction":  # outside its beta, the SDK does not read its content
        return {"type": block["type"]}
    return {key: value for key, value in block.items() if value is not None}


def test_a_paused_turn_is_resumed() -> None:
    names = (
        "pydantic-ai-pause-turn-web-search-streaming-vcr",
        "pydantic-ai-pause-turn-web-search-streaming-vcr-1",
    )
    first, second = [recordings.read_bytes("streams", name, ".sse") for name in names]
    turn = MessageAccumulator(resumable=True)
    joined = [part for event in decode(first) for part in turn.feed(event)]
    assert (turn.paused, len(turn.resume_content)) == (True, 25)
    joined += [part for event in decode(second) for part in turn.feed(event)]
    assert not turn.paused
    chunks = chunks_of(joined)
    completion = buffered_completion(joined)
    assert comparable(collected(chunks)) == comparable(completion)
    one, two = buffered_completion(decode(first)), buffered_completion(decode(second))
    answer = completion["choices"][0]
    assert answer["finish_reason"] == two["choices"][0]["finish_reason"]
    assert (
        answer["message"]["content"]
        == one["choices"][0]["message"]["content"] + two["choices"][0]["message"]["content"]
    )
    assert completion["usage"]["total_tokens"] == one["usage"]["total_tokens"] + two["usage"]["total_tokens"]
    shift = len(one["choices"][0]["message"]["content"])
    spans = [annotation["url_citation"] for annotation in answer["message"]["annotations"]]
    assert [(span["start_index"] - shift, span["url"]) for span in spans] == [
        (annotation["url_citation"]["start_index"], annotation["url_citation"]["url"])
        for annotation in two["choices"][0]["message"]["annotations"]
    ]


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in BROKEN])
def test_usage_is_in_the_last_chunk_only(name: str) -> None:
    events = decode(recordings.read_bytes("streams", name, ".sse"))
    *chunks, last = chunks_of(events, include_usage=True)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] >= 0
    without = chunks_of(events, include_usage=False)
    assert [{**chunk, "usage": None} for chunk in without] == chunks
    assert all("usage" not in chunk for chunk in without)


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in BROKEN])
def test_tool_calls_stream_in_openais_order(name: str) -> None:
    chunks = chunks_of(decode(recordings.read_bytes("streams", name, ".sse")), include_usage=False)
    first, *_, last = [chunk["choices"][0] for chunk in chunks]
    assert first["delta"]["role"] == "assistant"
    assert "refusal" in first["delta"]
    assert last["delta"] == {}
    assert last["finish_reason"] is not None
    assert sum("role" in chunk["choices"][0]["delta"] for chunk in chunks) == 1
    deltas = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    started: list[int] = []
    for delta in deltas:
        if "id" in delta:
            assert delta["index"] == len(started)  # dense, from 0
            assert delta["type"] == "function"
            assert delta["function"]["arguments"] == ""
            started.append(delta["index"])
        else:
            assert delta["index"] == started[-1]  # one call at a time
            assert delta["function"].keys() == {"arguments"}


@pytest.mark.parametrize("name", STREAMS)
def test_events_do_not_depend_on_how_bytes_are_split(name: str) -> None:
    data = recordings.read_bytes("streams", name, ".sse")
    events = decode(data)
    for step in (1, 2, 3, 7, 16, 1000) if len(data) < 30_000 else (13, 1000):
        assert decode(data, step) == events
    assert decode(data.replace(b"\n", b"\r\n"), 1 if len(data) < 30_000 else 13) == events


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_has_no_finish_reason(name: str) -> None:
    events = decode(recordings.read_bytes("streams", name, ".sse"))
    stream = ChatCompletionStream(created=CREATED)
    finish_reasons: list[object] = []
    try:
        for event in events:
            chunks = stream.feed(event)
            finish_reasons += [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    except APIError as error:
        assert (error.status, error.type) == (502, "server_error")
        assert BROKEN[name] == "begun anew"
        with pytest.raises(APIError):
            buffered_completion(events)
    assert not stream.finished
    assert not any(finish_reasons)
    assert any(event["type"] == "error" for event in events) == (BROKEN[name] == "error")


@pytest.mark.parametrize("name", recordings.names("messages", ".json"))
def test_message(name: str) -> None:
    recorded = json.loads(recordings.read_bytes("messages", name, ".json"))
    completion = to_chat_completion([recorded], created=CREATED)
    validate(completion, "CreateChatCompletionResponse")
    message = construct_type_unchecked(value=recorded, type_=anthropic.types.Message)
    assert_same_meaning(json.loads(json.dumps(completion)), message)
