"""MessageStreamEvent in, ChatCompletionChunk out.

Anthropic's stream is a small nested protocol, OpenAI's a flat list of deltas:

    message_start                       nothing yet: OpenAI's first chunk says whether content is text or null
      content_block_start  tool_use     role (once), then a call with id, name and no arguments
      content_block_delta  text         role (once), then content
                           input_json   arguments of that call
      content_block_stop                "{}" for a call that got no arguments
    message_delta                       nothing yet: an upstream may still break off
    message_stop                        refusal, finish_reason, usage

What the vendor promises and recorded traffic shows, and this file therefore holds:
- A block's index counts all blocks; OpenAI's tool index counts calls, densely from 0.
- Blocks, deltas and events of unknown type are skipped. Text, thinking and results of server tools may surround
  every call.
- A block may come whole at its start, a whole answer may come inside message_start, and content_block_stop may
  be missing: a call is settled when it stops, when the next block starts, or when the message ends.
- Usage is cumulative: the newest count of each kind wins.
- No finish_reason leaves before message_stop. A stream that ends without one has failed, whatever came before.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Callable
from dataclasses import dataclass

from claudexia.translate.anthropic import (
    ContentBlock,
    ContentBlockDeltaEvent,
    Message,
    MessageDelta,
    MessageStreamEvent,
    Usage,
)
from claudexia.translate.errors import upstream_failed
from claudexia.translate.openai import ChatCompletionChunk, ChoiceDelta, FinishReason
from claudexia.translate.response import (
    merge_usage,
    to_arguments,
    to_completion_id,
    to_completion_usage,
    to_finish_reason,
    to_refusal,
)


@dataclass(slots=True)
class _Call:
    """A tool call whose arguments are still coming."""

    index: int
    block: ContentBlock
    begun: bool = False


class ChatCompletionStream:
    """One answer on its way. `created` is seconds; `original_name` gives a tool the client's name for it.

    feed() may raise APIError; `finished` says whether the answer is whole.
    """

    def __init__(
        self, *, created: int, include_usage: bool = False, original_name: Callable[[str], str] = str
    ) -> None:
        self.finished = False
        self.usage: Usage = {}
        self._created = created
        self._include_usage = include_usage
        self._original_name = original_name
        self._id = self._model = ""
        self._has_role = False
        self._calls = 0
        self._open: dict[int, _Call] = {}
        self._stop_reason: str | None = None
        self._refusal: str | None = None

    def feed(self, event: MessageStreamEvent) -> list[ChatCompletionChunk]:
        """The chunks that `event` gives rise to, often one, often none."""
        if event["type"] == "content_block_delta":
            return self._on_delta(event)
        if event["type"] == "content_block_start":
            return self._settle_all() + self._on_block(event["index"], event["content_block"])
        if event["type"] == "content_block_stop":
            return self._settle(event["index"])
        if event["type"] == "message_start":
            return self._on_start(event["message"])
        if event["type"] == "message_delta":
            self._stopped(event["delta"], event.get("usage"))
        elif event["type"] == "message_stop":
            return self._on_stop()
        return []

    def _on_start(self, message: Message) -> list[ChatCompletionChunk]:
        if self._has_role:
            raise upstream_failed("The upstream began its answer anew after a part of it had been passed on.")
        self._id, self._model = to_completion_id(message), message["model"]
        self.usage = merge_usage({}, message.get("usage") or {})
        self._stopped(message, None)
        chunks: list[ChatCompletionChunk] = []
        for index, block in enumerate(message.get("content") or []):
            chunks += self._on_block(index, block) + self._settle(index)
        return chunks

    def _on_block(self, index: int, block: ContentBlock) -> list[ChatCompletionChunk]:
        kind = block.get("type")
        if kind == "text":
            return self._text(block.get("text"))
        if kind != "tool_use":
            return []
        self._open[index] = _Call(self._calls, block)
        delta: ChoiceDelta = {
            "tool_calls": [
                {
                    "index": self._calls,
                    "id": block["id"],
                    "type": "function",
                    "function": {"name": self._original_name(block["name"]), "arguments": ""},
                }
            ]
        }
        self._calls += 1
        if not self._has_role:
            self._has_role = True
            delta = {"role": "assistant", "content": None, "refusal": None, **delta}
        return [self._chunk(delta)]

    def _on_delta(self, event: ContentBlockDeltaEvent) -> list[ChatCompletionChunk]:
        delta = event["delta"]
        kind = delta.get("type")
        if kind == "text_delta":
            return self._text(delta.get("text"))
        if kind == "input_json_delta" and (call := self._open.get(event["index"])):
            return self._arguments(call, delta.get("partial_json"))
        return []

    def _on_stop(self) -> list[ChatCompletionChunk]:
        chunks = self._settle_all()
        if not self._has_role:
            chunks += self._role(None if self._refusal else "")
        if self._refusal:
            chunks.append(self._chunk({"refusal": self._refusal}))
        chunks.append(self._chunk({}, to_finish_reason(self._stop_reason)))
        if self._include_usage:
            last = self._chunk({})
            chunks.append({**last, "choices": [], "usage": to_completion_usage(self.usage)})
        self.finished = True
        return chunks

    def _stopped(self, why: MessageDelta | Message, usage: Usage | None) -> None:
        if why.get("stop_reason"):
            self._stop_reason = why["stop_reason"]
            self._refusal = to_refusal(self._stop_reason, why.get("stop_details"))
        if usage:
            self.usage = merge_usage(self.usage, usage)

    def _text(self, text: str | None) -> list[ChatCompletionChunk]:
        if not text:
            return []
        chunk = self._chunk({"content": text})
        return [chunk] if self._has_role else [*self._role(""), chunk]

    def _role(self, content: str | None) -> list[ChatCompletionChunk]:
        self._has_role = True
        return [self._chunk({"role": "assistant", "content": content, "refusal": None})]

    def _arguments(self, call: _Call, text: str | None) -> list[ChatCompletionChunk]:
        if not text:
            return []
        call.begun = True
        return [self._chunk({"tool_calls": [{"index": call.index, "function": {"arguments": text}}]})]

    def _settle(self, index: int) -> list[ChatCompletionChunk]:
        """The end of block `index`: a call that got no arguments gets those of its start, or "{}"."""
        call = self._open.pop(index, None)
        return self._arguments(call, to_arguments(call.block)) if call and not call.begun else []

    def _settle_all(self) -> list[ChatCompletionChunk]:
        return [chunk for index in list(self._open) for chunk in self._settle(index)]

    def _chunk(self, delta: ChoiceDelta, finish_reason: FinishReason | None = None) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
            "service_tier": "default",
        }
        if self._include_usage:
            chunk["usage"] = None
        return chunk
