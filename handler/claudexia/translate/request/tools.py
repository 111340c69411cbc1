"""Tools: the definitions and the choice among them, brought together.

`tools`, `functions`, `web_search_options`, the choice and `parallel_tool_calls` need each other and the model's
capabilities.
Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from claudexia.errors import invalid_request, missing, unsupported
from claudexia.models import ClaudeModel
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.prompt_cache import client_mark
from claudexia.translate.request.tool_calls import ToolNames
from claudexia.translate.request.tool_choice import (
    asked_choice,
    in_words,
    is_forced,
    refuse_without_tools,
    to_tool_choice,
    unforced,
)
from claudexia.translate.schema.tool_input import NO_PARAMETERS, to_input_schema
from claudexia.translate.types.anthropic import (
    JSONSchema,
    ServerToolParam,
    ToolChoiceParam,
    ToolParam,
    ToolUnionParam,
    UserLocationParam,
    WebSearchToolParam,
)
from claudexia.translate.types.base import Params
from claudexia.translate.types.params import CompletionCreateParams, UserLocation, WebSearchOptions
from claudexia.translate.types.tools import (
    AnthropicKeys,
    AnthropicTool,
    CustomObject,
    CustomTool,
    FunctionObject,
    FunctionTool,
    ServerTool,
    Tool,
)

# --- claudexia.translate.tool_definitions
# Definition: one tool of the client's as Claude takes it.
#
# Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools

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


# --- claudexia.translate.strict_tools
# Strict tools: which of the tools that ask for it are held to their schemas.
#
# Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs

if TYPE_CHECKING:
    from claudexia.translate.schema import AdaptedSchema


def strict_definitions(
    definitions: Sequence[Definition], output: JSONSchema | None, report: Report
) -> list[ToolUnionParam]:
    """The tools as they are sent, in their order: the last word on each one's `strict` and `input_schema`.

    `output` is the schema of the request's output format, which shares the limits with them.
    """
    asking = [definition for definition in definitions if _asks(definition)]
    if not asking:
        return [definition.param for definition in definitions]
    from claudexia.translate.schema import fit_strict  # noqa: PLC0415  # most requests have none

    tools = [cast("ToolParam", definition.param) for definition in asking]
    fitted = fit_strict([(tool["name"], tool["input_schema"]) for tool in tools], output)
    return [
        _settled(definition, fitted[str(definition.param.get("name"))], report)
        if _asks(definition)
        else definition.param
        for definition in definitions
    ]


def _asks(definition: Definition) -> bool:
    return bool(definition.strict_at or ("input_schema" in definition.param and definition.param.get("strict")))


def _settled(definition: Definition, adapted: "AdaptedSchema", report: Report) -> ToolUnionParam:
    tool, path = cast("ToolParam", definition.param), definition.strict_at or definition.named_at
    if not adapted.fits:
        report.warn(path, f"Claude cannot be held to the schema ({adapted.reason}), so it follows it freely")
        return {key: value for key, value in tool.items() if key != "strict"}  # type: ignore[return-value]  # a tool still
    for phrases, verdict in (
        (adapted.relaxed, "asked for in words, not enforced"),
        (adapted.narrowed, "Claude cannot call it with"),
    ):
        if phrases:
            report.warn(path, f"{verdict}: {', '.join(phrases)}")
    return {**tool, "input_schema": adapted.schema, "strict": True}


# --- claudexia.translate.web_search
# Web search: OpenAI's web_search_options as Claude's own tool.
#
# Sources: https://platform.openai.com/docs/guides/tools-web-search
# and https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool

_NAME: Literal["web_search"] = "web_search"
_DEFAULT_SIZE = "medium"
# OpenAI bounds how much is read, Claude how often it searches.
_MAX_USES = {"low": 1, "medium": 5, "high": 10}


def reserved_names(params: CompletionCreateParams) -> frozenset[str]:
    """The names that no tool of the client's can have upstream, because one of Claude's own takes them."""
    wanted = params.web_search_options is not None and not _brought(params)
    return frozenset({_NAME}) if wanted else frozenset()


def asked_search(params: CompletionCreateParams, report: Report) -> list[WebSearchToolParam]:
    """The tool that `web_search_options` stands for; none where the client brought Claude's own."""
    options = params.web_search_options
    if options is None:
        return []
    if _brought(params):
        report.warn("web_search_options", "the web search among the tools was taken instead")
        return []
    return [to_web_search(options, report)]


def to_web_search(options: WebSearchOptions, report: Report) -> WebSearchToolParam:
    check_extras(options, "web_search_options", report)
    size = options.search_context_size or _DEFAULT_SIZE
    if size != _DEFAULT_SIZE:
        report.warn(
            "web_search_options.search_context_size",
            f"Claude has no such size, so the number of searches was limited to {_MAX_USES[size]}",
        )
    tool: WebSearchToolParam = {"type": "web_search_20250305", "name": _NAME, "max_uses": _MAX_USES[size]}
    if options.user_location and (location := _location(options.user_location, report)):
        tool["user_location"] = location
    return tool


def _brought(params: CompletionCreateParams) -> bool:
    return any(isinstance(tool, ServerTool) and tool.name == _NAME for tool in params.tools or [])


def _location(given: UserLocation, report: Report) -> UserLocationParam | None:
    place = given.approximate
    check_extras(given, "web_search_options.user_location", report)
    check_extras(place, "web_search_options.user_location.approximate", report)
    location: UserLocationParam = {"type": "approximate"}
    if place.city:
        location["city"] = place.city
    if place.region:
        location["region"] = place.region
    if place.country:
        location["country"] = place.country
    if place.timezone:
        location["timezone"] = place.timezone
    return location if len(location) > 1 else None


_SEARCH_FIRST = "Search the web before you answer this turn."


@dataclass(slots=True)
class ToolConfig:
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


def to_tool_config(
    params: CompletionCreateParams,
    called: Iterable[str],
    model: ClaudeModel,
    names: ToolNames,
    report: Report,
    output: JSONSchema | None = None,
) -> ToolConfig:
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
    tooling = ToolConfig(
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


def _one_call_at_most(tooling: ToolConfig) -> None:
    single: ToolChoiceParam = tooling.choice or {"type": "auto"}
    if single["type"] != "none":
        tooling.choice = {**single, "disable_parallel_tool_use": True}


def _without_tools(called: Iterable[str]) -> ToolConfig:
    # The API wants the tools of a history defined; a client that offers none must not get a call.
    stubs: list[ToolUnionParam] = [
        {"name": name, "input_schema": NO_PARAMETERS} for name in dict.fromkeys(called)
    ]
    return ToolConfig(stubs, {"type": "none"}) if stubs else ToolConfig()
