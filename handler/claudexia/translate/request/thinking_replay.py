"""Thinking on its way back: what the client returns, or what was recalled of the model's own answer.

The API takes thinking that it signed, byte for byte, or none at all.
Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard, cast

from claudexia.errors import APIError
from claudexia.translate.report import Report
from claudexia.translate.request.prompt_cache import mark_last, newest_mark
from claudexia.translate.types.anthropic import (
    ContentBlockParam,
    Message,
    MessageCreateParams,
    MessageParam,
    RedactedThinkingBlockParam,
    ThinkingBlockParam,
)
from claudexia.translate.types.messages import (
    AssistantMessage,
    ChatMessage,
    ReasoningDetail,
    RedactedThinkingBlock,
    ThinkingBlock,
    ToolUseBlock,
)

RecalledBlock = Mapping[str, object]
Thought = ThinkingBlockParam | RedactedThinkingBlockParam
# What the model was given back, if anything, and where it stood in the request.
_Found = tuple[Thought | None, str]

_THOUGHTS = ("thinking", "redacted_thinking")
_REFUSAL = re.compile(r"signature|thinking`? blocks?|redacted_thinking")
_UNSIGNED = "thinking without its signature cannot be sent back"


def to_thought(block: ThinkingBlock | RedactedThinkingBlock) -> Thought | None:
    """None for thinking that the API did not sign."""
    match block:
        case ThinkingBlock(signature=str(signature)) if signature:
            return {"type": "thinking", "thinking": block.thinking or "", "signature": signature}
        case RedactedThinkingBlock(data=str(data)) if data:
            return {"type": "redacted_thinking", "data": data}
    return None


def report_unsigned(path: str, report: Report) -> None:
    report.warn(path, _UNSIGNED)


def is_thought(block: ContentBlockParam) -> TypeGuard[Thought]:
    return block["type"] in _THOUGHTS


def own_thinking(message: AssistantMessage, path: str, report: Report) -> list[Thought]:
    """The signed thinking in the fields beside the content; none where the content has some itself."""
    if places_thinking(message):
        return []
    # Some clients send the same thinking in both fields.
    for found in (list(_in_blocks(message)), list(_in_details(message))):
        for thought, where in found:
            if thought is None:
                report_unsigned(f"{path}.{where}", report)
        if thoughts := [thought for thought, _ in found if thought]:
            return thoughts
    return []


def client_ids(message: AssistantMessage) -> list[str]:
    """The ids of the message's tool calls, as the client gave them."""
    parts = message.content if isinstance(message.content, list) else []
    native = [part.id for part in parts if isinstance(part, ToolUseBlock)]
    return native + [call.id for call in message.tool_calls or []]


def tool_call_keys(messages: Sequence[ChatMessage]) -> list[str]:
    """What to look up for Conversation(recalled=...), for each message that calls tools.

    A key is the smallest of the client's tool-call ids in that message. One with thinking in its content has
    all that it needs.
    """
    return [
        min(ids)
        for message in messages
        if isinstance(message, AssistantMessage)
        and not places_thinking(message)
        and (ids := client_ids(message))
    ]


def places_thinking(message: AssistantMessage) -> bool:
    """Whether signed thinking stands in the content. In the fields beside it, nobody sees what it followed."""
    return any(thought for thought, _ in _in_content(message))


def signatures(blocks: Sequence[RecalledBlock] | Sequence[ContentBlockParam]) -> list[object]:
    """What thinking is known by, block by block."""
    return [block.get("signature") or block.get("data") for block in blocks if block["type"] in _THOUGHTS]


def restored(
    recalled: Sequence[RecalledBlock], converted: Sequence[ContentBlockParam], path: str, report: Report
) -> list[ContentBlockParam] | None:
    """The recalled answer, its blocks as they were, with the client's cache mark; None if it was changed."""
    blocks = cast("Sequence[ContentBlockParam]", recalled)
    if _calls(blocks) != _calls(converted) or _text(converted) not in ("", _text(blocks)):
        return None
    # The API writes empty text now and then, but does not take it back.
    kept = [block for block in blocks if block["type"] != "text" or block["text"].strip()]
    mark_last(kept, newest_mark(converted), path, report)
    return kept


def replay_key(message: Message) -> str | None:
    """The key of an answer that calls tools: what tool_call_keys() gives once the client sends it back."""
    return min((block["id"] for block in message["content"] if block.get("type") == "tool_use"), default=None)


def refuses_thinking(error: APIError) -> bool:
    """Whether the API objects to thinking that was sent back; its errors have no code for that."""
    return error.status == 400 and bool(_REFUSAL.search(error.message))


def strip_thinking(sent: MessageCreateParams) -> MessageCreateParams:
    """The same request without the thinking of earlier turns, for a second try; `sent` stays as it is."""
    bare: MessageCreateParams = {**sent, "messages": without_thinking(sent["messages"])}
    if sent.get("thinking", {}).get("type") == "enabled":  # which wants the thinking before each call
        del bare["thinking"]
    return bare


def without_thinking(messages: Sequence[MessageParam]) -> list[MessageParam]:
    """The same turns without any thinking."""
    bare: list[MessageParam] = [
        {"role": turn["role"], "content": [block for block in turn["content"] if not is_thought(block)]}
        for turn in messages
    ]
    return [turn for turn in bare if turn["content"]]


def _in_content(message: AssistantMessage) -> Iterator[_Found]:
    parts = message.content if isinstance(message.content, list) else []
    for index, part in enumerate(parts):
        if isinstance(part, ThinkingBlock | RedactedThinkingBlock):
            yield to_thought(part), f"content[{index}]"


def _in_blocks(message: AssistantMessage) -> Iterator[_Found]:
    for index, block in enumerate(message.thinking_blocks or []):
        yield to_thought(block), f"thinking_blocks[{index}]"


def _in_details(message: AssistantMessage) -> Iterator[_Found]:
    for index, detail in enumerate(message.reasoning_details or []):
        yield _detail(detail), f"reasoning_details[{index}]"


def _detail(detail: ReasoningDetail) -> Thought | None:
    # Other vendors' thinking travels in the same field, told by its format.
    if detail.format and not detail.format.startswith("anthropic"):
        return None
    match detail.type:
        case "reasoning.text" if detail.signature:
            return {"type": "thinking", "thinking": detail.text or "", "signature": detail.signature}
        case "reasoning.encrypted" if detail.data:
            return {"type": "redacted_thinking", "data": detail.data}
    return None


def _calls(blocks: Sequence[ContentBlockParam]) -> dict[str, tuple[str, Mapping[str, object]]]:
    return {b["id"]: (b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"}


def _text(blocks: Sequence[ContentBlockParam]) -> str:
    return "".join(block["text"] for block in blocks if block["type"] == "text").strip()
