"""MessageStreamEvents folded into the Message they describe, to be told whole or to be sent back."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from pydantic_core import from_json

from claudexia.errors import upstream_error
from claudexia.translate.response.usage import add_usage, merge_usage
from claudexia.translate.types.anthropic import (
    ContentBlock,
    ContentBlockDeltaEvent,
    ContentDelta,
    Message,
    MessageDelta,
    MessageStartEvent,
    MessageStreamEvent,
    Usage,
)

# Which key of a block grows by which key of a delta.
_GROWS = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}


class MessageAccumulator:
    """feed() every event; `message` is whole once `finished` is true. The same rules as in `stream.py` hold."""

    def __init__(self) -> None:
        self.finished = False
        self.message: Message = {"id": "", "model": "", "content": [], "stop_reason": None, "usage": {}}
        self._blocks: dict[int, ContentBlock] = {}
        # What has come for a key of a block, joined only at the end: an answer may have 100,000 deltas.
        self._pieces: defaultdict[tuple[int, str], list[str]] = defaultdict(list)

    def feed(self, event: MessageStreamEvent) -> None:
        """Raises APIError where the upstream begins anew after content has come."""
        if event["type"] == "content_block_delta":
            self._grow(event["index"], event["delta"])
        elif event["type"] == "content_block_start":
            block = event["content_block"].copy()
            self._blocks[event["index"]] = block
            self.message["content"].append(block)
        elif event["type"] == "message_start":
            self._start(event["message"])
        elif event["type"] == "message_delta":
            self.message.update(event["delta"])  # type: ignore[typeddict-item]  # stop_reason and its like
            self.message["usage"] = merge_usage(self.message["usage"], event.get("usage") or {})
        elif event["type"] == "message_stop":
            self._finish()

    def _start(self, message: Message) -> None:
        begun = any(key in ("text", "partial_json") for _, key in self._pieces)
        if begun or any(
            block.get("type") == "tool_use" or block.get("text") for block in self.message["content"]
        ):
            raise upstream_error("The upstream began its answer anew after a part of it had come.")
        content = [block.copy() for block in message.get("content") or []]
        self.message = {**message, "content": content, "usage": merge_usage({}, message.get("usage") or {})}
        self._blocks.clear()
        self._pieces.clear()

    def _grow(self, index: int, delta: ContentDelta) -> None:
        if not (block := self._blocks.get(index)):
            return
        key = _GROWS.get(delta.get("type", ""))
        if key:
            if piece := delta.get(key):
                self._pieces[index, key].append(str(piece))
        elif citation := delta.get("citation"):
            block["citations"] = [*(block.get("citations") or ()), citation]
        else:  # of a kind not known here: what it brings is taken for whole, as a compaction_delta's content is
            brought = {key: value for key, value in delta.items() if key != "type"}
            block.update(brought)  # type: ignore[typeddict-item]  # whatever the block will be sent back with

    def _finish(self) -> None:
        for (index, key), pieces in self._pieces.items():
            block = self._blocks[index]
            whole = f"{block.get(key) or ''}{''.join(pieces)}"
            block[key] = whole  # type: ignore[literal-required]  # one of _GROWS's values
        self.finished = True


def replay_content(message: Message) -> list[Mapping[str, object]]:
    """The content as the API takes it back, unchanged but for what it would refuse.

    That is a text block with no text, thinking cut before its signature, and a tool's input that is no object.
    https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
    """
    return [_replayed(block) for block in message["content"] if _is_replayable(block)]


def _is_replayable(block: ContentBlock) -> bool:
    if block.get("type") == "text":
        return bool((block.get("text") or "").strip())
    return block.get("type") != "thinking" or bool(block.get("signature"))


def _replayed(block: ContentBlock) -> Mapping[str, object]:
    if "partial_json" not in block:
        return {**block}
    try:
        value = from_json(block["partial_json"], allow_partial=True)
    except ValueError:
        value = None
    given = {key: value for key, value in block.items() if key != "partial_json"}
    return {**given, "input": value if isinstance(value, dict) else {}}


# --- claudexia.translate.continued_turn
# Several messages as the one turn they are: Claude pauses a long turn of server tools and is asked to go on.
#
#     message       what is passed on of it
#     -----------   ------------------------------------------------------
#     the first     message_start, its blocks
#     each other    its blocks, their indices counted on from those before
#
# and in the end one message_delta, with the last stop_reason and the tokens of all messages, and message_stop.
#
# Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn

_STOP_KEYS = ("stop_reason", "stop_sequence", "stop_details")


class ContinuedTurn:
    """feed() every event of every message, in order; what it returns reads like one message's events.

    Once `paused`, the same request is to be sent again with `content` as the assistant's message after all
    others, and its events to be fed. Whoever does not want to ask again ends the turn with give_up().
    """

    def __init__(self) -> None:
        self.paused = False
        self.content: list[Mapping[str, object]] = []
        self._message = MessageAccumulator()
        self._usages: list[Usage] = []  # of the messages that are whole
        self._shift = 0  # blocks of the messages before this one

    def feed(self, event: MessageStreamEvent) -> Sequence[MessageStreamEvent]:
        """May raise APIError, as MessageAccumulator does."""
        if event["type"] == "message_start":
            return self._on_start(event)
        self._message.feed(event)
        if event["type"] == "message_delta":
            return ()  # what it says is said in the end, for all messages
        if event["type"] == "message_stop":
            return self._on_stop()
        if self._shift and event["type"].startswith("content_block"):
            block_event = cast("ContentBlockDeltaEvent", event)  # or one of the other two that have an index
            return ({**block_event, "index": block_event["index"] + self._shift},)
        return (event,)

    def give_up(self) -> Sequence[MessageStreamEvent]:
        """The end of a turn that stays paused."""
        self.paused = False
        return self._end()

    def _on_start(self, event: MessageStartEvent) -> Sequence[MessageStreamEvent]:
        if self.paused:
            self.paused = False
            self._shift += len(self._message.message["content"])
            self._message = MessageAccumulator()
        self._message.feed(event)
        if not self._usages:
            return (event,)
        blocks = enumerate(event["message"].get("content") or [], self._shift)
        return [part for index, block in blocks for part in _whole(index, block)]

    def _on_stop(self) -> Sequence[MessageStreamEvent]:
        message = self._message.message
        self._usages.append(message["usage"])
        if message["stop_reason"] != "pause_turn":
            return self._end()
        self.paused = True
        self.content += replay_content(message)
        return ()

    def _end(self) -> Sequence[MessageStreamEvent]:
        message = self._message.message
        why = cast("MessageDelta", {key: message[key] for key in _STOP_KEYS if key in message})  # type: ignore[literal-required]  # keys of a Message
        return (
            {"type": "message_delta", "delta": why, "usage": add_usage(*self._usages)},
            {"type": "message_stop"},
        )


def _whole(index: int, block: ContentBlock) -> Sequence[MessageStreamEvent]:
    return (
        {"type": "content_block_start", "index": index, "content_block": block},
        {"type": "content_block_stop", "index": index},
    )
