"""MessageStreamEvents folded into the Message they describe, for answers that are sent whole."""

from collections import defaultdict

from claudexia.translate.anthropic import ContentBlock, ContentDelta, Message, MessageStreamEvent
from claudexia.translate.errors import upstream_failed
from claudexia.translate.response import merge_usage

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
            raise upstream_failed("The upstream began its answer anew after a part of it had come.")
        content = [block.copy() for block in message.get("content") or []]
        self.message = {**message, "content": content, "usage": merge_usage({}, message.get("usage") or {})}
        self._blocks.clear()
        self._pieces.clear()

    def _grow(self, index: int, delta: ContentDelta) -> None:
        key = _GROWS.get(delta.get("type", ""))
        if key and index in self._blocks and (piece := delta.get(key)):
            self._pieces[index, key].append(str(piece))

    def _finish(self) -> None:
        for (index, key), pieces in self._pieces.items():
            block = self._blocks[index]
            whole = f"{block.get(key) or ''}{''.join(pieces)}"
            block[key] = whole  # type: ignore[literal-required]  # one of _GROWS's values
        self.finished = True
