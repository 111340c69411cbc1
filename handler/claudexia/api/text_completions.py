"""POST /v1/completions, OpenAI's older endpoint, as a chat with one message from the user, and back.

    body -> to_chat_body -> parse_params -> ... -> to_text_completion, or to_text_chunk for each chunk

Source: https://platform.openai.com/docs/api-reference/completions
"""

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict

from pydantic_core import from_json, to_json

from claudexia.errors import APIError, invalid_request, missing, unsupported
from claudexia.translate.types.openai import ChatCompletion, ChatCompletionChunk, CompletionUsage, FinishReason

TextFinishReason = Literal["stop", "length", "content_filter"]

_USE_CHAT = "a text completion has no room for it; use POST /v1/chat/completions"
# Why, and the values with which the field asks for nothing.
_REFUSED: Mapping[str, tuple[str, tuple[object, ...]]] = {
    "suffix": ("Claude does not fill in the middle of a text", (None, "")),
    "echo": ("the prompt is not repeated in the answer", (None, False)),
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
    """`usage` is there only when the client asked for it: null until the last chunk."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: NotRequired[CompletionUsage | None]


def to_chat_body(body: bytes) -> bytes:
    """The chat completion request that asks the same; what the two endpoints share is left to parse_params().

    Raises APIError 400 for what a text completion has and a chat with Claude has not. Without `max_tokens`
    the answer may be as long as the model's longest: OpenAI's 16 tokens would not do for Claude's thinking.
    """
    try:
        asked: object = from_json(body)
    except ValueError:
        return body  # parse_params() says what is wrong with it
    if not isinstance(asked, dict):
        return body
    for name, (why, harmless) in _REFUSED.items():
        if not _among(asked.pop(name, None), harmless):
            raise unsupported(name, why)
    prompt = _prompt(asked.pop("prompt", None))
    return to_json({**asked, "messages": [{"role": "user", "content": prompt}]})


def to_text_completion(completion: ChatCompletion) -> TextCompletion:
    """A refusal, which has no place of its own here, is told as the text."""
    return {
        "id": _text_id(completion["id"]),
        "object": "text_completion",
        "created": completion["created"],
        "model": completion["model"],
        "choices": [
            {
                "text": choice["message"]["content"] or choice["message"]["refusal"] or "",
                "index": choice["index"],
                "logprobs": None,
                "finish_reason": _finish_reason(choice["finish_reason"]),
            }
            for choice in completion["choices"]
        ],
        "usage": completion["usage"],
    }


def to_text_chunk(chunk: ChatCompletionChunk) -> TextCompletionChunk | None:
    """None where the chunk says nothing that a text completion could, such as the role alone."""
    choices: list[TextChoice] = []
    for choice in chunk["choices"]:
        delta, reason = choice["delta"], choice["finish_reason"]
        text = delta.get("content") or delta.get("refusal") or ""
        if text or reason:
            choices.append({
                "text": text,
                "index": choice["index"],
                "logprobs": None,
                "finish_reason": _finish_reason(reason) if reason else None,
            })  # fmt: skip
    if not choices and not chunk.get("usage"):
        return None
    told: TextCompletionChunk = {
        "id": _text_id(chunk["id"]),
        "object": "text_completion",
        "created": chunk["created"],
        "model": chunk["model"],
        "choices": choices,
    }
    if "usage" in chunk:
        told["usage"] = chunk["usage"]
    return told


def _prompt(prompt: object) -> str:
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    match prompt:
        case None:
            raise missing("prompt")
        case str():
            if prompt.strip():
                return prompt
            raise invalid_request("Invalid 'prompt': Claude takes no empty prompt.", "prompt", "invalid_value")
        case []:
            raise invalid_request("Invalid 'prompt': empty array.", "prompt", "empty_array")
        case [int() | list(), *_]:
            raise unsupported("prompt", "token ids belong to another tokenizer; send the text itself")
        case [str(), *_]:
            raise unsupported("prompt", "send one request for each prompt")
    raise _no_prompt()


def _no_prompt() -> APIError:
    return invalid_request(
        "Invalid type for 'prompt': expected a string or an array of one string.", "prompt", "invalid_type"
    )


def _among(value: object, harmless: tuple[object, ...]) -> bool:
    """Unlike `in`, knows False from 0 and 1 from True."""
    return any(value == item and type(value) is type(item) for item in harmless)


def _text_id(chat_id: str) -> str:
    return "cmpl-" + chat_id.removeprefix("chatcmpl-")


def _finish_reason(reason: FinishReason) -> TextFinishReason:
    return reason if reason in ("length", "content_filter") else "stop"
