"""The reason why an upstream response is not a complete message, by Anthropic's protocol and without the gateway's code.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming and
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.campaign.gateway import UpstreamReply

_LINE_END = re.compile(rb"\r\n|\n|\r")
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
            return "stop_reason tool_use without a call"
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
    """The JSON objects of an event stream. Raises ProtocolError for data that is not JSON."""
    lines: list[bytes] = []
    for line in [*_LINE_END.split(data.removeprefix(b"\xef\xbb\xbf")), b""]:
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
        elif not line and lines:
            joined, lines = b"\n".join(lines), []
            if joined:
                yield from _parsed(joined)


def _parsed(data: bytes) -> Iterator[dict[str, Any]]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ProtocolError("an event that is not JSON") from None
    if isinstance(value, dict):
        yield value
