"""ChatCompletionChunks of one choice: what all of them have, and the role, which is told once."""

from claudexia.translate.anthropic import Usage
from claudexia.translate.openai import ChatCompletionChunk, ChoiceDelta, FinishReason
from claudexia.translate.usage import to_completion_usage


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
