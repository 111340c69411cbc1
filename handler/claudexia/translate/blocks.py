"""The content of one OpenAI message as Claude's content blocks.

The API refuses empty text and text of nothing but white space, so neither is sent.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from claudexia.translate.anthropic_params import (
    ContentBlockParam,
    InputBlockParam,
    TextBlockParam,
    ToolResultBlockParam,
)
from claudexia.translate.calls import (
    Call,
    CallIds,
    function_call_id,
    to_function_use,
    to_native_use,
    to_tool_use,
)
from claudexia.translate.errors import unsupported
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.files import to_file
from claudexia.translate.images import to_image
from claudexia.translate.marks import client_mark, mark_last, newest_mark, unmarked
from claudexia.translate.message_params import (
    AssistantMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from claudexia.translate.native import (
    to_native_document,
    to_native_image,
    to_search_result,
    to_server_tool_result,
    to_server_tool_use,
)
from claudexia.translate.native_params import (
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    ServerToolResultBlock,
    ServerToolUseBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    WebSearchToolResultBlock,
)
from claudexia.translate.params import Params as Part
from claudexia.translate.part_params import FilePart, ImagePart, RefusalPart, TextPart
from claudexia.translate.replay import is_thought, own_thinking, report_unsigned, to_thought
from claudexia.translate.tool_names import ToolNames

_Block = TypeVar("_Block", bound=ContentBlockParam)

_FAILED = "(The tool failed without a message.)"


def text_block(text: str) -> TextBlockParam:
    return {"type": "text", "text": text}


def to_system_content(message: SystemMessage, path: str, report: Report) -> list[TextBlockParam]:
    blocks = [block for block in _input(message.content, path, report) if block["type"] == "text"]
    mark_last(blocks, client_mark(message, path, report), path, report)
    return blocks


def to_content(message: UserMessage, path: str, report: Report) -> list[InputBlockParam]:
    """All but the tool results, and without the message's own mark: it may belong to one of those."""
    return _input(message.content, path, report)


def to_tool_result(
    given: ToolMessage | FunctionMessage | ToolResultBlock, wire_id: str, path: str, report: Report
) -> ToolResultBlockParam:
    """`wire_id` names the call that is answered."""
    result: ToolResultBlockParam = {"type": "tool_result", "tool_use_id": wire_id}
    content = _input(given.content, path, report)
    if mark := client_mark(given, path, report) or newest_mark(content):
        result["cache_control"] = mark
    if content:
        result["content"] = unmarked(content)
    if not isinstance(given, FunctionMessage) and given.is_error:
        _fail(result, path, report)
    return result


def to_assistant_content(
    index: int, message: AssistantMessage, names: ToolNames, ids: CallIds, report: Report
) -> tuple[list[ContentBlockParam], list[Call]]:
    """All blocks of the message, and of those the tool calls, each with the id the client gave it."""
    path = f"messages[{index}]"
    blocks: list[ContentBlockParam] = [*own_thinking(message, path, report)]
    calls: list[Call] = []
    if isinstance(message.content, str):
        blocks += _text(message.content)
    for place, part in _parts(message.content, path):
        check_extras(part, place, report)
        if isinstance(part, ToolUseBlock):
            use = to_native_use(part, names, ids)
            calls.append((part.id, use))
            _gather(use, part, blocks, place, report)
        else:
            _gather(_assistant_block(part, place, report), part, blocks, place, report)
    blocks += _input(message.refusal, path, report)
    beside = _calls_beside(index, message, names, ids, report)
    blocks += [block for _, block in beside]
    _drop_last_thoughts(blocks, path, report)
    mark_last(blocks, client_mark(message, path, report), path, report)
    return blocks, calls + beside


def _calls_beside(
    index: int, message: AssistantMessage, names: ToolNames, ids: CallIds, report: Report
) -> list[Call]:
    """The calls in the fields beside the content."""
    path = f"messages[{index}]"
    calls = [
        (call.id, to_tool_use(call, f"{path}.tool_calls[{number}]", names, ids, report))
        for number, call in enumerate(message.tool_calls or [])
    ]
    if message.function_call:
        client_id = function_call_id(index)
        block = to_function_use(
            message.function_call, f"{path}.function_call", ids.wire(client_id), names, report
        )
        calls.append((client_id, block))
    return calls


def _parts(content: str | Iterable[Part] | None, path: str) -> Iterator[tuple[str, Part]]:
    """Each part with the place where it stands; a string has none."""
    if content and not isinstance(content, str):
        for index, part in enumerate(content):
            yield f"{path}.content[{index}]", part


def _text(text: str) -> list[TextBlockParam]:
    return [text_block(text)] if text.strip() else []


def _input(content: str | Iterable[Part] | None, path: str, report: Report) -> list[InputBlockParam]:
    if isinstance(content, str):
        return [*_text(content)]
    blocks: list[InputBlockParam] = []
    for place, part in _parts(content, path):
        if not isinstance(part, ToolResultBlock):
            check_extras(part, place, report)
            _gather(_input_block(part, place, report), part, blocks, place, report)
    return blocks


def _gather(block: _Block | None, part: Part, blocks: list[_Block], place: str, report: Report) -> None:
    """The mark of a part that comes to nothing goes to what stands before it."""
    if block:
        blocks.append(block)
    mark_last(blocks, client_mark(part, place, report), place, report)


def _input_block(part: Part, place: str, report: Report) -> InputBlockParam | None:
    match part:
        case TextPart(text=text):
            return text_block(text) if text.strip() else None
        case ImagePart():
            check_extras(part.image_url, f"{place}.image_url", report)
            return to_image(part, place, report)
        case FilePart():
            return to_file(part, place, report)
        case ImageBlock():
            return to_native_image(part, place)
        case DocumentBlock():
            return to_native_document(part, place, report)
        case SearchResultBlock():
            return to_search_result(part, place, report)
    raise unsupported(f"{place}.type", "Claude takes no audio")


def _assistant_block(part: Part, place: str, report: Report) -> ContentBlockParam | None:
    match part:
        case RefusalPart(refusal=text):
            return text_block(text) if text.strip() else None
        case ThinkingBlock() | RedactedThinkingBlock():
            thought = to_thought(part)
            if thought is None:
                report_unsigned(place, report)
            return thought
        case ServerToolUseBlock():
            return to_server_tool_use(part)
        case WebSearchToolResultBlock() | ServerToolResultBlock():
            return to_server_tool_result(part)
    return _input_block(part, place, report)


def _drop_last_thoughts(blocks: list[ContentBlockParam], path: str, report: Report) -> None:
    """The API takes no assistant message that ends in thinking."""
    while blocks and is_thought(blocks[-1]):
        report.warn(path, "thinking that nothing follows cannot be sent back")
        blocks.pop()


def _fail(result: ToolResultBlockParam, path: str, report: Report) -> None:
    """A failed result must say something, and in text alone, or the API refuses it."""
    content = result.get("content", [])
    if any(block["type"] != "text" for block in content):
        report.warn(
            f"{path}.is_error", "Claude takes only text in a failed result, so it was sent as a common one"
        )
        return
    if not content:
        report.warn(f"{path}.content", "Claude takes no empty failed result, so a line says that it failed")
        result["content"] = [text_block(_FAILED)]
    result["is_error"] = True
