"""MessageAccumulator: reads each upstream event of one answer once.

It holds the tokens used, the message received so far, and what is needed to resume a paused turn. feed()
returns the events that an encoder of the client's API gets. For an answer of one message these are the
upstream's events, unchanged, with a ping in place of the end of a block that has ended already. A turn of
several messages reads like the events of one message:

    message       events for the encoder
    -----------   ------------------------------------------------------
    the first     message_start, its blocks
    each later    its blocks, with indices that continue those before

and at the end one message_delta, with the last stop_reason and the tokens of all messages, and message_stop.

A turn without the tool call that it must have is continued in the same way, by the message of another request.

Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from pydantic_core import from_json, to_json

from claudexia.errors import upstream_error
from claudexia.translate.response.event_shape import (
    check_delta,
    check_inputs,
    check_stop,
    is_block,
    is_known,
    is_known_delta,
    is_message,
    is_stop,
    malformed,
    valid_usage,
)
from claudexia.translate.response.usage import add_usage, update_usage
from claudexia.translate.tokens import BYTES_PER_TOKEN, utf8_length
from claudexia.translate.types.anthropic import (
    Citation,
    ContentBlock,
    ContentBlockDeltaEvent,
    ContentBlockStartEvent,
    ContentBlockStopEvent,
    ContentDelta,
    Message,
    MessageDelta,
    MessageDeltaEvent,
    MessageStartEvent,
    MessageStopEvent,
    MessageStreamEvent,
    Usage,
)

# Which key of a delta holds text that is appended to the same key of its block.
_TEXT_KEYS = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}
_BlockEventT = TypeVar("_BlockEventT", ContentBlockStartEvent, ContentBlockDeltaEvent, ContentBlockStopEvent)
_STOP_KEYS = ("stop_reason", "stop_sequence", "stop_details")
_COMPLETE = ("end_turn", "stop_sequence")


class _Text:
    """The deltas of one type in block `index`: the pieces of the text that is added to its `key`.

    They are joined at the end only: an answer may have 100,000 deltas.
    """

    __slots__ = ("index", "key", "kind", "pieces")

    def __init__(self, index: int, kind: str, key: str) -> None:
        self.index = index
        self.kind = kind
        self.key = key
        self.pieces: list[str] = []

    def add(self, piece: object) -> None:
        if not isinstance(piece, str):
            raise malformed(f"a {self.kind} whose {self.key} is not text")
        self.pieces.append(piece)


_NO_TEXT = _Text(-1, "", "")


class MessageAccumulator:
    """feed() takes every event of an answer, in order.

    `started` is true after the first message_start. `message` is complete once `finished` is true. With
    `resumable`, a message that stops with `pause_turn` sets `paused` instead: send the request again with
    `resume_content` as the assistant's last message and feed the events of the response, or end the turn with
    end_turn(). Without `resumable`, `pause_turn` is a stop_reason like any other.

    With `must_call`, an answer that ends without a tool call sets `lacks_call` instead of `finished`: feed the
    events of another answer.

    With `new_calls`, a block of unknown type may be the call of the stop_reason `tool_use`.
    """

    def __init__(self, *, resumable: bool = False, must_call: bool = False, new_calls: bool = False) -> None:
        self.started = False
        self.finished = False
        self.paused = False
        self.lacks_call = False
        self.resume_content: list[Mapping[str, object]] = []
        self.message: Message = {"id": "", "model": "", "content": [], "stop_reason": None, "usage": {}}
        self._resumable = resumable or must_call
        self._pauses = resumable
        self._must_call = must_call
        self._new_calls = new_calls
        self._resumed = False
        self._index_shift = 0  # the number of blocks in the messages before the current one
        self._blocks: dict[int, ContentBlock] = {}
        self._open_index: int | None = None  # of the block that takes deltas: the latest, until it stops
        self._texts: dict[tuple[int, str], _Text] = {}  # by index and type of delta
        self._text = _NO_TEXT  # the one that the latest delta belongs to
        self._citations: dict[int, list[Citation]] = {}  # of deltas, by the index of their block
        self._earlier_usage: Usage = {}  # of the messages before the current one
        self._usage: Usage = {}  # of the current message
        self._has_final_usage = False
        self._start_bytes = 0  # of the current message's content when it started

    def feed(self, event: MessageStreamEvent) -> Sequence[MessageStreamEvent]:
        """Returns the events for the encoder. Raises APIError 502 if a message restarts after a block began."""
        if event["type"] == "content_block_delta":
            return (self.feed_delta(event),)
        if event["type"] == "message_start":
            return self._start(event)
        if event["type"] == "message_delta":
            return self._add_delta(event)
        if event["type"] == "message_stop":
            return self._stop(event)
        return (self._add_block(event),)

    def feed_delta(self, event: ContentBlockDeltaEvent) -> ContentBlockDeltaEvent:
        """feed() for a delta, which most events are: it always returns one event."""
        index, delta = event["index"], event["delta"]
        if self._index_shift:
            event = self._in_turn(event)
            index = event["index"]
        kind, text = delta.get("type"), self._text
        if text.kind == kind and text.index == index and type(index) is int:
            text.add(delta.get(text.key))
            return event
        return self._switch_text(event)

    def end_turn(self) -> Sequence[MessageStreamEvent]:
        """The last events of a turn. For a paused turn, this is instead of resuming it."""
        self.paused, self.finished = False, True
        delta = {key: value for key, value in self.message.items() if key in _STOP_KEYS}
        return (
            {"type": "message_delta", "delta": cast("MessageDelta", delta), "usage": self.message["usage"]},
            {"type": "message_stop"},
        )

    @property
    def usage(self) -> Usage:
        """Tokens used so far, over all messages of the turn. Never raises.

        Without a valid output count in a message_delta, output tokens are estimated from the text received.
        """
        return add_usage(self._earlier_usage, {**self._usage, "output_tokens": self._output_tokens()})

    def _output_tokens(self) -> int:
        reported = self._usage.get("output_tokens") or 0
        if self._has_final_usage:
            return reported
        received = (piece for text in self._texts.values() if text.key != "signature" for piece in text.pieces)
        return max(reported, (sum(map(utf8_length, received)) + self._start_bytes) // BYTES_PER_TOKEN)

    def _start(self, event: MessageStartEvent) -> Sequence[MessageStreamEvent]:
        message = event["message"]
        if not is_message(message):
            raise malformed("a message_start without a message")
        if self.paused or self.lacks_call:
            self._resume()
        elif len(self.message["content"]) > self._index_shift:
            raise upstream_error("The upstream restarted its answer after part of it had been received.")
        content = [block.copy() for block in message.get("content") or []]
        self._usage = valid_usage(message)
        self._has_final_usage = bool(content) and "output_tokens" in self._usage
        self._start_bytes = sum(map(_text_bytes, content))
        self.started = True
        self._blocks = dict(enumerate(content, self._index_shift))
        self._open_index = None
        self._clear_deltas()
        if not self._resumed:
            # A start that is repeated before the first block keeps the id that the client may have.
            id_ = self.message["id"] or message["id"]
            self.message = {**message, "id": id_, "content": content, "usage": self._usage}
            return (event,)
        self.message["content"] += content
        stop = {key: value for key, value in message.items() if key in _STOP_KEYS}
        self.message.update(stop)  # type: ignore[typeddict-item]  # keys of a Message
        return [part for index, block in enumerate(content, self._index_shift) for part in _whole(index, block)]

    def _clear_deltas(self) -> None:
        self._texts.clear()
        self._text = _NO_TEXT
        self._citations.clear()

    def _resume(self) -> None:
        self.paused = self.lacks_call = False
        self._resumed = True
        self._earlier_usage = self.usage
        self._index_shift = len(self.message["content"])
        kept = {key: value for key, value in self.message.items() if key not in _STOP_KEYS}
        self.message = cast("Message", {**kept, "stop_reason": None})

    def _add_block(self, event: MessageStreamEvent) -> MessageStreamEvent:
        """Handles the start and stop of a block, and returns any event with the block's index in the turn."""
        if event["type"] == "content_block_start":
            if not is_block(event["content_block"]):
                raise malformed("a content_block_start without a block")
            event = self._in_turn(event)
            block = event["content_block"].copy()
            if event["index"] != len(self.message["content"]):
                raise malformed("a block whose index is not the next one")
            self._blocks[event["index"]] = block
            self._open_index, self._text = event["index"], _NO_TEXT
            self.message["content"].append(block)
        elif event["type"] == "content_block_stop":
            event = self._in_turn(event)
            if event["index"] not in self._blocks:
                raise malformed("the end of a block that was not started")
            if event["index"] != self._open_index:  # it ended when it stopped, or when the next one started
                return {"type": "ping"}
            self._open_index, self._text = None, _NO_TEXT
        elif type(event["type"]) is not str:
            raise malformed("an event without a type")
        return event

    def _in_turn(self, event: _BlockEventT) -> _BlockEventT:
        """`event` with the index of its block in the turn. Raises APIError 502 if it is no integer."""
        if type(event["index"]) is not int:
            raise malformed(f"a {event['type']} whose index is no integer")
        if not self._index_shift:
            return event
        return cast("_BlockEventT", {**event, "index": event["index"] + self._index_shift})

    def _switch_text(self, event: ContentBlockDeltaEvent) -> ContentBlockDeltaEvent:
        """Handles a delta of another block or type than the one before."""
        index, delta = event["index"], event["delta"]
        if type(index) is not int:
            raise malformed("a content_block_delta whose index is no integer")
        block = self._blocks.get(index) if index == self._open_index else None
        if not is_known_delta(delta) and (block is None or is_known(block)):
            return {**event, "delta": {"type": delta["type"]}}  # without the keys that an encoder would read
        if block is None:
            raise malformed("a delta of a block that is not open")
        check_delta(delta, block)
        kind = delta["type"]
        if key := _TEXT_KEYS.get(kind):
            self._text = self._texts.get((index, kind)) or _Text(index, kind, key)
            self._text.add(delta.get(key))
            self._texts[index, kind] = self._text
        elif kind == "citations_delta":
            self._citations.setdefault(index, []).append(delta["citation"])
        else:
            _update_block(block, delta)
        return event

    def _add_delta(self, event: MessageDeltaEvent) -> Sequence[MessageStreamEvent]:
        usage = valid_usage(event)
        update_usage(self._usage, usage)
        self._has_final_usage = "output_tokens" in usage
        stop = {key: value for key, value in event["delta"].items() if key in _STOP_KEYS}
        if not is_stop(stop):
            raise malformed("a stop_reason of the wrong type")
        self.message.update(stop)  # type: ignore[typeddict-item]  # keys of a Message
        return () if self._resumable else (event,)

    def _stop(self, event: MessageStopEvent) -> Sequence[MessageStreamEvent]:
        check_stop(self.message.get("stop_reason"), self.message["content"], new_calls=self._new_calls)
        self._usage, self._has_final_usage = {**self._usage, "output_tokens": self._output_tokens()}, True
        for text in self._texts.values():
            block, key = self._blocks[text.index], text.key
            block[key] = f"{block.get(key) or ''}{''.join(text.pieces)}"  # type: ignore[literal-required]  # one of the values of _TEXT_KEYS
        for index, citations in self._citations.items():
            self._blocks[index]["citations"] = [*(self._blocks[index].get("citations") or ()), *citations]
        self._clear_deltas()
        check_inputs(self.message["content"])
        self.message["usage"] = self.usage
        if not self._resumable:
            self.finished = True
            return (event,)
        if self._pauses and self.message.get("stop_reason") == "pause_turn":
            self.paused = True
            self.resume_content = replay_content(self.message)
            return ()
        if self._must_call and self._ends_without_call():
            self.lacks_call = True
            return ()
        return self.end_turn()

    def _ends_without_call(self) -> bool:
        """Whether the answer is complete, neither refused nor cut off, and calls no tool."""
        return self.message.get("stop_reason") in _COMPLETE and not any(
            block["type"] == "tool_use" for block in self.message["content"]
        )


def replay_content(message: Message) -> list[Mapping[str, object]]:
    """The content as the API takes it back: unchanged, except for what the API would refuse.

    That is a text block without text, thinking cut off before its signature, and a tool's input that is not an
    object.
    https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
    """
    return [_to_param(block) for block in message["content"] if _is_replayable(block)]


def _is_replayable(block: ContentBlock) -> bool:
    if block.get("type") == "text":
        return bool((block.get("text") or "").strip())
    return block.get("type") != "thinking" or bool(block.get("signature"))


def _to_param(block: ContentBlock) -> Mapping[str, object]:
    if "partial_json" not in block:
        return {**block}
    try:
        value = from_json(block["partial_json"], allow_partial=True)
    except ValueError:
        value = None
    param = {key: value for key, value in block.items() if key != "partial_json"}
    return {**param, "input": value if isinstance(value, dict) else {}}


def _text_bytes(block: ContentBlock) -> int:
    """The bytes of its text. Its thinking and its input count as in deltas."""
    given = block.get("input")
    texts = (text for key in ("text", "thinking") if isinstance(text := block.get(key), str))
    return sum(map(utf8_length, texts)) + (len(to_json(given)) if given else 0)


def _update_block(block: ContentBlock, delta: ContentDelta) -> None:
    """A delta in a block of unknown type replaces the keys it has: a compaction_delta has its whole content."""
    update = {key: value for key, value in delta.items() if key != "type"}
    block.update(update)  # type: ignore[typeddict-item]  # keys of a block of the same type


def _whole(index: int, block: ContentBlock) -> Sequence[MessageStreamEvent]:
    return (
        {"type": "content_block_start", "index": index, "content_block": block},
        {"type": "content_block_stop", "index": index},
    )
