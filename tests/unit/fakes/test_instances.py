"""A generated instance is one that its schema allows."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.fakes.anthropic.instances import instance

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
def test_instance(schema: Any) -> None:
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    validator.validate(instance(schema))
    assert instance(schema) == instance(schema)
