"""Schema: the part of JSON Schema that the echo reads. sample(): the smallest instance worth showing."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

# The deepest level of a sample, for schemas that contain themselves.
MAX_DEPTH = 8


class Schema(BaseModel):
    """A JSON Schema (draft 2020-12). As in the API, a malformed schema fails validation."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: str | list[str] | None = None
    const: object = None
    default: object = None
    enum: list[object] = []
    minimum: int | float = 1
    properties: "dict[str, Schema | bool]" = {}
    required: list[str] = []
    items: "Schema | bool" = True
    min_items: int = Field(default=0, alias="minItems")
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
    """An instance of `root` with the required properties only, and `text` for every string."""
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
            return self.value(_choose(options, depth), depth)
        if schema.all_of:
            return self._all_of(schema, depth)
        return self._by_type(schema, depth)

    def _by_type(self, schema: Schema, depth: int) -> object:
        match schema.main_type:
            case "object":
                return {name: self.value(schema.properties.get(name), depth + 1) for name in schema.required}
            case "array":
                count = max(schema.min_items, 1 if depth < MAX_DEPTH // 2 else 0)
                return [self.value(schema.items, depth + 1) for _ in range(count)]
            case "integer" | "number":
                return schema.minimum
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._text

    def _all_of(self, schema: Schema, depth: int) -> object:
        """Objects are merged. If no part is an object, the value of the last part is used."""
        values = [self._by_type(schema, depth), *(self.value(part, depth) for part in schema.all_of)]
        objects = [value for value in values if isinstance(value, dict)]
        return {name: value for part in objects for name, value in part.items()} if objects else values[-1]

    def _resolve(self, ref: str) -> Schema | bool | None:
        if ref == "#":
            return self._root
        name = ref.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        return {**self._root.definitions, **self._root.defs}.get(name)


def _choose(options: Sequence[Schema | bool], depth: int) -> Schema | bool:
    """The first option that is not null; at half the depth limit the null option, to end recursion."""
    wants_null = depth >= MAX_DEPTH // 2
    return min(options, key=lambda option: _is_null(option) != wants_null)


def _is_null(option: Schema | bool) -> bool:
    return isinstance(option, Schema) and option.main_type == "null"
