"""What clients send as tools, and as the choice among them: OpenAI's shapes and Anthropic's own.

Sources: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
and https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from claudexia.translate.types.base import Marked, Params

_SERVER_TOOL = re.compile(r"[a-z][a-z0-9_]*_\d{8}")
_Name = Annotated[str, Field(min_length=1)]


class FunctionObject(Marked):
    name: _Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class CustomToolFormat(Params):
    """A grammar's own fields stay unnamed: no grammar is taken."""

    type: Literal["text", "grammar"]


class CustomObject(Marked):
    name: _Name
    description: str | None = None
    format: CustomToolFormat | None = None


class AnthropicKeys(Marked):
    """Anthropic's keys of a tool that OpenAI has no word for; clients add them to either shape."""

    input_examples: list[dict[str, object]] | None = None
    eager_input_streaming: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None


class FunctionTool(AnthropicKeys):
    type: str | None = None
    function: FunctionObject | None = None


class CustomTool(AnthropicKeys):
    type: Literal["custom"]
    custom: CustomObject


class AnthropicTool(AnthropicKeys):
    """A tool in Anthropic's shape, as Cursor posts it to this route."""

    type: Literal["custom", "function"] | None = None
    name: _Name
    description: str | None = None
    input_schema: dict[str, object]
    strict: bool | None = None


class ServerTool(Marked):
    """One of Anthropic's own tools, by its dated type; its other keys are for the server to check."""

    type: str
    name: str | None = None


# What the Responses API has flat beside `type`, and chat completions one level down.
_INSIDE: Mapping[str, Sequence[str]] = {
    "function": ("name", "description", "parameters", "strict"),
    "custom": ("name", "description", "format"),
    "allowed_tools": ("mode", "tools"),
}


def _nested(given: object) -> object:
    if not isinstance(given, dict) or "input_schema" in given:
        return given
    kind = given.get("type") or "function"
    if not isinstance(kind, str) or given.get(kind) is not None:
        return given
    inside = {key: given[key] for key in _INSIDE.get(kind, ()) if key in given}
    outside = {key: value for key, value in given.items() if key not in inside}
    return {**outside, kind: inside} if inside else given


def _shape(tool: object) -> str:
    if not isinstance(tool, dict):
        return "FunctionTool"
    kind = tool.get("type")
    if isinstance(kind, str) and _SERVER_TOOL.fullmatch(kind):
        return "ServerTool"
    if "input_schema" in tool and kind in (None, "custom", "function"):
        return "AnthropicTool"
    return "CustomTool" if kind == "custom" else "FunctionTool"


# The tags are no keys of a tool, so that an error's location can be followed in the body.
Tool = Annotated[
    Annotated[FunctionTool, Tag("FunctionTool")]
    | Annotated[CustomTool, Tag("CustomTool")]
    | Annotated[AnthropicTool, Tag("AnthropicTool")]
    | Annotated[ServerTool, Tag("ServerTool")],
    Discriminator(_shape),
    BeforeValidator(_nested),
]


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
    tools: list[
        Annotated[NamedToolChoice | CustomToolChoice, Field(discriminator="type"), BeforeValidator(_nested)]
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
    BeforeValidator(_nested),
]
