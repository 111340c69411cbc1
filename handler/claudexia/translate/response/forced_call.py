"""CallEvents: the events of an answer whose text is constrained to tool calls, as events of these calls.

    text block             becomes
    --------------------   ------------------------------------------------------
    content_block_start    nothing: the text decides
    text_delta             content_block_start tool_use, and input_json_delta
    content_block_stop     content_block_stop
    stop_reason end_turn   stop_reason tool_use

Accumulator and encoders come after it and see calls only. Thinking passes. Text that is not the expected JSON,
as in a refusal, stays text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic_core import from_json

from claudexia.translate.report import CallFormat
from claudexia.translate.response.event_shape import is_known_delta, malformed
from claudexia.translate.response.text_filters import ObjectText
from claudexia.translate.types.anthropic import (
    ContentBlock,
    ContentBlockDeltaEvent,
    ContentDelta,
    MessageDelta,
    MessageStreamEvent,
)

# The head of a call in a list of calls, up to its arguments. Names are upstream names.
_HEAD = re.compile(r'"name"\s*:\s*"([a-zA-Z0-9_-]+)"\s*,\s*"arguments"\s*:\s*(?=\{)')
# What is kept of the text between two calls, in characters: longer than any head.
_MAX_HEAD = 300
_FINISHED = ("end_turn", "stop_sequence")


class CallEvents:
    """feed() takes the events of one message, in order."""

    def __init__(self, call_format: CallFormat) -> None:
        self._format = call_format
        self._id = ""
        self._index = -1  # of the latest block that was sent
        self._shown: dict[int, int] = {}  # the index that was sent for a block that is not text
        self._calls = 0
        self._text: _CallText | None = None  # while a text block is open
        self._texts: set[int] = set()  # the indices of the text blocks so far
        self._text_index = -1  # of the latest of them
        self._open = False  # whether a block made of text is open

    def feed(self, event: MessageStreamEvent) -> Sequence[MessageStreamEvent]:
        if event["type"] == "content_block_delta":
            return self._on_delta(event)
        if event["type"] == "content_block_start":
            return [*self._close(), *self._on_block(event["index"], event["content_block"])]
        if event["type"] == "content_block_stop":
            if event["index"] in self._shown:
                return [{**event, "index": self._shown[event["index"]]}]
            if event["index"] not in self._texts:
                raise malformed("the end of a block that has not begun")
            return [*self._close()]
        if event["type"] == "message_start":
            message = event["message"]
            self._id = message["id"].removeprefix("msg_")
            events: list[MessageStreamEvent] = [{**event, "message": {**message, "content": []}}]
            for index, block in enumerate(message.get("content") or []):
                events += [*self._on_block(index, block), *self._close()]
            return events
        if event["type"] == "message_delta":
            return [*self._close(), {**event, "delta": self._stop(event["delta"])}]
        return [*self._close(), event] if event["type"] == "message_stop" else [event]

    def _stop(self, delta: MessageDelta) -> MessageDelta:
        called = self._calls and delta.get("stop_reason") in _FINISHED
        return {**delta, "stop_reason": "tool_use"} if called else delta

    def _on_block(self, index: int, block: ContentBlock) -> Iterator[MessageStreamEvent]:
        if block["type"] == "text":
            self._text = _CallText(self._format)
            self._texts.add(index)
            self._text_index = index
            yield from self._read(block.get("text") or "")
            return
        self._index += 1
        self._shown[index] = self._index
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _on_delta(self, event: ContentBlockDeltaEvent) -> Sequence[MessageStreamEvent]:
        delta, index = event["delta"], event["index"]
        if self._text and index == self._text_index and type(index) is int:
            return [*self._read(delta["text"])] if delta.get("type") == "text_delta" else []
        if index in self._shown:
            return [{**event, "index": self._shown[index]}]
        if is_known_delta(delta):
            raise malformed("a delta of a block that has not begun, or has ended")
        return []

    def _read(self, text: str) -> Iterator[MessageStreamEvent]:
        if self._text:
            for part in self._text.feed(text):
                yield from self._send(part)

    def _close(self) -> Iterator[MessageStreamEvent]:
        if self._text:
            for part in self._text.close():
                yield from self._send(part)
            self._text = None
        yield from self._end()

    def _send(self, part: "_Part") -> Iterator[MessageStreamEvent]:
        if part.starts:
            yield from self._end()
            self._index, self._open = self._index + 1, True
            block = self._call(part.name) if part.name else cast("ContentBlock", {"type": "text", "text": ""})
            yield {"type": "content_block_start", "index": self._index, "content_block": block}
        if part.text:
            delta: ContentDelta = (
                {"type": "input_json_delta", "partial_json": part.text}
                if part.name
                else {"type": "text_delta", "text": part.text}
            )
            yield {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _end(self) -> Iterator[MessageStreamEvent]:
        if self._open:
            self._open = False
            yield {"type": "content_block_stop", "index": self._index}

    def _call(self, name: str) -> ContentBlock:
        """The id is that of the message, so that it is unique and the same in every log."""
        self._calls += 1
        id_ = f"call_{self._id}" if self._calls == 1 else f"call_{self._id}_{self._calls}"
        return {"type": "tool_use", "id": id_, "name": name, "input": {}}


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a call's arguments or, without a name, of text. `starts`: it is the first of a block."""

    text: str
    name: str
    starts: bool = False


class _CallText:
    """One text block. feed() takes its text, split at any position."""

    def __init__(self, call_format: CallFormat) -> None:
        self._format = call_format
        self._held: list[str] = []  # until it is clear what the text is
        self._is_json = self._plain = False
        self._between = ""  # the end of the text outside of calls, where a head may begin
        self._name = ""  # of the latest call
        self._arguments: ObjectText | None = None  # of the call that is being read

    def feed(self, text: str) -> Iterator[_Part]:
        if self._plain:
            yield _Part(text, "")
        elif self._name and self._format.name:
            yield _Part(text, self._name)
        elif self._is_json:
            yield from self._calls(text)
        elif self._format.selected:
            self._held.append(text)
        else:
            yield from self._begin(text)

    def close(self) -> Iterator[_Part]:
        if self._format.selected and not self._plain:
            yield from self._selected("".join(self._held))
            self._held.clear()

    def _begin(self, text: str) -> Iterator[_Part]:
        """`text` follows white space only, which belongs to the text if it is no JSON."""
        self._held.append(text)
        start = text.lstrip()
        if not start:
            return
        held, self._held = self._held, []
        if not start.startswith("{"):
            self._plain = True
            yield _Part("".join(held), "", starts=True)
        elif self._format.name:
            self._name = self._format.name
            yield _Part(start, self._name, starts=True)
        else:
            self._is_json = True
            yield from self._calls(start)

    def _calls(self, text: str) -> Iterator[_Part]:
        """Reads the next piece of an object that holds any number of calls."""
        position = 0
        if not self._arguments:
            text = self._between + text
        while True:
            if self._arguments:
                yield _Part(self._arguments.feed(text, position), self._name)
                if not self._arguments.ended:
                    return
                position, self._arguments = self._arguments.end, None
            found = _HEAD.search(text, position)
            if not found:
                self._between = text[max(position, len(text) - _MAX_HEAD) :]
                return
            position = found.end()
            self._name, self._arguments = found[1], ObjectText()
            yield _Part("", self._name, starts=True)

    def _selected(self, text: str) -> Iterator[_Part]:
        try:
            selected = from_json(text)
            name, arguments = selected["name"], selected["arguments"]
            if not isinstance(from_json(arguments), dict):
                return
        except (ValueError, TypeError, KeyError):
            if text.strip() and not text.lstrip().startswith("{"):
                yield _Part(text, "", starts=True)
            return
        yield _Part(arguments, name, starts=True)
