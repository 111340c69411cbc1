"""The content of one message as Claude's content blocks.

The API rejects empty and blank text, so neither is sent. OpenAI's messages may contain Anthropic's own content
blocks: they are checked and passed on as they are.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard, TypeVar

from claudexia.errors import APIError, shorten
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.media import (
    FILES_NOT_STORED,
    document_from_base64,
    image_from_base64,
    image_or_document,
    reject_url,
    to_file,
    to_image,
)
from claudexia.translate.request.numbers import finite
from claudexia.translate.request.prompt_cache import (
    client_cache_control,
    is_plain,
    last_cache_control,
    set_client_breakpoint,
    without_cache_control,
)
from claudexia.translate.request.thinking_replay import (
    is_thinking,
    thinking_beside_content,
    to_thinking_block,
    warn_unsigned,
)
from claudexia.translate.request.tool_calls import Call, ToolCalls, function_call_id
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
    ToolUseBlockParam,
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
    InputJSONDelta,
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
    ToolCall,
    ToolMessage,
    ToolResultBlock,
    ToolUseBlock,
    URLData,
    UserMessage,
    WebSearchToolResultBlock,
)

_BlockT = TypeVar("_BlockT", bound=ContentBlockParam)

_FAILED_TEXT = "(The tool failed without a message.)"


def text_block(text: str) -> TextBlockParam:
    return {"type": "text", "text": text}


def text_blocks(text: str) -> list[TextBlockParam]:
    """One block; none for blank text, which the API rejects."""
    return [{"type": "text", "text": text}] if text.strip() else []


def to_system_content(message: SystemMessage, report: Report) -> list[TextBlockParam]:
    blocks = [block for block in _input_blocks(message.content, report) if block["type"] == "text"]
    set_client_breakpoint(blocks, message, report)
    return blocks


def to_user_content(message: UserMessage, report: Report) -> list[InputBlockParam]:
    """All blocks but the tool results, without the message's breakpoint, which may belong to one of those."""
    return _input_blocks(message.content, report)


def to_tool_result(
    given: ToolMessage | FunctionMessage | ToolResultBlock, upstream_id: str, report: Report
) -> ToolResultBlockParam:
    """The result of the call with this id."""
    result: ToolResultBlockParam = {"type": "tool_result", "tool_use_id": upstream_id}
    content = _input_blocks(given.content, report)
    control = client_cache_control(given, report)
    if not isinstance(given.content, str):
        control = control or last_cache_control(content)
        content = without_cache_control(content)
    if control:
        result["cache_control"] = control
    if content:
        result["content"] = content
    if not isinstance(given, FunctionMessage) and given.is_error:
        _mark_as_error(result, report)
    return result


def join_results(result: ToolResultBlockParam, further: ToolResultBlockParam, report: Report) -> None:
    """Adds a further result of the same call to `result`: Claude takes one for each call."""
    report.warn("Claude takes one result for each call, so it was joined with the one before it")
    failed = result.pop("is_error", False) or further.get("is_error", False)
    if content := [*result.get("content", []), *further.get("content", [])]:
        result["content"] = content
    if control := further.get("cache_control"):
        result["cache_control"] = control
    if failed:
        _mark_as_error(result, report)


def to_assistant_content(
    index: int, message: AssistantMessage, tool_calls: ToolCalls, report: Report
) -> tuple[list[ContentBlockParam], list[Call]]:
    """All blocks of `messages[index]`, and of those the tool calls with their client ids."""
    blocks: list[ContentBlockParam] = [*thinking_beside_content(message, report)]
    calls: list[Call] = []
    if isinstance(message.content, str):
        blocks += text_blocks(message.content)
    for number, part in _parts(message.content):
        if _is_plain_text(part):
            blocks += text_blocks(part.text)
            continue
        if isinstance(part, InputJSONDelta):
            continue
        place = report.at("content", number)
        check_extras(part, place)
        if isinstance(part, ToolUseBlock | ToolCall):
            tool_use = (
                tool_calls.from_block(part, place)
                if isinstance(part, ToolUseBlock)
                else tool_calls.from_tool_call(part, place)
            )
            calls.append((part.id, tool_use))
            _append(tool_use, part, blocks, place)
        else:
            _append(_assistant_block(part, place), part, blocks, place)
    if message.refusal:
        blocks += text_blocks(message.refusal)
    if message.tool_calls or message.function_call:
        outer_calls = _calls_beside_content(index, message, tool_calls, dict(calls), report)
        blocks += [block for _, block in outer_calls]
        calls += outer_calls
    _drop_trailing_thinking(blocks, report)
    set_client_breakpoint(blocks, message, report)
    return blocks, calls


def _calls_beside_content(
    index: int,
    message: AssistantMessage,
    tool_calls: ToolCalls,
    in_content: Mapping[str, ToolUseBlockParam],
    report: Report,
) -> list[Call]:
    """The calls in `tool_calls` and `function_call`, without those that are in the content, too."""
    calls: list[Call] = []
    for number, call in enumerate(message.tool_calls or []):
        place = report.at("tool_calls", number)
        if call.id in in_content:
            tool_calls.check_repetition(call, in_content[call.id], place)
        else:
            calls.append((call.id, tool_calls.from_tool_call(call, place)))
    if message.function_call:
        client_id = function_call_id(index)
        block = tool_calls.from_function(message.function_call, client_id, report.at("function_call"))
        calls.append((client_id, block))
    return calls


def _parts(content: str | Sequence[Part] | None) -> Iterable[tuple[int, Part]]:
    """Each part with its index; a string has none."""
    return () if content is None or isinstance(content, str) else enumerate(content)


def _is_plain_text(part: Part) -> TypeGuard[TextPart]:
    """Whether nothing but the text of `part` is to be translated."""
    return type(part) is TextPart and is_plain(part)


def _input_blocks(content: str | Sequence[Part] | None, report: Report) -> list[InputBlockParam]:
    if isinstance(content, str):
        return [*text_blocks(content)]
    blocks: list[InputBlockParam] = []
    for number, part in _parts(content):
        if _is_plain_text(part):
            blocks += text_blocks(part.text)
        elif not isinstance(part, ToolResultBlock):
            place = report.at("content", number)
            check_extras(part, place)
            _append(_input_block(part, place), part, blocks, place)
    return blocks


def _append(block: _BlockT | None, part: Part, blocks: list[_BlockT], report: Report) -> None:
    """Appends the block of `part`. If there is none, the part's breakpoint goes to the block before it."""
    if block:
        blocks.append(block)
    set_client_breakpoint(blocks, part, report)


def _input_block(part: Part, report: Report) -> InputBlockParam | None:
    match part:
        case TextPart(text=text):
            return text_block(text) if text.strip() else None
        case ImagePart():
            return to_image(part, report)
        case FilePart():
            return to_file(part, report)
        case ImageBlock(source=Base64Data(data=data)):
            return image_or_document(data, report.at("source", "data"))
        case ImageBlock():
            return _native_image(part, report)
        case DocumentBlock():
            return _native_document(part, report)
        case SearchResultBlock():
            return _search_result(part, report)
    raise report.at("type").unsupported("Claude takes no audio")


def _assistant_block(part: Part, report: Report) -> ContentBlockParam | None:
    match part:
        case RefusalPart(refusal=text):
            return text_block(text) if text.strip() else None
        case ThinkingBlock() | RedactedThinkingBlock():
            thinking = to_thinking_block(part)
            if thinking is None:
                warn_unsigned(report)
            return thinking
        case ServerToolUseBlock():
            return _server_tool_use(part, report)
        case WebSearchToolResultBlock() | ServerToolResultBlock():
            return _server_tool_result(part, report)
    return _input_block(part, report)


def _drop_trailing_thinking(blocks: list[ContentBlockParam], report: Report) -> None:
    """The API takes no assistant message that ends with thinking."""
    while blocks and is_thinking(blocks[-1]):
        report.warn("thinking at the end of a message cannot be sent back")
        blocks.pop()


def _mark_as_error(result: ToolResultBlockParam, report: Report) -> None:
    """The API requires text, and only text, in a failed result."""
    content = result.get("content", [])
    if any(block["type"] != "text" for block in content):
        report.at("is_error").warn(
            "Claude takes only text in a failed result, so it was sent as a successful one"
        )
        return
    if not content:
        report.at("content").warn("Claude takes no empty failed result, so a text states that the tool failed")
        result["content"] = [text_block(_FAILED_TEXT)]
    result["is_error"] = True


# Anthropic's own content blocks


def _native_image(block: ImageBlock, report: Report) -> ImageBlockParam:
    report = report.at("source")
    match block.source:
        case Base64Data(data=data):
            return image_from_base64(data, report.at("data"))
        case URLData(url=url):
            return {"type": "image", "source": {"type": "url", "url": _checked_url(url, report.at("url"))}}
        case StoredFile():
            raise report.at("file_id").unsupported(FILES_NOT_STORED)


def _native_document(block: DocumentBlock, report: Report) -> DocumentBlockParam:
    document = _document(block, report.at("source"))
    if block.title:
        document["title"] = block.title
    if block.context:
        document["context"] = block.context
    if block.citations:
        document["citations"] = {"enabled": block.citations.enabled}
    return document


def _document(block: DocumentBlock, report: Report) -> DocumentBlockParam:
    match block.source:
        case Base64Data(data=data):
            return document_from_base64(data, report.at("data"))
        case URLData(url=url):
            return {"type": "document", "source": {"type": "url", "url": _checked_url(url, report.at("url"))}}
        case TextData(data=data):
            return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": data}}
        case ContentData():
            return {"type": "document", "source": _content_source(block.source, report)}
        case StoredFile():
            raise report.at("file_id").unsupported(FILES_NOT_STORED)


def _content_source(source: ContentData, report: Report) -> ContentSource:
    if isinstance(source.content, str):
        return {"type": "content", "content": source.content}
    return {
        "type": "content",
        "content": [
            _inner_text(part, report.at("content", index))
            if isinstance(part, TextPart)
            else _inner_image(part, report.at("content", index))
            for index, part in enumerate(source.content)
        ],
    }


def _search_result(block: SearchResultBlock, report: Report) -> SearchResultBlockParam:
    result: SearchResultBlockParam = {
        "type": "search_result",
        "source": block.source,
        "title": block.title,
        "content": [_inner_text(part, report.at("content", index)) for index, part in enumerate(block.content)],
    }
    if block.citations:
        result["citations"] = {"enabled": block.citations.enabled}
    return result


def _inner_image(block: ImageBlock, report: Report) -> ImageBlockParam:
    _check_inner(block, report)
    return _native_image(block, report)


def _inner_text(part: TextPart, report: Report) -> TextBlockParam:
    _check_inner(part, report)
    if not part.text.strip():
        raise report.at("text").invalid("Claude takes no text that is empty or only white space")
    return text_block(part.text)


def _check_inner(part: TextPart | ImageBlock, report: Report) -> None:
    check_extras(part, report)
    if client_cache_control(part, report):
        report.at("cache_control").warn("only the block around it can carry a cache breakpoint")


def _checked_url(url: str, report: Report) -> str:
    if not url.strip().lower().startswith(("https://", "http://")):
        raise report.invalid("expected an https URL")
    reject_url(report)
    return url.strip()


def _server_tool_use(block: ServerToolUseBlock, report: Report) -> ServerToolUseBlockParam:
    given = finite(block.input, report, "input")
    return {"type": "server_tool_use", "id": block.id, "name": block.name, "input": given}


def _server_tool_result(
    block: WebSearchToolResultBlock | ServerToolResultBlock, report: Report
) -> ServerToolResultBlockParam:
    given = block.model_dump(include={"content"}, exclude_none=True)
    content = finite(given["content"], report, "content")
    return {"type": block.type, "tool_use_id": block.tool_use_id, "content": content}


class PendingServerCalls:
    """The calls of Anthropic's server tools in a conversation that have no result yet.

    A result is in the turn of its call. If the model also called the client's tools in that turn, it is in the
    turn after their results instead, and those must be alone in their turn.
    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools
    """

    def __init__(self) -> None:
        self._pending: set[str] = set()
        self._used: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._pending)

    def follow(self, block: ContentBlockParam, report: Report) -> None:
        """Raises APIError 400 for a call that repeats an id and for a result without its call."""
        if block["type"] == "server_tool_use":
            if block["id"] in self._used:
                raise report.invalid(f"two server tool calls have the id '{shorten(block['id'])}'")
            self._used.add(block["id"])
            self._pending.add(block["id"])
        elif _is_server_tool_result(block):
            if block["tool_use_id"] not in self._pending:
                raise report.invalid(
                    f"no server tool call waits for a result of '{shorten(block['tool_use_id'])}'"
                )
            self._pending.remove(block["tool_use_id"])

    def missing_results(self, report: Report) -> APIError:
        """The error for a user message that comes before the results of the pending calls."""
        return report.invalid(
            f"these server tool calls have no result: {shorten(', '.join(sorted(self._pending)))}"
        )


def _is_server_tool_result(block: ContentBlockParam) -> TypeGuard[ServerToolResultBlockParam]:
    return block["type"].endswith("_tool_result")
