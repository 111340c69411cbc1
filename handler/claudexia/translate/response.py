"""Message -> ChatCompletion, and the parts that a stream needs as well: finish_reason, usage, refusal."""

from collections.abc import Callable

from pydantic_core import to_json

from claudexia.translate.anthropic import ContentBlock, Message, StopDetails, Usage
from claudexia.translate.openai import (
    ChatCompletion,
    ChatCompletionMessage,
    CompletionUsage,
    FinishReason,
    ToolCall,
)

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
_FINISH_REASONS: dict[str | None, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "stop",
    "refusal": "content_filter",
}
_REFUSED = "Claude declined to answer this request."


def to_chat_completion(
    message: Message, *, created: int, original_name: Callable[[str], str] = str
) -> ChatCompletion:
    """`created` is seconds; `original_name` gives a tool the name under which the client knows it."""
    calls = [
        to_tool_call(block, original_name) for block in message["content"] if block.get("type") == "tool_use"
    ]
    refusal = to_refusal(message.get("stop_reason"), message.get("stop_details"))
    text = "".join(block.get("text") or "" for block in message["content"] if block.get("type") == "text")
    answer: ChatCompletionMessage = {
        "role": "assistant",
        # OpenAI's content is null beside tool calls, a string otherwise.
        "content": text or (None if calls or refusal else ""),
        "refusal": refusal,
        "annotations": [],
    }
    if calls:
        answer["tool_calls"] = calls
    return {
        "id": to_completion_id(message),
        "object": "chat.completion",
        "created": created,
        "model": message["model"],
        "choices": [
            {
                "index": 0,
                "message": answer,
                "logprobs": None,
                "finish_reason": to_finish_reason(message.get("stop_reason")),
            }
        ],
        "usage": to_completion_usage(message.get("usage") or {}),
        "service_tier": "default",
    }


def to_completion_id(message: Message) -> str:
    """Anthropic's id under OpenAI's prefix, so that an answer can be found in both logs."""
    return "chatcmpl-" + message["id"].removeprefix("msg_")


def to_finish_reason(stop_reason: str | None) -> FinishReason:
    return _FINISH_REASONS.get(stop_reason, "stop")


def to_refusal(stop_reason: str | None, details: StopDetails | None) -> str | None:
    """A refusal is an HTTP 200 with little or no content; OpenAI's clients look for it in `refusal`."""
    if stop_reason != "refusal":
        return None
    return (details or {}).get("explanation") or _REFUSED


def to_tool_call(block: ContentBlock, original_name: Callable[[str], str]) -> ToolCall:
    return {
        "id": block["id"],
        "type": "function",
        "function": {
            "name": original_name(block["name"]),
            "arguments": block.get("partial_json") or to_arguments(block),
        },
    }


def to_arguments(block: ContentBlock) -> str:
    """The input of a tool_use block that came whole; no input is "{}", which every client can parse."""
    return to_json(block.get("input") or {}).decode()


def to_completion_usage(usage: Usage) -> CompletionUsage:
    """Anthropic counts cached input beside `input_tokens`, OpenAI inside `prompt_tokens`."""
    read = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    prompt = (usage.get("input_tokens") or 0) + read + written
    completion = usage.get("output_tokens") or 0
    thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def merge_usage(known: Usage, newer: Usage) -> Usage:
    """A message_delta's counts are totals and win; what it leaves out or has as null stays as it was."""
    update: Usage = {key: value for key, value in newer.items() if value is not None}  # type: ignore[assignment]  # keys of a Usage
    return {**known, **update}
