"""The tools of a Responses request, and the choice among them, in the pieces that tools.py translates.

A namespace groups functions. Claude has no groups, so a function is sent as `namespace__name`, and a call of it
names both again. OpenAI's own tools are rejected by name, except web search, which Claude has, too.

Sources: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools and
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from claudexia.errors import shorten
from claudexia.translate.report import Path, Report, check_extras
from claudexia.translate.request.tools import web_search_tool
from claudexia.translate.types.base import changed, construct
from claudexia.translate.types.params import ApproximateLocation, UserLocation, WebSearchOptions
from claudexia.translate.types.response_params import (
    AllowedTool,
    AllowedToolsChoice,
    HostedChoice,
    HostedTool,
    NamedChoice,
    NamespaceTool,
    ResponseTool,
    ResponseToolChoice,
    WebSearchTool,
)
from claudexia.translate.types.tools import (
    AllowedTools,
    CustomTool,
    CustomToolChoice,
    FunctionTool,
    NamedToolChoice,
    ServerTool,
    Tool,
    ToolChoice,
    ToolName,
)
from claudexia.translate.types.tools import AllowedToolsChoice as NestedAllowedToolsChoice

WEB_SEARCH = "web_search"
# Characters. If the description of a group is longer in all its tools together, only the first one has it.
_MAX_DESCRIPTIONS = 100_000
_DIRECT = ["direct"]


def namespaced_name(name: str, namespace: str | None) -> str:
    return f"{namespace}__{name}" if namespace else name


@dataclass(slots=True)
class ToolPieces:
    """`paths` lead from `tools` to the client's.

    `namespaces` have the namespace and the name of each tool that is in one, by its full name.
    """

    tools: list[Tool] = field(default_factory=list)
    paths: dict[Path, Path] = field(default_factory=dict)
    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, tool: Tool, path: Path) -> None:
        index = len(self.tools)
        self.tools.append(tool)
        for inner in ((), ("function",), ("custom",)):
            self.paths["tools", index, *inner] = path


def to_tool_pieces(tools: Sequence[ResponseTool], max_calls: int | None, report: Report) -> ToolPieces:
    """`max_calls` limits the calls of web search. Raises APIError 400 for a tool that Claude does not have."""
    pieces = ToolPieces()
    for index, tool in enumerate(tools):
        place = report.at("tools", index)
        if isinstance(tool, NamespaceTool):
            _add_namespace(tool, pieces, place)
        elif isinstance(tool, WebSearchTool):
            if search := _to_server_tool(tool, max_calls, place):
                pieces.add(search, place.path)
        elif isinstance(tool, HostedTool):
            raise _hosted(tool, place)
        else:
            pieces.add(_without_openai_keys(tool, place), place.path)
    return pieces


def to_tool_choice_piece(choice: ResponseToolChoice, report: Report) -> ToolChoice:
    """Raises APIError 400 for the choice of a tool that Claude does not have."""
    if isinstance(choice, AllowedToolsChoice):
        check_extras(choice, report)
        allowed = [_named(tool, report.at("tools", index)) for index, tool in enumerate(choice.tools)]
        inner = construct(AllowedTools, mode=choice.mode, tools=allowed)
        return construct(NestedAllowedToolsChoice, type=choice.type, allowed_tools=inner)
    if isinstance(choice, NamedChoice | HostedChoice):
        return _named(choice, report)
    return choice


def _named(
    choice: NamedChoice | AllowedTool | HostedChoice, report: Report
) -> NamedToolChoice | CustomToolChoice:
    if choice.type.startswith(WEB_SEARCH):
        return construct(NamedToolChoice, type="function", function=_tool_name(WEB_SEARCH, None))
    if isinstance(choice, HostedChoice) or choice.type not in ("function", "custom"):
        raise _hosted(choice, report)
    if choice.name is None:
        raise report.at("name").missing()
    name = _tool_name(choice.name, choice.namespace)
    if choice.type == "custom":
        return construct(CustomToolChoice, type="custom", custom=name)
    return construct(NamedToolChoice, type="function", function=name)


def _tool_name(name: str, namespace: str | None) -> ToolName:
    return construct(ToolName, name=namespaced_name(name, namespace))


def _hosted(tool: HostedTool | HostedChoice | AllowedTool | NamedChoice, report: Report) -> Exception:
    return report.at("type").unsupported(
        f"'{shorten(tool.type, 60)}' is a tool of OpenAI's. Use functions, custom tools, web_search or one of "
        "Anthropic's tools"
    )


def _add_namespace(group: NamespaceTool, pieces: ToolPieces, report: Report) -> None:
    check_extras(group, report)
    description = group.description or ""
    repeats = len(description) * len(group.tools) <= _MAX_DESCRIPTIONS
    if not repeats:
        report.at("description").warn("it is long, so only the first tool of the namespace has it")
    for index, tool in enumerate(group.tools):
        place = report.at("tools", index)
        if not isinstance(tool, FunctionTool | CustomTool):
            raise place.at("type").unsupported("a namespace holds functions and custom tools only")
        shown = description if repeats or index == 0 else ""
        named = _in_namespace(tool, group.name, shown, pieces.namespaces)
        pieces.add(_without_openai_keys(named, place), place.path)


def _in_namespace(
    tool: FunctionTool | CustomTool, group: str, description: str, namespaces: dict[str, tuple[str, str]]
) -> FunctionTool | CustomTool:
    """The tool with its full name, and with the `description` of its group before its own."""
    key = "function" if isinstance(tool, FunctionTool) else "custom"
    definition = tool.function if isinstance(tool, FunctionTool) else tool.custom
    if definition is None:
        return tool  # tools.py reports it
    name = namespaced_name(definition.name, group)
    namespaces[name] = (group, definition.name)
    texts = [text for text in (description, definition.description) if text]
    described = changed(definition, name=name, description="\n\n".join(texts) or None)
    return changed(tool, **{key: described})


def _without_openai_keys(tool: Tool, report: Report) -> Tool:
    """Without the keys that have another meaning in Anthropic's API, where they belong to tools of its own."""
    if not isinstance(tool, FunctionTool | CustomTool):
        return tool
    update: dict[str, object] = {}
    if tool.allowed_callers:
        update["allowed_callers"] = None
        if tool.allowed_callers != _DIRECT:
            report.at("allowed_callers").warn("Claude calls each tool itself")
    if tool.defer_loading:
        update["defer_loading"] = None
        report.at("defer_loading").warn("the tool was sent at once, since there is no tool search")
    return changed(tool, **update) if update else tool


def _to_server_tool(tool: WebSearchTool, max_calls: int | None, report: Report) -> ServerTool | None:
    """Claude's web search; None for one that must not read the web."""
    check_extras(tool, report)
    if tool.external_web_access is False:
        report.at("external_web_access").warn("Claude's web search reads the web, so the tool was left out")
        return None
    location = tool.user_location
    if location:
        check_extras(location, report.at("user_location"))
    options = construct(
        WebSearchOptions,
        search_context_size=tool.search_context_size,
        user_location=location
        and construct(
            UserLocation,
            type="approximate",
            approximate=construct(
                ApproximateLocation, **location.model_dump(include={*ApproximateLocation.model_fields})
            ),
        ),
    )
    sent: Mapping[str, object] = {**web_search_tool(options, report)}
    if max_calls is not None:
        sent = {**sent, "max_uses": min(max_calls, 10)}
    if tool.filters:
        check_extras(tool.filters, report.at("filters"))
        if tool.filters.allowed_domains:
            sent = {**sent, "allowed_domains": tool.filters.allowed_domains}
    return ServerTool.model_construct(_fields_set=set(sent), **sent)
