"""Parameters with a union at the root, which the API refuses, become one object."""

import json
from typing import Any

import pytest

from claudexia.errors import APIError
from tests.unit.translate.request.test_tools import function, translate

A: Any = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
B: Any = {"type": "object", "properties": {"b": {"type": "number"}}, "required": ["b"]}
BOTH: Any = {"a": {"type": "string"}, "b": {"type": "number"}}


def kind(name: str, **more: Any) -> Any:
    return {"type": "object", "properties": {"kind": {"const": name}, **more}, "required": ["kind"]}


def chain(length: int, last: Any = A) -> Any:
    """Two references on each level, so that the number of paths doubles with each level."""
    definitions: Any = {f"A{n}": {"anyOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 2} for n in range(length)}
    return {"anyOf": [{"$ref": "#/$defs/A0"}], "$defs": {**definitions, f"A{length}": last}}


MERGED = [
    pytest.param({"anyOf": [A, B]}, {"properties": BOTH}, id="anyOf"),
    pytest.param({"oneOf": [A, B]}, {"properties": BOTH}, id="oneOf"),
    pytest.param(
        chain(30),
        {"properties": A["properties"], "required": ["a"], "$defs": chain(30)["$defs"]},
        id="many-ways",
    ),
    pytest.param({"allOf": [A, B]}, {"properties": BOTH, "required": ["a", "b"]}, id="allOf"),
    pytest.param(
        {"oneOf": [kind("x", a={}), kind("y", a={}, b={})]},
        {
            "properties": {"kind": {"anyOf": [{"const": "x"}, {"const": "y"}]}, "a": {}, "b": {}},
            "required": ["kind"],
        },
        id="discriminated",
    ),
    pytest.param(
        {
            "type": "object",
            "title": "T",
            "properties": BOTH,
            "required": ["b"],
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {"title": "T", "properties": BOTH, "required": ["b"]},
        id="only-required-differs",
    ),
    pytest.param(
        {"properties": {"a": {"type": "string"}}, "allOf": [{"properties": {"a": {"minLength": 1}}}]},
        {"properties": {"a": {"allOf": [{"type": "string"}, {"minLength": 1}]}}},
        id="declared-twice",
    ),
    pytest.param(
        {"anyOf": [kind("x", n={"const": 1}), kind("x", n={"const": True})]},
        {
            "properties": {"kind": {"const": "x"}, "n": {"anyOf": [{"const": 1}, {"const": True}]}},
            "required": ["kind"],
        },
        id="one-is-not-true",
    ),
    pytest.param(
        {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/definitions/B"}], "$defs": {"A": A}, "definitions": {"B": B}},
        {"$defs": {"A": A, "B": B}, "properties": BOTH},
        id="references",
    ),
    pytest.param(
        {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {**A, "anyOf": [{"$ref": "#/$defs/A"}]}}},
        {
            "$defs": {"A": {**A, "anyOf": [{"$ref": "#/$defs/A"}]}},
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
        },
        id="a-reference-to-itself",
    ),
    pytest.param({"anyOf": [A, {"type": "null"}]}, {"properties": A["properties"], "required": ["a"]}, id="nullable"),
    pytest.param({"anyOf": [A, {"anyOf": [B, A]}]}, {"properties": BOTH}, id="nested"),
    pytest.param({"anyOf": [A, True]}, {"properties": A["properties"]}, id="anything"),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "sent"), MERGED)
def test_a_union_at_the_top_becomes_one_object(parameters: Any, sent: Any) -> None:
    request = translate(tools=[function(description="d", parameters=parameters)])
    tool: Any = request.params["tools"][0]
    assert tool["input_schema"] == {"type": "object", **sent}
    (union,) = {"anyOf", "oneOf", "allOf"} & parameters.keys()
    assert tool["description"].startswith("d\n\n")
    rule = tool["description"].partition("JSON Schemas: ")[2]
    assert json.loads(rule) == json.loads(json.dumps(parameters[union]).replace("/definitions/", "/$defs/"))
    assert [warning.param for warning in request.warnings] == [f"tools[0].function.parameters.{union}"]


def test_references_into_the_union_still_resolve() -> None:
    first = {"type": "object", "properties": {"a": {"type": "string"}}}
    second = {"type": "object", "properties": {"b": {"$ref": "#/anyOf/0/properties/a"}}}
    tool: Any = translate(tools=[function(parameters={"anyOf": [first, second]})]).params["tools"][0]
    pointer = tool["input_schema"]["properties"]["b"]["$ref"].removeprefix("#/").split("/")
    here: Any = tool["input_schema"]
    for step in pointer:
        here = here[int(step)] if isinstance(here, list) else here[step]
    assert here == {"type": "string"}


REFUSED = [
    pytest.param({"type": "string"}, id="string"),
    pytest.param({"type": ["string", "null"]}, id="types-without-object"),
    pytest.param({"type": {"a": 1}}, id="no-type"),
    pytest.param({"anyOf": []}, id="no-options"),
    pytest.param({"anyOf": {"a": 1}}, id="no-list"),
    pytest.param({"anyOf": [{"type": "string"}, {"type": "null"}]}, id="no-object-among-the-options"),
    pytest.param({"allOf": [A, {"type": "string"}]}, id="object-and-string"),
    pytest.param(
        {"anyOf": [{"$ref": "#/$defs/S"}], "$defs": {"S": {"type": "string"}}}, id="reference-to-a-string"
    ),
    pytest.param(chain(30, {"anyOf": [A, {"$ref": "#/$defs/A0"}]}), id="too-many-ways"),
    pytest.param(chain(500), id="too-deep"),
]


@pytest.mark.parametrize("parameters", REFUSED)
def test_unions_without_an_object_are_refused(parameters: Any) -> None:
    with pytest.raises(APIError) as caught:
        translate(tools=[function(parameters=parameters)])
    assert (caught.value.status, caught.value.param) == (400, "tools[0].function.parameters")
    assert caught.value.code == "invalid_function_parameters"
