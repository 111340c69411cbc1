"""tool_use blocks as OpenAI's calls: whole, and on their way.

    the client declared        whole                           on its way
    a function                 tool_calls[].function           FunctionCall
    a custom tool              tool_calls[].custom             CustomCall
    one of `functions`         function_call                   LegacyFunctionCall

Source: https://platform.openai.com/docs/api-reference/chat
"""

from pydantic_core import to_json

from claudexia.translate.anthropic import ContentBlock, ContentDelta
from claudexia.translate.custom_input import CustomInput
from claudexia.translate.openai import ChoiceDelta, CustomDelta, Function, FunctionDelta, ToolCall
from claudexia.translate.reading import Reading


def to_tool_call(block: ContentBlock, reading: Reading) -> ToolCall:
    if block["name"] in reading.custom:
        decoder = CustomInput()
        text = decoder.feed(_arguments(block)) + decoder.close()
        name = reading.original_name(block["name"])
        return {"id": block["id"], "type": "custom", "custom": {"name": name, "input": text}}
    return {"id": block["id"], "type": "function", "function": to_function(block, reading)}


def to_function(block: ContentBlock, reading: Reading) -> Function:
    return {"name": reading.original_name(block["name"]), "arguments": _arguments(block)}


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
