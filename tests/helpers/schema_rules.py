"""The JSON Schemas that structured output accepts, from the documentation and the API's error messages.

An oracle for tests: it describes the API and shares no code with the translation. It allows a list of keywords;
the fake API's schema rules reject a list of keywords, with the API's messages.
"""

import re
from typing import Any

_ANNOTATIONS = {"description", "title", "default"}
_KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems"},
    "string": {"pattern", "format"},
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}


def assert_schema_accepted(schema: dict[str, Any]) -> None:
    """Fails if the API would return 400."""
    defs = schema.get("$defs", {})
    _check({key: value for key, value in schema.items() if key != "$defs"}, defs, ())
    optional, unions = _counts(schema)
    assert optional <= 24, "too many optional parameters"
    assert unions <= 16, "too many parameters with union types"


def _check(schema: Any, defs: dict[str, Any], inside: tuple[str, ...]) -> None:
    assert isinstance(schema, dict), "boolean schemas are not supported"
    if "$ref" in schema:
        assert schema.keys() == {"$ref"}
        name = schema["$ref"].removeprefix("#/$defs/")
        assert name not in inside, "recursive schemas are not supported"
        return _check(defs[name], defs, (*inside, name))
    if "anyOf" in schema:
        assert schema.keys() <= {"anyOf"} | _ANNOTATIONS
        assert schema["anyOf"]
        for option in schema["anyOf"]:
            _check(option, defs, inside)
        return None
    for values in ("enum", "const"):
        if values in schema:
            values_ = schema["enum"] if values == "enum" else [schema["const"]]
            assert values_
            assert not any(isinstance(value, dict | list) for value in values_), "enum takes scalars"
            assert schema.keys() <= {values, "type"} | _ANNOTATIONS
            return None
    return _check_type(schema, defs, inside)


def _check_type(schema: dict[str, Any], defs: dict[str, Any], inside: tuple[str, ...]) -> None:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert types
    assert set(types) <= _TYPES
    allowed = {"type"} | _ANNOTATIONS
    for name in types:
        allowed |= _KEYWORDS.get(name, set())
    assert schema.keys() <= allowed, f"{schema.keys() - allowed} not supported"
    assert schema.get("minItems", 0) in (0, 1)
    assert schema.get("format", "date") in _FORMATS
    assert not re.search(r"\(\?[=!<]|\\[1-9bB]", schema.get("pattern", ""))
    if "object" in types:
        assert schema["additionalProperties"] is False, "additionalProperties must be explicitly set to false"
        assert set(schema.get("required", [])) <= schema["properties"].keys()
    for inner in (*schema.get("properties", {}).values(), *([schema["items"]] if "array" in types else [])):
        _check(inner, defs, inside)


def _counts(schema: dict[str, Any]) -> tuple[int, int]:
    optional = len(schema.get("properties", {})) - len(schema.get("required", []))
    unions = int("anyOf" in schema or isinstance(schema.get("type"), list))
    inner = [
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", []),
        *schema.get("$defs", {}).values(),
        *([schema["items"]] if "items" in schema else []),
    ]
    inner_counts = [_counts(each) for each in inner]
    return optional + sum(o for o, _ in inner_counts), unions + sum(u for _, u in inner_counts)
