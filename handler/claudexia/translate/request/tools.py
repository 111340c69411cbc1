"""to_tool_config(): the tool definitions and the choice among them; before it, tool_definitions().

`tools`, `functions`, `web_search_options`, `tool_choice`, `function_call` and `parallel_tool_calls` depend on
each other and on the model's capabilities.

Sources: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs (strict tools),
https://platform.openai.com/docs/guides/tools-web-search and
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from claudexia.errors import APIError, shorten
from claudexia.models import ClaudeModel
from claudexia.translate.report import Path, Report, check_extras
from claudexia.translate.request.forced_call import ForcedCall, to_forced_call
from claudexia.translate.request.host_limits import is_server_run
from claudexia.translate.request.numbers import reject_non_finite
from claudexia.translate.request.prompt_cache import client_cache_control, is_plain
from claudexia.translate.request.tool_calls import ToolNames
from claudexia.translate.request.tool_choice import (
    is_forced,
    reject_choice_without_tools,
    requested_tool_choice,
    to_instruction,
    to_tool_choice,
    without_force,
)
from claudexia.translate.schema.property_names import NO_NAMES, PropertyNames, rename_input
from claudexia.translate.schema.tool_input import NO_PARAMETERS, InputSchema, to_input_schema
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
    CustomToolFormat,
    FlatCustomTool,
    FlatFunctionTool,
    FunctionObject,
    FunctionTool,
    ServerTool,
    SharedTools,
    Tool,
)

if TYPE_CHECKING:
    from claudexia.translate.schema import AdaptedSchema

_TEXT_INPUT: JSONSchema = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input, as plain text."}},
    "required": ["input"],
}
_CUSTOM_TOOLS: Collection[type[Params]] = (CustomTool, FlatCustomTool)
_NO_INPUT = InputSchema(NO_PARAMETERS)
_ANTHROPIC_KEYS = tuple(AnthropicKeys.__annotations__)
_CACHE_FIELDS = {"cache_control", "prompt_cache_breakpoint"}
_WEB_SEARCH: Literal["web_search"] = "web_search"
_TOOL_FIELDS = {"tools", "functions", "tool_choice", "function_call", "web_search_options"}
_DEFAULT_CONTEXT_SIZE = "medium"
# OpenAI limits how much is read, Claude how often it searches.
_MAX_USES = {"low": 1, "medium": 5, "high": 10}
_SEARCH_INSTRUCTION = "Search the web before you answer this turn."


@dataclass(slots=True)
class ToolConfig:
    """The upstream parameters that the tool fields result in.

    instruction    a forced choice as text, for models that do not take it as a parameter
    forced_call    the call that such a choice demands
    custom         upstream names of the tools that the client declared as custom tools
    function_call  whether the client used `functions` and gets a call as `function_call`
    named_call     whether the client named the tool that is called
    """

    tools: list[ToolUnionParam] = field(default_factory=list)
    choice: ToolChoiceParam | None = None
    instruction: str | None = None
    forced_call: ForcedCall | None = None
    custom: frozenset[str] = frozenset()
    function_call: bool = False
    named_call: bool = False

    @property
    def forced(self) -> bool:
        """Whether the choice that is sent makes the model call a tool."""
        return is_forced(self.choice)


class Definition(NamedTuple):
    """One client tool as Claude takes it.

    `name_path` leads to the tool's name, `strict_path` to the flag `strict` if that is set. A `custom` tool
    takes its text as the one property `input`. `arguments` are the replaced names of arguments.
    """

    param: ToolUnionParam
    name_path: Path
    strict_path: Path | None = None
    custom: bool = False
    arguments: PropertyNames = NO_NAMES

    @property
    def name(self) -> str | None:
        """The upstream name; None for Anthropic's toolsets."""
        return self.param.get("name")

    @property
    def is_strict(self) -> bool:
        return self.strict_path is not None or ("input_schema" in self.param and bool(self.param.get("strict")))


@dataclass(eq=False)
class ToolDefinitions:
    """The client's tools as Claude takes them. Requests with the same tools share one, so nothing changes it.

    names     what the conversation needs to know about the tools
    warnings  for each of these requests
    """

    tools: list[Definition]
    names: ToolNames
    warnings: tuple[tuple[Path, str], ...] = ()
    # The adapted schemas by name, as fit_strict() takes them.
    adapted: "dict[str, AdaptedSchema]" = field(default_factory=dict)

    @cached_property
    def strict(self) -> list[Definition]:
        return [definition for definition in self.tools if definition.is_strict]

    @cached_property
    def custom(self) -> frozenset[str]:
        return frozenset(str(definition.name) for definition in self.tools if definition.custom)

    def fitted(self, output_schema: JSONSchema | None) -> "Mapping[str, AdaptedSchema]":
        """fit_strict() of the strict tools."""
        return self._fitted_alone if output_schema is None else self._fitted(output_schema)

    @cached_property
    def _fitted_alone(self) -> "Mapping[str, AdaptedSchema]":
        return self._fitted(None)

    def _fitted(self, output_schema: JSONSchema | None) -> "Mapping[str, AdaptedSchema]":
        from claudexia.translate.schema import fit_strict  # noqa: PLC0415  # most requests have none

        tools = [cast("ToolParam", definition.param) for definition in self.strict]
        schemas = [(tool["name"], tool["input_schema"]) for tool in tools]
        return fit_strict(schemas, output_schema, self.adapted)


def tool_definitions(params: CompletionCreateParams, names: ToolNames, report: Report) -> ToolDefinitions:
    """The client's tools. `names` learns what calls in the conversation need to know about them."""
    if params.tools and params.functions:
        report.at("functions").warn("tools was used instead")
    definitions = _shared_definitions(params, names, report)
    if definitions:
        report.warn_again(definitions.warnings)
        names.learn(definitions.names)
        return definitions
    return ToolDefinitions(_translated(params, names, report), names)


def _shared_definitions(
    params: CompletionCreateParams, names: ToolNames, report: Report
) -> ToolDefinitions | None:
    """What tool_definitions() returns for all requests with these tools; None if they cannot be translated."""
    shared = params.tools
    if not isinstance(shared, SharedTools):
        return None
    key = (names.reserved, report.host)
    known = shared.derived.get(key)
    if isinstance(known, ToolDefinitions):
        return known
    own_names, own_report = ToolNames(names.reserved), Report(host=report.host)
    only_tools = CompletionCreateParams.model_construct(tools=shared)
    try:
        tools = _translated(only_tools, own_names, own_report)
    except APIError:
        return None  # it is raised again with the place in this request
    shared.derived[key] = definitions = ToolDefinitions(tools, own_names, own_report.found)
    return definitions


def _translated(params: CompletionCreateParams, names: ToolNames, report: Report) -> list[Definition]:
    """Each tool once. `names` learns the replaced names of its arguments."""
    tools = _distinct(_definitions(params, names, report), report)
    names.arguments |= {str(tool.name): tool.arguments for tool in tools if tool.arguments}
    return tools


def to_tool_config(
    params: CompletionCreateParams,
    model: ClaudeModel,
    names: ToolNames,
    definitions: ToolDefinitions,
    report: Report,
) -> ToolConfig:
    """`names` has seen the whole conversation. enforce_strict() is the last step."""
    if not _TOOL_FIELDS & params.model_fields_set:
        return _config_without_tools(names.called)
    requested = requested_tool_choice(params, report)
    search: list[ToolUnionParam] = [*_web_search_tools(params, report)]
    if not definitions.tools and not search:
        reject_choice_without_tools(requested)
        return _config_without_tools(names.called)
    offered = [*(definition.param for definition in definitions.tools), *search]
    tools, choice = to_tool_choice(requested, offered, names)
    if search:
        tools, choice = _with_search(tools, choice, search)
    config = ToolConfig(
        tools,
        choice,
        custom=definitions.custom,
        function_call=bool(params.functions and not params.tools),
        named_call=choice is not None and choice["type"] == "tool",
    )
    # A response with `function_call` has room for one call.
    if (params.parallel_tool_calls is False or config.function_call) and tools != search:
        _disable_parallel_calls(config)
    # Opus 5.5, Sonnet 5.5 and Fable 5.1 onwards answer a forced choice with a 400.
    if config.choice and config.forced and not model.forced_tool_choice:
        _replace_force(config, config.choice, definitions, requested.report, model)
    return config


def enforce_strict(
    config: ToolConfig, definitions: ToolDefinitions, output_schema: JSONSchema | None, report: Report
) -> None:
    """Sets the final `strict` and `input_schema` of each tool that asks for strict.

    Strict tools share the API's limits with `output_schema`, that of the response format.
    """
    strict = definitions.strict
    if not strict:
        return
    if not report.host.strict_tools:
        final = {str(each.name): _not_enforced(each, report) for each in strict}
    else:
        # Where the call is the constrained text, a tool that loses `strict` loses nothing.
        forced_schema = config.forced_call.schema if config.forced_call else None
        fitted = definitions.fitted(forced_schema or output_schema)
        final = {
            str(each.name): _strict_tool(each, fitted[str(each.name)], report, is_called=not forced_schema)
            for each in strict
        }
    config.tools = [final.get(tool.get("name", ""), tool) for tool in config.tools]


def _replace_force(
    config: ToolConfig,
    choice: ToolChoiceParam,
    definitions: ToolDefinitions,
    report: Report,
    model: ClaudeModel,
) -> None:
    """A forced choice without the parameter: as structured output, if the host has it, or by instruction."""
    chosen = [tool for tool in config.tools if tool.get("name") == choice.get("name", tool.get("name"))]
    if model.host.structured_output and any("input_schema" in tool for tool in chosen):
        one_call = bool(choice.get("disable_parallel_tool_use"))
        config.forced_call = to_forced_call(choice, config.tools, one_call, definitions.adapted)
    else:
        report.warn(f"{model.id} takes no forced choice, so an instruction asks it to call the tool")
    if config.forced_call and config.forced_call.schema:
        config.choice = {"type": "none"}
        return
    searches = all(tool.get("name") == _WEB_SEARCH for tool in config.tools)
    config.instruction = _SEARCH_INSTRUCTION if searches else to_instruction(choice)
    config.choice = without_force(choice)


def custom_names(params: CompletionCreateParams) -> frozenset[str]:
    """The client's names of its custom tools."""
    custom = [tool for tool in params.tools or [] if type(tool) in _CUSTOM_TOOLS]
    return frozenset(cast("CustomTool", tool).custom.name for tool in custom)


def reserved_names(params: CompletionCreateParams) -> frozenset[str]:
    """Upstream names that no client tool can have because one of Claude's own tools has them."""
    searches = params.web_search_options is not None and not _has_own_web_search(params)
    return frozenset({_WEB_SEARCH}) if searches else frozenset()


def _disable_parallel_calls(config: ToolConfig) -> None:
    choice: ToolChoiceParam = config.choice or {"type": "auto"}
    if choice["type"] != "none":
        config.choice = {**choice, "disable_parallel_tool_use": True}


def _config_without_tools(called: Iterable[str]) -> ToolConfig:
    # The API requires a definition of each tool in the conversation; the client offers none, so none is called.
    stubs: list[ToolUnionParam] = [{"name": name, "input_schema": NO_PARAMETERS} for name in called]
    return ToolConfig(stubs, {"type": "none"}) if stubs else ToolConfig()


# Definitions


def _definitions(params: CompletionCreateParams, names: ToolNames, report: Report) -> list[Definition]:
    functions = params.functions or []
    if not params.tools:
        return [
            _from_function(function, names, report.at("functions", index))
            for index, function in enumerate(functions)
        ]
    return [_from_tool(tool, names, report.at("tools", index)) for index, tool in enumerate(params.tools)]


def _distinct(definitions: Sequence[Definition], report: Report) -> list[Definition]:
    """Each tool once. Raises APIError 400 for two different tools with one name."""
    by_name: dict[str, Definition] = {}
    distinct: list[Definition] = []
    for definition in definitions:
        name = definition.name
        first = definition if name is None else by_name.setdefault(name, definition)
        if first is definition:
            distinct.append(definition)
        elif (first.param, first.is_strict) != (definition.param, definition.is_strict):
            raise report.at(*definition.name_path).invalid(
                f"two different tools have the name '{shorten(name)}'"
            )
    return distinct


def _from_tool(tool: Tool, names: ToolNames, report: Report) -> Definition:
    """Raises APIError 400 for a tool that Claude does not take."""
    if type(tool) is not FunctionTool and isinstance(tool, ServerTool):
        return Definition(_server_tool(tool, report), (*report.steps, "name"))
    plain = is_plain(tool)
    if not plain:
        check_extras(tool, report)
    if isinstance(tool, FunctionTool):
        definition = _from_function_tool(tool, names, report)
    elif isinstance(tool, CustomTool):
        place = report if isinstance(tool, FlatCustomTool) else report.at("custom")
        definition = _from_custom(tool.custom, names, place)
    else:
        definition = _from_anthropic(tool, names, report)
    param = cast("ToolParam", definition.param)  # none of the three is a server tool
    param.update(cast("ToolParam", _anthropic_keys(tool)))
    if definition.arguments and "input_examples" in param:
        renamed = [rename_input(example, definition.arguments) for example in param["input_examples"]]
        param["input_examples"] = renamed
    if not plain:
        _set_cache_control(param, tool, report)
    return definition


def _from_function_tool(tool: FunctionTool, names: ToolNames, report: Report) -> Definition:
    if tool.type not in (None, "function"):
        raise report.at("type").error(
            f"Invalid value: '{shorten(tool.type)}'. Supported values are: 'function' and 'custom'.",
            "invalid_value",
        )
    if tool.function is None:
        raise report.at("function").missing()
    place = report if type(tool) is FlatFunctionTool else report.at("function")
    return _from_function(tool.function, names, place)


def _from_function(function: FunctionObject, names: ToolNames, report: Report) -> Definition:
    """A function in `tools` or in the legacy `functions`."""
    plain = is_plain(function)
    if not plain:
        check_extras(function, report)
    given = _NO_INPUT
    if function.parameters:
        place = report.at("parameters")
        reject_non_finite(function.parameters, place)
        given = to_input_schema(function.parameters, function.name, place)
    param = _tool_param(names.upstream(function.name), given.schema, function.description, given.rule)
    if not plain:
        _set_cache_control(param, function, report)
    strict_path = (*report.steps, "strict") if function.strict else None
    return Definition(param, (*report.steps, "name"), strict_path, False, given.names)


def _from_custom(custom: CustomObject, names: ToolNames, report: Report) -> Definition:
    check_extras(custom, report)
    rule = _grammar_rule(custom.format, report.at("format")) if custom.format else None
    param = _tool_param(names.upstream(custom.name), _TEXT_INPUT, custom.description, rule)
    _set_cache_control(param, custom, report)
    return Definition(param, (*report.steps, "name"), custom=True)


def _grammar_rule(given: CustomToolFormat, report: Report) -> str | None:
    """The grammar as a sentence for the tool's description; None without one."""
    if given.type != "grammar":
        check_extras(given, report)
        return None
    # Responses has the two fields beside `type`, chat completions in an object.
    grammar = given.grammar or given
    if not grammar.definition:
        raise report.at("definition").missing()
    report.warn("Claude cannot be constrained by a grammar, so the grammar was put into the tool's description")
    syntax = f"{grammar.syntax} grammar" if grammar.syntax else "grammar"
    return f"The input must match this {syntax}:\n{grammar.definition}"


def _from_anthropic(tool: AnthropicTool, names: ToolNames, report: Report) -> Definition:
    reject_non_finite(tool.input_schema, report.at("input_schema"))
    given = to_input_schema(tool.input_schema, tool.name, report.at("input_schema"))
    param = _tool_param(names.upstream(tool.name), given.schema, tool.description, given.rule)
    if tool.strict is not None:
        param["strict"] = tool.strict
    return Definition(param, (*report.steps, "name"), arguments=given.names)


def _server_tool(tool: ServerTool, report: Report) -> ServerToolParam:
    if not report.host.server_tools and is_server_run(tool.type):
        raise report.at("type").unsupported(f"{report.host.name} does not run this tool")
    given = tool.model_dump(exclude_unset=True)
    reject_non_finite(given, report)
    param = cast("ServerToolParam", {key: value for key, value in given.items() if key not in _CACHE_FIELDS})
    _set_cache_control(param, tool, report)
    return param


def _tool_param(name: str, schema: JSONSchema, *descriptions: str | None) -> ToolParam:
    param: ToolParam = {"name": name, "input_schema": schema}
    texts = [text for text in descriptions if text and text.strip()]
    if texts:
        param["description"] = "\n\n".join(texts)
    return param


def _anthropic_keys(tool: AnthropicKeys) -> dict[str, object]:
    if tool.__pydantic_fields_set__.isdisjoint(_ANTHROPIC_KEYS):
        return {}  # as almost all tools
    given = {key: getattr(tool, key) for key in _ANTHROPIC_KEYS}
    return {key: value for key, value in given.items() if value not in (None, [])}


def _set_cache_control(param: ToolParam | ServerToolParam, given: Params, report: Report) -> None:
    if control := client_cache_control(given, report):
        param["cache_control"] = control


# Strict tools


def _strict_tool(
    definition: Definition, adapted: "AdaptedSchema", report: Report, *, is_called: bool
) -> ToolUnionParam:
    tool, report = cast("ToolParam", definition.param), report.at(*_strict_path(definition))
    if not adapted.fits:
        if is_called:
            report.warn(
                f"the API cannot enforce the schema ({shorten(adapted.reason)}), "
                "so the tool was sent without strict"
            )
        return _without_strict(tool)
    for phrases, effect in (
        (adapted.relaxed, "requested by description, not enforced"),
        (adapted.narrowed, "Claude cannot call it with"),
    ):
        if phrases:
            report.warn(f"{effect}: {shorten(', '.join(phrases))}")
    return {**tool, "input_schema": adapted.schema, "strict": True}


def _strict_path(definition: Definition) -> Path:
    return definition.strict_path or definition.name_path


def _not_enforced(definition: Definition, report: Report) -> ToolUnionParam:
    report = report.at(*_strict_path(definition))
    report.warn(f"{report.host.name} enforces no schema for this model, so the tool was sent without strict")
    return _without_strict(definition.param)


def _without_strict(tool: ToolUnionParam) -> ToolUnionParam:
    return cast("ToolUnionParam", {key: value for key, value in tool.items() if key != "strict"})


# Web search


def _web_search_tools(params: CompletionCreateParams, report: Report) -> list[WebSearchToolParam]:
    """Claude's web search for `web_search_options`; none if the client's tools have it already."""
    options = params.web_search_options
    if options is None:
        return []
    report = report.at("web_search_options")
    if not report.host.server_tools:
        raise report.unsupported(f"{report.host.name} has no web search for Claude")
    if _has_own_web_search(params):
        report.warn("the web search among the tools was used instead")
        return []
    return [web_search_tool(options, report)]


def _has_own_web_search(params: CompletionCreateParams) -> bool:
    return any(isinstance(tool, ServerTool) and tool.name == _WEB_SEARCH for tool in params.tools or [])


def web_search_tool(options: WebSearchOptions, report: Report) -> WebSearchToolParam:
    check_extras(options, report)
    size = options.search_context_size or _DEFAULT_CONTEXT_SIZE
    if size != _DEFAULT_CONTEXT_SIZE:
        report.at("search_context_size").warn(
            f"Claude has no such size, so the number of searches was limited to {_MAX_USES[size]}"
        )
    tool: WebSearchToolParam = {"type": "web_search_20250305", "name": _WEB_SEARCH, "max_uses": _MAX_USES[size]}
    if options.user_location and (location := _location(options.user_location, report.at("user_location"))):
        tool["user_location"] = location
    return tool


def _location(given: UserLocation, report: Report) -> UserLocationParam | None:
    place = given.approximate
    check_extras(given, report)
    check_extras(place, report.at("approximate"))
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


def _with_search(
    tools: list[ToolUnionParam], choice: ToolChoiceParam | None, search: list[ToolUnionParam]
) -> tuple[list[ToolUnionParam], ToolChoiceParam | None]:
    """Adds web search, which has a field of its own: a choice among the tools does not turn it off."""
    if choice and choice["type"] == "none":
        return search, None
    return [*(tool for tool in tools if tool not in search), *search], choice
