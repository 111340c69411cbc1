"""Messages -> ChatCompletion, and the parts that a stream needs as well: id, finish_reason, refusal."""

from collections.abc import Sequence

from claudexia.translate.report import DEFAULT_OPTIONS, ResponseOptions
from claudexia.translate.response.blocks import to_annotations, to_function, to_thinking_block, to_tool_call
from claudexia.translate.response.text_filters import JSONObjectText
from claudexia.translate.response.usage import add_usage, to_completion_usage
from claudexia.translate.types.anthropic import ContentBlock, Message, StopDetails
from claudexia.translate.types.openai import (
    Annotation,
    ChatCompletion,
    ChatCompletionMessage,
    Choice,
    FinishReason,
)

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
_FINISH_REASONS: dict[str | None, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    # Whoever reads this has resumed the turn as often as it would: the answer is not whole, as after a limit.
    "pause_turn": "length",
    "refusal": "content_filter",
}
_REFUSED = "Claude declined to answer this request."


def to_chat_completion(
    messages: Sequence[Message], *, created: int, options: ResponseOptions = DEFAULT_OPTIONS
) -> ChatCompletion:
    """One choice a message, in their order; id and model are the first one's. `created` is seconds."""
    first = messages[0]
    usage = add_usage(*(message.get("usage") or {} for message in messages))
    return {
        "id": to_completion_id(first),
        "object": "chat.completion",
        "created": created,
        "model": first["model"],
        "choices": [_to_choice(index, message, options) for index, message in enumerate(messages)],
        "usage": to_completion_usage(usage),
        "service_tier": "default",
    }


def to_completion_id(message: Message) -> str:
    """Anthropic's id under OpenAI's prefix, so that an answer can be found in both logs."""
    return "chatcmpl-" + message["id"].removeprefix("msg_")


def to_finish_reason(stop_reason: str | None, options: ResponseOptions) -> FinishReason:
    reason = _FINISH_REASONS.get(stop_reason, "stop")
    return "function_call" if reason == "tool_calls" and options.function_call else reason


def to_refusal(stop_reason: str | None, details: StopDetails | None) -> str | None:
    """A refusal is an HTTP 200 with little or no content; OpenAI's clients look for it in `refusal`."""
    if stop_reason != "refusal":
        return None
    return (details or {}).get("explanation") or _REFUSED


def _to_choice(index: int, message: Message, options: ResponseOptions) -> Choice:
    calls = [block for block in message["content"] if block.get("type") == "tool_use"]
    refusal = to_refusal(message.get("stop_reason"), message.get("stop_details"))
    text, annotations = _to_text(message["content"], options)
    answer: ChatCompletionMessage = {
        "role": "assistant",
        # OpenAI's content is null beside tool calls, a string otherwise.
        "content": text or (None if calls or refusal else ""),
        "refusal": refusal,
        "annotations": annotations,
    }
    _add_thinking(answer, message["content"], options)
    if calls and options.function_call:
        answer["function_call"] = to_function(calls[0], options)  # more than one was not allowed
    elif calls:
        answer["tool_calls"] = [to_tool_call(call, options) for call in calls]
    finish_reason = to_finish_reason(message.get("stop_reason"), options)
    return {"index": index, "message": answer, "logprobs": None, "finish_reason": finish_reason}


def _to_text(content: Sequence[ContentBlock], options: ResponseOptions) -> tuple[str, list[Annotation]]:
    """All text blocks as one: Claude begins a new one for every claim with a citation, even within a line."""
    text, annotations = "", list[Annotation]()
    only_json = JSONObjectText() if options.json_object else None
    for block in content:
        if block.get("type") != "text":
            continue
        start, more = len(text), block.get("text") or ""
        text += only_json.feed(more) if only_json else more
        annotations += to_annotations(block.get("citations") or (), start, len(text))
    return text + (only_json.close() if only_json else ""), annotations


def _add_thinking(
    answer: ChatCompletionMessage, content: Sequence[ContentBlock], options: ResponseOptions
) -> None:
    thinking = "".join(block.get("thinking") or "" for block in content if block.get("type") == "thinking")
    if thinking and options.reasoning:
        answer["reasoning_content"] = thinking
    blocks = [block for block in map(to_thinking_block, content) if block]
    if blocks and options.thinking_blocks:
        answer["thinking_blocks"] = blocks
