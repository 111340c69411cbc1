"""Web search: OpenAI's web_search_options as Claude's own tool.

Sources: https://platform.openai.com/docs/guides/tools-web-search
and https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
"""

from typing import Literal

from claudexia.translate.anthropic_params import UserLocationParam, WebSearchToolParam
from claudexia.translate.completion_params import CompletionCreateParams, UserLocation, WebSearchOptions
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.tool_params import ServerTool

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
