"""Anthropic's own content blocks inside OpenAI's messages: checked, then passed on as they are.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Iterable
from typing import TypeGuard

from claudexia.translate.anthropic_params import (
    ContentBlockParam,
    ContentSource,
    DocumentBlockParam,
    ImageBlockParam,
    SearchResultBlockParam,
    ServerToolResultBlockParam,
    ServerToolUseBlockParam,
    TextBlockParam,
)
from claudexia.translate.data_urls import invalid
from claudexia.translate.errors import unsupported
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.files import NO_STORE, pdf_from_base64
from claudexia.translate.images import from_base64
from claudexia.translate.marks import client_mark
from claudexia.translate.native_params import (
    Base64Data,
    ContentData,
    DocumentBlock,
    ImageBlock,
    SearchResultBlock,
    ServerToolResultBlock,
    ServerToolUseBlock,
    StoredFile,
    TextData,
    URLData,
    WebSearchToolResultBlock,
)
from claudexia.translate.part_params import TextPart

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
            _text(part, f"{path}.content[{index}]", report) for index, part in enumerate(block.content)
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
            _text(part, f"{path}.content[{index}]", report)
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


def _text(part: TextPart, path: str, report: Report) -> TextBlockParam:
    _check_inner(part, path, report)
    if not part.text.strip():
        raise invalid(f"{path}.text", _NO_TEXT)
    return {"type": "text", "text": part.text}


def _checked(url: str, path: str) -> str:
    if not url.strip().lower().startswith(("https://", "http://")):
        raise invalid(path, "expected an https URL")
    return url.strip()
