"""Cost: what a schema takes of the limits that all schemas of one request share.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#schema-complexity-limits
"""

from dataclasses import dataclass
from typing import Any

from claudexia.translate.anthropic_params import JSONSchema

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
