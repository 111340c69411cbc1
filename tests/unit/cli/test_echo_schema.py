"""The echo's sample for a JSON Schema."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from claudexia_cli.echo.schema import Schema, sample

Body = Mapping[str, object]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({"type": "string"}, "hi", id="string"),
        pytest.param({"type": "integer"}, 1, id="integer"),
        pytest.param({"type": "number", "minimum": 2.5}, 2.5, id="minimum"),
        pytest.param({"type": "boolean"}, True, id="boolean"),
        pytest.param({"type": "null"}, None, id="null"),
        pytest.param({"type": ["null", "integer"]}, 1, id="several-types"),
        pytest.param({"enum": ["a", "b"]}, "a", id="enum"),
        pytest.param({"const": None}, None, id="const-null"),
        pytest.param({"type": "string", "default": "d"}, "d", id="default"),
        pytest.param({"type": "array", "items": {"type": "integer"}}, [1], id="array"),
        pytest.param({"type": "array", "minItems": 2}, ["hi", "hi"], id="array-of-anything"),
        pytest.param({"properties": {"a": {}}, "required": ["a", "b"]}, {"a": "hi", "b": "hi"}, id="untyped"),
        pytest.param({"type": "object", "properties": {"a": {"type": "string"}}}, {}, id="optional-left-out"),
        pytest.param({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1, id="any-of"),
        pytest.param({"oneOf": [{"const": 7}, True]}, 7, id="one-of"),
        pytest.param(
            {
                "allOf": [
                    {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"properties": {"b": {}}, "required": ["b"]},
                ]
            },
            {"a": 1, "b": "hi"},
            id="all-of",
        ),
        pytest.param(
            {
                "type": "object",
                "properties": {"at": {"$ref": "#/$defs/Place"}},
                "required": ["at"],
                "$defs": {"Place": {"type": "object", "properties": {"x": {}}, "required": ["x"]}},
            },
            {"at": {"x": "hi"}},
            id="ref",
        ),
        pytest.param({"$ref": "https://elsewhere.test/schema"}, "hi", id="unknown-ref"),
    ],
)
def test_sample_of_a_schema(schema: Body, expected: object) -> None:
    assert sample(Schema.model_validate(schema), "hi") == expected


@pytest.mark.parametrize(
    "child",
    [
        pytest.param({"type": "array", "items": {"$ref": "#"}}, id="list-of-itself"),
        pytest.param({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, id="itself-or-null"),
        pytest.param({"$ref": "#"}, id="itself"),
    ],
)
def test_sample_of_a_recursive_schema_is_finite(child: Body) -> None:
    schema = {"type": "object", "properties": {"child": child}, "required": ["child"]}
    assert json.dumps(sample(Schema.model_validate(schema), "hi")).startswith('{"child": ')


STRING = {"type": "string"}
PAIR = {"type": "object", "properties": {"a": STRING, "b": {"type": "boolean"}}, "required": ["a", "b"]}
SCHEMAS: list[Any] = [
    {},
    {"type": "object"},
    PAIR,
    {"const": {"x": 1}},
    {"enum": ["b", None]},
    {"type": ["null", "integer"], "minimum": 3},
    {"type": "number", "exclusiveMinimum": 1, "multipleOf": 0.5},
    {"type": "integer", "maximum": -2},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": r"^\d{4}$"},
    *({"type": "string", "format": name} for name in ("date-time", "uuid", "email", "ipv6", "duration")),
    {"type": "array", "items": PAIR, "minItems": 2},
    {"type": "array", "prefixItems": [STRING, {"type": "null"}], "minItems": 2},
    {"anyOf": [{"type": "null"}, STRING]},
    {"oneOf": [PAIR, STRING], "description": "a choice"},
    {"allOf": [PAIR, {"properties": {"c": {"const": 1}}, "required": ["c"]}], "type": "object"},
    {"$ref": "#/$defs/pair", "$defs": {"pair": PAIR}},
    {
        "type": "object",
        "properties": {"p": {"$ref": "#/$defs/pair"}},
        "required": ["p"],
        "$defs": {"pair": PAIR},
    },
    {"type": "object", "properties": {"next": {"$ref": "#"}, "a": STRING}, "required": ["a"]},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_sample_is_valid_and_deterministic(schema: Any) -> None:
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    value = sample(Schema.model_validate(schema), "a")
    validator.validate(value)
    assert sample(Schema.model_validate(schema), "a") == value
