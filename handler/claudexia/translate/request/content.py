"""The content of one message as Claude's content blocks.

The API rejects empty and blank text, so neither is sent. OpenAI's messages may contain Anthropic's own content
blocks: they are checked and passed on as they are.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar, cast

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
    SignedThinking,
    thinking_beside_content,
    to_thinking_block,
    warn_unsigned,
)
from claudexia.translate.request.tool_calls import Call, ToolCalls, function_call_id
from claudexia.translate.types.anthropic import (
    THINKING_TYPES,
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
    ChatMessage,
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

_ROLE_AND_CONTENT = {"role", "content"}
_TYPE_AND_TEXT = {"type", "text"}
_FAILED_TEXT = "(The tool failed without a message.)"


def text_block(text: str) -> TextBlockParam:
    return {"type": "text", "text": text}


def only_text(message: ChatMessage) -> str | None:
    """The text of a message that has only that and the role system, user or assistant; None of others."""
    if message.__pydantic_fields_set__ != _ROLE_AND_CONTENT or message.role == "function":
        return None
    content = message.content
    return content if type(content) is str else None


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
    if inner := last_cache_control(content):
        control = control or inner
        content = without_cache_control(content)
    if control:
        result["cache_control"] = control
    if content:
        result["content"] = content
    if not isinstance(given, FunctionMessage) and given.is_error:
        _mark_as_error(result, _is_text(content), report)
    return result


class ToolResults:
    """The results of the tool calls. Claude takes one for each call, so further ones are joined."""

    def __init__(self) -> None:
        # By the upstream id of the call.
        self._results: dict[str, ToolResultBlockParam] = {}
        # Whether the joined results hold nothing but text.
        self._text_only: dict[str, bool] = {}

    def add(
        self, given: ToolMessage | FunctionMessage | ToolResultBlock, upstream_id: str, report: Report
    ) -> list[ToolResultBlockParam]:
        """The result; none if it was joined with an earlier one of the same call."""
        result = to_tool_result(given, upstream_id, report)
        earlier = self._results.setdefault(upstream_id, result)
        if earlier is result:
            return [result]
        self._join(earlier, result, report)
        return []

    def _join(self, result: ToolResultBlockParam, further: ToolResultBlockParam, report: Report) -> None:
        report.warn("Claude takes one result for each call, so it was joined with the one before it")
        content, added = cast("list[InputBlockParam]", result.get("content", [])), further.get("content", [])
        upstream_id = result["tool_use_id"]
        if upstream_id not in self._text_only:
            self._text_only[upstream_id] = _is_text(content)
        self._text_only[upstream_id] &= _is_text(added)
        failed = result.pop("is_error", False) or further.get("is_error", False)
        if added:
            content += added  # not a new list, since a call may have any number of results
            result["content"] = content
        if control := further.get("cache_control"):
            result["cache_control"] = control
        if failed:
            _mark_as_error(result, self._text_only[upstream_id], report)


def to_assistant_content(
    index: int, message: AssistantMessage, tool_calls: ToolCalls, report: Report
) -> tuple[list[ContentBlockParam], list[Call]]:
    """All blocks of `messages[index]`, and of those the tool calls with their client ids."""
    blocks: list[ContentBlockParam] = []
    calls: list[Call] = []
    if message.thinking_blocks or message.reasoning_details:
        blocks += thinking_beside_content(message, report)
    if isinstance(message.content, str):
        blocks += text_blocks(message.content)
    elif message.content:
        calls += _add_parts(message.content, blocks, tool_calls, report)
    if message.refusal:
        blocks += text_blocks(message.refusal)
    if message.tool_calls or message.function_call:
        outer_calls = calls_beside_content(index, message, tool_calls, dict(calls), report)
        blocks += [block for _, block in outer_calls]
        calls += outer_calls
    _drop_trailing_thinking(blocks, report)
    set_client_breakpoint(blocks, message, report)
    return blocks, calls


def _add_parts(
    parts: Sequence[Part], blocks: list[ContentBlockParam], tool_calls: ToolCalls, report: Report
) -> list[Call]:
    """Appends the block of each part. Returns the calls among them."""
    calls: list[Call] = []
    for number, part in enumerate(parts):
        if _is_plain_text(part):
            blocks += text_blocks(part.text)
            continue
        kind = type(part)
        if kind is InputJSONDelta:
            continue
        place = report.at("content", number)
        check_extras(part, place)
        if kind is ToolUseBlock or kind is ToolCall:
            call = tool_calls.from_part(cast("ToolUseBlock | ToolCall", part), place)
            calls.append(call)
            _append(call[1], part, blocks, place)
        else:
            convert = _ASSISTANT_BLOCKS.get(kind, _input_block)
            _append(convert(part, place), part, blocks, place)
    return calls


def calls_beside_content(
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


def _is_plain_text(part: Part) -> TypeGuard[TextPart]:
    """Whether nothing but the text of `part` is to be translated."""
    return type(part) is TextPart and (part.__pydantic_fields_set__ == _TYPE_AND_TEXT or is_plain(part))


def _input_blocks(content: str | Sequence[Part] | None, report: Report) -> list[InputBlockParam]:
    if content is None:
        return []
    if isinstance(content, str):
        return [*text_blocks(content)]
    blocks: list[InputBlockParam] = []
    for number, part in enumerate(content):
        if _is_plain_text(part):
            blocks += text_blocks(part.text)
        elif type(part) is not ToolResultBlock:
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
    convert = _INPUT_BLOCKS.get(type(part))
    if convert is None:
        raise report.at("type").unsupported("Claude takes no audio")
    return convert(part, report)


def _text(part: TextPart, report: Report) -> TextBlockParam | None:
    return text_block(part.text) if part.text.strip() else None


def _refusal(part: RefusalPart, report: Report) -> TextBlockParam | None:
    return text_block(part.refusal) if part.refusal.strip() else None


def _thinking(part: ThinkingBlock | RedactedThinkingBlock, report: Report) -> SignedThinking | None:
    thinking = to_thinking_block(part)
    if thinking is None:
        warn_unsigned(report)
    return thinking


def _drop_trailing_thinking(blocks: list[ContentBlockParam], report: Report) -> None:
    """The API takes no assistant message that ends with thinking."""
    while blocks and blocks[-1]["type"] in THINKING_TYPES:
        report.warn("thinking at the end of a message cannot be sent back")
        blocks.pop()


def _is_text(content: Iterable[InputBlockParam]) -> bool:
    return all(block["type"] == "text" for block in content)


def _mark_as_error(result: ToolResultBlockParam, text_only: bool, report: Report) -> None:
    """The API requires text, and only text, in a failed result."""
    if not text_only:
        report.at("is_error").warn(
            "Claude takes only text in a failed result, so it was sent as a successful one"
        )
        return
    if not result.get("content"):
        report.at("content").warn("Claude takes no empty failed result, so a text states that the tool failed")
        result["content"] = [text_block(_FAILED_TEXT)]
    result["is_error"] = True


# Anthropic's own content blocks


def _image(block: ImageBlock, report: Report) -> ImageBlockParam | DocumentBlockParam:
    """Some clients send every file as an image."""
    if isinstance(block.source, Base64Data):
        return image_or_document(block.source.data, report.at("source", "data"))
    return _native_image(block, report)


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


# By the type of the part: an exact match costs less than isinstance(), of which pydantic has its own.
_INPUT_BLOCKS: Mapping[type[Part], Callable[[Any, Report], InputBlockParam | None]] = {
    TextPart: _text,
    ImagePart: to_image,
    FilePart: to_file,
    ImageBlock: _image,
    DocumentBlock: _native_document,
    SearchResultBlock: _search_result,
}
_ASSISTANT_BLOCKS: Mapping[type[Part], Callable[[Any, Report], ContentBlockParam | None]] = {
    **_INPUT_BLOCKS,
    RefusalPart: _refusal,
    ThinkingBlock: _thinking,
    RedactedThinkingBlock: _thinking,
    ServerToolUseBlock: _server_tool_use,
    WebSearchToolResultBlock: _server_tool_result,
    ServerToolResultBlock: _server_tool_result,
}


class PendingServerCalls:
    """The calls of Anthropic's server tools in a conversation that have no result yet.

    A result is in the turn of its call. If the model also called the client's tools in that turn, it is in the
    turn after their results instead, and those must be alone in their turn.
    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools
    """

    def __init__(self) -> None:
        self.pending: set[str] = set()
        self._used: set[str] = set()

    def follow(self, block: ContentBlockParam) -> str | None:
        """Why the API takes no such block here: a call that repeats an id, or a result without its call."""
        if block["type"] == "server_tool_use":
            if block["id"] in self._used:
                return f"two server tool calls have the id '{shorten(block['id'])}'"
            self._used.add(block["id"])
            self.pending.add(block["id"])
        elif _is_server_tool_result(block):
            if block["tool_use_id"] not in self.pending:
                return f"no server tool call waits for a result of '{shorten(block['tool_use_id'])}'"
            self.pending.remove(block["tool_use_id"])
        return None

    def missing_results(self, report: Report) -> APIError:
        """The error for a user message that comes before the results of the pending calls."""
        return report.invalid(
            f"these server tool calls have no result: {shorten(', '.join(sorted(self.pending)))}"
        )


def _is_server_tool_result(block: ContentBlockParam) -> TypeGuard[ServerToolResultBlockParam]:
    return block["type"].endswith("_tool_result")
