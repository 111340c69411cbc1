"""The content of one OpenAI message as Claude's content blocks.

The API refuses empty text and text of nothing but white space, so neither is sent.
"""

from collections.abc import Iterable, Iterator
from typing import TypeGuard, TypeVar

from claudexia.errors import unsupported
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.media import NO_STORE, from_base64, invalid, pdf_from_base64, to_file, to_image
from claudexia.translate.request.prompt_cache import client_mark, mark_last, newest_mark, unmarked
from claudexia.translate.request.thinking_replay import is_thought, own_thinking, report_unsigned, to_thought
from claudexia.translate.request.tool_calls import (
    Call,
    CallIds,
    ToolNames,
    function_call_id,
    to_function_use,
    to_native_use,
    to_tool_use,
)
from claudexia.translate.types.anthropic import (
    ContentBlockParam,
    ContentSource,
    DocumentBlockParam,
    ImageBlockParam,
    InputBlockParam,
    SearchResultBlockParam,
    ServerToolResultBlockParam,
    ServerToolUseBlockParam,
    TextBlockParam,
    ToolResultBlockParam,
)
from claudexia.translate.types.base import Params as Part
from claudexia.translate.types.messages import (
    AssistantMessage,
    Base64Data,
    ContentData,
    DocumentBlock,
    FilePart,
    FunctionMessage,
    ImageBlock,
    ImagePart,
    RedactedThinkingBlock,
    RefusalPart,
    SearchResultBlock,
    ServerToolResultBlock,
    ServerToolUseBlock,
    StoredFile,
    SystemMessage,
    TextData,
    TextPart,
    ThinkingBlock,
    ToolMessage,
    ToolResultBlock,
    ToolUseBlock,
    URLData,
    UserMessage,
    WebSearchToolResultBlock,
)

# --- claudexia.translate.native
# Anthropic's own content blocks inside OpenAI's messages: checked, then passed on as they are.
#
# Source: https://platform.claude.com/docs/en/api/messages

_NO_TEXT = "Claude takes no text that is empty or only white space"


def to_native_image(block: ImageBlock, path: str) -> ImageBlockParam:
    """`path` is where the block stands in the request. Raises APIError 400 for what Claude cannot read."""
    match block.source:
        case Base64Data(data=data):
            return from_base64(data, f"{path}.source.data")
        case URLData(url=url):
            return {"type": "image", "source": {"type": "url", "url": _checked(url, f"{path}.source.url")}}
        case StoredFile():
            raise unsupported(f"{path}.source.file_id", NO_STORE)


def to_native_document(block: DocumentBlock, path: str, report: Report) -> DocumentBlockParam:
    document = _document(block, path, report)
    if block.title:
        document["title"] = block.title
    if block.context:
        document["context"] = block.context
    if block.citations:
        document["citations"] = {"enabled": block.citations.enabled}
    return document


def to_search_result(block: SearchResultBlock, path: str, report: Report) -> SearchResultBlockParam:
    result: SearchResultBlockParam = {
        "type": "search_result",
        "source": block.source,
        "title": block.title,
        "content": [
            _text_part(part, f"{path}.content[{index}]", report) for index, part in enumerate(block.content)
        ],
    }
    if block.citations:
        result["citations"] = {"enabled": block.citations.enabled}
    return result


def to_server_tool_use(block: ServerToolUseBlock) -> ServerToolUseBlockParam:
    return {"type": "server_tool_use", "id": block.id, "name": block.name, "input": block.input}


def to_server_tool_result(
    block: WebSearchToolResultBlock | ServerToolResultBlock,
) -> ServerToolResultBlockParam:
    given = block.model_dump(include={"content"}, exclude_none=True)
    return {"type": block.type, "tool_use_id": block.tool_use_id, "content": given["content"]}


class ServerCalls:
    """The calls of the server's own tools, and which of them still wait for their result.

    The result stands in the turn of its call. Where the model called the client's tools beside it, it stands in
    the turn after their results instead, and those have to come alone.
    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools
    """

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self._used: set[str] = set()

    def follow(self, blocks: Iterable[ContentBlockParam], path: str) -> None:
        """Raises APIError 400 for a call that repeats an id and for a result without its call."""
        for block in blocks:
            if block["type"] == "server_tool_use":
                if block["id"] in self._used:
                    raise invalid(path, f"two server tool calls have the id '{block['id']}'")
                self._used.add(block["id"])
                self.waiting.add(block["id"])
            elif _is_server_result(block):
                if block["tool_use_id"] not in self.waiting:
                    raise invalid(path, f"no server tool call waits for a result of '{block['tool_use_id']}'")
                self.waiting.remove(block["tool_use_id"])

    def refuse_waiting(self, path: str) -> None:
        if self.waiting:
            raise invalid(path, f"these server tool calls have no result: {', '.join(sorted(self.waiting))}")


def _is_server_result(block: ContentBlockParam) -> TypeGuard[ServerToolResultBlockParam]:
    return block["type"].endswith("_tool_result")


def _document(block: DocumentBlock, path: str, report: Report) -> DocumentBlockParam:
    match block.source:
        case Base64Data(data=data):
            return pdf_from_base64(data, f"{path}.source.data")
        case URLData(url=url):
            return {"type": "document", "source": {"type": "url", "url": _checked(url, f"{path}.source.url")}}
        case TextData(data=data):
            return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": data}}
        case ContentData():
            return {"type": "document", "source": _content(block.source, f"{path}.source", report)}
        case StoredFile():
            raise unsupported(f"{path}.source.file_id", NO_STORE)


def _content(source: ContentData, path: str, report: Report) -> ContentSource:
    if isinstance(source.content, str):
        return {"type": "content", "content": source.content}
    return {
        "type": "content",
        "content": [
            _text_part(part, f"{path}.content[{index}]", report)
            if isinstance(part, TextPart)
            else _inner_image(part, f"{path}.content[{index}]", report)
            for index, part in enumerate(source.content)
        ],
    }


def _inner_image(block: ImageBlock, path: str, report: Report) -> ImageBlockParam:
    _check_inner(block, path, report)
    return to_native_image(block, path)


def _check_inner(part: TextPart | ImageBlock, path: str, report: Report) -> None:
    check_extras(part, path, report)
    if client_mark(part, path, report):
        report.warn(f"{path}.cache_control", "only the block around it can be marked for the cache")


def _text_part(part: TextPart, path: str, report: Report) -> TextBlockParam:
    _check_inner(part, path, report)
    if not part.text.strip():
        raise invalid(f"{path}.text", _NO_TEXT)
    return {"type": "text", "text": part.text}


def _checked(url: str, path: str) -> str:
    if not url.strip().lower().startswith(("https://", "http://")):
        raise invalid(path, "expected an https URL")
    return url.strip()


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
