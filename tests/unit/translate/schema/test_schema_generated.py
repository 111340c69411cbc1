"""Generated schemas: the adapted schema is accepted by the API, allows no value that the original forbids, and is stable."""

import copy
import json
import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from claudexia.translate.schema import adapt
from tests.helpers.schema_rules import assert_schema_accepted

NAMES = ["a", "b", "c", "kind"]
VALUES: list[Any] = ["", "x", "yy", 0, 1, 1.0, 2.5, -3, True, False, None]
FORMATS = {"date": "2026-11-22", "uuid": "12345678-1234-5678-1234-567812345678", "email": "a@b.example"}
PATTERNS = {"^[a-c]+$": "abc", r"^\d{3}$": "123", "x": "x"}
TYPES = ["object", "object", "array", "string", "integer", "number", "boolean", "null"]
ASIDE: dict[str, list[Any]] = {
    "minimum": [0, 2], "exclusiveMaximum": [5], "multipleOf": [2, 0.5], "minLength": [0, 2], "maxLength": [3],
    "minItems": [0, 1, 2], "maxItems": [2], "uniqueItems": [True, False], "minProperties": [0, 1], "maxProperties": [1],
    "not": [{"const": "x"}, {"type": "null"}, {}], "contains": [{"type": "string"}], "propertyNames": [{"maxLength": 1}],
    "if": [{"type": "string"}], "then": [{"maxLength": 1}], "dependentRequired": [{"a": ["b"]}],
    "unevaluatedProperties": [False, True], "patternProperties": [{"^a": {"type": "string"}}],
    "required": [["a"], ["b", "a"], ["other"]], "enum": [["x", 1], [None, "yy", 2.5], VALUES], "const": VALUES,
    "additionalProperties": [True, False, {"type": "string"}], "default": [None, "x"], "description": ["d"],
    "prefixItems": [[{"type": "string"}, True], [{"type": "integer"}]], "type": [["string", "null"], "string", "object"],
    "title": ["t"], "x-own": [1], "pattern": [*PATTERNS, "(?=a)b"], "format": [*FORMATS, "color"],
    "items": [True, {"type": "string"}, False],
}  # fmt: skip


class Schemas:
    """Draws schemas and values; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - the same schemas in every run

    def document(self) -> dict[str, Any]:
        """Mostly an object at the root, as OpenAI requires, with definitions without cycles."""
        root = self.object(3) if self.chance.random() < 0.85 else self.schema(3)
        root = root if isinstance(root, dict) else {}
        return {**root, "$defs": {"A": self.schema(1, refs=False), "B": self.object(1, refs=False)}}

    def schema(self, depth: int, refs: bool = True) -> Any:
        roll = self.chance.random()
        if roll < 0.03:
            return self.chance.choice([True, False, {}])
        if refs and roll < 0.12:
            aside = self.aside(0.3) if self.chance.random() < 0.5 else {}
            return {"$ref": self.chance.choice(["#/$defs/A", "#/$defs/B"]), **aside}
        if depth and roll < 0.3:
            union = self.chance.choice(["anyOf", "anyOf", "oneOf", "allOf"])
            options = [self.schema(depth - 1, refs) for _ in range(self.chance.randint(1, 3))]
            return {union: options, **(self.aside(0.6) if self.chance.random() < 0.3 else {})}
        match self.chance.choice(TYPES) if depth else self.chance.choice(TYPES[3:]):
            case "object":
                return self.object(depth, refs)
            case "array":
                return {"type": "array", "items": self.schema(depth - 1, refs), **self.aside(0.3)}
            case name:
                return {"type": name, **self.aside(0.4)}

    def object(self, depth: int, refs: bool = True) -> dict[str, Any]:
        names = self.chance.sample(NAMES, self.chance.randint(1, 3))
        closed: dict[str, Any] = {"additionalProperties": False} if self.chance.random() < 0.5 else {}
        return {
            "type": "object",
            "properties": {name: self.schema(max(depth - 1, 0), refs) for name in names},
            "required": [name for name in names if self.chance.random() < 0.7],
            **closed,
            **self.aside(0.2),
        }

    def aside(self, likely: float) -> dict[str, Any]:
        """A few annotation and constraint keywords; `likely` is the probability of each."""
        found = {}
        while self.chance.random() < likely:
            keyword = self.chance.choice(list(ASIDE))
            found[keyword] = copy.deepcopy(self.chance.choice(ASIDE[keyword]))
        return found

    def value(self, schema: dict[str, Any], defs: dict[str, Any]) -> Any:
        """Some value of an adapted schema."""
        if "$ref" in schema:
            return self.value(defs[schema["$ref"].removeprefix("#/$defs/")], defs)
        if "anyOf" in schema:
            return self.value(self.chance.choice(schema["anyOf"]), defs)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.chance.choice(schema["enum"])
        kind = schema["type"]
        return self.typed(kind if isinstance(kind, str) else self.chance.choice(kind), schema, defs)

    def typed(self, kind: str, schema: dict[str, Any], defs: dict[str, Any]) -> Any:
        match kind:
            case "object":
                required = schema.get("required", [])
                shown = [
                    name for name in schema["properties"] if name in required or self.chance.random() < 0.5
                ]
                return {name: self.value(schema["properties"][name], defs) for name in shown}
            case "array":
                count = self.chance.randint(schema.get("minItems", 0), 3)
                return [self.value(schema["items"], defs) for _ in range(count)]
            case "integer":
                return self.chance.choice([-3, 0, 7, 100])
            case "number":
                return self.chance.choice([-0.5, 0, 2.5, 1000])
            case "boolean":
                return self.chance.random() < 0.5
            case "null":
                return None
        known = PATTERNS.get(schema.get("pattern", ""), FORMATS.get(schema.get("format", "")))
        return known or self.chance.choice(["", "x", "yy", "a long one"])


SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_schemas(seed: int) -> None:
    fitted = sound = 0
    draw = Schemas(seed)
    for _ in range(50):
        schema = draw.document()
        given = copy.deepcopy(schema)
        adapted = adapt(schema)
        assert schema == given, "the client's schema is left as it was"
        assert json.dumps(adapt(copy.deepcopy(given)).schema) == json.dumps(adapted.schema)
        if not adapted.fits:
            assert adapted.reason
            assert adapted.schema == given
            continue
        fitted += 1
        body = json.loads(json.dumps(adapted.schema))
        assert_schema_accepted(body)
        again = adapt(body)
        assert json.dumps(again.schema) == json.dumps(body)
        assert again.relaxed == again.narrowed == ()
        if not adapted.relaxed:
            sound += 1
            original = Draft202012Validator(given)
            for _ in range(10):
                value = draw.value(body, body.get("$defs", {}))
                assert original.is_valid(value), (given, body, value)
    assert fitted >= 15, "the schemas drawn are mostly ones that fit"
    assert sound >= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_schemas_raise_no_other_exception(seed: int) -> None:
    draw = Schemas(seed)
    odd: list[Any] = [
        None,
        1,
        "x",
        [],
        {},
        [1],
        ["x"],
        True,
        [[]],
        {"a": 1},
        {"$ref": "#"},
        1e300,
        {"$ref": "#/$defs/A"},
    ]
    for _ in range(50):
        schema = draw.document()
        keyword = draw.chance.choice([*ASIDE, "properties", "anyOf", "allOf", "oneOf", "$ref", "$defs"])
        schema[keyword] = copy.deepcopy(draw.chance.choice(odd))
        inner = draw.chance.choice(list(schema.values()))
        if isinstance(inner, dict) and inner:
            keyword = draw.chance.choice([*inner, "properties", "type"])
            inner[keyword] = copy.deepcopy(draw.chance.choice(odd))
        adapted = adapt(schema)
        if adapted.fits:
            assert_schema_accepted(json.loads(json.dumps(adapted.schema)))
