"""Spending: what one answer has used so far, as far as its events have told.

Nothing here raises, whatever the upstream sends: an answer that cannot be read has to be counted too.
"""

from collections.abc import Mapping, Sequence

from claudexia.translate import add_usage
from claudexia.translate.anthropic import Message, MessageStreamEvent, Usage
from claudexia.translate.usage import merge_usage

_CHARACTERS_A_TOKEN = 4  # about, of English text


class Spending:
    """feed() every event as the upstream sent it. `opening` is how the first message begins."""

    def __init__(self, opening: Message) -> None:
        self._earlier: Usage = {}  # of the messages before this one, where a turn was paused
        self._usage = _usage_of(opening)
        self._characters = 0  # that nobody has counted yet
        self._begun = False

    def feed(self, events: Sequence[MessageStreamEvent]) -> None:
        for event in events:
            if event["type"] == "content_block_delta":
                self._characters += _length(event.get("delta"))
            elif event["type"] == "message_start":
                if self._begun:
                    self._earlier, self._characters = self.usage, 0
                self._usage, self._begun = _usage_of(event.get("message")), True
            elif event["type"] == "message_delta":  # its count is the total
                self._usage, self._characters = merge_usage(self._usage, _usage_of(event)), 0

    @property
    def usage(self) -> Usage:
        """Of an answer that was cut off nobody tells, so its text is counted; to leave early is not free."""
        told = self._usage.get("output_tokens")
        written = self._characters // _CHARACTERS_A_TOKEN
        output = max(told, written) if isinstance(told, int) else written
        return add_usage(self._earlier, {**self._usage, "output_tokens": output})


def _usage_of(part: object) -> Usage:
    usage = part.get("usage") if isinstance(part, Mapping) else None
    return merge_usage({}, usage) if isinstance(usage, Mapping) else {}  # type: ignore[arg-type]  # it should be one


def _length(delta: object) -> int:
    if not isinstance(delta, dict):
        return 0
    text = delta.get("text") or delta.get("partial_json") or delta.get("thinking")
    return len(text) if isinstance(text, str) else 0
