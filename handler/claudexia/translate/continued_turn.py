"""Several messages as the one turn they are: Claude pauses a long turn of server tools and is asked to go on.

    message       what is passed on of it
    -----------   ------------------------------------------------------
    the first     message_start, its blocks
    each other    its blocks, their indices counted on from those before

and in the end one message_delta, with the last stop_reason and the tokens of all messages, and message_stop.

Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
"""

from collections.abc import Mapping, Sequence
from typing import cast

from claudexia.translate.accumulate import MessageAccumulator, replayable
from claudexia.translate.anthropic import (
    ContentBlock,
    ContentBlockDeltaEvent,
    MessageDelta,
    MessageStartEvent,
    MessageStreamEvent,
    Usage,
)
from claudexia.translate.usage import add_usage

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
        self.content += replayable(message)
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
