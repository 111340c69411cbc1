"""POST /v1/completions, OpenAI's older endpoint: a chat with one user message, and its answer as text.

    body -> to_chat_body -> parse_params -> ... -> to_text_completion, or to_text_chunk for each chunk

Source: https://platform.openai.com/docs/api-reference/completions
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from pydantic_core import from_json, to_json

from claudexia.api.chat_completions import ChatCompletionEncoder, completion_with_cost
from claudexia.api.completions import Caller, CompletionRequest, ResponseContext
from claudexia.errors import APIError, invalid_request, missing, unsupported
from claudexia.generation.concurrency import in_thread_if_large
from claudexia.json_text import dump
from claudexia.translate.report import Report
from claudexia.translate.request.parse import parse_params
from claudexia.translate.sse import encode
from claudexia.translate.types.anthropic import Message
from claudexia.translate.types.openai import ChatCompletion, ChatCompletionChunk, CompletionUsage, FinishReason
from claudexia.translate.types.params import CompletionCreateParams

TextFinishReason = Literal["stop", "length", "content_filter"]

_USE_CHAT = "a text completion has no such field; use POST /v1/chat/completions"
# The reason, and the values that have no effect and are therefore accepted.
_REFUSED: Mapping[str, tuple[str, tuple[object, ...]]] = {
    "suffix": ("Claude does not fill in the middle of a text", (None, "")),
    "echo": ("the answer does not repeat the prompt", (None, False)),
    "best_of": ("Claude cannot rank its answers", (None, 1)),
    "logprobs": ("Claude does not expose log probabilities", (None,)),
    "messages": ("the text goes into 'prompt'; use POST /v1/chat/completions for messages", (None,)),
    "tools": (_USE_CHAT, (None, [])),
    "functions": (_USE_CHAT, (None, [])),
}


class TextChoice(TypedDict):
    text: str
    index: int
    logprobs: None
    finish_reason: TextFinishReason | None


class TextCompletion(TypedDict):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: CompletionUsage


class TextCompletionChunk(TypedDict):
    """`usage` is present only if the client requested it, and null before the last chunk."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: NotRequired[CompletionUsage | None]


class TextCompletions:
    """The API of OpenAI's older text completions."""

    async def read(self, body: bytes, caller: Caller, report: Report) -> CompletionRequest:
        return CompletionRequest(await in_thread_if_large(len(body), _parsed, body))

    def body(self, messages: Sequence[Message], context: ResponseContext, cost: float | None) -> bytes:
        return dump(to_text_completion(completion_with_cost(messages, context, cost)))

    def encoder(self, messages: Sequence[Message], context: ResponseContext) -> "TextCompletionEncoder":
        return TextCompletionEncoder(messages, context)

    async def save(self, message: Message, context: ResponseContext) -> None:
        """Stored chat completions are another API of OpenAI's."""


class TextCompletionEncoder(ChatCompletionEncoder):
    """Encodes one streamed response as TextCompletionChunks, which are a subset of the chat's chunks."""

    def __init__(self, messages: Sequence[Message], context: ResponseContext) -> None:
        super().__init__(messages, context)
        self._with_text: set[int] = set()
        self._frame = self._text_frame

    def _text_frame(self, chunk: ChatCompletionChunk) -> bytes:
        text_chunk = to_text_chunk(chunk, self._with_text)
        return encode(text_chunk) if text_chunk else b""

    @staticmethod
    def _empty_frame(chunk: ChatCompletionChunk) -> bytes:
        return encode(to_text_chunk(chunk, set(), keep_empty=True))


def rejected_fields() -> Sequence[str]:
    """The fields of a chat completion request that this API does not have."""
    return list(_REFUSED)


def _parsed(body: bytes) -> CompletionCreateParams:
    return parse_params(to_chat_body(body))


def to_chat_body(body: bytes) -> bytes:
    """The equivalent chat completion request. parse_params() validates the fields that both APIs have.

    Raises APIError 400 for fields of a text completion that Claude does not support. Without `max_tokens`, the
    model's own limit applies: OpenAI's default of 16 tokens is too short for Claude's thinking.
    """
    try:
        fields: object = from_json(body)
    except ValueError:
        return body  # parse_params() reports the error
    if not isinstance(fields, dict):
        return body
    for name, (reason, accepted) in _REFUSED.items():
        if not _is_one_of(fields.pop(name, None), accepted):
            raise unsupported(name, reason)
    prompt = _prompt(fields.pop("prompt", None))
    # NaN stays NaN, for parse_params() to report.
    return to_json({**fields, "messages": [{"role": "user", "content": prompt}]}, inf_nan_mode="constants")


def to_text_completion(completion: ChatCompletion) -> TextCompletion:
    """A refusal, for which this API has no field, becomes the text where there is none."""
    return {
        "id": _text_id(completion["id"]),
        "object": "text_completion",
        "created": completion["created"],
        "model": completion["model"],
        "choices": [
            _text_choice(
                choice["message"]["content"] or choice["message"]["refusal"] or "",
                choice["index"],
                choice["finish_reason"],
            )
            for choice in completion["choices"]
        ],
        "usage": completion["usage"],
    }


def to_text_chunk(
    chunk: ChatCompletionChunk, with_text: set[int], *, keep_empty: bool = False
) -> TextCompletionChunk | None:
    """None if nothing of the chunk has a place in a text completion, as for the role alone.

    `with_text` are the indices of the choices that have text, to which those of this chunk are added. A refusal
    becomes the text of the others. With `keep_empty`, such a chunk has an empty text.
    """
    choices: list[TextChoice] = []
    for choice in chunk["choices"]:
        delta, reason = choice["delta"], choice["finish_reason"]
        text = delta.get("content") or ("" if choice["index"] in with_text else delta.get("refusal") or "")
        if text:
            with_text.add(choice["index"])
        if text or reason or keep_empty:
            choices.append(_text_choice(text, choice["index"], reason))
    if not choices and not chunk.get("usage"):
        return None
    text_chunk: TextCompletionChunk = {
        "id": _text_id(chunk["id"]),
        "object": "text_completion",
        "created": chunk["created"],
        "model": chunk["model"],
        "choices": choices,
    }
    if "usage" in chunk:
        text_chunk["usage"] = chunk["usage"]
    return text_chunk


def _text_choice(text: str, index: int, reason: FinishReason | None) -> TextChoice:
    finish_reason = _finish_reason(reason) if reason else None
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _prompt(prompt: object) -> str:
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    match prompt:
        case None:
            raise missing("prompt")
        case str():
            if prompt.strip():
                return prompt
            raise invalid_request(
                "Invalid 'prompt': Claude does not accept an empty prompt.", "prompt", "invalid_value"
            )
        case []:
            raise invalid_request("Invalid 'prompt': empty array.", "prompt", "empty_array")
        case [int() | list(), *_]:
            raise unsupported("prompt", "token ids belong to another tokenizer; send the text itself")
        case [str(), *_]:
            raise unsupported("prompt", "send one request for each prompt")
    raise _invalid_type()


def _invalid_type() -> APIError:
    return invalid_request(
        "Invalid type for 'prompt': expected a string or an array of one string.", "prompt", "invalid_type"
    )


def _is_one_of(value: object, accepted: tuple[object, ...]) -> bool:
    """Unlike `in`, distinguishes False from 0 and True from 1."""
    return any(value == item and type(value) is type(item) for item in accepted)


def _text_id(chat_id: str) -> str:
    return "cmpl-" + chat_id.removeprefix("chatcmpl-")


def _finish_reason(reason: FinishReason) -> TextFinishReason:
    return reason if reason in ("length", "content_filter") else "stop"
