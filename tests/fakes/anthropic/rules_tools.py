"""The rules of tool definitions and of the choice among them.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
"""

import re
from collections.abc import Iterator
from typing import get_args, get_type_hints

from anthropic.types import ToolParam, ToolUnionParam, WebSearchTool20250305Param
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable

from tests.fakes.anthropic.models import ModelFacts
from tests.fakes.anthropic.walk import (
    Json,
    Params,
    Rule,
    entries,
    forced,
    is_custom,
    record,
    thinking_type,
    tools,
)

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TYPES = {
    get_args(get_type_hints(tool).get("type"))[0] for tool in get_args(ToolUnionParam) if tool is not ToolParam
}
_SEARCH = "web_search_20250305"
_LOCATION_KEYS = {"type", "city", "region", "country", "timezone"}
_CHOICES = {
    "auto": {"type", "disable_parallel_tool_use"},
    "any": {"type", "disable_parallel_tool_use"},
    "tool": {"type", "name", "disable_parallel_tool_use"},
    "none": {"type"},
}


def _types(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (
        f"{path}.type"
        for path, tool in tools(params)
        if not is_custom(tool) and str(tool["type"]) not in _TYPES
    )


def _keys(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, tool in tools(params):
        if is_custom(tool):
            yield from (f"{path}.custom.{key}" for key in tool.keys() - ToolParam.__annotations__.keys())


def _names(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, tool in tools(params):
        if is_custom(tool) and not _NAME.fullmatch(str(tool.get("name", ""))):
            yield f"{path}.custom.name"


def _same_names(params: Params, _: ModelFacts) -> Iterator[str]:
    names = [str(tool.get("name")) for _path, tool in tools(params) if "name" in tool]
    yield from (f"tools.{index}" for index, name in enumerate(names) if name in names[:index])


def _no_schema(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, tool in tools(params):
        if is_custom(tool) and not isinstance(tool.get("input_schema"), dict):
            yield f"{path}.custom.input_schema"


def _root_type(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (f"{path}.type" for path, schema in schemas(params) if schema.get("type") != "object")


def _root_union(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (path for path, schema in schemas(params) if {"oneOf", "anyOf", "allOf"} & schema.keys())


def _invalid_schema(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (path for path, schema in schemas(params) if not is_draft_2020_12(schema))


def _examples(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, tool in tools(params):
        schema = tool.get("input_schema")
        if isinstance(schema, dict) and is_draft_2020_12(schema):
            for index, example in entries(tool.get("input_examples")):
                if not _fits(example, schema):
                    yield f"{path}.custom.input_examples.{index}"


def _choice_keys(params: Params, _: ModelFacts) -> Iterator[str]:
    choice = params.get("tool_choice")
    known = _CHOICES.get(str(record(choice).get("type")))
    if choice is not None and known is None:
        yield "tool_choice.type"
    if known:
        yield from (f"tool_choice.{key}" for key in record(choice).keys() & _CHOICES["tool"] - known)


def _choice_without_tools(params: Params, _: ModelFacts) -> Iterator[str]:
    if params.get("tool_choice") is not None and not params.get("tools"):
        yield "tool_choice"


def _choice_name(params: Params, _: ModelFacts) -> Iterator[str]:
    choice = record(params.get("tool_choice"))
    names = [tool.get("name") for _path, tool in tools(params)]
    if choice.get("type") == "tool" and names and choice.get("name") not in names:
        yield "tool_choice.name"


def _forced_of_model(params: Params, model: ModelFacts) -> Iterator[str]:
    if forced(params) and not model.forced_tool:
        yield "tool_choice"


def _forced_thinking(params: Params, model: ModelFacts) -> Iterator[str]:
    if forced(params) and model.forced_tool and thinking_type(params, model) == "enabled":
        yield "tool_choice"


def _search_shape(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, tool in _searches(params):
        yield from (f"{path}.{key}" for key in tool.keys() - WebSearchTool20250305Param.__annotations__.keys())
        if tool.get("name") != "web_search":
            yield f"{path}.name"
        if tool.get("max_uses") is not None and not (
            isinstance(tool["max_uses"], int) and tool["max_uses"] > 0
        ):
            yield f"{path}.max_uses"


def _search_domains(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, tool in _searches(params):
        if tool.get("allowed_domains") and tool.get("blocked_domains"):
            yield path


def _search_location(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, tool in _searches(params):
        location = tool.get("user_location")
        if location is not None and (
            record(location).get("type") != "approximate" or record(location).keys() - _LOCATION_KEYS
        ):
            yield f"{path}.user_location"


def schemas(params: Params) -> list[tuple[str, dict[str, Json]]]:
    """The input schemas of the client's tools."""
    return [
        (f"{path}.custom.input_schema", tool["input_schema"])
        for path, tool in tools(params)
        if is_custom(tool) and isinstance(tool.get("input_schema"), dict)
    ]


def is_draft_2020_12(schema: Json) -> bool:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return False
    return True


def _fits(value: Json, schema: Json) -> bool:
    try:
        return bool(Draft202012Validator(schema).is_valid(value))
    except Unresolvable:
        return True


def _searches(params: Params) -> list[tuple[str, dict[str, Json]]]:
    return [(path, tool) for path, tool in tools(params) if tool.get("type") == _SEARCH]


RULES = (
    Rule("tool type", "Input tag does not match any of the expected tags", _types),
    Rule("tool key", "Extra inputs are not permitted", _keys),
    Rule("tool name", "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'", _names),
    Rule("tool names", "Tool names must be unique.", _same_names),
    Rule("input_schema missing", "Field required", _no_schema),
    Rule("input_schema type", "Input should be 'object'", _root_type),
    Rule("input_schema union", "input_schema does not support oneOf, allOf, or anyOf at the top level", _root_union),
    Rule("input_schema draft", "JSON schema is invalid. It must match JSON Schema draft 2020-12", _invalid_schema),
    Rule("input_examples", "does not match input_schema", _examples),
    Rule("tool_choice shape", "Input should be auto, any, tool with a name, or none without "
         "`disable_parallel_tool_use`", _choice_keys),
    Rule("tool_choice without tools", "tool_choice may only be specified while providing tools", _choice_without_tools),
    Rule("tool_choice name", "Tool not found in provided tools", _choice_name),
    Rule("forced tool of model", "This model does not support forced tool use", _forced_of_model),
    Rule("forced tool while thinking", "Thinking may not be enabled when tool_choice forces tool use.", _forced_thinking),
    Rule("web search shape", "is not an input of web_search_20250305, or has a value it does not take", _search_shape),
    Rule("web search domains", "only one of `allowed_domains` and `blocked_domains` may be given", _search_domains),
    Rule("web search location", "Input should be of type 'approximate' with city, region, country and timezone",
         _search_location),
)  # fmt: skip
