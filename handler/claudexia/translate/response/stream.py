"""MessageStreamEvent in, ChatCompletionChunk out.

Anthropic's stream is a small nested protocol, OpenAI's a flat list of deltas:

    message_start                       nothing yet: OpenAI's first chunk says whether content is text or null
      content_block_start  tool_use     a call with id, name and no arguments
      content_block_delta  text         content
                           thinking     reasoning_content
                           input_json   arguments of that call
                           citations    nothing yet: what is cited is the whole block
      content_block_stop                "{}" for a call that got no arguments; a signed thinking block
    message_delta                       nothing yet: an upstream may still break off
    message_stop                        annotations, refusal, finish_reason

The role is told once, before the first text or in the first of the other chunks.

What the vendor promises and recorded traffic shows, and this file therefore holds:
- A block's index counts all blocks; OpenAI's tool index counts calls, densely from 0.
- Blocks, deltas and events of unknown type are skipped. Text, thinking and results of server tools may surround
  every call.
- A block may come whole at its start, a whole answer may come inside message_start, and content_block_stop may
  be missing: a block is settled when it stops, when the next block starts, or when the message ends.
- Usage is cumulative: the newest count of each kind wins.
- No finish_reason leaves before message_stop. A stream that ends without one has failed, whatever came before.
- Clients fold what is a list, and that some by position, some by replacing it: annotations leave in one chunk.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from itertools import count
from typing import Protocol

from claudexia.errors import upstream_error
from claudexia.translate.report import DEFAULT_OPTIONS, ResponseOptions
from claudexia.translate.response.blocks import (
    CitedText,
    CustomCall,
    FunctionCall,
    LegacyFunctionCall,
    Thinking,
)
from claudexia.translate.response.completion import to_completion_id, to_finish_reason, to_refusal
from claudexia.translate.response.text_filters import JSONObjectText
from claudexia.translate.response.usage import merge_usage, to_completion_usage
from claudexia.translate.types.anthropic import (
    ContentBlock,
    ContentBlockDeltaEvent,
    ContentDelta,
    Message,
    MessageDelta,
    MessageStreamEvent,
    Usage,
)
from claudexia.translate.types.openai import ChatCompletionChunk, ChoiceDelta, FinishReason

# --- claudexia.translate.chunks
# ChatCompletionChunks of one choice: what all of them have, and the role, which is told once.


class Chunks:
    """`id` and `model` become known when the message begins."""

    def __init__(self, created: int, index: int, include_usage: bool, id: str) -> None:  # noqa: A002  # the chunk's own key
        """`created` is seconds, `index` the choice's."""
        self.id = id
        self.model = ""
        self.begun = False
        self.length = 0  # of the content told so far, in code points
        self._created = created
        self._index = index
        self._include_usage = include_usage

    def text(self, text: str) -> list[ChatCompletionChunk]:
        self.length += len(text)
        chunk = self.chunk({"content": text})
        return [chunk] if self.begun else [*self.role(""), chunk]

    def role(self, content: str | None) -> list[ChatCompletionChunk]:
        """OpenAI's first chunk says whether content is text or null."""
        self.begun = True
        return [self.chunk({"role": "assistant", "content": content, "refusal": None})]

    def other(self, delta: ChoiceDelta | None) -> list[ChatCompletionChunk]:
        """Whatever is not text. Content is null where this comes first, and may still follow."""
        if not delta:
            return []
        if not self.begun:
            self.begun = True
            delta = {"role": "assistant", "content": None, "refusal": None, **delta}
        return [self.chunk(delta)]

    def usage(self, usage: Usage) -> ChatCompletionChunk:
        return {**self.chunk({}), "choices": [], "usage": to_completion_usage(usage)}

    def chunk(self, delta: ChoiceDelta, finish_reason: FinishReason | None = None) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
            "choices": [
                {"index": self._index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            ],
            "service_tier": "default",
        }
        if self._include_usage:
            chunk["usage"] = None
        return chunk


class _Block(Protocol):
    """A block that is not text, on its way."""

    def open(self) -> ChoiceDelta | None: ...
    def feed(self, delta: ContentDelta, /) -> ChoiceDelta | None: ...
    def close(self) -> ChoiceDelta | None: ...


class ChatCompletionStream:
    """One choice of an answer on its way, the `index`-th. `created` is seconds.

    Choices of one answer share an `id`; without it, it is the message's. feed() may raise APIError; `finished`
    says whether the choice is whole. Whoever asked for usage gets usage_chunk() after the last choice.
    """

    def __init__(
        self,
        *,
        created: int,
        include_usage: bool = False,
        options: ResponseOptions = DEFAULT_OPTIONS,
        index: int = 0,
        id: str = "",  # noqa: A002  # the chunk's own key
    ) -> None:
        self.finished = False
        self.usage: Usage = {}
        self._options = options
        self._given_id = id
        self._chunks = Chunks(created, index, include_usage, id)
        self._calls = 0
        self._open: dict[int, _Block] = {}
        self._thinking_blocks = count()
        self._cited = CitedText()
        self._only_json: JSONObjectText | None = None
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

    def usage_chunk(self, usage: Usage) -> ChatCompletionChunk:
        """The last chunk of an answer, with the `usage` of all its choices."""
        return self._chunks.usage(usage)

    def _on_start(self, message: Message) -> list[ChatCompletionChunk]:
        if self._chunks.begun:
            raise upstream_error("The upstream began its answer anew after a part of it had been passed on.")
        self._chunks.id, self._chunks.model = self._given_id or to_completion_id(message), message["model"]
        self.usage = merge_usage({}, message.get("usage") or {})
        self._open.clear()
        self._cited = CitedText()
        self._only_json = JSONObjectText() if self._options.json_object else None
        self._stopped(message, None)
        chunks: list[ChatCompletionChunk] = []
        for index, block in enumerate(message.get("content") or []):
            chunks += self._on_block(index, block) + self._settle(index)
        return chunks

    def _on_block(self, index: int, block: ContentBlock) -> list[ChatCompletionChunk]:
        kind = block.get("type")
        if kind == "text":
            self._cited.begin(self._chunks.length, block.get("citations"))
            return self._text(block.get("text"))
        if kind == "tool_use":
            return self._begin(index, self._call(block))
        if kind in ("thinking", "redacted_thinking"):
            return self._begin(index, Thinking(block, self._options, self._thinking_blocks))
        return []

    def _call(self, block: ContentBlock) -> _Block | None:
        options, index = self._options, self._calls
        self._calls += 1
        name = options.original_name(block["name"])
        if options.function_call:  # there is room for one, and more were not allowed
            return None if index else LegacyFunctionCall(index, block, name)
        kind = CustomCall if block["name"] in options.custom else FunctionCall
        return kind(index, block, name)

    def _begin(self, index: int, block: _Block | None) -> list[ChatCompletionChunk]:
        if not block:
            return []
        self._open[index] = block
        return self._chunks.other(block.open())

    def _on_delta(self, event: ContentBlockDeltaEvent) -> list[ChatCompletionChunk]:
        delta = event["delta"]
        if delta.get("type") == "text_delta":
            return self._text(delta.get("text"))
        if block := self._open.get(event["index"]):
            return self._chunks.other(block.feed(delta))
        if citation := delta.get("citation"):
            self._cited.cite(citation)
        return []

    def _text(self, text: str | None) -> list[ChatCompletionChunk]:
        if text and self._only_json:
            text = self._only_json.feed(text)
        return self._chunks.text(text) if text else []

    def _settle(self, index: int) -> list[ChatCompletionChunk]:
        """The end of block `index`."""
        self._cited.end(self._chunks.length)
        block = self._open.pop(index, None)
        return self._chunks.other(block.close()) if block else []

    def _settle_all(self) -> list[ChatCompletionChunk]:
        self._cited.end(self._chunks.length)
        return [chunk for index in list(self._open) for chunk in self._settle(index)]

    def _stopped(self, why: MessageDelta | Message, usage: Usage | None) -> None:
        if why.get("stop_reason"):
            self._stop_reason = why["stop_reason"]
            self._refusal = to_refusal(self._stop_reason, why.get("stop_details"))
        if usage:
            self.usage = merge_usage(self.usage, usage)

    def _on_stop(self) -> list[ChatCompletionChunk]:
        chunks = self._settle_all()
        if self._only_json and (rest := self._only_json.close()):
            chunks += self._chunks.text(rest)
        if self._cited.annotations:
            chunks += self._chunks.other({"annotations": self._cited.annotations})
        empty = not (self._chunks.length or self._calls or self._refusal)
        if not self._chunks.begun:
            chunks += self._chunks.role("" if empty else None)
        elif empty:  # thinking, and then nothing
            chunks.append(self._chunks.chunk({"content": ""}))
        if self._refusal:
            chunks.append(self._chunks.chunk({"refusal": self._refusal}))
        chunks.append(self._chunks.chunk({}, to_finish_reason(self._stop_reason, self._options)))
        self.finished = True
        return chunks
