"""JSON Schema's keywords: how each has to look, and which of them Claude's grammar has no word for.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

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


class UnfitError(Exception):
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

    Raises UnfitError where a keyword's value is none that the keyword can have.
    """
    for keyword, well_formed in _FORMS.items():
        if keyword in schema and not well_formed(schema[keyword]):
            raise UnfitError(f"{path}: {keyword} is malformed")
    if "$dynamicRef" in schema or "$recursiveRef" in schema:
        raise UnfitError(f"{path}: recursion")
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
