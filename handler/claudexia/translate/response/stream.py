"""ChatCompletionStream: MessageStreamEvents in, ChatCompletionChunks out.

Anthropic's stream is a small nested protocol, OpenAI's a flat list of deltas:

    message_start                       nothing: OpenAI's first chunk says whether content is text or null
      content_block_start  tool_use     a call with id, name and no arguments
      content_block_delta  text         content
                           thinking     reasoning_content
                           input_json   arguments of that call
                           citations    nothing: a citation applies to its whole block
      content_block_stop                "{}" for a call without arguments; a signed thinking block
    message_delta                       nothing: the upstream may still fail
    message_stop                        annotations, refusal, finish_reason

The role is sent once: in a chunk of its own before the first text, or in the first of the other chunks.

Rules that the vendor's documentation and recorded traffic give, and that this module keeps:
- A block's index counts all blocks. OpenAI's tool index counts calls, without gaps, from 0.
- Blocks, deltas and events of unknown type are skipped. Text, thinking and results of server tools may come
  before and after every call.
- A block may be complete in its content_block_start, a whole answer may be inside message_start, and
  content_block_stop may be missing. A block therefore ends when it stops, when the next block starts, or when
  the message ends.
- No finish_reason is sent before message_stop. A stream that ends without message_stop has failed.
- Clients merge lists from several chunks in different ways (by position, or by replacement), so all annotations
  are in one chunk.

Token counts are not read here: MessageAccumulator has them.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from itertools import count
from typing import Protocol

from claudexia.errors import upstream_error
from claudexia.translate.report import DEFAULT_OPTIONS, ResponseOptions
from claudexia.translate.response.blocks import (
    CitedText,
    CustomToolCallEncoder,
    FunctionCallEncoder,
    LegacyFunctionCallEncoder,
    ThinkingEncoder,
)
from claudexia.translate.response.completion import to_completion_id, to_finish_reason, to_refusal
from claudexia.translate.response.text_filters import JSONObjectText
from claudexia.translate.response.usage import to_completion_usage
from claudexia.translate.types.anthropic import (
    THINKING_TYPES,
    ContentBlock,
    ContentDelta,
    Message,
    MessageDelta,
    MessageStreamEvent,
    Usage,
)
from claudexia.translate.types.openai import ChatCompletionChunk, ChoiceDelta, FinishReason


class _ChunkBuilder:
    """Builds the chunks of one choice. start() sets what becomes known when the message starts."""

    def __init__(self, created: int, index: int, include_usage: bool) -> None:
        """`created` is in seconds; `index` is the index of the choice."""
        self.has_role = False  # whether the role has been sent
        self.length = 0  # of the content sent so far, in code points
        self._created = created
        self._index = index
        self._include_usage = include_usage
        self.start("", "")

    def start(self, id: str, model: str) -> None:  # noqa: A002  # the chunk's own key
        self._template: ChatCompletionChunk = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
            "choices": [],
            "service_tier": "default",
        }
        if self._include_usage:
            self._template["usage"] = None

    def text(self, text: str) -> list[ChatCompletionChunk]:
        self.length += len(text)
        chunk = self.chunk({"content": text})
        return [chunk] if self.has_role else [*self.role(""), chunk]

    def role(self, content: str | None) -> list[ChatCompletionChunk]:
        """OpenAI's first chunk says whether content is text or null."""
        self.has_role = True
        return [self.chunk({"role": "assistant", "content": content, "refusal": None})]

    def other(self, delta: ChoiceDelta | None) -> list[ChatCompletionChunk]:
        """A delta without text. If it is the first one, it has the role and null content; text may follow."""
        if not delta:
            return []
        if not self.has_role:
            self.has_role = True
            delta = {"role": "assistant", "content": None, "refusal": None, **delta}
        return [self.chunk(delta)]

    def usage(self, usage: Usage) -> ChatCompletionChunk:
        return {**self._template, "usage": to_completion_usage(usage)}

    def chunk(self, delta: ChoiceDelta, finish_reason: FinishReason | None = None) -> ChatCompletionChunk:
        return {
            **self._template,
            "choices": [
                {"index": self._index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            ],
        }


class _BlockEncoder(Protocol):
    """Encodes one block that is not text."""

    def open(self) -> ChoiceDelta | None: ...
    def feed(self, delta: ContentDelta, /) -> ChoiceDelta | None: ...
    def close(self) -> ChoiceDelta | None: ...


class ChatCompletionStream:
    """Encodes one choice of a streamed answer. `index` is its position, `created` is in seconds.

    All choices of an answer share an `id`; without `id`, the message's own is used. `finished` is true after
    the last chunk of the choice. If the client requested usage, usage_chunk() follows the last choice.
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
        self._options = options
        self._shared_id = id
        self._chunks = _ChunkBuilder(created, index, include_usage)
        self._calls = 0
        self._in_text = False  # whether the latest block is text; blocks of unknown type may take text deltas
        self._open_blocks: dict[int, _BlockEncoder] = {}
        self._thinking_indices = count()
        self._cited_text = CitedText()
        self._json_filter: JSONObjectText | None = None
        self._stop_reason: str | None = None
        self._refusal: str | None = None

    def feed(self, event: MessageStreamEvent) -> list[ChatCompletionChunk]:
        """The chunks for `event`: often one, often none. Raises APIError 502 if the message restarts."""
        if event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta.get("type") != "text_delta":
                return self._on_delta(event["index"], delta)
            text = delta.get("text") if self._in_text else None
            return self._chunks.text(text) if text and not self._json_filter else self._text(text)
        if event["type"] == "content_block_start":
            return self._close_all() + self._on_block(event["index"], event["content_block"])
        if event["type"] == "content_block_stop":
            return self._close(event["index"])
        if event["type"] == "message_start":
            return self._on_start(event["message"])
        if event["type"] == "message_delta":
            self._set_stop_reason(event["delta"])
        elif event["type"] == "message_stop":
            return self._on_stop()
        return []

    def usage_chunk(self, usage: Usage) -> ChatCompletionChunk:
        """The last chunk of an answer, with the `usage` of all its choices."""
        return self._chunks.usage(usage)

    def keep_alive_chunk(self) -> ChatCompletionChunk:
        """A chunk with an empty delta, valid anywhere before the finish_reason."""
        return self._chunks.chunk({})

    def _on_start(self, message: Message) -> list[ChatCompletionChunk]:
        if self._chunks.has_role:
            raise upstream_error("The upstream restarted its answer after part of it had been sent.")
        self._chunks.start(self._shared_id or to_completion_id(message), message["model"])
        self._open_blocks.clear()
        self._cited_text = CitedText()
        self._json_filter = JSONObjectText() if self._options.json_object else None
        self._set_stop_reason(message)
        chunks: list[ChatCompletionChunk] = []
        for index, block in enumerate(message.get("content") or []):
            chunks += self._on_block(index, block) + self._close(index)
        return chunks

    def _on_block(self, index: int, block: ContentBlock) -> list[ChatCompletionChunk]:
        kind = block.get("type")
        self._in_text = kind == "text"
        if self._in_text:
            self._cited_text.start(self._chunks.length, block.get("citations"))
            return self._text(block.get("text"))
        if kind == "tool_use":
            return self._open(index, self._call_encoder(block))
        if kind in THINKING_TYPES:
            return self._open(index, ThinkingEncoder(block, self._options, self._thinking_indices))
        return []

    def _call_encoder(self, block: ContentBlock) -> _BlockEncoder | None:
        options, index = self._options, self._calls
        self._calls += 1
        if options.function_call:  # holds one call; the request did not allow parallel calls
            return None if index else LegacyFunctionCallEncoder(index, block, options)
        encoder = CustomToolCallEncoder if block["name"] in options.custom else FunctionCallEncoder
        return encoder(index, block, options)

    def _open(self, index: int, block: _BlockEncoder | None) -> list[ChatCompletionChunk]:
        if not block:
            return []
        self._open_blocks[index] = block
        return self._chunks.other(block.open())

    def _on_delta(self, index: int, delta: ContentDelta) -> list[ChatCompletionChunk]:
        if block := self._open_blocks.get(index):
            return self._chunks.other(block.feed(delta))
        if self._in_text and (citation := delta.get("citation")):
            self._cited_text.cite(citation)
        return []

    def _text(self, text: str | None) -> list[ChatCompletionChunk]:
        if text and self._json_filter:
            text = self._json_filter.feed(text)
        return self._chunks.text(text) if text else []

    def _close(self, index: int) -> list[ChatCompletionChunk]:
        self._cited_text.end(self._chunks.length)
        block = self._open_blocks.pop(index, None)
        return self._chunks.other(block.close()) if block else []

    def _close_all(self) -> list[ChatCompletionChunk]:
        self._cited_text.end(self._chunks.length)
        return [chunk for index in list(self._open_blocks) for chunk in self._close(index)]

    def _set_stop_reason(self, source: MessageDelta | Message) -> None:
        if source.get("stop_reason"):
            self._stop_reason = source["stop_reason"]
            self._refusal = to_refusal(self._stop_reason, source.get("stop_details"))

    def _on_stop(self) -> list[ChatCompletionChunk]:
        chunks = self._close_all()
        if self._json_filter and (rest := self._json_filter.close()):
            chunks += self._chunks.text(rest)
        if self._cited_text.annotations:
            chunks += self._chunks.other({"annotations": self._cited_text.annotations})
        empty = not (self._chunks.length or self._calls or self._refusal)
        if not self._chunks.has_role:
            chunks += self._chunks.role("" if empty else None)
        elif empty:  # only thinking was sent
            chunks.append(self._chunks.chunk({"content": ""}))
        if self._refusal:
            chunks.append(self._chunks.chunk({"refusal": self._refusal}))
        chunks.append(self._chunks.chunk({}, to_finish_reason(self._stop_reason, self._options)))
        self.finished = True
        return chunks
