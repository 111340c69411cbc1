"""tool_choice: which tools may be called, and whether one has to be.

Sources: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tool_choice
and https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools#controlling-claudes-output
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claudexia.errors import invalid_request, missing
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

_WORDS: Mapping[str, ToolChoiceParam] = {
    "none": {"type": "none"},
    "auto": {"type": "auto"},
    "required": {"type": "any"},
}


class Asked(NamedTuple):
    """The choice that the client made, and the field that it stands in."""

    field: str
    choice: ToolChoice | ToolName | None


def asked_choice(params: CompletionCreateParams, report: Report) -> Asked:
    """`function_call` chooses among the legacy `functions`, `tool_choice` among the tools."""
    tool_choice, function_call = params.tool_choice, params.function_call
    if function_call is None:
        return Asked("tool_choice", tool_choice)
    if params.tools or (tool_choice is not None and not params.functions):
        if function_call != "auto":
            report.warn("function_call", "it chooses among 'functions', and none were taken")
        return Asked("tool_choice", tool_choice)
    if tool_choice not in (None, function_call):
        report.warn("tool_choice", "function_call was taken instead")
    return Asked("function_call", function_call)


def refuse_without_tools(asked: Asked) -> None:
    harmless = asked.choice in (None, "none", "auto") or (
        isinstance(asked.choice, AnthropicToolChoice) and asked.choice.type in ("none", "auto")
    )
    if not harmless:
        tools = "tools" if asked.field == "tool_choice" else "functions"
        raise invalid_request(
            f"Invalid value for '{asked.field}': '{asked.field}' is only allowed when '{tools}' are specified.",
            asked.field,
        )


def to_tool_choice(
    asked: Asked, tools: list[ToolUnionParam], names: ToolNames, report: Report
) -> tuple[list[ToolUnionParam], ToolChoiceParam | None]:
    """The tools that may be called and how; None leaves the model its own default, auto.

    Raises APIError 400 where the choice names a tool that is not there.
    """
    choice = asked.choice
    if isinstance(choice, Params):
        check_extras(choice, asked.field, report)
    match choice:
        case str():
            return tools, _WORDS[choice]
        case ToolName(name=name):
            return tools, _named(name, asked, tools, names)
        case NamedToolChoice() | CustomToolChoice():
            wanted = _wanted(choice)
            check_extras(wanted, f"{asked.field}.{choice.type}", report)
            return tools, _named(wanted.name, asked, tools, names)
        case AnthropicToolChoice():
            return tools, _anthropic(choice, asked, tools, names)
        case AllowedToolsChoice():
            check_extras(choice.allowed_tools, f"{asked.field}.allowed_tools", report)
            return _allowed(choice, asked, tools, names)
    return tools, None


def in_words(choice: ToolChoiceParam) -> str:
    """A forced choice as an instruction, for where the API takes none."""
    which = f"the tool `{choice['name']}`" if "name" in choice else "at least one of the tools"
    return f"Answer this turn by calling {which}. Do not answer in plain text."


def unforced(choice: ToolChoiceParam) -> ToolChoiceParam:
    """What is left of a forced choice that is asked for in words."""
    if "disable_parallel_tool_use" in choice:
        return {"type": "auto", "disable_parallel_tool_use": choice["disable_parallel_tool_use"]}
    return {"type": "auto"}


def is_forced(choice: ToolChoiceParam | None) -> bool:
    return choice is not None and choice["type"] in ("any", "tool")


def _wanted(choice: NamedToolChoice | CustomToolChoice) -> ToolName:
    return choice.function if isinstance(choice, NamedToolChoice) else choice.custom


def _named(name: str, asked: Asked, tools: Sequence[ToolUnionParam], names: ToolNames) -> ToolChoiceParam:
    return {"type": "tool", "name": _known(name, asked, tools, names)}


def _known(name: str, asked: Asked, tools: Sequence[ToolUnionParam], names: ToolNames) -> str:
    """The name upstream of the tool that the client calls `name`: its own before one of Claude's."""
    sent = {tool.get("name") for tool in tools}
    for wire in (names.wire(name), name):
        if wire in sent:
            return wire
    raise invalid_request(
        f"Invalid value for '{asked.field}': no tool with the name '{name[:100]}' is in the request.",
        asked.field,
        "invalid_value",
    )


def _anthropic(
    choice: AnthropicToolChoice, asked: Asked, tools: Sequence[ToolUnionParam], names: ToolNames
) -> ToolChoiceParam:
    if choice.type == "tool" and choice.name is None:
        raise missing("tool_choice.name")
    sent: ToolChoiceParam = {"type": choice.type}
    if choice.type == "tool" and choice.name is not None:
        sent = _named(choice.name, asked, tools, names)
    if choice.disable_parallel_tool_use is not None and choice.type != "none":
        sent["disable_parallel_tool_use"] = choice.disable_parallel_tool_use
    return sent


def _allowed(
    choice: AllowedToolsChoice, asked: Asked, tools: list[ToolUnionParam], names: ToolNames
) -> tuple[list[ToolUnionParam], ToolChoiceParam]:
    # The entries may repeat a whole definition; only their names are of interest.
    wanted = [_known(_wanted(tool).name, asked, tools, names) for tool in choice.allowed_tools.tools]
    if not wanted:
        return tools, {"type": "none"}
    by_name = {tool.get("name"): tool for tool in tools}
    allowed = [by_name[name] for name in dict.fromkeys(wanted)]
    return allowed, {"type": "any" if choice.allowed_tools.mode == "required" else "auto"}
