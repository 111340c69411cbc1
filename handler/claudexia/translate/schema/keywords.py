"""JSON Schema's keywords: how each has to look, and which of them Claude's grammar has no word for.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from claudexia.translate.types.anthropic import JSONSchema

Schema = Mapping[str, Any]

SCALARS = ("string", "number", "integer", "boolean", "null")
TYPES = frozenset({"object", "array", *SCALARS})
FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)

_OBJECT, _ARRAY, _STRING = frozenset({"object"}), frozenset({"array"}), frozenset({"string"})
_NUMBER = frozenset({"integer", "number"})
# What can only be asked for in words, and the types whose values it speaks of.
MOVED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("minLength", "maxLength"), _STRING),
    **dict.fromkeys(("contentEncoding", "contentMediaType", "contentSchema"), _STRING),
    **dict.fromkeys(("maxItems", "uniqueItems", "prefixItems", "unevaluatedItems"), _ARRAY),
    **dict.fromkeys(("contains", "minContains", "maxContains"), _ARRAY),
    **dict.fromkeys(("minProperties", "maxProperties", "patternProperties", "propertyNames"), _OBJECT),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "dependencies"), _OBJECT),
    "unevaluatedProperties": _OBJECT,
    **dict.fromkeys(("not", "if", "then", "else"), TYPES),
}
_KEPT: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("properties", "required", "additionalProperties"), _OBJECT),
    **dict.fromkeys(("items", "minItems"), _ARRAY),
    **dict.fromkeys(("pattern", "format"), _STRING),
    **dict.fromkeys(("type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"), TYPES),
}
# Everything else annotates and is no constraint: title, examples, $schema, readOnly, x-...
CONSTRAINTS: Mapping[str, frozenset[str]] = {**MOVED, **_KEPT}

_NO_CONSTRAINT: Mapping[str, object] = {
    **dict.fromkeys(("minLength", "minProperties"), 0),
    **dict.fromkeys(("uniqueItems", "exclusiveMinimum", "exclusiveMaximum"), False),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties", "propertyNames"), True),
    **{key: {} for key in ("patternProperties", "dependentRequired", "dependentSchemas", "dependencies")},
}


class UnsupportedSchemaError(Exception):
    """The schema asks for something that no schema for Claude can say; the message tells what and where."""


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _are_schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _is_type(value: object) -> bool:
    named = value if isinstance(value, list) else [value]
    return bool(named) and all(isinstance(name, str) and name in TYPES for name in named)


_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "enum": lambda value: isinstance(value, list),
    "properties": lambda value: isinstance(value, dict) and all(map(_is_schema, value.values())),
    "required": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "additionalProperties": _is_schema,
    "items": lambda value: _is_schema(value) or value == [] or _are_schemas(value),
    "prefixItems": _are_schemas,
    "minItems": lambda value: isinstance(value, int | float),
    "pattern": lambda value: isinstance(value, str),
    "format": lambda value: isinstance(value, str),
    "$ref": lambda value: isinstance(value, str),
    "anyOf": _are_schemas,
    "oneOf": _are_schemas,
    "allOf": _are_schemas,
}


def read(schema: Schema, path: str) -> Schema:
    """`schema` in the words of draft 2020-12, whichever draft or OpenAPI version it was written for.

    Raises UnsupportedSchemaError where a keyword's value is none that the keyword can have.
    """
    for keyword, well_formed in _FORMS.items():
        if keyword in schema and not well_formed(schema[keyword]):
            raise UnsupportedSchemaError(f"{path}: {keyword} is malformed")
    if "$dynamicRef" in schema or "$recursiveRef" in schema:
        raise UnsupportedSchemaError(f"{path}: recursion")
    if isinstance(schema.get("items"), list):
        schema = _tuple(schema)
    return _nullable(schema) if schema.get("nullable") is True else schema


def _tuple(schema: Schema) -> Schema:
    rest = {key: value for key, value in schema.items() if key not in ("items", "additionalItems")}
    if schema["items"]:
        rest["prefixItems"] = schema["items"]
    if _is_schema(schema.get("additionalItems")):
        rest["items"] = schema["additionalItems"]
    return rest


def _nullable(schema: Schema) -> Schema:
    """OpenAPI 3.0: https://spec.openapis.org/oas/v3.0.3#schema-nullable"""
    rest = {key: value for key, value in schema.items() if key != "nullable"}
    if "null" in types(rest):
        return rest
    constraints = {key: value for key, value in rest.items() if key in CONSTRAINTS}
    return {**annotations(rest), "anyOf": [constraints, {"type": "null"}]}


def types(schema: Schema) -> list[str]:
    """The types that `schema` names, none where it names none."""
    named = schema.get("type")
    if isinstance(named, str):
        return [named]
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def annotations(schema: Schema) -> dict[str, Any]:
    """What Claude reads of a schema beside its constraints."""
    described = {"description": text} if (text := description(schema)) else {}
    return {**described, "default": schema["default"]} if "default" in schema else {**described}


def description(schema: Schema) -> str:
    text = schema.get("description")
    return text.strip() if isinstance(text, str) else ""


def is_false(schema: object) -> bool:
    """Whether `schema` is `false` or the object that means it."""
    return schema is False or (isinstance(schema, dict) and "not" in schema and schema["not"] in (True, {}))


def constrains(keyword: str, value: object) -> bool:
    """Whether a keyword that is MOVED says anything with this value."""
    harmless = _NO_CONSTRAINT.get(keyword)
    return type(value) is not type(harmless) or value != harmless


_ODD = re.compile(r"\(\?(?!:)|\\[1-9kpPbB]|\{\d*,?\d{3,}")


def is_simple(pattern: str) -> bool:
    """No lookaround, no back-reference, no word boundary, no count that makes a grammar large."""
    if _ODD.search(pattern):
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def in_words(text: str, moved: list[tuple[str, object]]) -> str:
    """`text` with the constraints that only words can carry, long ones left out."""
    told = [f"{keyword}: {json.dumps(value, ensure_ascii=False)}" for keyword, value in moved]
    short = ", ".join(dict.fromkeys(phrase for phrase in told if len(phrase) <= 200))
    return f"{text} ({short})".strip() if short else text


# --- claudexia.translate.schema_refs
# References: where a $ref leads, and the name its target gets among the adapted schema's $defs.

MAX_DEPTH = 64
ROOT = "root"
_OUTSIDE = re.compile(r"[^a-zA-Z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema the adapter is: a path for people, and the references it came through."""

    path: str = ROOT
    refs: frozenset[str] = frozenset()
    depth: int = 0

    def deeper(self, path: str = "", refs: frozenset[str] = frozenset()) -> "Place":
        if self.depth >= MAX_DEPTH:
            raise UnsupportedSchemaError(f"nested deeper than {MAX_DEPTH} levels")
        return replace(self, path=path or self.path, refs=self.refs | refs, depth=self.depth + 1)

    def property(self, name: str) -> str:
        return name if self.path == ROOT else f"{self.path}.{name}"


@dataclass(slots=True)
class References:
    """The references of the schema `root`, by their pointers."""

    root: Schema
    _names: dict[str, str] = field(default_factory=dict)

    def follow(self, ref: str, place: Place) -> tuple[str, Schema | bool, Place]:
        """The reference's pointer, its target and the place one level further in.

        Raises UnsupportedSchemaError for what lies outside the schema, leads nowhere or contains itself.
        """
        pointer = unquote(ref)
        if pointer in place.refs or pointer in ("#", ""):
            raise UnsupportedSchemaError(f"{place.path}: recursion")
        if not pointer.startswith("#/"):
            raise UnsupportedSchemaError(f"{place.path}: a $ref to outside the schema")
        return pointer, self._target(pointer, place.path), place.deeper(refs=frozenset({pointer}))

    def name(self, pointer: str) -> str:
        """Unique and the same in every run: the pointer's last step, numbered where two end alike."""
        if pointer not in self._names:
            base = _OUTSIDE.sub("_", _unescaped(pointer.rpartition("/")[2])) or "_"
            taken, name, number = set(self._names.values()), base, 1
            while name in taken:
                number += 1
                name = f"{base}_{number}"
            self._names[pointer] = name
        return self._names[pointer]

    def _target(self, pointer: str, path: str) -> Schema | bool:
        here: object = self.root
        for step in pointer.split("/")[1:]:
            key = _unescaped(step)
            if isinstance(here, dict) and key in here:
                here = here[key]
            elif isinstance(here, list) and key.isdecimal() and int(key) < len(here):
                here = here[int(key)]
            else:
                raise UnsupportedSchemaError(f"{path}: a $ref that leads nowhere")
        if not isinstance(here, dict | bool):
            raise UnsupportedSchemaError(f"{path}: a $ref to what is no schema")
        return here


def _unescaped(step: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc6901#section-4"""
    return step.replace("~1", "/").replace("~0", "~")


# --- claudexia.translate.schema_limits
# Cost: what a schema takes of the limits that all schemas of one request share.
#
# Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#schema-complexity-limits

MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """How many properties may be left out, and how many schemas are a union or have several types."""

    optional: int = 0
    unions: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.optional + other.optional, self.unions + other.unions)

    @property
    def excess(self) -> str:
        """Which limit is passed, empty where none is."""
        if self.optional > MAX_OPTIONAL:
            return f"more than {MAX_OPTIONAL} optional properties"
        return f"more than {MAX_UNIONS} properties of several types" if self.unions > MAX_UNIONS else ""


def cost(schema: JSONSchema) -> Cost:
    """Of an adapted schema; what is referred to several times is there once."""
    properties, required = _members(schema, "properties"), schema.get("required")
    optional = len(properties) - (len(required) if isinstance(required, list) else 0)
    total = Cost(optional, int("anyOf" in schema or isinstance(schema.get("type"), list)))
    for inner in subschemas(schema):
        total += cost(inner)
    return total


def subschemas(schema: JSONSchema) -> list[dict[str, Any]]:
    """The schemas right inside an adapted one, its definitions included."""
    options, items = schema.get("anyOf"), schema.get("items")
    inner = [*_members(schema, "properties").values(), *_members(schema, "$defs").values(), items]
    inner += options if isinstance(options, list) else []
    return [each for each in inner if isinstance(each, dict)]


def _members(schema: JSONSchema, keyword: str) -> dict[str, object]:
    members = schema.get(keyword)
    return members if isinstance(members, dict) else {}
