"""Rules for schemas that constrain Claude's output: `output_config.format` and strict tools.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from claudexia_cli.echo.params import Json, Params, as_object, is_custom, output_format, tools
from claudexia_cli.echo.rules import Rule, Violation
from tests.fakes.anthropic.models import ModelFacts
from tests.fakes.anthropic.tool_rules import is_draft_2020_12

_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
           "maxItems", "uniqueItems", "minProperties", "maxProperties", "minContains", "maxContains")  # fmt: skip
_KEYWORDS = ("oneOf", "not", "if", "then", "else", "patternProperties", "propertyNames", "dependentSchemas",
             "dependentRequired", "unevaluatedProperties", "unevaluatedItems", "contains", "prefixItems")  # fmt: skip
_GIVES_TYPE = {"type", "enum", "const", "anyOf", "allOf", "$ref"} | set(_KEYWORDS)
_PATTERN = re.compile(r"\(\?[=!<]|\\[1-9bB]")


class Node(NamedTuple):
    path: str
    schema: dict[str, Json]


def _roots(params: Params) -> list[Node]:
    schema = output_format(params).get("schema")
    formats = [Node("output_config.format.schema", schema)] if isinstance(schema, dict) else []
    strict = [tool for tool in tools(params) if is_custom(tool[1]) and tool[1].get("strict") is True]
    return formats + [
        Node(f"{path}.custom.input_schema", as_object(tool.get("input_schema"))) for path, tool in strict
    ]


def _nodes(params: Params) -> Iterator[Node]:
    for root in _roots(params):
        yield from _within(root)


def _within(node: Node) -> Iterator[Node]:
    yield node
    path, schema = node
    for key in ("properties", "$defs", "definitions"):
        for name, inner in as_object(schema.get(key)).items():
            if isinstance(inner, dict):
                yield from _within(Node(f"{path}.{key}.{name}", inner))
    if isinstance(schema.get("items"), dict):
        yield from _within(Node(f"{path}.items", schema["items"]))
    for key in ("anyOf", "allOf"):
        inner = schema.get(key)
        for index, item in enumerate(inner if isinstance(inner, list) else []):
            if isinstance(item, dict):
                yield from _within(Node(f"{path}.{key}.{index}", item))


def _draft(params: Params, _: ModelFacts) -> Iterator[Violation]:
    # A tool rule checks the schemas of tools.
    yield from (
        path for path, schema in _roots(params) if path.startswith("output") and not is_draft_2020_12(schema)
    )


def _open(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, schema in _nodes(params):
        is_object = "object" in _list(schema.get("type")) or "properties" in schema
        closed = schema.get("additionalProperties") is False
        if (is_object and not closed) or schema.get("additionalProperties", False) is not False:
            yield f"{path}.additionalProperties"


def _unknown_types(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, schema in _nodes(params):
        if not _GIVES_TYPE & schema.keys() or not set(map(str, _list(schema.get("type")))) <= _TYPES:
            yield path


def _bounds(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, schema in _nodes(params):
        yield from (f"{path}.{key}" for key in _BOUNDS if key in schema)
        if schema.get("minItems", 0) not in (0, 1):
            yield f"{path}.minItems"


def _keywords(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (f"{path}.{key}" for path, schema in _nodes(params) for key in _KEYWORDS if key in schema)


def _formats(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, schema in _nodes(params):
        if "format" in schema and str(schema["format"]) not in _FORMATS:
            yield f"{path}.format"


def _patterns(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (
        f"{path}.pattern" for path, schema in _nodes(params) if _PATTERN.search(str(schema.get("pattern", "")))
    )


def _enums(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, schema in _nodes(params):
        if any(isinstance(value, dict | list) for value in _list(schema.get("enum"))):
            yield f"{path}.enum"


def _all_of_ref(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, schema in _nodes(params):
        if any("$ref" in as_object(item) for item in _list(schema.get("allOf"))):
            yield f"{path}.allOf"


def _references(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for root in _roots(params):
        for path, schema in _within(root):
            if "$ref" in schema and resolve(str(schema["$ref"]), root.schema) is None:
                yield f"{path}.$ref"


def _recursion(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (root.path for root in _roots(params) if _is_recursive(root.schema, root.schema, ()))


def _is_recursive(schema: Json, root: Json, visited: tuple[str, ...]) -> bool:
    """Whether a reference leads back to itself. Unused definitions do not count."""
    reached = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    for _path, inner in _within(Node("", reached)):
        if "$ref" in inner:
            name = str(inner["$ref"])
            target = resolve(name, root)
            if name in visited or name == "#" or (target and _is_recursive(target, root, (*visited, name))):
                return True
    return False


def _optional(params: Params, _: ModelFacts) -> Iterator[Violation]:
    objects = [schema for _path, schema in _nodes(params)]
    count = sum(
        len(as_object(one.get("properties")).keys() - set(map(str, _list(one.get("required")))))
        for one in objects
    )
    if count > 24:
        yield ""


def _unions(params: Params, _: ModelFacts) -> Iterator[Violation]:
    if sum("anyOf" in schema or isinstance(schema.get("type"), list) for _path, schema in _nodes(params)) > 16:
        yield ""


def _strict_tools(params: Params, _: ModelFacts) -> Iterator[Violation]:
    if sum(tool.get("strict") is True for _path, tool in tools(params)) > 20:
        yield "tools"


def _format_shape(params: Params, _: ModelFacts) -> Iterator[Violation]:
    format_ = output_format(params)
    yield from (f"output_config.format.{key}" for key in format_.keys() - {"type", "schema"})


def resolve(reference: str, root: Json) -> dict[str, Json] | None:
    """The target of a reference within `root`; None for any other reference."""
    if not reference.startswith("#"):
        return None
    found: Json = root
    for part in filter(None, reference[1:].split("/")):
        # JSON Pointer: the keys of a list are its indices.
        children = (
            {str(index): item for index, item in enumerate(found)}
            if isinstance(found, list)
            else as_object(found)
        )
        found = children.get(part.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, dict) else None


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [] if value is None else [value]


RULES = (
    Rule("format key", "Extra inputs are not permitted", _format_shape),
    Rule("schema draft", "JSON schema is invalid. It must match JSON Schema draft 2020-12", _draft),
    Rule("schema open", "For 'object' type, 'additionalProperties' must be explicitly set to false", _open),
    Rule("schema type", "Schema must have a supported 'type', or an 'enum', 'const', 'anyOf', 'allOf' or '$ref'",
         _unknown_types),
    Rule("schema bound", "this constraint is not supported", _bounds),
    Rule("schema keyword", "Schema type is not supported", _keywords),
    Rule("schema format", "this string format is not supported", _formats),
    Rule("schema pattern", "lookaround, back-references and word boundaries are not supported", _patterns),
    Rule("schema enum", "enum values must be strings, numbers, booleans or null", _enums),
    Rule("schema allOf", "'allOf' with '$ref' is not supported", _all_of_ref),
    Rule("schema reference", "only references within the schema are supported", _references),
    Rule("schema recursion", "Recursive schemas are not supported", _recursion),
    Rule("schema optional", "Schemas contain too many optional parameters, which would make grammar compilation "
         "inefficient. Limit: 24.", _optional),
    Rule("schema unions", "Schemas contain too many parameters with union types. Limit: 16.", _unions),
    Rule("strict tools", "Too many strict tools. Limit: 20.", _strict_tools),
)  # fmt: skip
