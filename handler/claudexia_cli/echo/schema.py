"""Schema: the part of JSON Schema that the echo reads. sample(): the smallest instance worth showing."""

import math
import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

# The deepest level of a sample, for schemas that contain themselves.
MAX_DEPTH = 8
_FORMATS = {
    "date-time": "2026-11-22T10:00:00Z",
    "date": "2026-11-22",
    "time": "10:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# Tried in this order for a string with a pattern.
_WORDS = (
    *("a", "A", "0", "abc", "ABC", "Abc", "123", "1234", "12345", "a1", "A1", "2026-11-22", "10:00", "#00ff00"),
    *("a@example.com", "AB-123", "1.0.0", "+15550100", ""),
)


class Schema(BaseModel):
    """A JSON Schema (draft 2020-12). As in the API, a malformed schema fails validation."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: str | list[str] | None = None
    const: object = None
    default: object = None
    enum: list[object] = []
    minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_minimum: int | float | None = Field(default=None, alias="exclusiveMinimum")
    exclusive_maximum: int | float | None = Field(default=None, alias="exclusiveMaximum")
    multiple_of: int | float | None = Field(default=None, alias="multipleOf", gt=0)
    format: str = ""
    pattern: str = ""
    min_length: int = Field(default=0, alias="minLength")
    max_length: int | None = Field(default=None, alias="maxLength")
    properties: "dict[str, Schema | bool]" = {}
    required: list[str] = []
    items: "Schema | bool" = True
    prefix_items: "list[Schema | bool]" = Field(default=[], alias="prefixItems")
    min_items: int = Field(default=0, alias="minItems")
    max_items: int | None = Field(default=None, alias="maxItems")
    any_of: "list[Schema | bool]" = Field(default=[], alias="anyOf")
    one_of: "list[Schema | bool]" = Field(default=[], alias="oneOf")
    all_of: "list[Schema | bool]" = Field(default=[], alias="allOf")
    ref: str = Field(default="", alias="$ref")
    defs: "dict[str, Schema | bool]" = Field(default={}, alias="$defs")
    definitions: "dict[str, Schema | bool]" = {}

    @property
    def main_type(self) -> str:
        """The first type that is not null. Without `type`, it is inferred from the other keywords."""
        named = [self.type] if isinstance(self.type, str) else self.type
        if named:
            return next((name for name in named if name != "null"), "null")
        implied = {"properties": "object", "required": "object", "items": "array"}
        return next((kind for field, kind in implied.items() if field in self.model_fields_set), "string")


def sample(root: Schema, text: str) -> object:
    """An instance of `root` with required properties only. Strings are `text` where the schema allows it."""
    return _Sampler(root, text).value(root, depth=0)


class _Sampler:
    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._text = text

    def value(self, schema: Schema | bool | None, depth: int) -> object:
        if not isinstance(schema, Schema):  # `true`, or no schema: any value is valid
            return self._text
        if "const" in schema.model_fields_set:
            return schema.const
        if "default" in schema.model_fields_set:
            return schema.default
        if schema.enum:
            return schema.enum[0]
        if schema.ref:
            return self.value(self._resolve(schema.ref), depth + 1) if depth < MAX_DEPTH else {}
        if options := schema.any_of or schema.one_of:
            return _merge(self._by_type(schema, depth), self.value(_choose(options, depth), depth))
        if schema.all_of:
            return self._all_of(schema, depth)
        return self._by_type(schema, depth)

    def _by_type(self, schema: Schema, depth: int) -> object:
        match schema.main_type:
            case "object":
                return {name: self.value(schema.properties.get(name), depth + 1) for name in schema.required}
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return _string(schema, self._text)

    def _array(self, schema: Schema, depth: int) -> list[object]:
        """One item, or as many as the schema requires; none at half the depth limit, to end recursion."""
        count = max(schema.min_items, 1 if depth < MAX_DEPTH // 2 else 0)
        if schema.max_items is not None:
            count = min(count, schema.max_items)
        items = [*schema.prefix_items, *[schema.items] * count][:count]
        return [self.value(item, depth + 1) for item in items]

    def _all_of(self, schema: Schema, depth: int) -> object:
        return _merge(self._by_type(schema, depth), *(self.value(part, depth) for part in schema.all_of))

    def _resolve(self, ref: str) -> Schema | bool | None:
        if ref == "#":
            return self._root
        name = ref.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        return {**self._root.definitions, **self._root.defs}.get(name)


def _merge(*values: object) -> object:
    """Objects are merged. If no value is an object, the last value is used."""
    objects = [value for value in values if isinstance(value, dict)]
    return {name: value for part in objects for name, value in part.items()} if objects else values[-1]


def _string(schema: Schema, text: str) -> str:
    """`text` if the schema allows it, else the first sample value that it allows."""
    if schema.format in _FORMATS:
        return _FORMATS[schema.format]
    longest = math.inf if schema.max_length is None else schema.max_length
    if not schema.pattern:
        text = text.ljust(schema.min_length, "a")[: schema.max_length]
    for word in (text, *_WORDS):
        if schema.min_length <= len(word) <= longest and _matches(schema.pattern, word):
            return word
    return text


def _matches(pattern: str, word: str) -> bool:
    try:
        return bool(re.search(pattern, word))
    except re.error:  # ECMA-262 allows patterns that Python does not
        return True


def _number(schema: Schema) -> int | float:
    """1, or the number next to it that the schema allows."""
    low = schema.exclusive_minimum if schema.minimum is None else schema.minimum
    high = schema.exclusive_maximum if schema.maximum is None else schema.maximum
    step = schema.multiple_of or 1
    value = low if low is not None else min(1, 1 if high is None else high)
    if schema.multiple_of or schema.main_type == "integer":
        value = math.ceil(value / step) * step
        if high is not None and value > high:
            value -= step
    if value == schema.exclusive_minimum:
        value += step
    if value == schema.exclusive_maximum:
        value -= step
    return value


def _choose(options: Sequence[Schema | bool], depth: int) -> Schema | bool:
    """The first option that is not null; at half the depth limit the null option, to end recursion."""
    wants_null = depth >= MAX_DEPTH // 2
    return min(options, key=lambda option: _is_null(option) != wants_null)


def _is_null(option: Schema | bool) -> bool:
    return isinstance(option, Schema) and option.main_type == "null"
