"""The keywords of JSON Schema: their well-formed values, which of them Claude enforces, and what they cost.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from pydantic_core import to_json

from claudexia.translate.schema.references import Schema, are_strings
from claudexia.translate.types.anthropic import JSONSchema

SCALARS = ("string", "number", "integer", "boolean", "null")
TYPES = frozenset({"object", "array", *SCALARS})
FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)

_OBJECT, _ARRAY, _STRING = frozenset({"object"}), frozenset({"array"}), frozenset({"string"})
_NUMBER = frozenset({"integer", "number"})
# The keywords that Claude's grammar cannot enforce, with the types they constrain.
UNENFORCED: Mapping[str, frozenset[str]] = {
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
# The keywords that the adapted schema keeps, with the types they constrain.
_ENFORCED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("properties", "required", "additionalProperties"), _OBJECT),
    **dict.fromkeys(("items", "minItems"), _ARRAY),
    **dict.fromkeys(("pattern", "format"), _STRING),
    **dict.fromkeys(("type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"), TYPES),
}
# All other keywords are annotations: title, examples, $schema, readOnly, x-...
CONSTRAINTS: Mapping[str, frozenset[str]] = {**UNENFORCED, **_ENFORCED}
# Those that combine other schemas into one.
COMBINATORS = frozenset({"$ref", "allOf", "anyOf", "oneOf"})

# The values with which a keyword constrains nothing.
_NO_CONSTRAINT: Mapping[str, object] = {
    **dict.fromkeys(("minLength", "minProperties"), 0),
    **dict.fromkeys(("uniqueItems", "exclusiveMinimum", "exclusiveMaximum"), False),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties", "propertyNames"), True),
    **{key: {} for key in ("patternProperties", "dependentRequired", "dependentSchemas", "dependencies")},
}


_SCHEMA_TYPES = frozenset({dict, bool})


def _is_schema(value: object) -> bool:
    return type(value) in _SCHEMA_TYPES


def _are_schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value) and _SCHEMA_TYPES.issuperset(map(type, value))


def _is_type(value: object) -> bool:
    if isinstance(value, str):
        return value in TYPES
    return isinstance(value, list) and bool(value) and are_strings(value) and TYPES.issuperset(value)


_WELL_FORMED: Mapping[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "enum": lambda value: isinstance(value, list),
    "properties": lambda value: isinstance(value, dict) and _SCHEMA_TYPES.issuperset(map(type, value.values())),
    "required": lambda value: isinstance(value, list) and are_strings(value),
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


class ReadSchema(NamedTuple):
    """What the adaptation needs to know about one schema, found in one pass over its keywords.

    schema       the schema itself, or the same in the terms of draft 2020-12 if it is of an earlier draft
    cost         of one visit, about in characters, without the schemas in it
    constraints  its keywords that are constraints
    unenforced   those of them that Claude cannot enforce, with their values
    never        whether it is certain that no value is valid
    problem      why it is no schema that can be adapted, "" if it is
    """

    schema: Schema
    cost: int
    constraints: tuple[str, ...] = ()
    unenforced: tuple[tuple[str, object], ...] = ()
    never: bool = False
    problem: str = ""


def read_schema(schema: Schema) -> ReadSchema:
    cost = 0
    constraints: list[str] = []
    unenforced: list[tuple[str, object]] = []
    malformed = False
    for keyword, value in schema.items():
        if keyword in _WITH_SCHEMAS:
            cost += _cost_of_members(keyword, value)
        else:
            cost += len(value) if isinstance(value, str) else len(to_json(value))
        if keyword not in CONSTRAINTS:
            continue
        constraints.append(keyword)
        check = _WELL_FORMED.get(keyword)
        if check is not None and not check(value):
            malformed = True
        if keyword in UNENFORCED and constrains(keyword, value):
            unenforced.append((keyword, value))
    if malformed:
        first = next(key for key in _WELL_FORMED if key in schema and not _WELL_FORMED[key](schema[key]))
        return ReadSchema(schema, cost, problem=f"{first} is malformed")
    if "$dynamicRef" in schema or "$recursiveRef" in schema:
        return ReadSchema(schema, cost, problem="recursion")
    if "nullable" in schema or "items" in schema:
        current = _in_current_terms(schema)
        if current is not schema:
            return read_schema(current)._replace(cost=cost)
    never = "not" in schema and is_false(schema)
    return ReadSchema(schema, cost, tuple(constraints), tuple(unenforced), never)


def _in_current_terms(schema: Schema) -> Schema:
    """Converts earlier drafts and OpenAPI 3.0."""
    if isinstance(schema.get("items"), list):
        schema = _with_prefix_items(schema)
    return _nullable(schema) if schema.get("nullable") is True else schema


def _with_prefix_items(schema: Schema) -> Schema:
    """Converts a tuple of draft 2019-09 and earlier: https://json-schema.org/draft/2020-12/release-notes"""
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
    """The types in the keyword `type`, each once; empty without it."""
    value = schema.get("type")
    if isinstance(value, str):
        return [value]
    return list(dict.fromkeys(strings(value)))


def strings(value: object) -> list[str]:
    """The strings in a list; empty for anything but a list."""
    if not isinstance(value, list):
        return []
    return value if are_strings(value) else [item for item in value if isinstance(item, str)]


def annotations(schema: Schema) -> dict[str, Any]:
    """The annotations that Claude reads: description and default."""
    described = {"description": text} if (text := description(schema)) else {}
    return {**described, "default": schema["default"]} if "default" in schema else {**described}


def description(schema: Schema) -> str:
    text = schema.get("description")
    return text.strip() if isinstance(text, str) else ""


def is_false(schema: object) -> bool:
    """Whether `schema` allows no value: `false`, or `{"not": {}}` and its like."""
    return schema is False or (isinstance(schema, dict) and "not" in schema and schema["not"] in (True, {}))


def constrains(keyword: str, value: object) -> bool:
    """Whether an UNENFORCED keyword excludes anything with this value."""
    neutral = _NO_CONSTRAINT.get(keyword)
    return type(value) is not type(neutral) or value != neutral


# Lookaround and other group extensions, back-references, word boundaries, and repetition counts of 100 or more,
# which make the grammar too large.
_UNSUPPORTED_PATTERN = re.compile(r"\(\?(?!:)|\\[1-9kbB]|\{\d*,?\d{3,}")
# A class of characters by a Unicode property, which Python's re does not know; or another escape.
_PROPERTY = re.compile(r"\\(?:[pP]\{[A-Za-z0-9_=-]+\}|.)", re.DOTALL)


def is_supported_pattern(pattern: str) -> bool:
    if _UNSUPPORTED_PATTERN.search(pattern):
        return False
    try:
        re.compile(_PROPERTY.sub(lambda escape: r"\w" if len(escape[0]) > 2 else escape[0], pattern))
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def text_left(value: object, limit: int) -> int:
    """`limit` less the characters that the JSON text of `value` has at least; stops when nothing is left."""
    if isinstance(value, str):
        return limit - len(value)
    if isinstance(value, dict):
        for name, item in value.items():
            if limit <= 0:
                break
            limit = text_left(item, limit - len(name))
    elif isinstance(value, list):
        for item in value:
            if limit <= 0:
                break
            limit = text_left(item, limit)
    return limit - 1


_MAX_PHRASE = 200
_encode = json.JSONEncoder(ensure_ascii=False).encode
# The keywords whose schemas are visited on their own, or not at all.
_DEFINITIONS = frozenset({"$defs", "definitions"})
_WITH_SCHEMAS = _DEFINITIONS | {"properties", "items", "anyOf", "oneOf", "allOf", "additionalProperties"}


def _cost_of_members(keyword: str, value: object) -> int:
    """What it costs to look at the members, without the schemas themselves."""
    if keyword in _DEFINITIONS:
        return 0
    names = sum(map(len, value)) if keyword == "properties" and isinstance(value, dict) else 0
    return names + (8 * len(value) if isinstance(value, dict | list) else 8)


def with_constraints(text: str, constraints: Iterable[tuple[str, object]]) -> str:
    """The description `text` with `constraints` appended, except those longer than 200 characters."""
    phrases = [
        f"{keyword}: {value if type(value) is int else _encode(value)}"
        for keyword, value in constraints
        if text_left(value, _MAX_PHRASE) > 0
    ]
    appended = ", ".join(dict.fromkeys(phrase for phrase in phrases if len(phrase) <= _MAX_PHRASE))
    return f"{text} ({appended})".strip() if appended else text


# The limits that all schemas of one request share:
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs#schema-complexity-limits

MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16


@dataclass(slots=True)
class Complexity:
    """What counts against the limits of one request.

    optional    properties that are not required
    unions      schemas that are a union or have several types
    """

    optional: int = 0
    unions: int = 0

    def __add__(self, other: "Complexity") -> "Complexity":
        return Complexity(self.optional + other.optional, self.unions + other.unions)

    def add(self, schema: JSONSchema) -> None:
        """Counts an adapted schema."""
        for current in _all_within(schema):
            if "properties" in current:
                self.optional += len(current["properties"]) - len(current.get("required", ()))
            self.unions += "anyOf" in current or isinstance(current.get("type"), list)

    @property
    def exceeded_limit(self) -> str:
        """The limit that is exceeded; empty if none is."""
        if self.optional > MAX_OPTIONAL:
            return f"more than {MAX_OPTIONAL} optional properties"
        return f"more than {MAX_UNIONS} properties of several types" if self.unions > MAX_UNIONS else ""


def complexity(schema: JSONSchema) -> Complexity:
    """The complexity of an adapted schema. A definition counts once, however often it is referenced."""
    counted = Complexity()
    counted.add(schema)
    return counted


def _all_within(schema: JSONSchema) -> list[dict[str, Any]]:
    """An adapted schema and all schemas in it."""
    found = [cast("dict[str, Any]", schema)]
    for current in found:  # which grows
        found += subschemas(current)
    return found


_WITH_SUBSCHEMAS = frozenset({"properties", "$defs", "items", "anyOf"})


def subschemas(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The schemas one level inside an adapted schema, including its definitions."""
    if _WITH_SUBSCHEMAS.isdisjoint(schema):
        return []
    inner = [schema["items"]] if "items" in schema else []
    for keyword in ("properties", "$defs"):
        if keyword in schema:
            inner += schema[keyword].values()
    if "anyOf" in schema:
        inner += schema["anyOf"]
    return inner
