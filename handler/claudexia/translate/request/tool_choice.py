"""tool_choice: which tools may be called, and whether one must be.

Sources: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tool_choice
and https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools#controlling-claudes-output
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from claudexia.errors import shorten
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.tool_calls import ToolNames
from claudexia.translate.types.anthropic import ToolChoiceParam, ToolUnionParam
from claudexia.translate.types.base import Params
from claudexia.translate.types.params import CompletionCreateParams
from claudexia.translate.types.tools import (
    AllowedToolsChoice,
    AnthropicToolChoice,
    CustomToolChoice,
    NamedToolChoice,
    ToolChoice,
    ToolName,
)

_MODES: Mapping[str, ToolChoiceParam] = {
    "none": {"type": "none"},
    "auto": {"type": "auto"},
    "required": {"type": "any"},
}


class RequestedToolChoice(NamedTuple):
    """The client's choice; `report` is located at its field, `tool_choice` or the legacy `function_call`."""

    value: ToolChoice | ToolName | None
    report: Report


def requested_tool_choice(params: CompletionCreateParams, report: Report) -> RequestedToolChoice:
    """`function_call` chooses among the legacy `functions`, `tool_choice` among the tools."""
    tool_choice, function_call = params.tool_choice, params.function_call
    if function_call is None:
        return RequestedToolChoice(tool_choice, report.at("tool_choice"))
    if params.tools or (tool_choice is not None and not params.functions):
        if function_call != "auto":
            report.at("function_call").warn("it chooses among 'functions', which this request does not use")
        return RequestedToolChoice(tool_choice, report.at("tool_choice"))
    if tool_choice not in (None, function_call):
        report.at("tool_choice").warn("function_call was used instead")
    return RequestedToolChoice(function_call, report.at("function_call"))


def reject_choice_without_tools(requested: RequestedToolChoice) -> None:
    """Raises APIError 400 for a choice that makes no sense in a request without tools."""
    value, field = requested.value, requested.report.param
    harmless = value in (None, "none", "auto") or (
        isinstance(value, AnthropicToolChoice) and value.type in ("none", "auto")
    )
    if not harmless:
        tools = "tools" if field == "tool_choice" else "functions"
        raise requested.report.error(
            f"Invalid value for '{field}': '{field}' is only allowed when '{tools}' are specified."
        )


def to_tool_choice(
    requested: RequestedToolChoice, tools: list[ToolUnionParam], names: ToolNames
) -> tuple[list[ToolUnionParam], ToolChoiceParam | None]:
    """The tools that may be called, and the choice among them; None leaves it at the API's default, auto.

    Raises APIError 400 if the choice names a tool that is not in `tools`.
    """
    value, report = requested
    if isinstance(value, Params):
        check_extras(value, report)
    match value:
        case str():
            return tools, _MODES[value]
        case ToolName(name=name):
            return tools, _tool_named(name, tools, names, report)
        case NamedToolChoice() | CustomToolChoice():
            chosen = _tool_name(value)
            check_extras(chosen, report.at(value.type))
            return tools, _tool_named(chosen.name, tools, names, report)
        case AnthropicToolChoice():
            return tools, _from_anthropic(value, tools, names, report)
        case AllowedToolsChoice():
            check_extras(value.allowed_tools, report.at("allowed_tools"))
            return _from_allowed_tools(value, tools, names, report)
    return tools, None


def to_instruction(choice: ToolChoiceParam) -> str:
    """A forced choice as an instruction, for models that take none."""
    which = f"the tool `{choice['name']}`" if "name" in choice else "at least one of the tools"
    return f"Answer this turn by calling {which}. Do not answer in plain text."


def without_force(choice: ToolChoiceParam) -> ToolChoiceParam:
    """The choice `auto`, with what else a forced choice holds."""
    if "disable_parallel_tool_use" in choice:
        return {"type": "auto", "disable_parallel_tool_use": choice["disable_parallel_tool_use"]}
    return {"type": "auto"}


def is_forced(choice: ToolChoiceParam | None) -> bool:
    return choice is not None and choice["type"] in ("any", "tool")


def _tool_name(choice: NamedToolChoice | CustomToolChoice) -> ToolName:
    return choice.function if isinstance(choice, NamedToolChoice) else choice.custom


def _tool_named(
    name: str, tools: Sequence[ToolUnionParam], names: ToolNames, report: Report
) -> ToolChoiceParam:
    sent = {tool["name"] for tool in tools if "name" in tool}
    return {"type": "tool", "name": _upstream_name(name, sent, names, report)}


def _upstream_name(name: str, sent: Collection[str], names: ToolNames, report: Report) -> str:
    """The upstream name of the tool that the client calls `name`: a tool of its own, else one of Claude's.

    `sent` are the upstream names of all tools.
    """
    for candidate in (names.upstream(name), name):
        if candidate in sent:
            return candidate
    raise report.error(
        f"Invalid value for '{shorten(report.param)}': "
        f"no tool with the name '{shorten(name)}' is in the request.",
        "invalid_value",
    )


def _from_anthropic(
    choice: AnthropicToolChoice, tools: Sequence[ToolUnionParam], names: ToolNames, report: Report
) -> ToolChoiceParam:
    sent: ToolChoiceParam = {"type": choice.type}
    if choice.type == "tool":
        if choice.name is None:
            raise report.at("name").missing()
        sent = _tool_named(choice.name, tools, names, report)
    if choice.disable_parallel_tool_use is not None and choice.type != "none":
        sent["disable_parallel_tool_use"] = choice.disable_parallel_tool_use
    return sent


def _from_allowed_tools(
    choice: AllowedToolsChoice, tools: list[ToolUnionParam], names: ToolNames, report: Report
) -> tuple[list[ToolUnionParam], ToolChoiceParam]:
    # An entry may repeat the whole definition of its tool; only the name is read.
    by_name = {tool["name"]: tool for tool in tools if "name" in tool}
    allowed = [
        _upstream_name(_tool_name(tool).name, by_name, names, report) for tool in choice.allowed_tools.tools
    ]
    if not allowed:
        return tools, {"type": "none"}
    kept = [by_name[name] for name in dict.fromkeys(allowed)]
    return kept, {"type": "any" if choice.allowed_tools.mode == "required" else "auto"}
