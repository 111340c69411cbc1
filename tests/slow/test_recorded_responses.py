"""Every recorded answer as a response: the SDK's models accept each event, and they add up to the whole.

The text, the calls and the tokens are those of the same answer as a chat completion.
"""

from dataclasses import replace
from typing import Any

import pytest

from claudexia.errors import APIError, upstream_error
from claudexia.translate.report import ResponseOptions
from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.completion import to_chat_completion
from claudexia.translate.response.output_items import ItemOptions
from claudexia.translate.response.responses import ResponseStream
from claudexia.translate.types.anthropic import Message
from tests.helpers import recordings
from tests.helpers.recorded_answers import CREATED
from tests.helpers.responses import SETTINGS, Json, accumulated, response_events, validated, whole
from tests.slow.test_recorded_answers import BROKEN, STREAMS, decode
from tests.slow.test_recorded_answers import options_for as chat_options_for

pytestmark = recordings.needs_recordings

WHOLE = [name for name in STREAMS if name not in BROKEN]
READINGS = {
    "as-it-is": ItemOptions(),
    "with-summaries-and-sources": ItemOptions(shows_summary=True, shows_sources=True),
    "no-reasoning": ItemOptions(ResponseOptions(reasoning=False), shows_summary=True),
    "json-object": ItemOptions(ResponseOptions(json_object=True)),
    "custom": ItemOptions(),  # every tool of the answer is one
}


def options_for(name: str, events: Any) -> ItemOptions:
    options = READINGS[name]
    return replace(options, shared=chat_options_for("custom", events)) if name == "custom" else options


def message_of(events: Any) -> Message:
    accumulator = MessageAccumulator()
    for event in events:
        accumulator.feed(event)
    assert accumulator.finished
    return accumulator.message


def without_status(items: list[Json]) -> list[Json]:
    return [
        {key: value for key, value in item.items() if key not in ("status", "parsed_arguments")}
        for item in items
    ]


@pytest.mark.parametrize("written_as", READINGS)
@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_adds_up_to_the_whole(name: str, written_as: str) -> None:
    events = decode(recordings.read_bytes("streams", name, ".sse"))
    options = options_for(written_as, events)
    written = validated(response_events(events, options))
    response = whole(message_of(events), options)
    assert written[0].type == "response.created"
    assert written[1].type == "response.in_progress"
    assert written[-1].type == f"response.{response['status']}"
    assert written[-1].response.to_dict(mode="json") == response
    seen = accumulated(written)
    assert seen["done"] == response["output"]
    for item, final in zip(seen["deltas"], response["output"], strict=True):
        if final["type"] == "message":  # what the deltas alone add up to
            texts = [part.get("text") for part in final["content"] if part["type"] == "output_text"]
            assert [part.get("text") for part in item["content"] if part["type"] == "output_text"] == texts
        elif final["type"] == "function_call":
            assert item["arguments"] == final["arguments"]


@pytest.mark.parametrize("name", WHOLE)
def test_it_says_what_the_chat_completion_says(name: str) -> None:
    message = message_of(decode(recordings.read_bytes("streams", name, ".sse")))
    response, completion = whole(message), to_chat_completion([message], created=CREATED)
    items, answer = response["output"], completion["choices"][0]["message"]
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    assert "".join(part["text"] for part in parts if part["type"] == "output_text") == (answer["content"] or "")
    assert [part["refusal"] for part in parts if part["type"] == "refusal"] == (
        [answer["refusal"]] if answer["refusal"] else []
    )
    calls = [
        (item["call_id"], item["name"], item["arguments"]) for item in items if item["type"] == "function_call"
    ]
    assert calls == [
        (call["id"], call["function"]["name"], call["function"]["arguments"])  # type: ignore[typeddict-item]  # functions
        for call in answer.get("tool_calls", [])
    ]
    cited = [note["url"] for part in parts for note in part.get("annotations", [])]
    assert cited == [note["url_citation"]["url"] for note in answer["annotations"]]
    usage, tokens = response["usage"], completion["usage"]
    assert usage["input_tokens"] == tokens["prompt_tokens"]
    assert usage["output_tokens"] == tokens["completion_tokens"]
    assert usage["total_tokens"] == tokens["total_tokens"]
    assert usage["input_tokens_details"]["cached_tokens"] == tokens["prompt_tokens_details"]["cached_tokens"]
    reasoning = tokens["completion_tokens_details"]["reasoning_tokens"]
    assert usage["output_tokens_details"]["reasoning_tokens"] == reasoning
    ends = {"length": ("incomplete", "max_output_tokens"), "content_filter": ("incomplete", "content_filter")}
    reason = (response["incomplete_details"] or {}).get("reason")
    assert (response["status"], reason) == ends.get(
        completion["choices"][0]["finish_reason"], ("completed", None)
    )


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_breaks_off_anywhere_ends_as_failed(name: str) -> None:
    events = decode(recordings.read_bytes("streams", name, ".sse"))
    for length in {1, 2, 3, 5, 8, len(events) // 2, len(events) - 2} & set(range(1, len(events))):
        accumulator, stream, written = MessageAccumulator(), None, list[Any]()
        try:
            for event in events[:length]:
                for part in accumulator.feed(event):
                    if stream is None and part["type"] == "message_start":
                        stream = ResponseStream(
                            part["message"], created=CREATED, settings=SETTINGS, options=ItemOptions()
                        )
                    written += stream.feed(part) if stream else []
        except APIError:  # a stream that is broken by itself
            assert name in BROKEN
        if stream is None:
            continue
        written += stream.keep_alive()
        written += stream.fail(upstream_error("It broke off."))
        assert stream.keep_alive() == []
        last = validated(written)[-1]
        assert (last.type, last.response.status) == ("response.failed", "failed")
        assert (last.response.error.code, last.response.error.message) == ("server_error", "It broke off.")
