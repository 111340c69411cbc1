"""The reason why an upstream response is not a complete message, by Anthropic's protocol and without the gateway's code.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming and
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from tests.campaign.gateway import UpstreamReply

_LINE_END = re.compile(rb"\r\n|\n|\r")
NO_CALL = "stop_reason tool_use without a call"
_BLOCK_EVENTS = ("content_block_start", "content_block_delta", "content_block_stop")
_EVENTS = ("message_start", *_BLOCK_EVENTS, "message_delta", "message_stop", "error")
_TEXTS = {"text": ("text",), "thinking": ("thinking", "signature")}  # of a block, by its type
_DELTAS = {"text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"}


class ProtocolError(Exception):
    """The response contradicts the protocol."""


def contradiction(reply: UpstreamReply) -> str | None:
    """Why `reply` cannot become a completion. None if it is complete, or unusual in a way that the protocol leaves open."""
    if reply.status != 200:
        return "a status that is not 200"
    if any(name == b"content-encoding" for name, _ in reply.headers):
        return None
    try:
        return _check(reply)
    except ProtocolError as error:
        return str(error)


def _check(reply: UpstreamReply) -> str | None:
    message = _Message()
    for event in event_data(reply.body):
        if message.started and event.get("type") == "message_stop":
            return message.at_end()
        message.feed(event)
    return "no message_stop"


class _Message:
    """The state of one message. Checks only violations that every client has to reject."""

    def __init__(self) -> None:
        self.started = False
        self._blocks: list[Any] = []
        self._has_blocks_in_start = False
        self._stop_reason: object = None
        self._has_call = False

    def feed(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind == "error":
            raise ProtocolError("an error event")
        if not isinstance(kind, str) or not (
            kind == "message_start" or kind.startswith("content_block_") or kind == "message_delta"
        ):
            return
        if kind == "message_start":
            self._start(event.get("message"))
        elif not self.started:
            raise ProtocolError("no message_start")
        elif kind == "content_block_start":
            self._open(event)
        elif kind == "content_block_delta":
            self._delta(event)
        elif kind == "message_delta" and isinstance(event.get("delta"), dict):
            self._stop_reason = event["delta"].get("stop_reason", self._stop_reason)

    def at_end(self) -> str | None:
        if not isinstance(self._stop_reason, str) or not self._stop_reason:
            return "no stop_reason"
        if self._stop_reason == "tool_use" and not self._has_call and not self._has_blocks_in_start:
            return NO_CALL
        return None

    def _start(self, message: Any) -> None:
        if not isinstance(message, dict):
            raise ProtocolError("a message_start without a message")
        self.started = True
        self._has_blocks_in_start = bool(message.get("content"))
        self._stop_reason = message.get("stop_reason")

    def _open(self, event: Mapping[str, Any]) -> None:
        block = event.get("content_block")
        if not isinstance(block, dict):
            raise ProtocolError("a content_block_start without a block")
        self._blocks.append(event.get("index"))
        if block.get("type") == "tool_use":
            self._has_call = True
            if not all(isinstance(block.get(key), str) and block[key] for key in ("id", "name")):
                raise ProtocolError("a call without an id or a name")

    def _delta(self, event: Mapping[str, Any]) -> None:
        delta = event.get("delta")
        known = isinstance(delta, dict) and isinstance(delta.get("type"), str) and delta["type"] in _DELTAS
        if known and event.get("index") not in self._blocks and not self._has_blocks_in_start:
            raise ProtocolError("a delta of a block that has not begun")


def event_data(data: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of an event stream. Raises ProtocolError for data that is none."""
    for _, event in _named_data(data):
        yield event


def _named_data(data: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    lines: list[bytes] = []
    event_name = b""
    for line in [*_LINE_END.split(data), b""]:
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
        elif name == b"event":
            event_name = value.removeprefix(b" ")
        elif not line:
            joined, lines = b"\n".join(lines), []
            value = _parsed(joined) if joined else {}
            if "type" in value:
                yield event_name, value
            elif joined and event_name.decode(errors="replace") in ("", *_EVENTS):
                raise ProtocolError("an event without a type")  # under another name, clients skip it
            event_name = b""


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # not half a character
    except (ValueError, RecursionError):
        raise ProtocolError("an event that is not JSON") from None
    return value if isinstance(value, dict) else {}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def message_of(data: bytes) -> Any:
    """The message of an event stream, as a client of the Messages API adds it up: by the names of the events.

    Raises ProtocolError if the stream is not complete, or if its parts do not fit together.
    """
    sum_ = _Sum()
    try:
        for name, event in _named_data(data):
            kind = event["type"]
            if not isinstance(kind, str):
                raise ProtocolError("an event without a type")
            if name != kind.encode() and (kind in _EVENTS or name.decode(errors="replace") in _EVENTS):
                raise ProtocolError("an event with another name than its type")
            if kind == "message_stop":
                if not sum_.message:
                    raise ProtocolError("no message_start")  # the SDKs raise it, too
                return sum_.complete()
            sum_.add(event)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise ProtocolError("an event of the wrong shape") from None
    raise ProtocolError("no message_stop")


class _Sum:
    def __init__(self) -> None:
        self.message: Any = None
        self._open: int | None = None
        self._pieces: dict[int, str] = {}

    def add(self, event: Any) -> None:
        kind = event["type"]
        if kind == "error":
            raise ProtocolError("an error event")
        if kind == "message_start":
            self._start(event["message"])
        elif kind == "message_delta":
            self.message |= {key: value for key, value in event["delta"].items() if key.startswith("stop_")}
            if not isinstance(self.message.get("stop_reason"), str | None):
                raise ProtocolError("a stop_reason that is no text")
            if isinstance(usage := event.get("usage"), dict):
                self.message["usage"] = {**(self.message.get("usage") or {}), **usage}
        elif kind in _BLOCK_EVENTS:
            self._add_to_block(event)

    def _start(self, message: Any) -> None:
        if self.message and self.message["content"]:
            raise ProtocolError("a second message_start")
        if not all(isinstance(message.get(key), str) for key in ("id", "model")):
            raise ProtocolError("a message without an id or a model")
        if not isinstance(message.get("stop_reason"), str | None):
            raise ProtocolError("a stop_reason that is no text")
        self.message = self.message or {
            **message,
            "content": list(message["content"]),
        }  # the first, as in the SDKs

    def _add_to_block(self, event: Any) -> None:
        content, index = self.message["content"], event["index"]
        if "delta" in event and type(index) is int and event["delta"]["type"] not in _DELTAS:
            if not isinstance(event["delta"]["type"], str):
                raise ProtocolError("a delta without a type")
            return  # of the future
        if event["type"] == "content_block_start":
            if type(index) is not int or index != len(content):
                raise ProtocolError("a block that is not the next one")
            block = dict(event["content_block"])
            if not all(isinstance(block.get(key), str | None) for key in _TEXTS.get(block["type"], ())):
                raise ProtocolError("a text that is no string")
            content.append(block)
            self._open = index
        elif type(index) is not int or not 0 <= index < len(content):
            raise ProtocolError("a delta or the end of a block that has not begun")
        elif event["type"] == "content_block_delta":
            if index != self._open:
                raise ProtocolError("a delta of a block that has ended")
            _extend(content[index], event["delta"], index, self._pieces)
        elif index == self._open:
            self._open = None

    def complete(self) -> Any:
        for block in self.message["content"]:
            key, value = {"text": ("text", ""), "thinking": ("thinking", ""), "tool_use": ("input", {})}.get(
                block["type"], ("type", "")
            )
            if block.get(key) is None:
                block[key] = value
        for index, piece in self._pieces.items():
            if piece:
                try:
                    self.message["content"][index]["input"] = from_json(piece, allow_partial=True)
                except ValueError:  # as Claude may write it; the client sees the text
                    self.message["content"][index]["input"] = {}
        return self.message


def _extend(block: Any, delta: Any, index: int, pieces: dict[int, str]) -> None:
    kind = delta["type"]
    if kind == "input_json_delta":
        pieces[index] = pieces.get(index, "") + delta["partial_json"]
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
    elif kind in _DELTAS:
        key = kind.removesuffix("_delta")
        before = "" if key == "signature" else block.get(key) or ""  # the SDKs take the last signature
        block[key] = before + delta[key]
