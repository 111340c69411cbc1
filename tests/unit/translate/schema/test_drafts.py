"""to_current_draft(): one keyword at a time, at the root and below it."""

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from claudexia.translate.schema.drafts import to_current_draft

TEXT = {"type": "string"}
A = {"properties": {"a": TEXT}}
NULL = {"type": "null"}

# The schema, and what it becomes. Each is converted at the root, as a property, and as an item.
CONVERTED: dict[str, tuple[Any, Any]] = {
    # draft 3
    "divisibleBy": ({"divisibleBy": 5}, {"multipleOf": 5}),
    "extends": ({"extends": A}, {"allOf": [A]}),
    "extends-a-list": ({"extends": [A, TEXT]}, {"allOf": [A, TEXT]}),
    "extends-and-allOf": ({"allOf": [TEXT], "extends": A}, {"allOf": [TEXT, A]}),
    "required-in-the-property": ({"properties": {"a": {"type": "string", "required": True}, "b": {"required": False}}}, {"properties": {"a": TEXT, "b": {}}, "required": ["a"]}),
    "required-in-both-ways": ({"required": ["b"], "properties": {"a": {"required": True}, "b": {"required": True}}}, {"required": ["b", "a"], "properties": {"a": {}, "b": {}}}),
    "required-after-the-properties": ({"properties": {"a": {"required": True}}, "required": ["a", "b"]}, {"properties": {"a": {}}, "required": ["a", "b"]}),
    "a-schema-among-types": ({"type": ["string", {"type": "integer"}]}, {"anyOf": [{"type": "integer"}, TEXT]}),
    "type-any": ({"type": "any"}, {}),
    "dependency-on-one-name": ({"dependencies": {"a": "b"}}, {"dependentRequired": {"a": ["b"]}}),
    # draft 4
    "exclusive-minimum": ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
    "exclusive-minimum-first": ({"exclusiveMinimum": True, "minimum": 1}, {"exclusiveMinimum": 1}),
    "exclusive-minimum-alone": ({"exclusiveMinimum": True}, {}),
    "inclusive-minimum": ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
    "exclusive-maximum": ({"maximum": 1.5, "exclusiveMaximum": True}, {"exclusiveMaximum": 1.5}),
    "inclusive-maximum": ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
    "id": ({"id": "http://a.example/b.json", "type": "string"}, TEXT),
    "id-as-an-anchor": ({"id": "#a", "type": "string"}, {"$anchor": "a", **TEXT}),
    # drafts 6, 7 and 2019-09
    "tuple": ({"items": [TEXT, NULL]}, {"prefixItems": [TEXT, NULL]}),
    "tuple-that-ends": ({"items": [TEXT], "additionalItems": False}, {"prefixItems": [TEXT], "items": False}),
    "tuple-that-goes-on": ({"items": [TEXT], "additionalItems": A}, {"prefixItems": [TEXT], "items": A}),
    "empty-tuple": ({"items": [], "type": "array"}, {"type": "array"}),
    "additionalItems-without-a-tuple": ({"items": TEXT, "additionalItems": False}, {"items": TEXT}),
    "dependencies": ({"dependencies": {"a": ["b", "b"], "c": A}}, {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": A}}),
    "schema-of-another-draft": ({"$schema": "http://json-schema.org/draft-07/schema#", **TEXT}, TEXT),
    "$id-with-a-fragment": ({"$id": "#a", **TEXT}, {"$anchor": "a", **TEXT}),
    "$recursiveRef": ({"$recursiveAnchor": True, "$recursiveRef": "#"}, {"$ref": "#"}),
    # OpenAPI
    "nullable-with-values": ({"type": "string", "enum": ["x"], "nullable": False}, {"type": "string", "enum": ["x"]}),
    "file": ({"type": "file"}, TEXT),
    "an-example": ({"type": "string", "example": "x", "examples": {"a": "x"}}, {**TEXT, "example": "x", "examples": ["x"]}),
    # nearly valid
    "null-keywords": ({"type": "string", "enum": None, "format": None, "minLength": None, "items": None, "nullable": None}, TEXT),
    "null-values": ({"const": None, "default": None, "type": "null"}, None),
    "unknown-keyword-that-is-null": ({"x-order": None}, None),
    "empty-list-for-an-object": ({"properties": [], "items": {"$defs": []}}, {"properties": {}, "items": {"$defs": {}}}),
    "empty-list-for-a-schema": ({"additionalProperties": [], "properties": {"a": []}}, {"additionalProperties": {}, "properties": {"a": {}}}),
    "repeated-names": ({"required": ["a", "b", "a"]}, {"required": ["a", "b"]}),
    "no-names": ({"required": ["a", 5, None]}, {"required": ["a"]}),
    "names-with-gaps": ({"required": {"0": "a", "2": "b"}}, {"required": ["a", "b"]}),
    "one-name": ({"required": "a"}, {"required": ["a"]}),
    "values-with-gaps": ({"enum": {"0": "a", "2": "b"}}, {"enum": ["a", "b"]}),
    "types-of-languages": ({"anyOf": [{"type": name} for name in ("str", "int64", "float", "bool", "dict", "list", "None", "STRING")]}, {"anyOf": [{"type": name} for name in ("string", "integer", "number", "boolean", "object", "array", "null", "string")]}),
    "types-that-become-one": ({"type": ["int", "integer", "null"]}, {"type": ["integer", "null"]}),
    "any-among-types": ({"type": ["string", "any"]}, {}),
    "numbers-as-text": ({"minimum": "1", "maximum": "-2.5", "maxLength": "9"}, {"minimum": 1, "maximum": -2.5, "maxLength": 9}),
    "flags-as-text": ({"uniqueItems": "true", "additionalProperties": "false"}, {"uniqueItems": True, "additionalProperties": False}),
    "flags-that-are-none": ({"uniqueItems": "maybe", "readOnly": 1}, {}),
    "notes-of-another-type": ({"title": 5, "description": ["d"], "type": "string"}, TEXT),
    "a-type-for-a-schema": ({"properties": {"a": "string", "b": "any"}}, {"properties": {"a": TEXT, "b": {}}}),
    # names that look like keywords
    "properties-named-as-keywords": ({"properties": {"required": TEXT, "id": TEXT, "nullable": TEXT, "items": TEXT, "type": TEXT, "definitions": TEXT}}, None),
    "keywords-in-values": ({"const": {"nullable": True, "id": 1}, "default": {"required": None}, "enum": [{"items": []}]}, None),
}  # fmt: skip
PLACES: dict[str, Callable[[Any], Any]] = {
    "root": lambda schema: schema,
    "property": lambda schema: {"type": "object", "properties": {"p": schema}},
    "item": lambda schema: {"type": "object", "properties": {"p": {"type": "array", "items": schema}}},
    "definition": lambda schema: {"type": "object", "$defs": {"D": schema}},
    "option": lambda schema: {"type": "object", "properties": {"p": {"anyOf": [TEXT, schema]}}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CONVERTED)
def test_conversion(name: str, place: str) -> None:
    given, expected = CONVERTED[name]
    put = PLACES[place]
    converted = to_current_draft(put(given))
    assert converted.schema == put(given if expected is None else expected)
    assert not converted.problem
    Draft202012Validator.check_schema(converted.schema)
    again = to_current_draft(converted.schema)
    assert again.schema is converted.schema


NULLABLE: dict[str, tuple[Any, Any]] = {
    "type": (TEXT, {"type": ["string", "null"]}),
    "types": ({"type": ["string", "integer"]}, {"type": ["string", "integer", "null"]}),
    "null-already": ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
    "enum": ({"type": "string", "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
    "enum-with-null": ({"type": "string", "enum": ["a", None]}, {"type": ["string", "null"], "enum": ["a", None]}),
    "const": ({"type": "string", "const": "a"}, {"anyOf": [{"type": "string", "const": "a"}, NULL]}),
    "reference": ({"$ref": "#/$defs/A"}, {"anyOf": [{"$ref": "#/$defs/A"}, NULL]}),
    "union": ({"description": "d", "oneOf": [TEXT, A]}, {"description": "d", "anyOf": [{"oneOf": [TEXT, A]}, NULL]}),
    "anything": ({"description": "d"}, {"description": "d"}),
}  # fmt: skip


@pytest.mark.parametrize("name", NULLABLE)
def test_nullable(name: str) -> None:
    given, expected = NULLABLE[name]
    schema = {"type": "object", "properties": {"a": {**given, "nullable": True}}}
    assert to_current_draft(schema).schema == {"type": "object", "properties": {"a": expected}}


def test_a_nullable_root_stays_an_object() -> None:
    assert to_current_draft({"type": "object", "nullable": True}).schema == {"type": "object"}


DEFINITIONS: dict[str, tuple[Any, Any]] = {
    "moved": (
        {"properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": TEXT}},
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": TEXT}},
    ),
    "beside-others": (
        {"$ref": "#/definitions/A", "definitions": {"A": TEXT}, "$defs": {"B": NULL}},
        {"$ref": "#/$defs/A", "$defs": {"A": TEXT, "B": NULL}},
    ),
    "a-name-in-both": (
        {"$ref": "#/definitions/A", "definitions": {"A": TEXT}, "$defs": {"A": NULL}},
        {"$ref": "#/definitions/A", "definitions": {"A": TEXT}, "$defs": {"A": NULL}},
    ),
    "nested": (
        {"properties": {"a": {"$ref": "#/properties/a/definitions/A", "definitions": {"A": {"type": "str"}}}}},
        {"properties": {"a": {"$ref": "#/properties/a/definitions/A", "definitions": {"A": TEXT}}}},
    ),
    "that-refer-to-each-other": (
        {"definitions": {"A": {"items": [{"$ref": "#/definitions/B"}]}, "B": {"$ref": "#/definitions/A"}}},
        {"$defs": {"A": {"prefixItems": [{"$ref": "#/$defs/B"}]}, "B": {"$ref": "#/$defs/A"}}},
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions(name: str) -> None:
    given, expected = DEFINITIONS[name]
    assert to_current_draft(given).schema == expected


CURRENT: dict[str, Any] = {
    "empty": {},
    "object": {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
    "tuple": {"prefixItems": [TEXT], "items": False},
    "draft": {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "http://a.example", "$defs": {"A": TEXT}},
    "unknown-keywords": {"x-order": [None], "format": "uint32", "discriminator": {"propertyName": "a"}},
    "logic": {"if": A, "then": True, "else": False, "not": {}, "allOf": [A], "dependentSchemas": {"a": A}},
}  # fmt: skip


@pytest.mark.parametrize("name", CURRENT)
def test_a_current_schema_is_returned_as_it_is(name: str) -> None:
    assert to_current_draft(CURRENT[name]).schema is CURRENT[name]


# The value that no draft allows, and the words of the problem.
PROBLEMS: dict[str, tuple[Any, str]] = {
    "type": (
        {"type": "strin"},
        "In context=('properties', 'p', 'type'), the value is not a type of JSON Schema",
    ),
    "type-number": ({"type": 5}, "('properties', 'p', 'type'), the value is not a type"),
    "count": ({"minLength": -1}, "'minLength'), the value is not a count"),
    "fraction": ({"maxItems": 1.5}, "'maxItems'), the value is not a count"),
    "number": ({"minimum": "one"}, "'minimum'), the value is not a number"),
    "multiple": ({"multipleOf": 0}, "'multipleOf'), the value is not greater than 0"),
    "divisor": ({"divisibleBy": -1}, "'divisibleBy'), the value is not greater than 0"),
    "union": ({"anyOf": []}, "'anyOf'), the value is not a list of schemas"),
    "union-object": ({"oneOf": {"a": TEXT}}, "'oneOf'), the value is not a list of schemas"),
    "pattern": ({"pattern": 5}, "'pattern'), the value is not a string"),
    "reference": ({"$ref": {}}, "'$ref'), the value is not a string"),
    "properties": ({"properties": ["a"]}, "'properties'), the value is not an object"),
    "dependencies": ({"dependencies": 5}, "'dependencies'), the value is not an object"),
    "required": ({"required": 5}, "'required'), the value is not an array of names"),
    "member": ({"properties": {"a": 5}}, "'properties', 'a'), the value is not a schema"),
    "item": ({"items": [TEXT, 5]}, "'items'), the value is not a schema"),
    "the-first-of-two": ({"minLength": -1, "maxLength": -1}, "'minLength')"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems(name: str) -> None:
    given, words = PROBLEMS[name]
    converted = to_current_draft({"type": "object", "properties": {"p": given}})
    assert words in converted.problem
    Draft202012Validator.check_schema(converted.schema)


def test_a_schema_that_is_nested_too_deeply() -> None:
    schema: Any = {"type": "str"}
    for _ in range(5000):
        schema = {"items": schema}
    assert to_current_draft(schema).problem == "it is nested too deeply"
