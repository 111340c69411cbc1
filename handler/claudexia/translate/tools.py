"""Tools: the definitions and the choice among them, brought together.

`tools`, `functions`, `web_search_options`, the choice and `parallel_tool_calls` need each other and the model's
capabilities.
Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from claudexia.translate.anthropic_params import JSONSchema, ToolChoiceParam, ToolUnionParam
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.fields import Report
from claudexia.translate.input_schema import NO_PARAMETERS
from claudexia.translate.models import Model
from claudexia.translate.strict_tools import strict_definitions
from claudexia.translate.tool_choice import (
    asked_choice,
    in_words,
    is_forced,
    refuse_without_tools,
    to_tool_choice,
    unforced,
)
from claudexia.translate.tool_definitions import Definition, refuse_twins, to_definition, to_function
from claudexia.translate.tool_names import ToolNames
from claudexia.translate.web_search import asked_search

_SEARCH_FIRST = "Search the web before you answer this turn."


@dataclass(slots=True)
class Tooling:
    """What the tool fields come to; `instruction` asks in words for what the model refuses as a parameter.

    `custom` are the names, as sent upstream, of tools that the client declared as custom tools. `legacy` asks
    for the answer's calls as `function_call`, because the client sent `functions`.
    """

    tools: list[ToolUnionParam] = field(default_factory=list)
    choice: ToolChoiceParam | None = None
    instruction: str | None = None
    custom: frozenset[str] = frozenset()
    legacy: bool = False

    @property
    def forced(self) -> bool:
        """Whether the API is sent a choice that makes it call a tool."""
        return is_forced(self.choice)


def to_tooling(
    params: CompletionCreateParams,
    called: Iterable[str],
    model: Model,
    names: ToolNames,
    report: Report,
    output: JSONSchema | None = None,
) -> Tooling:
    """`called` are the wire names of the tools that the history uses, `output` the schema of the answer."""
    definitions = _definitions(params, names, report)
    refuse_twins(definitions)
    asked = asked_choice(params, report)
    search: list[ToolUnionParam] = [*asked_search(params, report)]
    if not definitions and not search:
        refuse_without_tools(asked)
        return _without_tools(called)
    offered = [*strict_definitions(definitions, output, report), *search]
    tools, choice = to_tool_choice(asked, offered, names, report)
    if search:
        tools, choice = _with_search(tools, choice, search)
    tooling = Tooling(
        tools,
        choice,
        custom=frozenset(str(one.param.get("name")) for one in definitions if one.custom),
        legacy=bool(params.functions and not params.tools),
    )
    # Opus 5.5, Sonnet 5.5 and Fable 5.1 onwards answer a forced choice with a 400.
    if tooling.choice and tooling.forced and not model.forced_tool_choice:
        report.warn(asked.field, f"{model.id} takes no forced choice, so it is asked in words to call the tool")
        tooling.instruction = in_words(tooling.choice) if tools != search else _SEARCH_FIRST
        tooling.choice = unforced(tooling.choice)
    # The legacy answer has room for one call.
    if (params.parallel_tool_calls is False or tooling.legacy) and tools != search:
        _one_call_at_most(tooling)
    return tooling


def _definitions(params: CompletionCreateParams, names: ToolNames, report: Report) -> list[Definition]:
    functions = params.functions or []
    if not params.tools:
        return [to_function(one, f"functions[{index}]", names, report) for index, one in enumerate(functions)]
    if functions:
        report.warn("functions", "tools was taken instead")
    return [to_definition(tool, f"tools[{index}]", names, report) for index, tool in enumerate(params.tools)]


def _with_search(
    tools: list[ToolUnionParam], choice: ToolChoiceParam | None, search: list[ToolUnionParam]
) -> tuple[list[ToolUnionParam], ToolChoiceParam | None]:
    """Web search was asked for in a field of its own: a choice among the tools does not turn it off."""
    if choice and choice["type"] == "none":
        return search, None
    return [*(tool for tool in tools if tool not in search), *search], choice


def _one_call_at_most(tooling: Tooling) -> None:
    single: ToolChoiceParam = tooling.choice or {"type": "auto"}
    if single["type"] != "none":
        tooling.choice = {**single, "disable_parallel_tool_use": True}


def _without_tools(called: Iterable[str]) -> Tooling:
    # The API wants the tools of a history defined; a client that offers none must not get a call.
    stubs: list[ToolUnionParam] = [
        {"name": name, "input_schema": NO_PARAMETERS} for name in dict.fromkeys(called)
    ]
    return Tooling(stubs, {"type": "none"}) if stubs else Tooling()
