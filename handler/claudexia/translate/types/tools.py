"""The tools of a request and the choice among them, in OpenAI's form and Anthropic's.

Sources: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
and https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidatorFunctionWrapHandler, model_validator
from pydantic_core import to_json

from claudexia.translate.types.base import Cacheable, Items, Params

_SERVER_TOOL = re.compile(r"[a-z][a-z0-9_]*_\d{8}")
_Name = Annotated[str, Field(min_length=1)]


class FunctionObject(Cacheable):
    name: _Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class Grammar(Params):
    syntax: str | None = None
    definition: str | None = None


class CustomToolFormat(Grammar):
    """A grammar's fields are in `grammar` or, in the form of the Responses API, beside `type`."""

    type: Literal["text", "grammar"]
    grammar: Grammar | None = None


class CustomObject(Cacheable):
    name: _Name
    description: str | None = None
    format: CustomToolFormat | None = None


class AnthropicKeys(Cacheable):
    """Fields of a tool that only Anthropic has; clients add them to tools of either form."""

    input_examples: Items[dict[str, object]] | None = None
    eager_input_streaming: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: Items[str] | None = None


class FunctionTool(AnthropicKeys):
    type: str | None = None
    function: FunctionObject | None = None


class CustomTool(AnthropicKeys):
    type: Literal["custom"]
    custom: CustomObject


class AnthropicTool(AnthropicKeys):
    """A tool in Anthropic's form, as Cursor sends it to this route."""

    type: Literal["custom", "function"] | None = None
    name: _Name
    description: str | None = None
    input_schema: dict[str, object]
    strict: bool | None = None


class ServerTool(Cacheable):
    """One of Anthropic's own tools, recognized by its dated type; the API checks its other fields."""

    type: str
    name: str | None = None


# Fields that the Responses API has beside `type`, and chat completions in an object of that name.
_NESTED_FIELDS: Mapping[str, Sequence[str]] = {
    "function": ("name", "description", "parameters", "strict"),
    "custom": ("name", "description", "format"),
    "allowed_tools": ("mode", "tools"),
}


def nested(given: object) -> object:
    """The form of chat completions for that of the Responses API; anything else unchanged."""
    if given == "any":  # Anthropic's word
        return "required"
    kind = _flat_kind(given)
    if kind is None or not isinstance(given, dict):
        return given
    nested = {key: given[key] for key in _NESTED_FIELDS[kind] if key in given}
    others = {key: value for key, value in given.items() if key not in nested}
    return {**others, kind: nested}


def _flat_kind(given: object) -> str | None:
    """The type of `given` if it is in the form of the Responses API; None if not."""
    if not isinstance(given, dict) or "input_schema" in given:
        return None
    kind = given.get("type") or "function"
    if not isinstance(kind, str) or given.get(kind) is not None:
        return None
    return kind if any(key in given for key in _NESTED_FIELDS.get(kind, ())) else None


class FlatFunctionTool(FunctionTool):
    """In the form of the Responses API: the function's fields stand in the tool."""

    _nest = model_validator(mode="before")(nested)


class FlatCustomTool(CustomTool):
    """In the form of the Responses API, like FlatFunctionTool."""

    _nest = model_validator(mode="before")(nested)


def _tool_tag(tool: object) -> str:
    if not isinstance(tool, dict):
        return "FunctionTool"
    if flat_kind := _flat_kind(tool):
        return "FlatCustomTool" if flat_kind == "custom" else "FlatFunctionTool"
    kind = tool.get("type")
    if isinstance(kind, str) and _SERVER_TOOL.fullmatch(kind):
        return "ServerTool"
    if "input_schema" in tool and kind in (None, "custom", "function"):
        return "AnthropicTool"
    return "CustomTool" if kind == "custom" else "FunctionTool"


# No tag is a field of a tool, so parse.py can distinguish tags from fields in the location of an error.
Tool = Annotated[
    Annotated[FunctionTool, Tag("FunctionTool")]
    | Annotated[FlatFunctionTool, Tag("FlatFunctionTool")]
    | Annotated[CustomTool, Tag("CustomTool")]
    | Annotated[FlatCustomTool, Tag("FlatCustomTool")]
    | Annotated[AnthropicTool, Tag("AnthropicTool")]
    | Annotated[ServerTool, Tag("ServerTool")],
    Discriminator(_tool_tag),
]


class SharedTools(list[Tool]):
    """The tools of all requests that have the same ones, so nothing may change them.

    `derived` holds what was made of them, by all else that it depends on.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        super().__init__(tools)
        self.derived: dict[Hashable, object] = {}


class _RecentTools:
    """The tools of recent requests by their JSON: an agent sends the same ones in every request of a loop.

    Limited in number and size: the bytes of JSON and, since a tool of few bytes has as many objects as another
    one, _BYTES_PER_TOOL for each. The objects take about ten times as much memory, and at most 30 times.
    """

    _MAX_NUMBER, _MAX_SIZE, _MAX_SIZE_EACH = 32, 1_000_000, 250_000
    _BYTES_PER_TOOL = 150

    def __init__(self) -> None:
        self._tools: dict[bytes, SharedTools] = {}
        self._size = 0
        self._lock = Lock()  # large requests are read in other threads

    def get(self, key: bytes) -> SharedTools | None:
        with self._lock:
            tools = self._tools.pop(key, None)
            if tools is not None:
                self._tools[key] = tools
            return tools

    def add(self, key: bytes, tools: SharedTools) -> None:
        with self._lock:
            if key in self._tools or self._size_of(key, tools) > self._MAX_SIZE_EACH:
                return
            self._tools[key] = tools
            self._size += self._size_of(key, tools)
            while self._size > self._MAX_SIZE or len(self._tools) > self._MAX_NUMBER:
                oldest = next(iter(self._tools))
                self._size -= self._size_of(oldest, self._tools.pop(oldest))

    def _size_of(self, key: bytes, tools: SharedTools) -> int:
        return len(key) + self._BYTES_PER_TOOL * len(tools)


_recent = _RecentTools()


def shared(given: object, validate: ValidatorFunctionWrapHandler) -> object:
    """A list of tools as SharedTools, so that it is validated and translated once."""
    if not isinstance(given, list) or not given:
        return validate(given)
    key = to_json(given)
    tools = _recent.get(key)
    if tools is None:
        tools = SharedTools(validate(given))
        _recent.add(key, tools)
    return tools


class ToolName(Params):
    name: str


class NamedToolChoice(Params):
    type: Literal["function"]
    function: ToolName


class CustomToolChoice(Params):
    type: Literal["custom"]
    custom: ToolName


class AllowedTools(Params):
    mode: Literal["auto", "required"]
    tools: Items[
        Annotated[NamedToolChoice | CustomToolChoice, Field(discriminator="type"), BeforeValidator(nested)]
    ]


class AllowedToolsChoice(Params):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class AnthropicToolChoice(Params):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


ToolChoice = Annotated[
    Literal["none", "auto", "required"]
    | Annotated[
        NamedToolChoice | AllowedToolsChoice | CustomToolChoice | AnthropicToolChoice,
        Field(discriminator="type"),
    ],
    BeforeValidator(nested),
]
