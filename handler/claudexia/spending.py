"""Spending: what one answer has used so far, as far as its events have told."""

from collections.abc import Sequence

from claudexia.translate import add_usage
from claudexia.translate.anthropic import MessageStreamEvent, Usage
from claudexia.translate.usage import merge_usage

_CHARACTERS_A_TOKEN = 4  # about, of English text


class Spending:
    """feed() every event as the upstream sent it. `opening` is the usage that the first message begins with."""

    def __init__(self, opening: Usage) -> None:
        self._earlier: Usage = {}  # of the messages before this one, where a turn was paused
        self._usage = opening
        self._characters = 0  # that nobody has counted yet
        self._begun = False

    def feed(self, events: Sequence[MessageStreamEvent]) -> None:
        for event in events:
            if event["type"] == "content_block_delta":
                delta = event["delta"]
                text = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
                self._characters += len(text)
            elif event["type"] == "message_start":
                if self._begun:
                    self._earlier, self._characters = self.usage, 0
                self._usage, self._begun = merge_usage({}, event["message"]["usage"]), True
            elif event["type"] == "message_delta":  # its count is the total
                self._usage, self._characters = merge_usage(self._usage, event.get("usage") or {}), 0

    @property
    def usage(self) -> Usage:
        """Of an answer that was cut off nobody tells, so its text is counted; to leave early is not free."""
        told = self._usage.get("output_tokens") or 0
        written = self._characters // _CHARACTERS_A_TOKEN
        return add_usage(self._earlier, {**self._usage, "output_tokens": max(told, written)})
