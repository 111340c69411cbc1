"""POST /v1/chat/completions.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Callable, Sequence

from claudexia.api.completions import Caller, CompletionRequest, ResponseContext
from claudexia.errors import APIError
from claudexia.generation.concurrency import in_thread_if_large
from claudexia.json_text import dump
from claudexia.translate.report import Report
from claudexia.translate.request.parse import parse_params
from claudexia.translate.response.completion import to_chat_completion, to_completion_id
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.sse import DONE, encode
from claudexia.translate.types.anthropic import Message, MessageStreamEvent, Usage
from claudexia.translate.types.openai import ChatCompletion, ChatCompletionChunk


class ChatCompletions:
    """The API of OpenAI's chat completions."""

    async def read(self, body: bytes, caller: Caller, report: Report) -> CompletionRequest:
        return CompletionRequest(await in_thread_if_large(len(body), parse_params, body))

    def body(self, messages: Sequence[Message], context: ResponseContext, cost: float | None) -> bytes:
        return dump(completion_with_cost(messages, context, cost))

    def encoder(self, messages: Sequence[Message], context: ResponseContext) -> "ChatCompletionEncoder":
        return ChatCompletionEncoder(messages, context)

    async def save(self, message: Message, context: ResponseContext) -> None:
        """Stored chat completions are another API of OpenAI's."""


class ChatCompletionEncoder:
    """Encodes one streamed response as ChatCompletionChunks. The id of the first message is the response's."""

    def __init__(self, messages: Sequence[Message], context: ResponseContext) -> None:
        self._include_usage = context.include_usage
        shared_id = to_completion_id(messages[0])
        self._choices = [
            ChatCompletionStream(
                created=context.created,
                include_usage=context.include_usage,
                options=options,
                index=index,
                id=shared_id,
            )
            for index, options in enumerate(context.options)
        ]

    _frame: Callable[[ChatCompletionChunk], bytes] = staticmethod(encode)
    _empty_frame: Callable[[ChatCompletionChunk], bytes] = staticmethod(encode)

    def feed(self, index: int, event: MessageStreamEvent) -> bytes:
        chunks = self._choices[index].feed(event)
        if len(chunks) == 1:
            return self._frame(chunks[0])
        return b"".join(map(self._frame, chunks))

    def end(self, usage: Usage, cost: float | None) -> bytes:
        if not self._include_usage:
            return DONE
        chunk = self._choices[0].usage_chunk(usage)
        if cost is not None and (completion_usage := chunk.get("usage")):
            completion_usage["cost"] = cost
        return self._frame(chunk) + DONE

    def error(self, error: APIError) -> bytes:
        return encode(error.body())

    def keep_alive(self) -> bytes:
        unfinished = next((choice for choice in self._choices if not choice.finished), None)
        return self._empty_frame(unfinished.keep_alive_chunk()) if unfinished else b""


def completion_with_cost(
    messages: Sequence[Message], context: ResponseContext, cost: float | None
) -> ChatCompletion:
    completion = to_chat_completion(messages, created=context.created, options=context.options)
    if cost is not None:
        completion["usage"]["cost"] = cost
    return completion
