"""Tools: definitions, the choice among them, and names as Claude accepts them.

`tools`, `tool_choice` and `parallel_tool_calls` need each other and the model's capabilities.
Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from claudexia.translate.anthropic_params import JSONSchema, ToolChoiceParam, ToolParam
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.errors import APIError, invalid_request, missing, unsupported
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.models import Model
from claudexia.translate.tool_params import (
    AllowedToolsChoice,
    CustomToolChoice,
    FunctionObject,
    NamedToolChoice,
    Tool,
)

_VALID_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OUTSIDE = re.compile(r"[^a-zA-Z0-9_-]")
_NO_PARAMETERS: JSONSchema = {"type": "object", "properties": {}}
_NO_CUSTOM = "custom tools are not translated by this version of the gateway yet"
_UNIONS = ("oneOf", "anyOf", "allOf")


def in_alphabet(text: str) -> str:
    """`text` in the letters that Claude takes for the names and ids of tools."""
    return _OUTSIDE.sub("_", text)


class ToolNames:
    """Names outside Claude's alphabet, there and back. A name's replacement depends on nothing but the name."""

    def __init__(self) -> None:
        self._originals: dict[str, str] = {}

    def wire(self, name: str) -> str:
        if _VALID_NAME.fullmatch(name):
            return name
        digest = sha256(name.encode()).hexdigest()[:8]
        wire = f"{in_alphabet(name)[:55]}_{digest}"
        self._originals[wire] = name
        return wire

    def original(self, wire: str) -> str:
        return self._originals.get(wire, wire)


@dataclass(slots=True)
class Tooling:
    """What the tool fields come to; `instruction` asks in words for what the model refuses as a parameter."""

    tools: list[ToolParam] = field(default_factory=list)
    choice: ToolChoiceParam | None = None
    instruction: str | None = None


def to_tooling(
    params: CompletionCreateParams, called: Iterable[str], model: Model, names: ToolNames, report: Report
) -> Tooling:
    """`called` are the wire names of the tools that the history uses."""
    tools = [_tool(tool, index, names, report) for index, tool in enumerate(params.tools or [])]
    _refuse_twins(tools)
    if not tools:
        return _without_tools(params, called)
    tools, choice = _chosen(params.tool_choice, tools, names)
    tooling = Tooling(tools, choice)
    if choice and choice["type"] in ("any", "tool") and not model.forced_tool_choice:
        tooling = _asked_in_words(tools, choice, model, report)
    if params.parallel_tool_calls is False:
        single = tooling.choice or {"type": "auto"}
        if single["type"] != "none":
            tooling.choice = {**single, "disable_parallel_tool_use": True}
    return tooling


def _tool(tool: Tool, index: int, names: ToolNames, report: Report) -> ToolParam:
    path = f"tools[{index}]"
    if tool.type == "custom":
        raise unsupported(f"{path}.type", _NO_CUSTOM)
    if tool.type not in (None, "function"):
        raise invalid_request(
            f"Invalid value: '{tool.type[:60]}'. Supported values are: 'function'.",
            f"{path}.type",
            "invalid_value",
        )
    if tool.function is None:
        raise missing(f"{path}.function")
    check_extras(tool, path, report)
    check_extras(tool.function, f"{path}.function", report)
    if tool.function.strict:
        report.warn(f"{path}.function.strict", "arguments follow the schema but are not forced to")
    return _definition(tool.function, f"{path}.function.parameters", names)


def _definition(function: FunctionObject, path: str, names: ToolNames) -> ToolParam:
    definition: ToolParam = {
        "name": names.wire(function.name),
        "input_schema": _input_schema(function, path),
    }
    if function.description and function.description.strip():
        definition["description"] = function.description
    return definition


def _input_schema(function: FunctionObject, path: str) -> JSONSchema:
    schema = function.parameters
    if not schema:
        return _NO_PARAMETERS
    kind = schema.get("type", "object")
    unions = [union for union in _UNIONS if union in schema]
    if kind != "object" or unions:
        got = f"'{unions[0]}' at the top level" if unions else f"'type: \"{kind}\"'"
        raise invalid_request(
            f"Invalid schema for function '{function.name}': schema must be a JSON Schema of "
            f"'type: \"object\"', got {got}.",
            path,
            "invalid_function_parameters",
        )
    return schema if "type" in schema else {"type": "object", **schema}


def _refuse_twins(tools: Sequence[ToolParam]) -> None:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool["name"] in seen:
            raise invalid_request(
                f"Invalid 'tools[{index}].function.name': two tools have the name '{tool['name']}'.",
                f"tools[{index}].function.name",
                "invalid_value",
            )
        seen.add(tool["name"])


def _without_tools(params: CompletionCreateParams, called: Iterable[str]) -> Tooling:
    if params.tool_choice not in (None, "none", "auto"):
        raise invalid_request(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            "tool_choice",
        )
    # The API wants the tools of a history defined; a client that offers none must not get a call.
    stubs: list[ToolParam] = [{"name": name, "input_schema": _NO_PARAMETERS} for name in dict.fromkeys(called)]
    return Tooling(stubs, {"type": "none"}) if stubs else Tooling()


def _chosen(
    choice: object, tools: list[ToolParam], names: ToolNames
) -> tuple[list[ToolParam], ToolChoiceParam | None]:
    """The tools that may be called and how; None leaves the model its own default, auto."""
    by_name = {tool["name"]: tool for tool in tools}
    match choice:
        case "none":
            return tools, {"type": "none"}
        case "auto":
            return tools, {"type": "auto"}
        case "required":
            return tools, {"type": "any"}
        case NamedToolChoice():
            wanted = _known(names.wire(choice.function.name), by_name, names)
            return tools, {"type": "tool", "name": wanted["name"]}
        case AllowedToolsChoice():
            allowed = [
                _known(names.wire(tool.function.name), by_name, names) for tool in choice.allowed_tools.tools
            ]
            forced = choice.allowed_tools.mode == "required"
            return (allowed, {"type": "any" if forced else "auto"}) if allowed else (tools, {"type": "none"})
        case CustomToolChoice():
            raise unsupported("tool_choice", _NO_CUSTOM)
    return tools, None


def _known(wire: str, by_name: Mapping[str, ToolParam], names: ToolNames) -> ToolParam:
    if wire not in by_name:
        raise _unknown_choice(names.original(wire))
    return by_name[wire]


def _unknown_choice(name: str) -> APIError:
    return invalid_request(
        f"Invalid value for 'tool_choice': no tool with the name '{name[:100]}' is in 'tools'.",
        "tool_choice",
        "invalid_value",
    )


def _asked_in_words(tools: list[ToolParam], choice: ToolChoiceParam, model: Model, report: Report) -> Tooling:
    """Opus 5.5, Sonnet 5.5 and Fable 5.1 onwards answer a forced choice with a 400."""
    report.warn("tool_choice", f"{model.id} takes no forced choice, so it is asked in words to call the tool")
    which = f"the tool `{choice['name']}`" if "name" in choice else "at least one of the tools"
    return Tooling(
        tools,
        {"type": "auto"},
        f"Answer this turn by calling {which}. Do not answer in plain text.",
    )
