"""Tool schemas as MCP servers, OpenAPI descriptions and older generators publish them, rebuilt in small.

Each is sent through the gateway to the fake of Anthropic's API, which refuses what the API refuses, and calls the
tool with a sample of the schema that it was given. The call must come back in the client's own names.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openai import BadRequestError, OpenAI

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.sdk import first_choice
from tests.helpers.serving import KEY, gateway

MODEL = "claude-sonnet-5-5"
TEXT: Any = {"type": "string"}
LONG = "include_archived_and_deleted_records_of_every_workspace_of_the_account"  # 70 characters


def of(properties: Any, *required: str, **more: Any) -> Any:
    return {"type": "object", "properties": properties, "required": [*(required or properties)], **more}


# The schema, and the arguments that the fake answers with.
SCHEMAS: dict[str, tuple[Any, Any]] = {
    "odata": (of({"$filter": TEXT, "$top": {"type": "integer", "minimum": 1}, "path": TEXT}), {"$filter": "a", "$top": 1, "path": "a"}),
    "brackets": (of({"filter[name]": TEXT, "page[size]": {"type": "integer"}}), {"filter[name]": "a", "page[size]": 1}),
    "array brackets": (of({"ids[]": {"type": "array", "items": TEXT}}), {"ids[]": ["a"]}),
    "spaces": (of({"Start Date": {**TEXT, "format": "date"}, "End Date": TEXT}, "End Date"), {"End Date": "a"}),
    "non-Latin": (of({"查询": TEXT, "数量": {"type": "integer"}}), {"查询": "a", "数量": 1}),
    "umlauts": (of({"größe": {"type": "number"}}), {"größe": 1}),
    "70 characters": (of({LONG: {"type": "boolean"}}), {LONG: True}),
    "headers": (of({"X-Api:Version": TEXT, "If-Match": TEXT}), {"X-Api:Version": "a", "If-Match": "a"}),
    "JSON-LD": (of({"@type": {"const": "Person"}, "@id": TEXT}), {"@type": "Person", "@id": "a"}),
    "paths": (of({"user/name": TEXT, "a~b": TEXT}), {"user/name": "a", "a~b": "a"}),
    "quotes": (of({'say "hi"': TEXT, "back\\slash": TEXT}), {'say "hi"': "a", "back\\slash": "a"}),
    "emoji": (of({"🎉": TEXT}), {"🎉": "a"}),
    "names that need each other": (
        of({"$a": TEXT, "$b": TEXT}, "$a", dependentRequired={"$a": ["$b"]}, additionalProperties=False),
        {"$a": "a"},
    ),
    "referenced property": (of({"$a": TEXT, "b": {"$ref": "#/properties/$a"}}, "$a"), {"$a": "a"}),
    "nested names are free": (of({"query": of({"$where": TEXT})}), {"query": {"$where": "a"}}),
    "nested definitions": (
        of({"item": {"$ref": "#/definitions/Item"}}, definitions={"Item": of({"id": TEXT}), "Unused": {"type": "null"}}),
        {"item": {"id": "a"}},
    ),
    "boolean exclusiveMinimum": (of({"n": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}}), {"n": 1}),
    "boolean exclusiveMaximum": (of({"n": {"type": "integer", "maximum": 1, "exclusiveMaximum": True, "minimum": 0, "exclusiveMinimum": False}}), {"n": 0}),
    "tuple": (of({"point": {"type": "array", "items": [{"type": "number"}, TEXT], "additionalItems": False, "minItems": 2}}), {"point": [1, "a"]}),
    "nullable": (of({"a": {**TEXT, "nullable": True}, "b": {"enum": ["x", "y"], "type": "string", "nullable": True}}), {"a": "a", "b": "x"}),
    "root oneOf": (
        {"oneOf": [of({"kind": {"const": "a"}, "$x": TEXT}), of({"kind": {"const": "a"}, "$x": TEXT, "y": TEXT})]},
        {"kind": "a", "$x": "a"},
    ),
    "root anyOf of required": (
        {**of({"id": TEXT, "name": TEXT}, "id"), "anyOf": [{"required": ["id"]}, {"required": ["name"]}]},
        {"id": "a"},
    ),
    "formats of numbers": (of({"n": {"type": "integer", "format": "uint32", "minimum": 0}, "f": {"type": "number", "format": "double"}}), {"n": 0, "f": 1}),
    "const without type": (of({"action": {"const": "create"}, "n": {"const": None}}), {"action": "create", "n": None}),
    "recursion": (
        of({"node": {"$ref": "#/$defs/Node"}}, **{"$defs": {"Node": of({"name": TEXT, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}, "name")}}),
        {"node": {"name": "a"}},
    ),
    "recursion to the root": (of({"name": TEXT, "next": {"$ref": "#"}}, "name"), {"name": "a"}),
    "required of draft 3": ({"type": "object", "properties": {"a": {"type": "string", "required": True}, "b": {"type": "string", "required": False}}}, {"a": "a"}),
    "dependencies": (of({"a": TEXT, "b": TEXT}, "a", dependencies={"a": ["b"], "b": {"properties": {"c": TEXT}}}), {"a": "a"}),
    "id and schema of draft 4": (
        of({"a": {"id": "#a", **TEXT}}, id="http://example.com/tool.json", **{"$schema": "http://json-schema.org/draft-04/schema#"}),
        {"a": "a"},
    ),
    "any type": (of({"value": {"type": "any", "description": "d"}}), {"value": "a"}),
    "null keywords of Go": (
        {"type": "object", "properties": {"a": {"type": "string", "enum": None, "items": None, "default": None}}, "required": None, "additionalProperties": None, "$defs": None, "description": None},
        {},
    ),
    "no properties of PHP": ({"type": "object", "properties": [], "required": []}, {}),
    "nested empty object of PHP": (of({"options": {"type": "object", "properties": [], "additionalProperties": []}, "any": []}, "options"), {"options": {}}),
    "repeated required": (of({"a": TEXT, "b": TEXT}, "a", "a", "b", "a"), {"a": "a", "b": "a"}),
    "types of Python": (of({"a": {"type": "str"}, "b": {"type": "int"}, "c": {"type": "bool"}, "d": {"type": "float"}}), {"a": "a", "b": 1, "c": True, "d": 1}),
    "types of Gemini": ({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]}, {"a": "a"}),
    "numbers as text": (of({"a": {"type": "string", "minLength": "1", "maxLength": "9"}}), {"a": "a"}),
    "flags as text": (of({"a": {"type": "array", "items": TEXT, "uniqueItems": "true"}}, additionalProperties="false"), {"a": ["a"]}),
    "examples of OpenAPI": (of({"a": {**TEXT, "example": "x", "examples": {"first": {"value": "x"}}, "xml": {"name": "a"}}}), {"a": "a"}),
    "pattern with properties": (of({"a": {**TEXT, "pattern": "^\\p{L}+$"}}), None),
    "schemas of draft 2019": ({"$recursiveAnchor": True, **of({"a": TEXT, "b": {"$recursiveRef": "#"}}, "a")}, {"a": "a"}),
    "divisibleBy": (of({"n": {"type": "integer", "divisibleBy": 5}}), {"n": 5}),
    "a property called id or items": (of({"id": TEXT, "items": {"type": "array", "items": TEXT}, "required": {"type": "boolean"}, "definitions": TEXT}), {"id": "a", "items": ["a"], "required": True, "definitions": "a"}),
}  # fmt: skip
CASES = [pytest.param(schema, sample, id=name.replace(" ", "-")) for name, (schema, sample) in SCHEMAS.items()]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FakeAnthropic, OpenAI]]:
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        yield upstream, OpenAI(base_url=url, api_key=KEY, max_retries=0)


def tool(schema: Any) -> Any:
    return {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}


def request_with(schema: Any, **fields: Any) -> Any:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Use the tool"}],
        "tools": [tool(schema)],
        **fields,
    }


@pytest.mark.parametrize(("schema", "sample"), CASES)
def test_a_call_and_its_replay(served: Any, schema: Any, sample: Any) -> None:
    upstream, client = served
    choices = [first_choice(client, streamed, **request_with(schema)) for streamed in (False, True)]
    calls = [choice.message.tool_calls[0] for choice in choices]
    assert calls[0].function.arguments == calls[1].function.arguments
    if sample is not None:
        assert json.loads(calls[0].function.arguments) == sample
    answered = [
        *request_with(schema)["messages"],
        choices[0].message.model_dump(include={"role", "content", "tool_calls"}),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "fine"},
    ]
    assert "fine" in first_choice(client, False, **request_with(schema, messages=answered)).message.content
    body = upstream.bodies[-1]
    sent = body["tools"][0]["input_schema"]
    # Without formats: Python's regular expressions have no \p{...}, unlike the API's.
    Draft202012Validator.check_schema(sent, format_checker=FormatChecker(formats=()))
    blocks = body["messages"][1]["content"]
    # The stored answer was found, thinking included: the replayed call is the one that Claude made.
    assert {block["type"] for block in blocks} >= {"thinking", "tool_use"}
    replayed = next(block["input"] for block in blocks if block["type"] == "tool_use")
    assert replayed.keys() <= sent["properties"].keys()


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("schema", "sample"), CASES)
def test_a_forced_call(served: Any, schema: Any, sample: Any, streamed: bool) -> None:
    _, client = served
    fields = request_with(
        schema,
        messages=[{"role": "user", "content": "Hello"}],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    (call,) = first_choice(client, streamed, **fields).message.tool_calls
    required = json.loads(call.function.arguments)
    if sample is not None:
        assert required.keys() >= sample.keys() or schema.get("required") is None


def test_a_call_in_a_history_from_elsewhere(served: Any) -> None:
    upstream, client = served
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"$filter": "x", "other key": 1}'},
    }
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    client.chat.completions.create(**request_with(of({"$filter": TEXT}), messages=messages))
    body = upstream.bodies[-1]
    (name,) = body["tools"][0]["input_schema"]["properties"]
    (use,) = body["messages"][1]["content"]
    assert use["input"] == {name: "x", "other key": 1}
    assert body["tools"][0]["input_schema"]["properties"][name]["description"] == '"$filter"'


INVALID = [
    pytest.param(of({"a": {"type": "strin"}}), "'a', 'type'", id="unknown-type"),
    pytest.param(of({"a": {**TEXT, "minLength": -1}}), "'a', 'minLength'", id="negative-length"),
    pytest.param(of({"a": {"anyOf": []}}), "'a', 'anyOf'", id="empty-union"),
    pytest.param(of({"a": {"enum": ["x"], "pattern": 5}}), "'a', 'pattern'", id="pattern"),
    pytest.param(of({"a": 5}), "'properties', 'a'", id="no-schema"),
    pytest.param(of({"a": {"type": "number", "multipleOf": 0}}), "'multipleOf'", id="multiple-of-zero"),
    pytest.param({"type": "object", "properties": "a"}, "'properties'", id="properties"),
    pytest.param({"type": "object", "required": 5}, "'required'", id="required"),
    pytest.param(of({"a": {"$ref": 5}}), "'$ref'", id="reference"),
]


@pytest.mark.parametrize(("schema", "place"), INVALID)
def test_what_no_draft_allows_is_named(served: Any, schema: Any, place: str) -> None:
    upstream, client = served
    before = len(upstream.bodies)
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(**request_with(of({"a": TEXT}), tools=[tool(of({})), tool(schema)]))
    assert caught.value.param == "tools[1].function.parameters"
    assert caught.value.code == "invalid_function_parameters"
    assert place in str(caught.value)
    assert len(upstream.bodies) == before


ANSWERS = [
    pytest.param({"type": "object", "properties": {"a": TEXT}, "required": None}, id="null-required"),
    pytest.param(of({"a": {**TEXT, "nullable": True}}, definitions=None), id="null-definitions"),
    pytest.param(of({"a": TEXT}, "a", "a"), id="repeated-required"),
    pytest.param(of({"a": {"type": "number", "minimum": 0, "exclusiveMinimum": True}}), id="draft-4"),
    pytest.param({"type": "object", "properties": {"a": {"type": "string", "required": True}}}, id="draft-3"),
    pytest.param(of({"a": {"type": "array", "items": TEXT, "enum": None}}), id="null-enum"),
    pytest.param({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}, id="capital-types"),
]
FORMS = [
    pytest.param(
        lambda schema: {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}, id="openai"
    ),
    pytest.param(lambda schema: {"type": "json_object", "schema": schema}, id="json-object"),
    pytest.param(
        lambda schema: {"type": "json_schema", "schema": schema, "name": "a", "strict": True}, id="flat"
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("schema", ANSWERS)
def test_answer_schemas_are_enforced(served: Any, schema: Any, form: Any) -> None:
    upstream, client = served
    fields = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    answer = client.chat.completions.create(response_format=form(schema), **fields).choices[0].message.content
    assert isinstance(json.loads(answer), dict)
    assert upstream.bodies[-1]["output_config"]["format"]["schema"]["properties"]["a"]
