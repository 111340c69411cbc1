"""The content of one OpenAI message as Claude's content blocks.

The API refuses empty text and text of nothing but white space, so neither is sent.
"""

from collections.abc import Iterable

from pydantic_core import from_json

from claudexia.translate.anthropic import (
    ContentBlockParam,
    ImageBlockParam,
    TextBlockParam,
    ToolUseBlockParam,
)
from claudexia.translate.completion_params import (
    AssistantMessage,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from claudexia.translate.errors import NOT_YET, APIError, missing, unsupported
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.images import to_image
from claudexia.translate.params import Params as Part
from claudexia.translate.tools import ToolNames, in_alphabet


def text_block(text: str) -> TextBlockParam:
    return {"type": "text", "text": text}


class CallIds:
    """Tool-call ids outside Claude's alphabet, or used twice in a conversation, as ids Claude accepts."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def wire(self, client_id: str) -> str:
        plain = in_alphabet(client_id) or "call"
        wire, number = plain, 1
        while wire in self._used:
            number += 1
            wire = f"{plain}_{number}"
        self._used.add(wire)
        return wire


def to_system_content(message: SystemMessage, path: str, report: Report) -> list[TextBlockParam]:
    return [block for block in _parts(message.content, path, report) if block["type"] == "text"]


def to_content(
    message: UserMessage | ToolMessage, path: str, report: Report
) -> list[TextBlockParam | ImageBlockParam]:
    return _parts(message.content, path, report)


def to_assistant_content(
    message: AssistantMessage, path: str, names: ToolNames, ids: CallIds, report: Report
) -> tuple[list[ContentBlockParam], list[tuple[str, ToolUseBlockParam]]]:
    """All blocks of the message, and of those the tool calls, each with the id the client gave it."""
    texts = _parts(message.content, path, report) + _parts(message.refusal, path, report)
    calls = [
        (call.id, _tool_use(call, f"{path}.tool_calls[{index}]", names, ids, report))
        for index, call in enumerate(message.tool_calls or [])
    ]
    return [*texts, *(block for _, block in calls)], calls


def _parts(
    content: str | Iterable[Part] | None, path: str, report: Report
) -> list[TextBlockParam | ImageBlockParam]:
    if content is None or isinstance(content, str):
        return [text_block(content)] if content and content.strip() else []
    blocks: list[TextBlockParam | ImageBlockParam] = []
    for index, part in enumerate(content):
        where = f"{path}.content[{index}]"
        check_extras(part, where, report)
        match part:
            case TextPart(text=text) | RefusalPart(refusal=text):
                if text.strip():
                    blocks.append(text_block(text))
            case ImagePart():
                check_extras(part.image_url, f"{where}.image_url", report)
                blocks.append(to_image(part, where, report))
            case _:
                raise _unsupported_part(part, where)
    return blocks


def _unsupported_part(part: Part, where: str) -> APIError:
    kind = getattr(part, "type", "")
    why = "Claude takes no audio" if kind == "input_audio" else NOT_YET
    return unsupported(f"{where}.type", f"a part of type '{kind}': {why}")


def _tool_use(call: ToolCall, path: str, names: ToolNames, ids: CallIds, report: Report) -> ToolUseBlockParam:
    check_extras(call, path, report)
    if call.type not in (None, "function"):
        raise unsupported(f"{path}.type", "only calls of type 'function' are translated")
    if call.function is None:
        raise missing(f"{path}.function")
    return {
        "type": "tool_use",
        "id": ids.wire(call.id),
        "name": names.wire(call.function.name),
        "input": _arguments(call.function.arguments or "", f"{path}.function.arguments", report),
    }


def _arguments(text: str, path: str, report: Report) -> dict[str, object]:
    """A call's arguments as the object Claude wants; what is no JSON object is kept whole under one key."""
    if not text.strip():
        return {}
    try:
        value: object = from_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return value
    report.warn(path, "not a JSON object, so it was sent as the value of 'arguments'")
    return {"arguments": value}
