"""Names of a tool's properties as Claude accepts them.

The API refuses a tool that has another name among the properties at the top of its schema, and with it the
whole request. Names inside nested objects are free.

Source: the API's message `Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'`
"""

import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import cast
from urllib.parse import unquote

from claudexia.translate.types.anthropic import JSONSchema

# The accepted names by the client's names.
PropertyNames = Mapping[str, str]
NO_NAMES: PropertyNames = {}

_VALID_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_INVALID = re.compile(r"[^a-zA-Z0-9_.-]")
_LONGEST_PREFIX = 55  # leaves room for the digest
# The keywords whose schemas apply to the same object.
_SAME_OBJECT = frozenset({"if", "then", "else", "not", "allOf", "anyOf", "oneOf"})
# The keywords with a list of values.
_VALUES = frozenset({"enum", "examples"})
_BY_NAME = ("properties", "dependentRequired", "dependentSchemas")
_PROPERTY_REFERENCE = re.compile(r"#/properties/([^/]+)")


def property_names(schema: JSONSchema) -> PropertyNames:
    """The replacements for those names that Claude does not accept. They depend on nothing but the names."""
    declared = schema.get("properties")
    if not isinstance(declared, dict) or all(map(_VALID_NAME.fullmatch, declared)):
        return {}
    taken = {name for name in declared if _VALID_NAME.fullmatch(name)}
    return {name: _replacement(name, taken) for name in declared if name not in taken}


def _replacement(name: str, taken: Collection[str]) -> str:
    digest = sha256(name.encode(errors="replace")).hexdigest()
    start = _INVALID.sub("_", name[:_LONGEST_PREFIX])
    replacement = f"{start}_{digest[:8]}"
    return replacement if replacement not in taken else f"{start[:40]}_{digest[8:28]}"


def with_property_names(schema: JSONSchema, names: PropertyNames) -> JSONSchema:
    """`schema` with the names replaced. The description of a renamed property begins with its own name."""
    if not names:
        return schema
    properties = cast("Mapping[str, object]", schema["properties"])
    named = {name: _named(value, name) if name in names else value for name, value in properties.items()}
    renamed = _renamed({**schema, "properties": named}, names)
    # A rule for names would be one for the replacements.
    return _redirected({key: value for key, value in renamed.items() if key != "propertyNames"}, names)


def rename_input(value: Mapping[str, object], names: PropertyNames) -> dict[str, object]:
    return {names.get(name, name): item for name, item in value.items()}


def rename_rule(schema: object, names: PropertyNames) -> object:
    """A schema, or a list of them, for the same object."""
    if isinstance(schema, list):
        return [rename_rule(each, names) for each in schema]
    return _renamed(schema, names) if isinstance(schema, dict) and names else schema


def _named(schema: object, name: str) -> object:
    if not isinstance(schema, dict):
        return {"description": f'"{name}"'} if schema is True else schema
    given = schema.get("description")
    return {**schema, "description": f'"{name}": {given}' if given else f'"{name}"'}


def _renamed(schema: JSONSchema, names: PropertyNames) -> dict[str, object]:
    return {keyword: _renamed_value(keyword, value, names) for keyword, value in schema.items()}


def _renamed_value(keyword: str, value: object, names: PropertyNames) -> object:
    if keyword in _SAME_OBJECT:
        return rename_rule(value, names)
    if keyword in _VALUES:
        return [_renamed_object(each, names) for each in value] if isinstance(value, list) else value
    if keyword in _BY_NAME and isinstance(value, dict):
        if keyword == "dependentRequired":
            value = {name: _renamed_list(each, names) for name, each in value.items()}
        elif keyword == "dependentSchemas":
            value = {name: rename_rule(each, names) for name, each in value.items()}
        return rename_input(value, names)
    if keyword == "required":
        return _renamed_list(value, names)
    return _renamed_object(value, names) if keyword in ("const", "default") else value


def _renamed_object(value: object, names: PropertyNames) -> object:
    return rename_input(value, names) if isinstance(value, dict) else value


def _renamed_list(values: object, names: PropertyNames) -> object:
    if not isinstance(values, list):
        return values
    return [names.get(name, name) if isinstance(name, str) else name for name in values]


def _redirected(node: dict[str, object], names: PropertyNames) -> dict[str, object]:
    """`node` with its references to renamed properties redirected."""

    def redirect(found: re.Match[str]) -> str:
        name = unquote(found[1]).replace("~1", "/").replace("~0", "~")
        return f"#/properties/{names.get(name, found[1])}"

    def visit(node: object) -> object:
        if isinstance(node, list):
            return [visit(each) for each in node]
        if not isinstance(node, dict):
            return node
        copy = {key: visit(value) for key, value in node.items()}
        if isinstance(reference := copy.get("$ref"), str) and reference.startswith("#/properties/"):
            copy["$ref"] = _PROPERTY_REFERENCE.sub(redirect, reference, count=1)
        return copy

    return {key: visit(value) for key, value in node.items()}
