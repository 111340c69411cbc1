"""Damaged answers for the Messages API, whole and streamed, and the rules for what the client gets.

The upstream answers a request with a message and the same request with `stream` with the events of that message.
Either the events are damaged, and the message is what they add up to; or the message is damaged, and the events
are made from it. So both answers of the gateway have to be errors, or the same message.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._messages import accumulate_event

from tests.campaign.answers import Failure, MalformedResponseError, as_json
from tests.campaign.damage import damage_bytes, damage_value, dumped
from tests.campaign.gateway import Observation, UpstreamReply
from tests.campaign.judge import judge_traces
from tests.campaign.other_answers import native_error
from tests.campaign.protocol import NO_CALL, ProtocolError, contradiction, message_of
from tests.campaign.stream_damage import framed, split
from tests.campaign.streams import Case

Json = Any
_WHOLE = ((b"content-type", b"application/json"), (b"request-id", b"req_campaign"))
_KNOWN = ("text", "thinking", "redacted_thinking", "tool_use")
_ERROR_EVENT = re.compile(rb"event: ?error[\r\n]+data: ?")
_STOP_KEYS = ("stop_reason", "stop_sequence", "stop_details")
# By a block's type: the key that comes in a delta, and the delta's type and key.
_IN_DELTAS = {
    "text": ("text", "text_delta", "text"),
    "thinking": ("thinking", "thinking_delta", "thinking"),
    "tool_use": ("input", "input_json_delta", "partial_json"),
}


def with_whole(case: Case) -> Case:
    """`case` with the message that its events add up to; if they do not, with the events for a message."""
    reply = case.replies[0]
    message = _complete(reply)
    whole = replace(reply, headers=(*_WHOLE, *(pair for pair in reply.headers if pair[0] not in dict(_WHOLE))))
    if message is not None:
        whole = replace(whole, pieces=(dumped(message).replace(b"Infinity", b"1e400"),), breaks=False)
    return replace(case, whole=whole)


def damaged_message(case: Case, random: Random) -> Case:
    """`case`, a control, with a damaged message, and its events."""
    message = message_of(case.replies[0].body)
    damages = ["message"]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if isinstance(message, dict | list):
            message = damage_value(message, random)
    data = dumped(message)
    if b"RAW" in json.dumps(message).encode():  # written in ways that events cannot repeat
        data = dumped(json.loads(json.dumps(message)))
        data = data if _parsed(data) is None else b"{"
    if random.random() < 0.2:
        damages.append("bytes")
        data = damage_bytes(data, random)
    value = _parsed(data)
    if b"\\ud" in data or (value is None and _is_json(data)):  # half a character, or 1e400
        data, value = b"{", None
    events = b"".join(map(framed, _events(value[0]))) if value else b"event: message_start\ndata: %b\n\n" % data
    whole = UpstreamReply(split(data, random), headers=_WHOLE)
    replies = (UpstreamReply(split(events, random)),)
    return replace(case, replies=replies, whole=whole, expected=None, damages=tuple(damages))


def _parsed(data: bytes) -> list[Json] | None:
    """The value, in a list; None if it is no JSON, or cannot be written again as it is."""
    try:
        value = json.loads(data.decode())
        json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return [value]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _events(message: Json) -> Iterator[Json]:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        yield from ({"type": "message_start", "message": message}, {"type": "message_stop"})
        return
    rest = {key: value for key, value in message.items() if key not in _STOP_KEYS}
    yield {"type": "message_start", "message": {**rest, "content": []}}
    for index, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        key, delta, name = _IN_DELTAS.get(kind if isinstance(kind, str) else "", ("", "", ""))
        start, deltas = block, list[Json]()
        if key:
            start = {**block, key: {} if key == "input" else ""}
            value = json.dumps(block.get(key), separators=(",", ":")) if key == "input" else block.get(key)
            deltas = [{"type": delta, name: value if key in block else None}]
        yield {"type": "content_block_start", "index": index, "content_block": start}
        yield from ({"type": "content_block_delta", "index": index, "delta": each} for each in deltas)
        yield {"type": "content_block_stop", "index": index}
    stop = {key: message[key] for key in _STOP_KEYS if key in message}
    yield {"type": "message_delta", "delta": stop, "usage": message.get("usage")}
    yield {"type": "message_stop"}


def _complete(reply: UpstreamReply) -> Json | None:
    """The message of an event stream; None if there is none."""
    reason = contradiction(reply)
    if reason not in (None, NO_CALL):
        return None
    try:
        message = message_of(reply.body)
    except ProtocolError:
        return None
    return message if reason is None or _has_new_block(message) else None


def _has_new_block(message: Json) -> bool:
    """Whether a block has an unknown type, which may be that of a call."""
    return any(block["type"] not in _KNOWN for block in message["content"])


# --- the rules ---


def judge_messages_stream(case: Case, whole: Observation, streamed: Observation) -> Iterator[str]:
    reply = case.replies[0]
    if not (reply.breaks and reply.body.endswith(b"\r")):  # the end of the last event, or half of it
        yield from _judge(case, whole, streamed)


def _judge(case: Case, whole: Observation, streamed: Observation) -> Iterator[str]:
    answers: list[Json] = []
    for seen, mode in ((whole, "whole"), (streamed, "streamed")):
        yield from judge_traces(seen)
        if len(seen.usage) != 1:
            yield f"{len(seen.usage)} lines in the ledger"
        try:
            answer = _answer(seen, mode == "streamed")
        except (MalformedResponseError, ProtocolError) as error:
            yield f"{mode}: {error}"
            return
        answers.append(answer)
        if isinstance(answer, Failure):
            if case.expected:
                yield f"{mode}: a complete upstream message became an error"
        elif mode == "streamed":
            yield from _judge_streamed(case, answer, streamed)
    yield from _judge_both(answers[0], answers[1], case, whole, streamed)


def _judge_both(one: Json, other: Json, case: Case, whole: Observation, streamed: Observation) -> Iterator[str]:
    if case.replies[0].breaks and case.replies[0].body.endswith(
        b"\r"
    ):  # the end of the last event, or half of it
        return
    if isinstance(one, Failure) is not isinstance(other, Failure):
        yield (
            "whole is an error, streamed a message"
            if isinstance(one, Failure)
            else "whole is a message, streamed an error"
        )
    elif not isinstance(one, Failure):
        yield from (f"whole and streamed differ in {key}" for key in _differences(one, other))
        if case.expected and _tokens(whole) != _tokens(streamed):
            yield "whole and streamed usage in the ledger differ"


def _answer(seen: Observation, streamed: bool) -> Json:
    if not seen.status or not seen.complete:
        raise MalformedResponseError("the response did not end")
    if seen.status != 200:
        return Failure(seen.status, _error(as_json(seen.body)))
    if not streamed:
        return as_json(seen.body)
    # What the gateway writes itself are an error at the end and pings.
    *_, last = _ERROR_EVENT.split(seen.body)
    if len(last) < len(seen.body):
        return Failure(200, _error(as_json(re.split(rb"[\r\n]", last, maxsplit=1)[0])))
    return message_of(seen.body)


def _error(body: Json) -> Json:
    """The error. One of the upstream's own may have a new type, and no request_id."""
    if not isinstance(body, dict) or not isinstance(error := body.get("error"), dict):
        raise MalformedResponseError("the error is not in Anthropic's envelope")
    return native_error(
        {
            "request_id": "of the upstream",
            "type": "error",
            **{key: value for key, value in body.items() if key in ("request_id", "type")},
            "error": {**error, "type": f"{error.get('type')}_error"},
        }
    )


def _judge_streamed(case: Case, message: Json, seen: Observation) -> Iterator[str]:
    reason = contradiction(case.replies[0])
    is_new = _has_new_block(message)
    if reason and not (is_new and reason == NO_CALL):
        yield f"looks like success: {reason}"
    by_sdk = _read_by_sdk(seen.body)
    if by_sdk is not None and not is_new:
        yield from (f"Anthropic's SDK reads another {key}" for key in _differences(message, by_sdk))


def _differences(one: Json, other: Json) -> list[str]:
    return [
        key
        for key in ("id", "model", "content", "stop_reason")
        if _plain(one.get(key)) != _plain(other.get(key))
    ]


def _plain(value: Json) -> Json:
    """Without keys that are null, which the SDK adds, or empty texts, which it leaves out."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner not in (None, "")}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _read_by_sdk(data: bytes) -> Json | None:
    """What the SDK makes of a stream, as in its Stream and MessageStream; None if it fails, which its user sees."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    try:
        for event in SSEDecoder().iter_bytes(iter([data])):
            if event.event and event.event != "ping" and event.data:
                snapshot = accumulate_event(event=event.json(), current_snapshot=snapshot, json_bufs=buffers)
        return snapshot.to_dict()
    except Exception:
        return None


def _tokens(seen: Observation) -> list[int]:
    return [sum(line.get(name, 0) for name in ("input_tokens", "output_tokens")) for line in seen.usage]
