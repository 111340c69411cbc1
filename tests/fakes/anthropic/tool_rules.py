"""Rules for tool definitions and for `tool_choice`.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
"""

import re
from collections.abc import Iterator
from typing import get_args, get_type_hints

from anthropic.types import ToolParam, ToolUnionParam, WebSearchTool20250305Param
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable

from claudexia_cli.echo.params import Json, Params, as_object, is_custom, is_forced, objects, tools
from claudexia_cli.echo.rules import Rule, Violation, input_schemas
from tests.fakes.anthropic.models import ModelFacts, thinking_type

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_TYPES = {
    get_args(get_type_hints(tool).get("type"))[0] for tool in get_args(ToolUnionParam) if tool is not ToolParam
}
_FORMATS = FormatChecker()
_SEARCH = "web_search_20250305"
_LOCATION_KEYS = {"type", "city", "region", "country", "timezone"}
_CHOICES = {
    "auto": {"type", "disable_parallel_tool_use"},
    "any": {"type", "disable_parallel_tool_use"},
    "tool": {"type", "name", "disable_parallel_tool_use"},
    "none": {"type"},
}


def _types(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (
        f"{path}.type"
        for path, tool in tools(params)
        if not is_custom(tool) and str(tool["type"]) not in _TYPES
    )


def _keys(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, tool in tools(params):
        if is_custom(tool):
            yield from (f"{path}.custom.{key}" for key in tool.keys() - ToolParam.__annotations__.keys())


def _names(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, tool in tools(params):
        if is_custom(tool) and not _NAME.fullmatch(str(tool.get("name", ""))):
            yield f"{path}.custom.name"


def _duplicate_names(params: Params, _: ModelFacts) -> Iterator[Violation]:
    names = [str(tool.get("name")) for _path, tool in tools(params) if "name" in tool]
    yield from (f"tools.{index}" for index, name in enumerate(names) if name in names[:index])


def _root_union(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (path for path, schema in input_schemas(params) if {"oneOf", "anyOf", "allOf"} & schema.keys())


def _property_names(params: Params, _: ModelFacts) -> Iterator[Violation]:
    """Only those at the top: names of nested properties are not checked."""
    for path, schema in input_schemas(params):
        if not all(map(_PROPERTY.fullmatch, as_object(schema.get("properties")))):
            yield f"{path}.properties"


def _invalid_schema(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (path for path, schema in input_schemas(params) if not is_draft_2020_12(schema))


def _examples(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, tool in tools(params):
        schema = tool.get("input_schema")
        if isinstance(schema, dict) and is_draft_2020_12(schema):
            for index, example in objects(tool.get("input_examples")):
                if not _fits(example, schema):
                    yield f"{path}.custom.input_examples.{index}"


def _choice_keys(params: Params, _: ModelFacts) -> Iterator[Violation]:
    choice = params.get("tool_choice")
    keys = _CHOICES.get(str(as_object(choice).get("type")))
    if choice is not None and keys is None:
        yield "tool_choice.type"
    if keys:
        yield from (f"tool_choice.{key}" for key in as_object(choice).keys() & _CHOICES["tool"] - keys)


def _forced_of_model(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if is_forced(params) and not model.forced_tool:
        yield "tool_choice"


def _forced_with_thinking(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if is_forced(params) and model.forced_tool and thinking_type(params, model) == "enabled":
        yield "tool_choice"


def _search_shape(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, tool in _searches(params):
        yield from (f"{path}.{key}" for key in tool.keys() - WebSearchTool20250305Param.__annotations__.keys())
        if tool.get("name") != "web_search":
            yield f"{path}.name"
        if tool.get("max_uses") is not None and not (
            isinstance(tool["max_uses"], int) and tool["max_uses"] > 0
        ):
            yield f"{path}.max_uses"


def _search_domains(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, tool in _searches(params):
        if tool.get("allowed_domains") and tool.get("blocked_domains"):
            yield path


def _search_location(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, tool in _searches(params):
        location = tool.get("user_location")
        if location is not None and (
            as_object(location).get("type") != "approximate" or as_object(location).keys() - _LOCATION_KEYS
        ):
            yield f"{path}.user_location"


@_FORMATS.checks("regex", re.error)
def _is_regex(pattern: object) -> bool:
    """The API takes Unicode properties, which Python's `re` does not know."""
    return not isinstance(pattern, str) or bool(re.compile(re.sub(r"\\[pP]\{[^}]*\}", ".", pattern)))


def is_draft_2020_12(schema: Json) -> bool:
    try:
        Draft202012Validator.check_schema(schema, _FORMATS)
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
    Rule("duplicate tool name", "Tool names must be unique.", _duplicate_names),
    Rule("input_schema union", "input_schema does not support oneOf, allOf, or anyOf at the top level", _root_union),
    Rule("input_schema draft", "JSON schema is invalid. It must match JSON Schema draft 2020-12", _invalid_schema),
    Rule("property name", "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'", _property_names),
    Rule("input_examples", "does not match input_schema", _examples),
    Rule("tool_choice shape", "Input should be auto, any, tool with a name, or none without "
         "`disable_parallel_tool_use`", _choice_keys),
    Rule("forced tool of model", "This model does not support forced tool use", _forced_of_model),
    Rule("forced tool with thinking", "Thinking may not be enabled when tool_choice forces tool use.", _forced_with_thinking),
    Rule("web search shape", "is not an input of web_search_20250305 or has an unsupported value", _search_shape),
    Rule("web search domains", "only one of `allowed_domains` and `blocked_domains` may be given", _search_domains),
    Rule("web search location", "Input should be of type 'approximate' with city, region, country and timezone",
         _search_location),
)  # fmt: skip
