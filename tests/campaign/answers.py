"""Reads a response: a buffered completion, a streamed one or an error, in a form that can be compared."""

import json
from dataclasses import dataclass
from typing import Any

from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter, ValidationError

from tests.campaign.gateway import Observation

Json = Any
_FINISH = {"stop", "length", "tool_calls", "content_filter", "function_call"}
_DONE = "data: [DONE]"


class MalformedResponseError(Exception):
    """A response that is neither a complete completion nor an error. The text says what is wrong."""


@dataclass(frozen=True)
class Choice:
    """Calls as name and arguments. `annotations` and `blocks` as JSON."""

    content: str
    reasoning: str
    refusal: bool
    calls: tuple[tuple[str, str, str], ...]
    finish_reason: str
    annotations: str = "[]"
    blocks: str = "[]"


@dataclass(frozen=True)
class Success:
    choices: tuple[Choice, ...]
    usage: str


@dataclass(frozen=True)
class Failure:
    """An error object: the response, or the last frame of a stream with status 200."""

    status: int
    error: Json


def read(seen: Observation, streamed: bool) -> Success | Failure:
    """Raises MalformedResponseError unless the response is a complete completion or an error."""
    if not seen.status or not seen.complete:
        raise MalformedResponseError("the response did not end")
    if seen.status >= 400:
        return Failure(seen.status, error_of(as_json(seen.body)))
    if seen.status != 200:
        raise MalformedResponseError(f"status {seen.status}")
    return _streamed(seen.body) if streamed else _buffered(as_json(seen.body))


def as_json(data: bytes | str) -> Json:
    try:
        return json.loads(data)
    except ValueError:
        raise MalformedResponseError("the body is not JSON") from None


def error_of(body: Json) -> Json:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or error.keys() != {"message", "type", "param", "code"}:
        raise MalformedResponseError("the error object is incomplete")
    if not all(isinstance(error[key], str) and error[key] for key in ("message", "type")):
        raise MalformedResponseError("the error's message or type is no text")
    if not all(error[key] is None or (isinstance(error[key], str) and error[key]) for key in ("param", "code")):
        raise MalformedResponseError("the error's param or code is no text")
    return error


_COMPLETION, _CHUNK, _TEXT = (TypeAdapter(kind) for kind in (ChatCompletion, ChatCompletionChunk, Completion))


def matches_type(adapter: TypeAdapter[Any], value: Json) -> None:
    """Whether the SDK's type takes `value` without any conversion."""
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join("N" if isinstance(step, int) else str(step) for step in first["loc"])
        raise MalformedResponseError(f"the SDK's type does not take {place}") from None


def _buffered(body: Json) -> Success:
    if isinstance(body, dict) and body.get("object") == "text_completion":
        matches_type(_TEXT, body)
        choices = [_choice(each, {"content": each["text"]}) for each in body["choices"]]
    else:
        matches_type(_COMPLETION, body)
        choices = [_choice(each, each["message"]) for each in body["choices"]]
    return _success(choices, body["usage"])


def _success(choices: list[Choice], usage: Json) -> Success:
    if not choices:
        raise MalformedResponseError("no choices")
    for choice in choices:
        if choice.finish_reason not in _FINISH:
            raise MalformedResponseError("no finish_reason")
        if (choice.finish_reason in ("tool_calls", "function_call")) and not choice.calls:
            raise MalformedResponseError(f"finish_reason {choice.finish_reason} without a call")
    known = {key: value for key, value in usage.items() if key != "cost"} if isinstance(usage, dict) else None
    for counts in (known, *(value for value in (known or {}).values() if isinstance(value, dict))):
        if not counts or any(
            not isinstance(count, int) or count < 0 for count in counts.values() if not isinstance(count, dict)
        ):
            raise MalformedResponseError("the usage holds what is no count")
    return Success(tuple(choices), json.dumps(known, sort_keys=True))


def _choice(choice: Json, message: Json) -> Choice:
    calls = [_call(each) for each in message.get("tool_calls") or []]
    if legacy := message.get("function_call"):
        calls.append(("", legacy["name"], legacy["arguments"]))  # it has no id
    return Choice(
        message.get("content") or "",
        message.get("reasoning_content") or "",
        bool(message.get("refusal")),
        tuple(calls),
        choice.get("finish_reason") or "",
        json.dumps(message.get("annotations") or []),
        json.dumps(
            [{k: v for k, v in block.items() if k != "index"} for block in message.get("thinking_blocks") or []]
        ),
    )


def _call(call: Json) -> tuple[str, str, str]:
    inner = call.get("function") or call.get("custom")
    if (
        not isinstance(call.get("id"), str)
        or not inner
        or not all(isinstance(each, str) for each in inner.values())
    ):
        raise MalformedResponseError("a call without id, name or arguments")
    return call["id"], inner["name"], inner.get("arguments", inner.get("input"))


# --- streams ---


def _streamed(data: bytes) -> Success | Failure:
    text = data.decode()
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    if not text.endswith("\n\n") or not frames or not all(frame.startswith("data: ") for frame in frames):
        raise MalformedResponseError("the stream is not made of frames")
    if frames[-1] == _DONE:
        chunks = [as_json(frame[6:]) for frame in frames[:-1]]
        if any("error" in chunk for chunk in chunks):
            raise MalformedResponseError("an error frame and [DONE]")
        return _collected(chunks)
    last = as_json(frames[-1][6:])
    if not isinstance(last, dict) or "error" not in last:
        raise MalformedResponseError("neither [DONE] nor an error frame at the end")
    if _DONE in frames:
        raise MalformedResponseError("frames after [DONE]")
    return Failure(200, error_of(last))


def _collected(chunks: list[Json]) -> Success:
    messages: dict[int, Json] = {}
    usage: Json = None
    for chunk in chunks:
        matches_type(_TEXT if chunk.get("object") == "text_completion" else _CHUNK, _as_typed(chunk))
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            message = messages.setdefault(choice["index"], {})
            if message.get("finish_reason"):
                raise MalformedResponseError("a delta after the finish_reason")
            message["finish_reason"] = choice["finish_reason"]
            _merge(message, choice.get("delta") or {"content": choice.get("text")})
    choices = []
    for index in sorted(messages):
        message = messages[index]
        message["tool_calls"] = [message["calls"][number] for number in sorted(message.get("calls", {}))]
        choices.append(_choice(message, message))
    return _success(choices, usage or {"none": 0})


def _as_typed(chunk: Json) -> Json:
    """The chunk without fields that the API sends and the SDK's types do not have: custom tool calls in chunks, and
    `finish_reason: null` in text completions.
    """
    choices = []
    for choice in chunk.get("choices") or []:
        if chunk.get("object") == "text_completion":
            choices.append({**choice, "finish_reason": choice.get("finish_reason") or "stop"})
            continue
        delta = dict(choice.get("delta") or {})
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [call for call in calls if "custom" not in call]
        choices.append({**choice, "delta": delta})
    return {**chunk, "choices": choices}


def _merge(message: Json, delta: Json) -> None:
    for key in ("content", "reasoning_content", "refusal"):
        if delta.get(key):
            message[key] = message.get(key, "") + delta[key]
    for key in ("annotations", "thinking_blocks"):
        message[key] = [*message.get(key, []), *delta.get(key, [])]
    if part := delta.get("function_call"):
        _append(message.setdefault("function_call", {}), part)
    for call in delta.get("tool_calls") or []:
        known = message.setdefault("calls", {}).setdefault(call["index"], {})
        known.setdefault("id", call.get("id"))
        inner = "custom" if "custom" in call else "function"
        _append(known.setdefault(inner, {}), call[inner])


def _append(known: Json, part: Json) -> None:
    for key, value in part.items():
        known[key] = known[key] + value if key in known else value
