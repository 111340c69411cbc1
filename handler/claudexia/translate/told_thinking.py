"""Thinking as clients know it: its text as `reasoning_content`, its signed blocks as `thinking_blocks`.

Neither is OpenAI's; both are what its clients have come to read. The signed blocks are for sending back, which
Claude takes only unchanged and whole: one without its signature is not told.

Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking
"""

from collections.abc import Iterator

from claudexia.translate.anthropic import ContentBlock, ContentDelta
from claudexia.translate.openai import ChoiceDelta, ThinkingBlock
from claudexia.translate.reading import Reading


def to_thinking_block(block: ContentBlock) -> ThinkingBlock | None:
    """None for what is no thinking, and for thinking that was cut before its signature came."""
    kind, data, signature = block.get("type"), block.get("data"), block.get("signature")
    if kind == "redacted_thinking" and data:
        return {"type": "redacted_thinking", "data": data}
    if kind == "thinking" and signature:
        return {"type": "thinking", "thinking": block.get("thinking") or "", "signature": signature}
    return None


class Thinking:
    """A thinking block on its way. `numbers` gives the next signed block of the answer its index."""

    def __init__(self, block: ContentBlock, reading: Reading, numbers: Iterator[int]) -> None:
        self._block = block
        self._reading = reading
        self._numbers = numbers
        self._text = [block.get("thinking") or ""]
        self._signature = block.get("signature") or ""

    def open(self) -> ChoiceDelta | None:
        return self._reasoning(self._text[0])

    def feed(self, delta: ContentDelta) -> ChoiceDelta | None:
        text = delta.get("thinking") or ""
        self._text.append(text)
        self._signature += delta.get("signature") or ""
        return self._reasoning(text)

    def close(self) -> ChoiceDelta | None:
        """The signed block in one piece: clients that fold lists cannot put a block together from several."""
        if not self._reading.thinking_blocks:
            return None
        whole: ContentBlock = {**self._block, "thinking": "".join(self._text), "signature": self._signature}
        block = to_thinking_block(whole)
        return {"thinking_blocks": [{"index": next(self._numbers), **block}]} if block else None

    def _reasoning(self, text: str) -> ChoiceDelta | None:
        return {"reasoning_content": text} if text and self._reading.reasoning else None
