"""tool_use blocks as OpenAI's calls: whole, and on their way.

    the client declared        whole                           on its way
    a function                 tool_calls[].function           FunctionCall
    a custom tool              tool_calls[].custom             CustomCall
    one of `functions`         function_call                   LegacyFunctionCall

Source: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Iterable, Iterator

from pydantic_core import to_json

from claudexia.translate.report import ResponseOptions
from claudexia.translate.response.text_filters import CustomInput
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
        decoder = CustomInput()
        text = decoder.feed(_arguments(block)) + decoder.close()
        name = options.original_name(block["name"])
        return {"id": block["id"], "type": "custom", "custom": {"name": name, "input": text}}
    return {"id": block["id"], "type": "function", "function": to_function(block, options)}


def to_function(block: ContentBlock, options: ResponseOptions) -> Function:
    return {"name": options.original_name(block["name"]), "arguments": _arguments(block)}


def _arguments(block: ContentBlock) -> str:
    """A tool's input as JSON; no input is "{}", which every client can parse."""
    return block.get("partial_json") or to_json(block.get("input") or {}).decode()


class FunctionCall:
    """A function called; its arguments are told as the model writes them."""

    def __init__(self, index: int, block: ContentBlock, name: str) -> None:
        """`index` counts the calls of an answer, `name` is the client's."""
        self._index = index
        self._block = block
        self._name = name
        self._begun = False

    def open(self) -> ChoiceDelta:
        function: FunctionDelta = {"name": self._name, "arguments": ""}
        id_ = self._block["id"]
        return {"tool_calls": [{"index": self._index, "id": id_, "type": "function", "function": function}]}

    def feed(self, delta: ContentDelta) -> ChoiceDelta | None:
        text = delta.get("partial_json")
        if not text:
            return None
        self._begun = True
        return self._piece(text)

    def close(self) -> ChoiceDelta | None:
        """A call that got no arguments gets those of its block's start, or "{}"."""
        return None if self._begun else self._piece(_arguments(self._block))

    def _piece(self, text: str) -> ChoiceDelta:
        return {"tool_calls": [{"index": self._index, "function": {"arguments": text}}]}


class LegacyFunctionCall(FunctionCall):
    """The same in the words that `tool_calls` replaced."""

    def open(self) -> ChoiceDelta:
        return {"function_call": {"name": self._name, "arguments": ""}}

    def _piece(self, text: str) -> ChoiceDelta:
        return {"function_call": {"arguments": text}}


class CustomCall:
    """A custom tool called; its input is told as far as it can be read.

    OpenAI's Python SDK has no type for such a delta, but folds it like any other; its JavaScript SDK has one.
    """

    def __init__(self, index: int, block: ContentBlock, name: str) -> None:
        self._index = index
        self._block = block
        self._name = name
        self._begun = False
        self._input = CustomInput()

    def open(self) -> ChoiceDelta:
        custom: CustomDelta = {"name": self._name, "input": ""}
        id_ = self._block["id"]
        return {"tool_calls": [{"index": self._index, "id": id_, "type": "custom", "custom": custom}]}

    def feed(self, delta: ContentDelta) -> ChoiceDelta | None:
        text = delta.get("partial_json")
        if not text:
            return None
        self._begun = True
        return self._piece(self._input.feed(text))

    def close(self) -> ChoiceDelta | None:
        text = "" if self._begun else self._input.feed(_arguments(self._block))
        return self._piece(text + self._input.close())

    def _piece(self, text: str) -> ChoiceDelta | None:
        return {"tool_calls": [{"index": self._index, "custom": {"input": text}}]} if text else None


# --- claudexia.translate.told_thinking
# Thinking as clients know it: its text as `reasoning_content`, its signed blocks as `thinking_blocks`.
#
# Neither is OpenAI's; both are what its clients have come to read. The signed blocks are for sending back, which
# Claude takes only unchanged and whole: one without its signature is not told.
#
# Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking


def to_thinking_block(block: ContentBlock) -> ThinkingBlock | None:
    """None for what is no thinking, and for thinking that was cut before its signature came."""
    kind, data, signature = block.get("type"), block.get("data"), block.get("signature")
    if kind == "redacted_thinking" and data:
        return {"type": "redacted_thinking", "data": data}
    if kind == "thinking" and signature:
        return {"type": "thinking", "thinking": block.get("thinking") or "", "signature": signature}
    return None


class Thinking:
    """A thinking block on its way. `numbers` gives the next signed block of the answer its index."""

    def __init__(self, block: ContentBlock, options: ResponseOptions, numbers: Iterator[int]) -> None:
        self._block = block
        self._options = options
        self._numbers = numbers
        self._text = [block.get("thinking") or ""]
        self._signature = block.get("signature") or ""

    def open(self) -> ChoiceDelta | None:
        return self._reasoning(self._text[0])

    def feed(self, delta: ContentDelta) -> ChoiceDelta | None:
        text = delta.get("thinking") or ""
        self._text.append(text)
        self._signature += delta.get("signature") or ""
        return self._reasoning(text)

    def close(self) -> ChoiceDelta | None:
        """The signed block in one piece: clients that fold lists cannot put a block together from several."""
        if not self._options.thinking_blocks:
            return None
        whole: ContentBlock = {**self._block, "thinking": "".join(self._text), "signature": self._signature}
        block = to_thinking_block(whole)
        return {"thinking_blocks": [{"index": next(self._numbers), **block}]} if block else None

    def _reasoning(self, text: str) -> ChoiceDelta | None:
        return {"reasoning_content": text} if text and self._options.reasoning else None


# --- claudexia.translate.annotations
# What a web search found, as OpenAI's annotations of the text.
#
# Claude cites a text block as a whole, so an annotation spans its block's part of `content`. What a document of
# the caller's own is cited for (char_location, page_location, content_block_location) has no word of OpenAI's.
#
# Sources: https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations and
# https://platform.openai.com/docs/api-reference/chat/object


def to_annotations(citations: Iterable[Citation], start: int, end: int) -> list[Annotation]:
    """`start` and `end` are places in `content`, in code points. A page cited twice for them is told once."""
    annotations: list[Annotation] = []
    for citation in citations:
        if citation.get("type") != "web_search_result_location":
            continue
        url = citation["url"]
        annotation: Annotation = {
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": end,
                "url": url,
                "title": citation.get("title") or url,  # OpenAI's is never null
            },
        }
        if annotation not in annotations:
            annotations.append(annotation)
    return annotations


class CitedText:
    """The annotations of a text on its way: begin() a text block, cite() its sources, end() it."""

    def __init__(self) -> None:
        self.annotations: list[Annotation] = []
        self._start = 0
        self._citations: list[Citation] = []

    def begin(self, start: int, citations: Iterable[Citation] | None) -> None:
        self._start = start
        self._citations = list(citations or ())

    def cite(self, citation: Citation) -> None:
        self._citations.append(citation)

    def end(self, end: int) -> None:
        """May be called where no block has begun."""
        if self._citations:
            self.annotations += to_annotations(self._citations, self._start, end)
            self._citations.clear()
