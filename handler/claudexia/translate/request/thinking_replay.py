"""Thinking in earlier answers: what the client sends back, and what was stored of Claude's own answers.

The API takes back thinking that it signed, byte for byte, or none at all. A host takes its own: thinking is
tied to an account, and what another one signed is refused, or removed before the model reads it.
Sources: https://platform.claude.com/docs/en/build-with-claude/preserved-thinking and
https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-thinking-block-binding.html
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TypeGuard, TypeVar, cast

from claudexia.errors import APIError
from claudexia.translate.report import FieldWarning, Report
from claudexia.translate.request.prompt_cache import last_cache_control, set_breakpoint
from claudexia.translate.types.anthropic import (
    THINKING_TYPES,
    ContentBlockParam,
    RedactedThinkingBlockParam,
    ThinkingBlockParam,
    ToolUseBlockParam,
)
from claudexia.translate.types.base import Params
from claudexia.translate.types.messages import (
    AssistantMessage,
    ReasoningDetail,
    RedactedThinkingBlock,
    ThinkingBlock,
    ToolCall,
    ToolUseBlock,
)

StoredBlock = Mapping[str, object]
# The content of earlier answers, by replay key.
StoredAnswers = Mapping[str, Sequence[StoredBlock]]
SignedThinking = ThinkingBlockParam | RedactedThinkingBlockParam

# A request, and one of its messages.
_SentT = TypeVar("_SentT", bound=Mapping[str, object])
_TurnT = TypeVar("_TurnT", bound=Mapping[str, object])

REFUSED_THINKING = FieldWarning("messages", "the upstream refused the replayed thinking, so it was left out")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_CALLS: Collection[type[Params]] = (ToolUseBlock, ToolCall)
_OWN_ID = "toolu_"  # also on other hosts: toolu_bdrk_, toolu_vrtx_
_THINKING_ERROR = re.compile(r"signature|thinking`? blocks?|redacted_thinking")


def to_thinking_block(block: ThinkingBlock | RedactedThinkingBlock) -> SignedThinking | None:
    """None for thinking without a signature of the API."""
    if not is_signed(block):
        return None
    thinking: SignedThinking
    if type(block) is ThinkingBlock:
        thinking = {"type": "thinking", "thinking": block.thinking or "", "signature": str(block.signature)}
    else:
        data = cast("RedactedThinkingBlock", block).data
        thinking = {"type": "redacted_thinking", "data": str(data)}
    if block.host:
        thinking["host"] = block.host
    return thinking


def is_signed(part: object) -> bool:
    """Whether it is thinking with a signature of the API."""
    if type(part) is ThinkingBlock:
        return bool(part.signature)
    return type(part) is RedactedThinkingBlock and bool(part.data)


def warn_unsigned(report: Report) -> None:
    report.warn("thinking without its signature cannot be sent back")


def is_thinking(block: object) -> TypeGuard[SignedThinking]:
    return isinstance(block, dict) and block.get("type") in THINKING_TYPES


def signed_by(host: str, content: Iterable[StoredBlock]) -> list[StoredBlock]:
    """`content` of an answer of `host`, which its thinking names."""
    return [{**block, "host": host} if is_thinking(block) else block for block in content]


def signers(content: Iterable[StoredBlock]) -> set[object]:
    """The hosts that are known to have signed thinking in `content`."""
    return {block["host"] for block in content if is_thinking(block) and "host" in block}


def taken_by(host: str, blocks: Sequence[ContentBlockParam]) -> list[ContentBlockParam]:
    """`blocks` as they are sent to `host`: without thinking that another one is known to have signed.

    What is not known is sent. If the host refuses it, the request is repeated without.
    """
    taken: list[ContentBlockParam] = []
    for block in blocks:
        if "host" not in block:  # as all but thinking
            taken.append(block)
        elif not host or cast("SignedThinking", block).get("host") == host:
            unnamed = {key: value for key, value in block.items() if key != "host"}
            taken.append(cast("SignedThinking", unnamed))
    return taken


def thinking_beside_content(message: AssistantMessage, report: Report) -> list[SignedThinking]:
    """The signed thinking in `thinking_blocks` or `reasoning_details`; none if the content holds some."""
    blocks, details = message.thinking_blocks, message.reasoning_details
    if not (blocks or details) or has_thinking_in_content(message):
        return []
    # Some clients send the same thinking in both fields.
    for field, found in (
        ("thinking_blocks", [to_thinking_block(block) for block in blocks or ()]),
        ("reasoning_details", [_from_detail(detail) for detail in details or () if _may_be_signed(detail)]),
    ):
        for index, thinking in enumerate(found):
            if thinking is None:
                warn_unsigned(report.at(field, index))
        if signed := [thinking for thinking in found if thinking]:
            return signed
    return []


def has_thinking_in_content(message: AssistantMessage) -> bool:
    """Whether the content holds signed thinking. Only there its position among the other blocks is known."""
    return isinstance(message.content, list) and any(map(is_signed, message.content))


def client_ids(message: AssistantMessage) -> list[str]:
    """The ids of the message's tool calls, as the client gave them."""
    ids = [call.id for call in message.tool_calls or ()]
    if isinstance(message.content, list):
        return [cast("ToolUseBlock", part).id for part in message.content if type(part) in _CALLS] + ids
    return ids


def answer_keys(ids: Sequence[str], blocks: Iterable[ContentBlockParam]) -> list[str]:
    """The keys of a message that calls tools: the smallest of its call ids, `ids`, and if that is not Claude's,
    since some clients replace ids, one that is made of the calls in `blocks`.
    """
    key = min(ids) if ids else ""
    if is_own_id(key):
        return [key]
    content = content_key(blocks)
    return [key, content] if key else [content]


def is_own_id(call_id: str) -> bool:
    """Whether it is an id of Claude's, and not one of a client or of another model."""
    return call_id.startswith(_OWN_ID)


def content_key(blocks: Iterable[StoredBlock] | Iterable[ContentBlockParam]) -> str:
    """The key of the calls in `blocks`: names and inputs, in order."""
    calls = [[block["name"], block["input"]] for block in blocks if block.get("type") == "tool_use"]
    return f"calls_{sha256(_CANONICAL.encode(calls).encode()).hexdigest()[:32]}"


def signatures(blocks: Sequence[StoredBlock] | Sequence[ContentBlockParam]) -> list[object]:
    """The signature, or the encrypted data, of each thinking block."""
    return [block.get("signature") or block.get("data") for block in blocks if block["type"] in THINKING_TYPES]


def restore_answer(
    stored: Sequence[StoredBlock], converted: Sequence[ContentBlockParam], report: Report
) -> list[ContentBlockParam] | None:
    """The blocks of the stored answer, with the client's cache breakpoint; None if the client changed it.

    `converted` are the blocks of the message that the client sent.
    """
    blocks = cast("Sequence[ContentBlockParam]", stored)
    ids = _sent_ids(blocks, converted)
    if ids is None or _text(converted) not in ("", _text(blocks)):
        return None
    # The API sometimes returns empty text, but does not accept it.
    kept = [
        _with_id(block, ids[block["id"]]) if block["type"] == "tool_use" else block
        for block in blocks
        if block["type"] != "text" or block["text"].strip()
    ]
    set_breakpoint(kept, last_cache_control(converted), report)
    return kept


def replay_keys(content: Sequence[StoredBlock]) -> list[str]:
    """The keys that answer_keys() may give when the client sends this answer back; none without tool calls."""
    ids = [str(block["id"]) for block in content if block.get("type") == "tool_use"]
    return [min(ids), content_key(content)] if ids else []


def without_refused(sent: _SentT, error: APIError) -> _SentT | None:
    """The request for a second attempt, if `error` is the API's refusal of thinking that `sent` has."""
    if not _refuses_thinking(error):
        return None
    stripped = strip_thinking(sent)
    return None if stripped == sent else stripped


def _refuses_thinking(error: APIError) -> bool:
    """Whether the API rejected thinking that was sent back. Its error has no code for that, only a text."""
    return error.status == 400 and bool(_THINKING_ERROR.search(error.message))


def strip_thinking(sent: _SentT) -> _SentT:
    """A copy of the request without the thinking of earlier turns, for a second attempt.

    It may also be a request of a client of the Messages API, which was not validated.
    """
    stripped: dict[str, object] = {**sent}
    messages, thinking = stripped.get("messages"), stripped.get("thinking")
    if isinstance(messages, list):
        stripped["messages"] = without_thinking(messages)
    # It requires the thinking before each tool call.
    if isinstance(thinking, dict) and thinking.get("type") == "enabled":
        del stripped["thinking"]
    return cast("_SentT", stripped)


def without_thinking(messages: Sequence[_TurnT]) -> list[_TurnT]:
    """The same turns without thinking blocks."""
    stripped: list[_TurnT] = []
    for turn in messages:
        content = turn.get("content") if isinstance(turn, dict) else None
        if not isinstance(content, list):
            stripped.append(turn)
        elif kept := [block for block in content if not is_thinking(block)]:
            stripped.append(cast("_TurnT", {**turn, "content": kept}))
    return stripped


def _may_be_signed(detail: ReasoningDetail) -> bool:
    """False for summaries and for the thinking of other vendors' models, which has another format."""
    anthropic = not detail.format or detail.format.startswith("anthropic")
    return anthropic and detail.type in ("reasoning.text", "reasoning.encrypted")


def _from_detail(detail: ReasoningDetail) -> SignedThinking | None:
    match detail.type:
        case "reasoning.text" if detail.signature:
            return {"type": "thinking", "thinking": detail.text or "", "signature": detail.signature}
        case "reasoning.encrypted" if detail.data:
            return {"type": "redacted_thinking", "data": detail.data}
    return None


def _sent_ids(
    stored: Sequence[ContentBlockParam], converted: Sequence[ContentBlockParam]
) -> dict[str, str] | None:
    """The client's id of each stored call, in the order of the calls; None if the calls are not the same."""
    ours, theirs = _calls(stored), _calls(converted)
    if ours == theirs:  # in any order
        return {call_id: call_id for call_id in ours}
    if [*ours.values()] != [*theirs.values()] or ours.keys() & theirs.keys():
        return None
    return dict(zip(ours, theirs, strict=True))


def _with_id(block: ToolUseBlockParam, call_id: str) -> ToolUseBlockParam:
    return block if block["id"] == call_id else {**block, "id": call_id}


def _calls(blocks: Sequence[ContentBlockParam]) -> dict[str, tuple[str, Mapping[str, object]]]:
    return {b["id"]: (b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"}


def _text(blocks: Sequence[ContentBlockParam]) -> str:
    return "".join(block["text"] for block in blocks if block["type"] == "text").strip()
