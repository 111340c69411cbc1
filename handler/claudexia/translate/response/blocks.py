"""Content blocks of Claude's answer in OpenAI's terms, complete or streamed: tool calls, thinking, citations.

    the client declared        complete                        streamed
    a function                 tool_calls[].function           FunctionCallEncoder
    a custom tool              tool_calls[].custom             CustomToolCallEncoder
    one of `functions`         function_call                   LegacyFunctionCallEncoder

Thinking becomes `reasoning_content` (its text) and `thinking_blocks` (the signed blocks). Neither is a field of
OpenAI's API; both are common among its clients. The signed blocks are for sending back: Claude takes them only
unchanged and complete, so a block without its signature is left out.

Citations of a web search become annotations. Claude cites a text block as a whole, so an annotation spans the
block's part of `content`. OpenAI has no annotation for citations of the caller's own documents (char_location,
page_location, content_block_location).

Sources: https://platform.openai.com/docs/api-reference/chat/object,
https://platform.claude.com/docs/en/build-with-claude/extended-thinking and
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations
"""

from collections.abc import Iterable, Iterator

from pydantic_core import to_json

from claudexia.translate.report import ResponseOptions
from claudexia.translate.response.text_filters import CustomToolInput, ObjectText
from claudexia.translate.types.anthropic import Citation, ContentBlock, ContentDelta
from claudexia.translate.types.openai import (
    Annotation,
    ChoiceDelta,
    CustomDelta,
    Function,
    FunctionDelta,
    ThinkingBlock,
    ToolCall,
)


def to_tool_call(block: ContentBlock, options: ResponseOptions) -> ToolCall:
    if block["name"] in options.custom:
        decoder = CustomToolInput()
        text = decoder.feed(tool_arguments(block)) + decoder.close()
        name = options.original_name(block["name"])
        return {"id": block["id"], "type": "custom", "custom": {"name": name, "input": text}}
    return {"id": block["id"], "type": "function", "function": to_function(block, options)}


def to_function(block: ContentBlock, options: ResponseOptions) -> Function:
    arguments = tool_arguments(block)
    if names := options.argument_names.get(block["name"]):
        renamed = ObjectText(names)
        arguments = renamed.feed(arguments) + renamed.close()
    return {"name": options.original_name(block["name"]), "arguments": arguments}


def tool_arguments(block: ContentBlock) -> str:
    """A tool's input as JSON; "{}" without input, so that every client can parse it."""
    return block.get("partial_json") or to_json(block.get("input") or {}).decode()


class FunctionCallEncoder:
    """Encodes a function call; its arguments are sent as the model writes them.

    `index` is the position among the answer's calls.
    """

    def __init__(self, index: int, block: ContentBlock, options: ResponseOptions) -> None:
        self._index = index
        self._block = block
        self._name = options.original_name(block["name"])
        self._has_input = False
        names = options.argument_names.get(block["name"])
        self._renamed = ObjectText(names) if names else None

    def open(self) -> ChoiceDelta:
        function: FunctionDelta = {"name": self._name, "arguments": ""}
        id_ = self._block["id"]
        return {"tool_calls": [{"index": self._index, "id": id_, "type": "function", "function": function}]}

    def feed(self, delta: ContentDelta) -> ChoiceDelta | None:
        text = delta.get("partial_json")
        if not text:
            return None
        self._has_input = True
        if self._renamed and not (text := self._renamed.feed(text)):
            return None
        return self._piece(text)

    def close(self) -> ChoiceDelta | None:
        """A call without deltas gets the arguments from its content_block_start, or "{}"."""
        text = "" if self._has_input else tool_arguments(self._block)
        if self._renamed:
            text = self._renamed.feed(text) + self._renamed.close()
        return self._piece(text) if text else None

    def _piece(self, text: str) -> ChoiceDelta:
        return {"tool_calls": [{"index": self._index, "function": {"arguments": text}}]}


class LegacyFunctionCallEncoder(FunctionCallEncoder):
    """Encodes a function call as `function_call`, the field that `tool_calls` replaced."""

    def open(self) -> ChoiceDelta:
        return {"function_call": {"name": self._name, "arguments": ""}}

    def _piece(self, text: str) -> ChoiceDelta:
        return {"function_call": {"arguments": text}}


class CustomToolCallEncoder:
    """Encodes a call of a custom tool; its input is sent as far as it can be decoded.

    OpenAI's Python SDK has no type for such a delta but merges it like any other; its JavaScript SDK has one.
    """

    def __init__(self, index: int, block: ContentBlock, options: ResponseOptions) -> None:
        self._index = index
        self._block = block
        self._name = options.original_name(block["name"])
        self._has_input = False
        self._input = CustomToolInput()

    def open(self) -> ChoiceDelta:
        custom: CustomDelta = {"name": self._name, "input": ""}
        id_ = self._block["id"]
        return {"tool_calls": [{"index": self._index, "id": id_, "type": "custom", "custom": custom}]}

    def feed(self, delta: ContentDelta) -> ChoiceDelta | None:
        text = delta.get("partial_json")
        if not text:
            return None
        self._has_input = True
        return self._piece(self._input.feed(text))

    def close(self) -> ChoiceDelta | None:
        text = "" if self._has_input else self._input.feed(tool_arguments(self._block))
        return self._piece(text + self._input.close())

    def _piece(self, text: str) -> ChoiceDelta | None:
        return {"tool_calls": [{"index": self._index, "custom": {"input": text}}]} if text else None


def to_thinking_block(block: ContentBlock, host: str) -> ThinkingBlock | None:
    """None for other blocks, and for thinking that was cut off before its signature. `host` may be ""."""
    kind, data, signature = block.get("type"), block.get("data"), block.get("signature")
    thinking: ThinkingBlock
    if kind == "redacted_thinking" and data:
        thinking = {"type": "redacted_thinking", "data": data}
    elif kind == "thinking" and signature:
        thinking = {"type": "thinking", "thinking": block.get("thinking") or "", "signature": signature}
    else:
        return None
    if host:
        thinking["host"] = host
    return thinking


class ThinkingEncoder:
    """Encodes a thinking block. `indices` gives each signed block of the answer its index."""

    def __init__(self, block: ContentBlock, options: ResponseOptions, indices: Iterator[int]) -> None:
        self._block = block
        self._options = options
        self._indices = indices
        self._text = [block.get("thinking") or ""]
        self._signature = [block.get("signature") or ""]

    def open(self) -> ChoiceDelta | None:
        return self._reasoning(self._text[0])

    def feed(self, delta: ContentDelta) -> ChoiceDelta | None:
        text = delta.get("thinking") or ""
        self._text.append(text)
        self._signature.append(delta.get("signature") or "")
        return self._reasoning(text)

    def close(self) -> ChoiceDelta | None:
        """The signed block as a whole: clients that merge lists cannot join a block from several deltas."""
        if not self._options.thinking_blocks:
            return None
        text, signature = "".join(self._text), "".join(self._signature)
        complete: ContentBlock = {**self._block, "thinking": text, "signature": signature}
        block = to_thinking_block(complete, self._options.host)
        return {"thinking_blocks": [{"index": next(self._indices), **block}]} if block else None

    def _reasoning(self, text: str) -> ChoiceDelta | None:
        return {"reasoning_content": text} if text and self._options.reasoning else None


def to_annotations(citations: Iterable[Citation], start: int, end: int) -> list[Annotation]:
    """`start` and `end` are offsets in `content`, in code points. Repeated citations of a page are merged."""
    pages = dict.fromkeys(
        (citation["url"], citation.get("title") or citation["url"])  # the title is never null in OpenAI's API
        for citation in citations
        if citation.get("type") == "web_search_result_location"
    )
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title},
        }
        for url, title in pages
    ]


class CitedText:
    """Collects the annotations of streamed text: start() a text block, cite() its sources, end() it."""

    def __init__(self) -> None:
        self.annotations: list[Annotation] = []
        self._start = 0
        self._citations: list[Citation] = []

    def start(self, start: int, citations: Iterable[Citation] | None) -> None:
        self._start = start
        self._citations = list(citations or ())

    def cite(self, citation: Citation) -> None:
        self._citations.append(citation)

    def end(self, end: int) -> None:
        """May be called without an open block."""
        if self._citations:
            self.annotations += to_annotations(self._citations, self._start, end)
            self._citations.clear()
