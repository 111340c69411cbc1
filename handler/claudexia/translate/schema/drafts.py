"""to_current_draft(): a schema in draft 2020-12, from an older draft, from OpenAPI 3.0, or nearly valid.

The API refuses a tool's schema that is invalid under the metaschema of draft 2020-12, and with it the whole
request. Converted are

    older drafts     boolean exclusiveMinimum and exclusiveMaximum, items as a list, additionalItems,
                     definitions, dependencies, id, boolean required, divisibleBy, extends, $recursiveRef
    OpenAPI          nullable, `type: file`
    nearly valid     null keywords (Go), [] in place of an object (PHP), repeated names in required, types of
                     programming languages, numbers and booleans as strings

A schema that needs none of this is returned unchanged. The work is linear in the size of the schema.

Sources: https://json-schema.org/draft/2020-12/release-notes, https://json-schema.org/draft/2019-09/release-notes,
https://json-schema.org/draft-06/json-schema-release-notes and https://spec.openapis.org/oas/v3.0.3#schema-object
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeGuard

from claudexia.translate.schema.references import are_strings
from claudexia.translate.types.anthropic import JSONSchema

Node = dict[str, object]

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_TYPE_ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("int", "int32", "int64", "long", "uint", "uint32", "uint64"), "integer"),
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("str", "file"), "string"),
    **dict.fromkeys(("dict", "map", "struct"), "object"),
    **dict.fromkeys(("list", "tuple", "set"), "array"),
    **dict.fromkeys(("none", "nil", "undefined"), "null"),
}
_ANY_TYPES = frozenset({"any", "mixed", "unknown", "*", ""})

_SCHEMA = ("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames",
           "then", "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_NUMBERS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum")
_COUNTS = ("maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems", "minLength",
           "minProperties")  # fmt: skip
_TEXTS = ("$ref", "format", "pattern")
# Without these a schema allows the same values, so that a malformed one is left out.
_TEXT_NOTES = ("$comment", "$dynamicRef", "contentEncoding", "contentMediaType", "description", "title")
_FLAG_NOTES = ("deprecated", "readOnly", "writeOnly")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_OLD = frozenset({
    "$recursiveAnchor", "$recursiveRef", "$vocabulary", "additionalItems", "definitions", "dependencies",
    "divisibleBy", "extends", "id", "nullable",
})  # fmt: skip
_NOTES = ("title", "description", "default")
# Whose value may be null.
_ANY_VALUE = frozenset({"const", "default", "example"})
_CURRENT = "https://json-schema.org/draft/2020-12/schema"
_ANCHOR = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
_ID = re.compile(r"[^#]*#?")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")
_FLAGS: Mapping[object, bool] = {"true": True, "false": False}
_ROOT_DEFINITIONS = "#/definitions/"


class Draft(NamedTuple):
    """A converted schema. `problem` names the first value that no draft allows, "" if there is none."""

    schema: JSONSchema
    problem: str = ""


def to_current_draft(schema: JSONSchema) -> Draft:
    """A value in `problem` is left out of the schema."""
    try:
        if _is_current(schema):
            return Draft(schema)
        converter = _Converter(schema)
        converted = converter.convert(schema)
    except RecursionError:
        return Draft(schema, "it is nested too deeply")
    problem = converter.problem
    return Draft(converted, problem) if isinstance(converted, dict) else Draft({}, problem)


# What is valid already


def _is_current(node: object) -> bool:
    """Whether `node` is a schema of draft 2020-12 as it stands."""
    if not isinstance(node, dict):
        return isinstance(node, bool)
    for keyword, value in node.items():
        check = _CHECKS.get(keyword)
        if check is not None and not check(value):
            return False
    return True


def _are_current(values: object) -> bool:
    # There may be thousands of booleans.
    return (
        bool(values)
        and isinstance(values, list)
        and all(_is_current(each) for each in values if type(each) is not bool)
    )


def _is_current_map(values: object) -> bool:
    return isinstance(values, dict) and all(map(_is_current, values.values()))


def _are_unique_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and are_strings(value) and len({*value}) == len(value)


def _are_types(value: object) -> bool:
    if isinstance(value, str):
        return value in _TYPES
    return _are_unique_names(value) and bool(value) and _TYPES.issuperset(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return type(value) is int or type(value) is float


def _is_count(value: object) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _never(_: object) -> bool:
    return False


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(_SCHEMA, _is_current),
    **dict.fromkeys(_SCHEMAS, _are_current),
    **dict.fromkeys(_MAPS, _is_current_map),
    **dict.fromkeys(_NUMBERS, _is_number),
    **dict.fromkeys(_COUNTS, _is_count),
    **dict.fromkeys((*_TEXTS, *_TEXT_NOTES), _is_text),
    **dict.fromkeys((*_FLAG_NOTES, "uniqueItems"), _is_flag),
    **dict.fromkeys(_ANCHORS, lambda value: isinstance(value, str) and bool(_ANCHOR.fullmatch(value))),
    **dict.fromkeys(_OLD, _never),
    "$id": lambda value: isinstance(value, str) and bool(_ID.fullmatch(value)),
    "$schema": lambda value: value in (_CURRENT, f"{_CURRENT}#"),
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_are_unique_names, value.values())),
    "enum": lambda value: isinstance(value, list),
    "examples": lambda value: isinstance(value, list),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "required": _are_unique_names,
    "type": _are_types,
}


# Conversion


class _Converter:
    """convert() the root; `problem` is then the first value that could not be converted."""

    def __init__(self, root: JSONSchema) -> None:
        self.problem = ""
        self._path: list[str] = []
        definitions, current = root.get("definitions"), root.get("$defs") or {}
        # The root's definitions move to $defs unless a name is in both.
        self._moves = (
            isinstance(definitions, dict)
            and isinstance(current, dict)
            and definitions.keys().isdisjoint(current)
        )

    def convert(self, node: object) -> object:
        """`node`, which stands where a schema belongs."""
        if isinstance(node, dict):
            return self._object(node)
        if isinstance(node, bool):
            return node
        if isinstance(node, str):
            return _FLAGS[node] if node in _FLAGS else self._object({"type": node})
        if node is not None and node != []:
            self._fail("is not a schema")
        return {}

    def _object(self, node: Node) -> Node:
        result: Node = {}
        for keyword, value in node.items():
            if value is None and (keyword in _CHECKS or keyword in _OLD) and keyword not in _ANY_VALUE:
                continue
            handler = _HANDLERS.get(keyword)
            if handler is None:
                result[keyword] = value
                continue
            self._path.append(keyword)
            handler(self, value, result, node)
            self._path.pop()
        if node.get("nullable") is True and self._path:
            return _nullable(result)
        return result

    def _member(self, name: str, schema: object) -> object:
        self._path.append(name)
        converted = self.convert(schema)
        self._path.pop()
        return converted

    def _fail(self, what: str) -> None:
        if not self.problem:
            steps = ", ".join(f"'{step[:64]}'" for step in self._path[-8:])
            self.problem = f"In context=({steps}), the value {what}"

    # One method for each kind of keyword. They add to `result`, the converted form of `node`.

    def schema(self, value: object, result: Node, node: Node) -> None:
        result[self._path[-1]] = self.convert(value)

    def schemas(self, value: object, result: Node, node: Node) -> None:
        if not isinstance(value, list) or not value:
            self._fail("is not a list of schemas")
            return
        result[self._path[-1]] = [self.convert(each) for each in value]

    def members(self, value: object, result: Node, node: Node) -> None:
        keyword = "$defs" if self._path == ["definitions"] and self._moves else self._path[-1]
        if not isinstance(value, dict):
            if value != []:
                self._fail("is not an object")
                return
            value = {}
        members: Node = {name: self._member(name, schema) for name, schema in value.items()}
        known = result.get(keyword)
        result[keyword] = {**known, **members} if isinstance(known, dict) else members
        if keyword == "properties" and (required := [name for name in value if _is_required(value[name])]):
            result["required"] = _unique([*_names(result.get("required")), *required])

    def number(self, value: object, result: Node, node: Node) -> None:
        keyword = self._path[-1]
        exclusive = f"exclusive{keyword[:1].upper()}{keyword[1:]}"
        if exclusive in node and node[exclusive] is True:
            return  # draft 4: the exclusive keyword takes its value
        if isinstance(value, bool) and keyword.startswith("exclusive"):
            value = node.get(keyword.removeprefix("exclusive").lower()) if value else None
            if value is None:
                return
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value) if "." in value else int(value)
        if not _is_number(value):
            self._fail("is not a number")
            return
        if keyword in _COUNTS and not _is_count(value):
            self._fail("is not a count")
        elif keyword in ("multipleOf", "divisibleBy") and value <= 0:
            self._fail("is not greater than 0")
        else:
            result["multipleOf" if keyword == "divisibleBy" else keyword] = value

    def text(self, value: object, result: Node, node: Node) -> None:
        if not isinstance(value, str):
            self._fail("is not a string")
        elif self._path[-1] == "$ref" and self._moves and value.startswith(_ROOT_DEFINITIONS):
            result["$ref"] = f"#/$defs/{value.removeprefix(_ROOT_DEFINITIONS)}"
        else:
            result[self._path[-1]] = value

    def note(self, value: object, result: Node, node: Node) -> None:
        if _CHECKS[self._path[-1]](value):
            result[self._path[-1]] = value

    def flag(self, value: object, result: Node, node: Node) -> None:
        value = value if isinstance(value, bool) else _FLAGS.get(value) if isinstance(value, str) else None
        if value is not None:
            result[self._path[-1]] = value

    def nothing(self, value: object, result: Node, node: Node) -> None:
        """The keyword has no meaning of its own in draft 2020-12, or another method reads it."""

    def identifier(self, value: object, result: Node, node: Node) -> None:
        if not isinstance(value, str):
            return
        if value.startswith("#") and _ANCHOR.fullmatch(value[1:]):
            result["$anchor"] = value[1:]
        elif self._path[-1] == "$id" and _ID.fullmatch(value):
            result["$id"] = value

    def recursive_reference(self, value: object, result: Node, node: Node) -> None:
        result.setdefault("$ref", "#")

    def types(self, value: object, result: Node, node: Node) -> None:
        given = value if isinstance(value, list) else [self._type(value)]
        schemas = [self.convert(each) for each in given if isinstance(each, dict)]
        found = [self._type(each) for each in given if not isinstance(each, dict)]
        names = _unique([name for name in found if name])
        if schemas:  # draft 3
            result["anyOf"] = [*schemas, *({"type": name} for name in names)]
        elif names and "" not in found:
            result["type"] = names if isinstance(value, list) else names[0]

    def _type(self, given: object) -> str:
        """The type; "" for any, which also stands for one that does not exist."""
        name = given.lower() if isinstance(given, str) else None
        if name is not None and name in _TYPES:
            return name
        if name is None or (name not in _TYPE_ALIASES and name not in _ANY_TYPES):
            self._fail("is not a type of JSON Schema")
        return _TYPE_ALIASES.get(name or "", "")

    def required(self, value: object, result: Node, node: Node) -> None:
        if isinstance(value, bool):
            return  # draft 3: the parent reads it
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | dict):
            self._fail("is not an array of names")
            return
        result["required"] = _unique([*_names(result.get("required")), *_names(value)])

    def values(self, value: object, result: Node, node: Node) -> None:
        """enum and examples; PHP writes an array with gaps as an object."""
        result[self._path[-1]] = [*value.values()] if isinstance(value, dict) else _listed(value)

    def items(self, value: object, result: Node, node: Node) -> None:
        if not isinstance(value, list):
            self.schema(value, result, node)
            return
        if value:
            result["prefixItems"] = [self.convert(each) for each in value]
        if isinstance(rest := node.get("additionalItems"), dict | bool):
            result["items"] = self.convert(rest)

    def dependencies(self, value: object, result: Node, node: Node) -> None:
        if not isinstance(value, dict):
            if value != []:
                self._fail("is not an object")
            return
        names: Node = {}
        schemas: Node = {}
        for name, given in value.items():
            if isinstance(given, list | str):
                names[name] = _unique(_names(_listed(given)))
            else:
                schemas[name] = self._member(name, given)
        for keyword, found in (("dependentRequired", names), ("dependentSchemas", schemas)):
            if found:
                known = result.get(keyword)
                result[keyword] = {**known, **found} if isinstance(known, dict) else found

    def extends(self, value: object, result: Node, node: Node) -> None:
        """Draft 3's word for allOf."""
        known = result.get("allOf")
        parts = [self.convert(each) for each in _listed(value)]
        result["allOf"] = [*(known if isinstance(known, list) else []), *parts]


_Handler = Callable[[_Converter, object, Node, Node], None]
_HANDLERS: Mapping[str, _Handler] = {
    **dict.fromkeys(_SCHEMA, _Converter.schema),
    **dict.fromkeys(_SCHEMAS, _Converter.schemas),
    **dict.fromkeys(_MAPS, _Converter.members),
    **dict.fromkeys((*_NUMBERS, *_COUNTS, "multipleOf", "divisibleBy"), _Converter.number),
    **dict.fromkeys(_TEXTS, _Converter.text),
    **dict.fromkeys((*_TEXT_NOTES, *_ANCHORS, "$schema"), _Converter.note),
    **dict.fromkeys((*_FLAG_NOTES, "uniqueItems"), _Converter.flag),
    **dict.fromkeys(("id", "$id"), _Converter.identifier),
    **dict.fromkeys(("enum", "examples"), _Converter.values),
    **dict.fromkeys(("nullable", "additionalItems", "$recursiveAnchor", "$vocabulary"), _Converter.nothing),
    "$recursiveRef": _Converter.recursive_reference,
    "dependencies": _Converter.dependencies,
    "dependentRequired": _Converter.dependencies,
    "extends": _Converter.extends,
    "items": _Converter.items,
    "required": _Converter.required,
    "type": _Converter.types,
}


def _is_required(schema: object) -> bool:
    return isinstance(schema, dict) and schema.get("required") is True


def _names(value: object) -> list[str]:
    """The strings in a list, or among the values of an object: PHP writes an array with gaps as an object."""
    given = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [name for name in given if isinstance(name, str)]


def _unique(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _nullable(schema: Node) -> Node:
    """`schema` or null: https://spec.openapis.org/oas/v3.0.3#schema-nullable"""
    types = _names(_listed(schema.get("type")))
    if "null" in types:
        return schema
    if not types or "const" in schema:
        notes: Node = {key: schema[key] for key in _NOTES if key in schema}
        rest = {key: value for key, value in schema.items() if key not in notes}
        return {**notes, "anyOf": [rest, {"type": "null"}]} if rest else schema
    values = schema.get("enum")
    allowed = {"enum": [*values, None]} if isinstance(values, list) and None not in values else {}
    return {**schema, "type": [*types, "null"], **allowed}
