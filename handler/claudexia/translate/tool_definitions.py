"""Definition: one tool of the client's as Claude takes it.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

from claudexia.translate.anthropic_params import JSONSchema, ServerToolParam, ToolParam, ToolUnionParam
from claudexia.translate.errors import invalid_request, missing, unsupported
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.input_schema import to_input_schema
from claudexia.translate.marks import client_mark
from claudexia.translate.params import Params
from claudexia.translate.tool_names import ToolNames
from claudexia.translate.tool_params import (
    AnthropicKeys,
    AnthropicTool,
    CustomObject,
    CustomTool,
    FunctionObject,
    FunctionTool,
    ServerTool,
    Tool,
)

_TEXT_INPUT: JSONSchema = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input, as plain text."}},
    "required": ["input"],
}
_MARKS = {"cache_control", "prompt_cache_breakpoint"}


class Definition(NamedTuple):
    """`named_at` is the path of its name and `strict_at` that of the flag that asks for strict, "" without.

    A `custom` tool takes its text as the one property `input`.
    """

    param: ToolUnionParam
    named_at: str
    strict_at: str = ""
    custom: bool = False


def to_definition(tool: Tool, path: str, names: ToolNames, report: Report) -> Definition:
    """The tool at `path`. Raises APIError 400 where Claude could not be given it."""
    if isinstance(tool, ServerTool):
        return Definition(_server_tool(tool, path, report), f"{path}.name")
    check_extras(tool, path, report)
    if isinstance(tool, FunctionTool):
        found = _function_tool(tool, path, names, report)
    elif isinstance(tool, CustomTool):
        found = _custom(tool.custom, f"{path}.custom", names, report)
    else:
        found = _anthropic(tool, path, names, report)
    # Each of the three is a tool of the client's, never one of the server's.
    param = cast("ToolParam", {**found.param, **_anthropic_keys(tool)})
    _mark(param, tool, path, report)
    return Definition(param, found.named_at, found.strict_at, found.custom)


def to_function(function: FunctionObject, path: str, names: ToolNames, report: Report) -> Definition:
    """The function at `path`, be it in a tool or one of the legacy `functions`."""
    check_extras(function, path, report)
    schema, rule = to_input_schema(function.parameters, function.name, f"{path}.parameters", report)
    param = _param(names.wire(function.name), schema, function.description, rule)
    _mark(param, function, path, report)
    return Definition(param, f"{path}.name", f"{path}.strict" if function.strict else "")


def refuse_twins(definitions: Sequence[Definition]) -> None:
    seen: set[str] = set()
    for definition in definitions:
        name = definition.param.get("name")
        if name is None:  # a toolset of Anthropic's has none
            continue
        if name in seen:
            raise invalid_request(
                f"Invalid '{definition.named_at}': two tools have the name '{name}'.",
                definition.named_at,
                "invalid_value",
            )
        seen.add(name)


def _function_tool(tool: FunctionTool, path: str, names: ToolNames, report: Report) -> Definition:
    if tool.type not in (None, "function"):
        raise invalid_request(
            f"Invalid value: '{tool.type[:60]}'. Supported values are: 'function' and 'custom'.",
            f"{path}.type",
            "invalid_value",
        )
    if tool.function is None:
        raise missing(f"{path}.function")
    return to_function(tool.function, f"{path}.function", names, report)


def _custom(custom: CustomObject, path: str, names: ToolNames, report: Report) -> Definition:
    check_extras(custom, path, report)
    if custom.format:
        if custom.format.type == "grammar":
            raise unsupported(f"{path}.format", "Claude cannot be held to a grammar; take the format 'text'")
        check_extras(custom.format, f"{path}.format", report)
    param = _param(names.wire(custom.name), _TEXT_INPUT, custom.description)
    _mark(param, custom, path, report)
    return Definition(param, f"{path}.name", custom=True)


def _anthropic(tool: AnthropicTool, path: str, names: ToolNames, report: Report) -> Definition:
    schema, rule = to_input_schema(tool.input_schema, tool.name, f"{path}.input_schema", report)
    param = _param(names.wire(tool.name), schema, tool.description, rule)
    if tool.strict is not None:
        param["strict"] = tool.strict
    return Definition(param, f"{path}.name")


def _server_tool(tool: ServerTool, path: str, report: Report) -> ServerToolParam:
    given = tool.model_dump(exclude_unset=True)
    param = cast("ServerToolParam", {key: value for key, value in given.items() if key not in _MARKS})
    _mark(param, tool, path, report)
    return param


def _param(name: str, schema: JSONSchema, *description: str | None) -> ToolParam:
    param: ToolParam = {"name": name, "input_schema": schema}
    if told := [text for text in description if text and text.strip()]:
        param["description"] = "\n\n".join(told)
    return param


def _anthropic_keys(tool: AnthropicKeys) -> dict[str, object]:
    given = {key: getattr(tool, key) for key in AnthropicKeys.__annotations__}
    return {key: value for key, value in given.items() if value not in (None, [])}


def _mark(param: ToolParam | ServerToolParam, given: Params, path: str, report: Report) -> None:
    if mark := client_mark(given, path, report):
        param["cache_control"] = mark
