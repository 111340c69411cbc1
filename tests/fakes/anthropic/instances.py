"""The smallest value that a JSON Schema allows, the same each time."""

import math
import re
from typing import Any

from tests.fakes.anthropic.rules_schema import resolve
from tests.fakes.anthropic.walk import Json, record

_FORMATS = {
    "date-time": "2026-11-22T10:00:00Z", "date": "2026-11-22", "time": "10:00:00Z", "duration": "P1D",
    "email": "a@example.com", "hostname": "example.com", "uri": "https://example.com/", "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip
# Tried in turn for a `pattern`.
_WORDS = ("a", "A", "0", "abc", "ABC", "Abc", "123", "1234", "12345", "a1", "A1", "2026-11-22", "10:00", "#00ff00",
          "a@example.com", "AB-123", "1.0.0", "+15550100", "")  # fmt: skip


def instance(schema: Json, root: Json = None) -> Any:
    """A minimal instance: the first alternative, required properties only, as few items as allowed."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return instance(resolve(str(schema["$ref"]), root), root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", [*schema.get("enum", []), None][0])
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return instance(
                _joined({name: value for name, value in schema.items() if name != key}, schema[key][0]), root
            )
    if schema.get("allOf"):
        whole = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            whole = _joined(whole, (resolve(part["$ref"], root) or {}) if "$ref" in part else part)
        return instance(whole, root)
    return _of_type(schema, root)


def _joined(one: Json, other: Json) -> Json:
    both = {**one, **record(other)}
    for key in ("properties", "$defs"):
        if key in one or key in other:
            both[key] = {**one.get(key, {}), **other.get(key, {})}
    required = [*one.get("required", []), *other.get("required", [])]
    return {**both, "required": required} if required else both


def _of_type(schema: dict[str, Json], root: Json) -> Any:
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else next((one for one in kinds if one != "null"), "null")
    match kind:
        case "string":
            return _string(schema)
        case "integer" | "number":
            return _number(schema, kind)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            first = [instance(item, root) for item in schema.get("prefixItems", [])]
            missing = max(schema.get("minItems", 0) - len(first), 0)
            return first + [instance(schema.get("items", {}), root) for _ in range(missing)]
        case _:
            properties = schema.get("properties", {})
            return {name: instance(properties.get(name, {}), root) for name in schema.get("required", [])}


def _string(schema: dict[str, Json]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    candidates = [word for word in _WORDS if re.search(schema.get("pattern", ""), word)]
    fitting = [word for word in candidates if least <= len(word) <= most]
    return fitting[0] if fitting else "a" * least


def _number(schema: dict[str, Json], kind: str) -> float:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum", min(0, schema.get("maximum", 0))))
    value = math.ceil(low / step) * step
    if value == schema.get("exclusiveMinimum"):
        value += step
    if value == schema.get("exclusiveMaximum"):
        value -= step
    return int(value) if kind == "integer" else value
