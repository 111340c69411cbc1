"""Events of the Responses API, validated by the OpenAI SDK's own models, and what its stream helper makes of them."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, get_args

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent

from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.output_items import ItemOptions
from claudexia.translate.response.responses import ResponseStream, to_response
from claudexia.translate.types.anthropic import Message, MessageStreamEvent
from claudexia.translate.types.responses import ResponseSettings
from tests.helpers.recorded_answers import CREATED

Json = dict[str, Any]

SETTINGS: ResponseSettings = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
DEFAULT = ItemOptions()


@cache
def event_models() -> dict[str, Any]:
    """The SDK's model of each type of event."""
    return {
        get_args(model.model_fields["type"].annotation)[0]: model
        for model in get_args(get_args(ResponseStreamEvent)[0])
    }


def validated(events: Iterable[Any]) -> list[Any]:
    """The events as the SDK's models. Each must be complete, and their numbers must have no gap."""
    given = json.loads(json.dumps(list(events)))
    assert [event["sequence_number"] for event in given] == list(range(len(given)))
    return [event_models()[event["type"]].model_validate(event, strict=True) for event in given]


def accumulated(events: Sequence[Any]) -> Json:
    """What the SDK's stream helper has put together before the last event."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(event)
    snapshot = state._ResponseStreamState__current_snapshot  # the SDK shows it only after the end
    completed = state._completed_output
    return {
        "deltas": [item.to_dict() for item in snapshot.output],
        "done": [completed[index].to_dict() for index in sorted(completed)],
    }


def response_events(
    events: Iterable[MessageStreamEvent], options: ItemOptions = DEFAULT, *, resumable: bool = False
) -> list[Any]:
    """The events that a stream of the upstream's is encoded as."""
    accumulator = MessageAccumulator(resumable=resumable)
    stream: ResponseStream | None = None
    written: list[Any] = []
    for event in events:
        for part in accumulator.feed(event):
            if stream is None and part["type"] == "message_start":
                stream = ResponseStream(part["message"], created=CREATED, settings=SETTINGS, options=options)
            if stream:
                written += stream.feed(part)
    assert stream
    if not accumulator.finished:
        raise EOFError("the stream ended before its message")
    return [*written, stream.end(accumulator.usage, None)]


def whole(message: Message, options: ItemOptions = DEFAULT) -> Json:
    """The message as a response that the SDK's model accepts."""
    response = to_response(message, created=CREATED, settings=SETTINGS, options=options)
    given: Json = json.loads(json.dumps(response))
    Response.model_validate(given, strict=True)
    return given
