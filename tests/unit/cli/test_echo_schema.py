"""What the echo makes of a JSON Schema."""

import json
from collections.abc import Mapping

import pytest

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
def test_a_sample_of_a_schema(schema: Body, expected: object) -> None:
    assert sample(Schema.model_validate(schema), "hi") == expected


@pytest.mark.parametrize(
    "child",
    [
        pytest.param({"type": "array", "items": {"$ref": "#"}}, id="list-of-itself"),
        pytest.param({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, id="itself-or-null"),
        pytest.param({"$ref": "#"}, id="itself"),
    ],
)
def test_a_recursive_schema_ends(child: Body) -> None:
    schema = {"type": "object", "properties": {"child": child}, "required": ["child"]}
    assert json.dumps(sample(Schema.model_validate(schema), "hi")).startswith('{"child": ')
