"""Reads responses of the Responses API and of the Messages API in the form of tests/campaign/answers.py."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.campaign.answers import (
    Choice,
    Failure,
    MalformedResponseError,
    Success,
    as_json,
    error_of,
    matches_type,
    read,
)
from tests.campaign.bodies import Api
from tests.campaign.gateway import Observation

Json = Any
_RESPONSE: TypeAdapter[Any] = TypeAdapter(Response)
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
_STOP = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length"}


def read_api(api: Api, seen: Observation, streamed: bool) -> Success | Failure:
    """Raises MalformedResponseError unless the response is complete, or an error in the shape of `api`."""
    if api in ("chat", "text"):
        return read(seen, streamed)
    if not seen.status or not seen.complete:
        raise MalformedResponseError("the response did not end")
    if seen.status >= 400:
        body = as_json(seen.body)
        return Failure(seen.status, error_of(body) if api == "responses" else native_error(body))
    if seen.status != 200:
        raise MalformedResponseError(f"status {seen.status}")
    if api == "responses":
        return _streamed_response(named_events(seen.body)) if streamed else _response(as_json(seen.body))
    return _streamed_message(named_events(seen.body)) if streamed else _message(as_json(seen.body))


def named_events(data: bytes) -> list[Json]:
    text = data.decode()
    if not text.endswith("\n\n"):
        raise MalformedResponseError("the stream is not made of frames")
    events = []
    for frame in text.removesuffix("\n\n").split("\n\n"):
        name, _, rest = frame.partition("\n")
        event = as_json(rest.removeprefix("data: "))
        if not rest.startswith("data: ") or name != f"event: {event.get('type')}":
            raise MalformedResponseError("an event that does not have the name of its type")
        events.append(event)
    return events


# --- the Responses API ---


def _response(response: Json) -> Success:
    matches_type(_RESPONSE, _as_typed(response))
    if response["status"] not in ("completed", "incomplete") or response["error"]:
        raise MalformedResponseError(f"a response with status {response['status']}")
    output = response["output"]
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    calls = tuple(_call(item) for item in output if item["type"] in ("function_call", "custom_tool_call"))
    reason = (response["incomplete_details"] or {}).get("reason")
    if (response["status"] == "incomplete") is not bool(reason):
        raise MalformedResponseError("an incomplete response without a reason")
    choice = Choice(
        "".join(part["text"] for part in parts if part["type"] == "output_text"),
        "".join(each["text"] for item in output if item["type"] == "reasoning" for each in item["summary"]),
        any(part["type"] == "refusal" for part in parts),
        calls,
        _FINISH[reason] if reason else "tool_calls" if calls else "stop",
        json.dumps([part.get("annotations") for part in parts]),
        json.dumps(output),
    )
    return Success((choice,), json.dumps(_usage(response["usage"])))


def _as_typed(response: Json) -> Json:
    """The response without the client's own fields, which it repeats, and without the cost."""
    usage = (
        {key: value for key, value in response["usage"].items() if key != "cost"}
        if response.get("usage")
        else None
    )
    repeated = ("tools", "tool_choice", "text", "reasoning", "metadata", "truncation")
    known = {key: value for key, value in response.items() if key not in repeated}
    return {**known, "tools": [], "tool_choice": "auto", "usage": usage}


def _call(item: Json) -> tuple[str, str, str]:
    return (
        item["call_id"],
        item["name"],
        item["arguments"] if item["type"] == "function_call" else item["input"],
    )


def _usage(usage: Json) -> Json:
    counts = {key: value for key, value in (usage or {}).items() if key.endswith("_tokens")}
    if counts.keys() != {"input_tokens", "output_tokens", "total_tokens"} or not all(
        type(count) is int and count >= 0 for count in counts.values()
    ):
        raise MalformedResponseError("the usage holds what is no count")
    return {
        "prompt_tokens": counts["input_tokens"],
        "completion_tokens": counts["output_tokens"],
        "total_tokens": counts["total_tokens"],
    }


def _streamed_response(events: Sequence[Json]) -> Success | Failure:
    last = events[-1]
    if [event["sequence_number"] for event in events] != list(range(len(events))):
        raise MalformedResponseError("sequence numbers with gaps")
    endings = [event["type"] for event in events if event["type"] in _ENDINGS]
    if len(endings) != 1 or last["type"] not in _ENDINGS:
        raise MalformedResponseError("not one event that ends the response, at the end")
    if [event["type"] for event in events[:2]] != ["response.created", "response.in_progress"]:
        raise MalformedResponseError("a stream that does not begin with response.created")
    for event in events:
        matches_type(
            _EVENT, {**event, "response": _as_typed(event["response"])} if "response" in event else event
        )
    response = last["response"]
    if last["type"] == "response.failed":
        if response["status"] != "failed":
            raise MalformedResponseError("a failed response with another status")
        return Failure(200, error_of(response))
    if last["type"] != f"response.{response['status']}":
        raise MalformedResponseError("a last event with another status than its response")
    _check_items(events, response["output"])
    return _response(response)


_ENDINGS = {"response.completed", "response.incomplete", "response.failed"}
# By the type of a delta: the text of the item that the deltas add up to.
_WHOLE: Mapping[str, Callable[[Json, Json], str]] = {
    "response.output_text.delta": lambda item, event: item["content"][event["content_index"]]["text"],
    "response.refusal.delta": lambda item, event: item["content"][event["content_index"]]["refusal"],
    "response.function_call_arguments.delta": lambda item, event: item["arguments"],
    "response.custom_tool_call_input.delta": lambda item, event: item["input"],
    "response.reasoning_summary_text.delta": lambda item, event: item["summary"][event["summary_index"]]["text"],
}  # fmt: skip


def _check_items(events: Sequence[Json], output: Sequence[Json]) -> None:
    """Whether the items, and the deltas, add up to the output of the whole response."""
    if [event["item"] for event in events if event["type"] == "response.output_item.done"] != output:
        raise MalformedResponseError("the items of the stream are not those of the response")
    if [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"] != [
        item["id"] for item in output
    ]:
        raise MalformedResponseError("items that were not added")
    joined: dict[tuple[Json, ...], str] = {}
    wholes: dict[tuple[Json, ...], str] = {}
    for event in events:
        if whole := _WHOLE.get(event["type"]):
            item = output[event["output_index"]]
            place = (
                event["type"],
                event["output_index"],
                event.get("content_index"),
                event.get("summary_index"),
            )
            joined[place] = joined.get(place, "") + event["delta"]
            wholes[place] = whole(item, event)
            if item["id"] != event["item_id"]:
                raise MalformedResponseError("a delta with the id of another item")
    if joined != wholes:
        raise MalformedResponseError("the deltas do not add up to the response")


# --- the Messages API ---


def native_error(body: Json) -> Json:
    """Anthropic's error object with the keys of OpenAI's."""
    if (
        not isinstance(body, dict)
        or body.get("type") != "error"
        or not body.keys() <= {"type", "error", "request_id"}
    ):
        raise MalformedResponseError("the error is not in Anthropic's envelope")
    error = body.get("error")
    if not isinstance(error, dict) or not all(
        isinstance(error.get(key), str) and error[key] for key in ("type", "message")
    ):
        raise MalformedResponseError("the error object is incomplete")
    if "error" not in error["type"] or not isinstance(body.get("request_id"), str):
        raise MalformedResponseError("the error has no type of Anthropic's, or no request_id")
    return {"message": error["message"], "type": error["type"], "param": None, "code": None}


def _message(message: Json) -> Success:
    if message.get("type") != "message" or message.get("stop_reason") not in _STOP:
        raise MalformedResponseError("no complete message")
    text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    return Success((Choice(text, "", False, (), _STOP[message["stop_reason"]]),), json.dumps(message["usage"]))


def _streamed_message(events: Sequence[Json]) -> Success | Failure:
    if events[-1]["type"] == "error":
        return Failure(200, native_error(events[-1]))
    if events[-1]["type"] != "message_stop":
        raise MalformedResponseError("neither message_stop nor an error at the end")
    message = {"type": "message", **events[0]["message"], "content": []}
    for event in events:
        if event["type"] == "content_block_start":
            message["content"].append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            message["content"][-1]["text"] += event["delta"]["text"]
        elif event["type"] == "message_delta":
            message |= event["delta"]
    return _message(message)
