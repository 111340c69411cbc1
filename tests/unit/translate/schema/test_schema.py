"""Client schemas adapted to what Claude accepts: a named case for every rule."""

from typing import Any

import pytest

from tests.helpers.schemas import INTEGER, NULL, STRING, checked_adapt, closed, many

ANY = {"type": ["string", "number", "boolean", "null"]}

# The schema of a property `a`, the adapted schema, what was relaxed and what was narrowed.
PROPERTIES = [
    pytest.param({**STRING, "title": "A", "examples": ["x"], "readOnly": True, "deprecated": True, "$comment": "c", "x-own": 1}, STRING, "", "", id="annotations"),
    pytest.param({**STRING, "description": "d", "default": "x"}, {**STRING, "default": "x", "description": "d"}, "", "", id="description-and-default"),
    pytest.param({**INTEGER, "minimum": 0, "exclusiveMaximum": 9, "multipleOf": 3}, {**INTEGER, "description": "(minimum: 0, exclusiveMaximum: 9, multipleOf: 3)"}, "a: minimum, a: exclusiveMaximum, a: multipleOf", "", id="bounds"),
    pytest.param({**STRING, "maxLength": 9, "description": "d"}, {**STRING, "description": "d (maxLength: 9)"}, "a: maxLength", "", id="bounds-after-the-description"),
    pytest.param({**STRING, "minLength": 0, "minimum": 3}, STRING, "", "", id="bounds-that-bind-nothing"),
    pytest.param({**STRING, "pattern": r"^\d{3}(?:-x)?$"}, {**STRING, "pattern": r"^\d{3}(?:-x)?$"}, "", "", id="simple-pattern"),
    pytest.param({**STRING, "pattern": "(?=a)"}, {**STRING, "description": '(pattern: "(?=a)")'}, "a: pattern", "", id="lookahead"),
    pytest.param({**STRING, "pattern": r"(a)\1"}, {**STRING, "description": '(pattern: "(a)\\\\1")'}, "a: pattern", "", id="back-reference"),
    pytest.param({**STRING, "pattern": r"\ba"}, {**STRING, "description": '(pattern: "\\\\ba")'}, "a: pattern", "", id="word-boundary"),
    pytest.param({**STRING, "pattern": "a{1,5000}"}, {**STRING, "description": '(pattern: "a{1,5000}")'}, "a: pattern", "", id="large-count"),
    pytest.param({**STRING, "pattern": "("}, {**STRING, "description": '(pattern: "(")'}, "a: pattern", "", id="no-pattern"),
    pytest.param({**STRING, "format": "date-time"}, {**STRING, "format": "date-time"}, "", "", id="known-format"),
    pytest.param({**STRING, "format": "regex"}, {**STRING, "description": '(format: "regex")'}, "a: format", "", id="other-format"),
    pytest.param({**INTEGER, "format": "int32"}, INTEGER, "", "", id="format-of-a-number"),
    pytest.param({"type": ["string", "null"], "maxLength": 1}, {"type": ["string", "null"], "description": "(maxLength: 1)"}, "a: maxLength", "", id="type-array"),
    pytest.param({"type": ["string"]}, STRING, "", "", id="type-array-of-one"),
    pytest.param({"type": ["integer", "number"]}, {"type": "number"}, "", "", id="integers-are-numbers"),
    pytest.param({"type": ["object", "null"], "properties": {"b": STRING}, "description": "d"}, {"description": "d", "anyOf": [closed(b=STRING), NULL]}, "", "", id="object-or-null"),
    pytest.param({**STRING, "nullable": True, "description": "d"}, {"description": "d", "type": ["string", "null"]}, "", "", id="nullable"),
    pytest.param({"enum": ["x", 1, None]}, {"enum": ["x", 1, None]}, "", "", id="mixed-enum"),
    pytest.param({**STRING, "enum": ["x", 1, "x"]}, {**STRING, "enum": ["x"]}, "", "", id="enum-of-other-types"),
    pytest.param({"type": ["string", "null"], "enum": ["x", None]}, {"enum": ["x", None]}, "", "", id="enum-beside-a-type-array"),
    pytest.param({"enum": [1, True, 1.0]}, {"enum": [1, True]}, "", "", id="one-is-not-true"),
    pytest.param({"const": "x", "title": "A"}, {"const": "x"}, "", "", id="const"),
    pytest.param({"const": None}, {"const": None}, "", "", id="const-null"),
    pytest.param({"enum": ["xx"], "maxLength": 1}, {"enum": ["xx"], "description": "(maxLength: 1)"}, "a: maxLength", "", id="enum-with-a-bound"),
    pytest.param({"properties": {"b": STRING}}, closed(b=STRING), "", "", id="implied-object"),
    pytest.param({"items": STRING}, {"type": "array", "items": STRING}, "", "", id="implied-array"),
    pytest.param({"maxLength": 3}, {**STRING, "description": "(maxLength: 3)"}, "a: maxLength", "", id="implied-string"),
    pytest.param({}, ANY, "", "a: arrays and objects", id="untyped"),
    pytest.param(True, ANY, "", "a: arrays and objects", id="true"),
    pytest.param({"type": "array"}, {"type": "array", "items": ANY}, "", "a[]: arrays and objects", id="array-of-anything"),
    pytest.param({"type": "array", "items": STRING, "minItems": 1}, {"type": "array", "items": STRING, "minItems": 1}, "", "", id="at-least-one-item"),
    pytest.param({"type": "array", "items": STRING, "minItems": 2, "maxItems": 3, "uniqueItems": True}, {"type": "array", "items": STRING, "minItems": 1, "description": "(maxItems: 3, uniqueItems: true, minItems: 2)"}, "a: maxItems, a: uniqueItems, a: minItems", "", id="array-bounds"),
    pytest.param({"type": "array", "prefixItems": [STRING, NULL], "items": False}, {"type": "array", "items": {"anyOf": [STRING, NULL]}, "description": '(prefixItems: [{"type": "string"}, {"type": "null"}])'}, "a: prefixItems", "", id="tuple"),
    pytest.param({"type": "array", "items": [STRING], "additionalItems": INTEGER}, {"type": "array", "items": {"anyOf": [STRING, INTEGER]}, "description": '(prefixItems: [{"type": "string"}])'}, "a: prefixItems", "", id="tuple-of-draft-07"),
    pytest.param({"type": "array", "items": STRING, "contains": {"const": "x"}, "minContains": 2}, {"type": "array", "items": STRING, "description": '(contains: {"const": "x"}, minContains: 2)'}, "a: contains, a: minContains", "", id="contains"),
    pytest.param({"type": "object", "properties": {"b": STRING}, "additionalProperties": True}, closed(b=STRING), "", "a: additional properties", id="asked-to-be-open"),
    pytest.param({"type": "object", "properties": {"b": STRING}, "required": ["c", "b"]}, closed("b", "c", b=STRING, c=ANY), "", "a.c: arrays and objects", id="required-but-undeclared"),
    pytest.param({"type": "object", "required": ["c"], "additionalProperties": STRING}, closed("c", c=STRING), "", "a: additional properties", id="undeclared-as-additional"),
    pytest.param({"type": "object", "properties": {}, "additionalProperties": False}, closed(), "", "", id="empty-object"),
    pytest.param({"type": "object", "properties": {"b": STRING, "c": False}}, closed(b=STRING), "", "", id="forbidden-property"),
    pytest.param({"type": "object", "properties": {"b": STRING}, "minProperties": 1, "dependentRequired": {"b": ["c"]}}, {**closed(b=STRING), "description": '(minProperties: 1, dependentRequired: {"b": ["c"]})'}, "a: minProperties, a: dependentRequired", "", id="object-bounds"),
    pytest.param({"type": "object", "properties": {"b": STRING}, "unevaluatedProperties": False}, closed(b=STRING), "", "", id="unevaluated-properties"),
    pytest.param({**STRING, "not": {"const": "x"}}, {**STRING, "description": '(not: {"const": "x"})'}, "a: not", "", id="not"),
    pytest.param({**STRING, "if": {"const": "x"}, "then": {"maxLength": 1}}, {**STRING, "description": '(if: {"const": "x"}, then: {"maxLength": 1})'}, "a: if, a: then", "", id="if-then"),
    pytest.param({"anyOf": [STRING, NULL], "default": None}, {"default": None, "anyOf": [STRING, NULL]}, "", "", id="any-of"),
    pytest.param({"anyOf": [STRING, {"anyOf": [NULL, STRING]}, False]}, {"anyOf": [STRING, NULL]}, "", "", id="nested-any-of"),
    pytest.param({"type": "object", "properties": {"b": STRING}, "anyOf": [{"required": ["b"]}, {"properties": {"c": INTEGER}}]}, {"anyOf": [closed("b", b=STRING), closed(b=STRING, c=INTEGER)]}, "", "", id="union-beside-properties"),
    pytest.param({"oneOf": [STRING, NULL]}, {"anyOf": [STRING, NULL]}, "", "", id="one-of-types"),
    pytest.param({"oneOf": [STRING, {"const": "x"}]}, {"anyOf": [STRING, {"const": "x"}]}, "a: oneOf", "", id="one-of-that-overlaps"),
    pytest.param({"oneOf": [INTEGER, {"type": "number"}]}, {"anyOf": [INTEGER, {"type": "number"}]}, "a: oneOf", "", id="one-of-numbers"),
    pytest.param({"oneOf": [closed("k", k={"const": "x"}), closed("k", k={"const": "y"})]}, {"anyOf": [closed("k", k={"const": "x"}), closed("k", k={"const": "y"})]}, "", "", id="one-of-by-discriminator"),
    pytest.param({"oneOf": [closed(k={"const": "x"}), closed(k={"const": "y"})]}, {"anyOf": [closed(k={"const": "x"}), closed(k={"const": "y"})]}, "a: oneOf", "", id="one-of-by-an-optional-property"),
    pytest.param({"allOf": [{"properties": {"b": STRING}, "required": ["b"]}, {"type": "object", "properties": {"c": NULL}}]}, closed("b", b=STRING, c=NULL), "", "", id="all-of"),
    pytest.param({"allOf": [{"properties": {"b": {"type": ["string", "null"]}}}, {"properties": {"b": {**STRING, "pattern": "x"}}}]}, closed(b={**STRING, "pattern": "x"}), "", "", id="all-of-with-one-property-twice"),
    pytest.param({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, {"enum": [2]}, "", "", id="all-of-enums"),
    pytest.param({"allOf": [{"type": "number"}, INTEGER]}, INTEGER, "", "", id="all-of-numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sent", "relaxed", "narrowed"), PROPERTIES)
def test_properties(given: Any, sent: Any, relaxed: str, narrowed: str) -> None:
    adapted = checked_adapt({"type": "object", "properties": {"a": given}, "required": ["a"]})
    assert adapted.fits, adapted.reason
    assert adapted.schema == closed("a", a=sent)
    assert ", ".join(adapted.relaxed) == relaxed
    assert ", ".join(adapted.narrowed) == narrowed


def test_long_constraints_are_not_in_the_description() -> None:
    adapted = checked_adapt({"properties": {"a": {**STRING, "not": {"enum": ["x" * 300]}}}})
    assert adapted.schema == closed(a=STRING)
    assert adapted.relaxed == ("a: not",)


def test_order_is_kept() -> None:
    adapted = checked_adapt({"properties": {"z": STRING, "a": STRING, "m": STRING}, "required": ["m", "z"]})
    assert list(adapted.schema["properties"]) == ["z", "a", "m"]
    assert adapted.schema["required"] == ["z", "m"]


A = {"type": "object", "properties": {"x": {**STRING, "maxLength": 1}}}
A_CLOSED = closed(x={**STRING, "description": "(maxLength: 1)"})
REFERENCES = [
    pytest.param({"properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A", "title": "B", "default": {}}}, "$defs": {"A": A, "Unused": {"type": 5}}}, {**closed(a={"$ref": "#/$defs/A"}, b={"$ref": "#/$defs/A"}), "$defs": {"A": A_CLOSED}}, "A.x: maxLength", id="kept"),
    pytest.param({"properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": A}}, {**closed(a={"$ref": "#/$defs/A"}), "$defs": {"A": A_CLOSED}}, "A.x: maxLength", id="definitions"),
    pytest.param({"properties": {"a": {"$ref": "#/$defs/A", "description": "d"}}, "$defs": {"A": A}}, closed(a={**A_CLOSED, "description": "d"}), "a.x: maxLength", id="with-a-description"),
    pytest.param({"properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}], "description": "d"}}, "$defs": {"A": A}}, closed(a={**A_CLOSED, "description": "d"}), "a.x: maxLength", id="in-all-of"),
    pytest.param({"properties": {"a": {"$ref": "#/$defs/A", "required": ["x"]}}, "$defs": {"A": A}}, closed(a={**A_CLOSED, "required": ["x"]}), "a.x: maxLength", id="with-a-constraint"),
    pytest.param({"$ref": "#/$defs/A", "$defs": {"A": A}}, A_CLOSED, "x: maxLength", id="at-the-root"),
    pytest.param({"properties": {"a": {"type": "array", "items": INTEGER}, "b": {"$ref": "#/properties/a/items"}}}, {**closed(a={"type": "array", "items": INTEGER}, b={"$ref": "#/$defs/items"}), "$defs": {"items": INTEGER}}, "", id="into-a-property"),
    pytest.param({"properties": {"a": {"$ref": "#/$defs/x~1y%20z"}, "b": {"$ref": "#/definitions/x_y_z"}}, "$defs": {"x/y z": STRING}, "definitions": {"x_y_z": NULL}}, {**closed(a={"$ref": "#/$defs/x_y_z"}, b={"$ref": "#/$defs/x_y_z_2"}), "$defs": {"x_y_z": STRING, "x_y_z_2": NULL}}, "", id="names"),
    pytest.param({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/B"}, "B": NULL}}, {**closed(a={"$ref": "#/$defs/A"}), "$defs": {"A": {"$ref": "#/$defs/B"}, "B": NULL}}, "", id="chain"),
    pytest.param({"properties": {"$ref": STRING}}, {"type": "object", "properties": {"$ref": STRING}, "additionalProperties": False}, "", id="property-of-that-name"),
    pytest.param({"properties": {"default": {"$ref": "#/$defs/A"}, "b": {**STRING, "default": {"$ref": "#/x"}}}, "$defs": {"A": NULL}}, {**closed(default={"$ref": "#/$defs/A"}, b={**STRING, "default": {"$ref": "#/x"}}), "$defs": {"A": NULL}}, "", id="property-called-default"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sent", "relaxed"), REFERENCES)
def test_references(given: Any, sent: Any, relaxed: str) -> None:
    adapted = checked_adapt(given)
    assert adapted.fits, adapted.reason
    assert adapted.schema == sent
    assert ", ".join(adapted.relaxed) == relaxed


def deep(levels: int) -> dict[str, Any]:
    return {"properties": {"a": deep(levels - 1)}} if levels else {"type": "string"}


LOOP = {"properties": {"a": {"$ref": "#/$defs/A"}}}
MISFITS = [
    pytest.param({}, "root: any value", id="empty"),
    pytest.param({"type": "object"}, "root: an object with arbitrary", id="open-root"),
    pytest.param({"properties": {"a": {"type": "object", "additionalProperties": INTEGER}}}, "a: an object with arbitrary", id="mapping"),
    pytest.param({"properties": {"a": {"type": "object", "patternProperties": {"^x": STRING}, "additionalProperties": False}}}, "a: an object with arbitrary", id="pattern-properties"),
    pytest.param({"properties": {"a": {"$ref": "#"}}}, "a: recursion", id="recursion-to-the-root"),
    pytest.param({**LOOP, "$defs": {"A": {"properties": {"b": {"$ref": "#/$defs/A"}}}}}, "A.b: recursion", id="recursion"),
    pytest.param({**LOOP, "$defs": {"A": {"properties": {"b": {"$ref": "#/$defs/A", "description": "d"}}}}}, "recursion", id="recursion-with-a-description"),
    pytest.param({**LOOP, "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/B"}}, "B": {"anyOf": [NULL, {"$ref": "#/$defs/A"}]}}}, "B: recursion", id="mutual-recursion"),
    pytest.param({"properties": {"a": {"properties": {"b": {"$ref": "#/properties/a"}}}}}, "recursion", id="recursion-by-pointer"),
    pytest.param({**LOOP, "$defs": {"A": {"$ref": "#/$defs/A"}}}, "recursion", id="reference-to-itself"),
    pytest.param({"properties": {"a": {"$dynamicRef": "#n"}}}, "a: recursion", id="dynamic-reference"),
    pytest.param({"properties": {"a": {"$ref": "https://x.example/y.json"}}}, "a: a $ref to outside", id="foreign-reference"),
    pytest.param({"properties": {"a": {"$ref": "#/$defs/Gone"}}}, "a: a $ref without a target", id="dangling-reference"),
    pytest.param({"properties": {"a": {"$ref": "#/title"}}, "title": "t"}, "a: a $ref to something that is not a schema", id="reference-to-a-string"),
    pytest.param({"properties": {"a": {"enum": [{"b": 1}]}}}, "a: an enum of objects", id="enum-of-objects"),
    pytest.param({"properties": {"a": {"type": "array", "items": False}}}, "a: an array that must be empty", id="empty-array"),
    pytest.param({"properties": {"a": {"enum": []}}, "required": ["a"]}, "root: no value", id="nothing-satisfies-it"),
    pytest.param({"type": "object", "allOf": [closed("a", a=STRING), closed("b", b=STRING)]}, "root: no value", id="closed-parts-that-shut-each-other-out"),
    pytest.param({"properties": {"a": {"type": "date"}}}, "a: type is malformed", id="unknown-type"),
    pytest.param({"properties": {"a": {"anyOf": []}}}, "a: anyOf is malformed", id="empty-union"),
    pytest.param(many(25, STRING), "more than 24 optional", id="optional"),
    pytest.param({**many(17, {"type": ["string", "null"]}), "required": [f"p{n}" for n in range(17)]}, "more than 16 properties of several types", id="unions"),
    pytest.param(deep(70), "nested deeper", id="deep"),
    pytest.param({"properties": {"a": {"allOf": [{"anyOf": [{"required": [n]} for n in "abcdefghi"]}] * 2}}}, "more than 64 combinations", id="combinations"),
    pytest.param({**LOOP, "$defs": {name: {"properties": {key: {"$ref": f"#/$defs/{then}", "description": "d"} for key in "xyz"}} for name, then in zip("ABCDEFGHI", "BCDEFGHIJ", strict=True)} | {"J": STRING}}, "too large", id="grows-when-written-out"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "why"), MISFITS)
def test_unsupported_schemas(schema: Any, why: str) -> None:
    adapted = checked_adapt(schema)
    assert why in adapted.reason
    assert not adapted.fits
    assert adapted.schema == schema
