"""to_chat_completion(): Messages to a ChatCompletion. Streams share its id, finish_reason and refusal."""

from collections.abc import Sequence
from itertools import count, repeat

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
    # The turn was resumed as often as allowed, so the answer is incomplete, as after a token limit.
    "pause_turn": "length",
    "refusal": "content_filter",
}
_REFUSED = "Claude declined to answer this request."


def to_chat_completion(
    messages: Sequence[Message], *, created: int, options: Sequence[ResponseOptions] = ()
) -> ChatCompletion:
    """One choice per message, in their order; id and model are those of the first. `created` is in seconds.

    `options` has one item per message, or none for the defaults.
    """
    first = messages[0]
    usage = add_usage(*(message.get("usage") or {} for message in messages))
    return {
        "id": to_completion_id(first),
        "object": "chat.completion",
        "created": created,
        "model": first["model"],
        "choices": [
            _to_choice(index, message, each)
            for index, message, each in zip(count(), messages, options or repeat(DEFAULT_OPTIONS), strict=False)
        ],
        "usage": to_completion_usage(usage),
        "service_tier": "default",
    }


def to_completion_id(message: Message) -> str:
    """Anthropic's id with OpenAI's prefix, so that an answer can be found in the logs of both sides."""
    return "chatcmpl-" + message["id"].removeprefix("msg_")


def to_finish_reason(stop_reason: str | None, options: ResponseOptions) -> FinishReason:
    """OpenAI ends an answer with the call that the client named with `stop`.

    https://platform.openai.com/docs/guides/function-calling
    """
    reason = _FINISH_REASONS.get(stop_reason, "stop")
    if reason != "tool_calls":
        return reason
    if options.named_call:
        return "stop"
    return "function_call" if options.function_call else reason


def to_refusal(stop_reason: str | None, details: StopDetails | None) -> str | None:
    """The text for OpenAI's `refusal`. Claude refuses with status 200 and little or no content."""
    if stop_reason != "refusal":
        return None
    return (details or {}).get("explanation") or _REFUSED


def _to_choice(index: int, message: Message, options: ResponseOptions) -> Choice:
    calls = [block for block in message["content"] if block.get("type") == "tool_use"]
    refusal = to_refusal(message.get("stop_reason"), message.get("stop_details"))
    text, annotations = _to_text(message["content"], options)
    completed: ChatCompletionMessage = {
        "role": "assistant",
        # In OpenAI's API, content is null beside tool calls and a string otherwise.
        "content": text or (None if calls or refusal else ""),
        "refusal": refusal,
        "annotations": annotations,
    }
    _add_thinking(completed, message["content"], options)
    if calls and options.function_call:
        completed["function_call"] = to_function(calls[0], options)  # the request did not allow parallel calls
    elif calls:
        completed["tool_calls"] = [to_tool_call(call, options) for call in calls]
    finish_reason = to_finish_reason(message.get("stop_reason"), options)
    return {"index": index, "message": completed, "logprobs": None, "finish_reason": finish_reason}


def _to_text(content: Sequence[ContentBlock], options: ResponseOptions) -> tuple[str, list[Annotation]]:
    """All text blocks joined: Claude starts a new block for every cited claim, even within a line."""
    pieces, length, annotations = list[str](), 0, list[Annotation]()
    json_filter = JSONObjectText() if options.json_object else None
    for block in content:
        if block.get("type") != "text":
            continue
        start, text = length, block.get("text") or ""
        pieces.append(json_filter.feed(text) if json_filter else text)
        length += len(pieces[-1])
        annotations += to_annotations(block.get("citations") or (), start, length)
    if json_filter:
        pieces.append(json_filter.close())
    return "".join(pieces), annotations


def _add_thinking(
    completed: ChatCompletionMessage, content: Sequence[ContentBlock], options: ResponseOptions
) -> None:
    thinking = "".join(block.get("thinking") or "" for block in content if block.get("type") == "thinking")
    if thinking and options.reasoning:
        completed["reasoning_content"] = thinking
    if options.thinking_blocks:
        signed = [to_thinking_block(block, options.host) for block in content]
        if blocks := [block for block in signed if block]:
            completed["thinking_blocks"] = blocks
