"""to_input_schema: the parameters of a function as the input_schema of a tool that is not strict.

The client's schema is sent unchanged unless its root has a union, which the API refuses:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from claudexia.errors import shorten
from claudexia.translate.report import Report
from claudexia.translate.schema.references import resolve
from claudexia.translate.types.anthropic import JSONSchema

NO_PARAMETERS: JSONSchema = {"type": "object", "properties": {}}
_UNIONS = ("allOf", "anyOf", "oneOf")
_MERGED = {"type", "properties", "required", *_UNIONS}
# The name in $defs of a copy of the merged keywords, for references into them.
_COPY = "top_level"
_MERGED_REFERENCE = re.compile(r"#(?=/(?:properties|allOf|anyOf|oneOf)(?:/|$))")
_MAX_STEPS, _MAX_DEPTH = 5000, 100
_QUANTIFIERS = {"allOf": "all", "anyOf": "at least one", "oneOf": "exactly one"}


@dataclass(slots=True)
class _Object:
    """The properties of an object schema and its unions. It allows at least the values that they allow."""

    properties: dict[str, object] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)


def to_input_schema(parameters: JSONSchema | None, name: str, report: Report) -> tuple[JSONSchema, str]:
    """The input schema, and the sentences that the tool's description needs about it, or "".

    `report` is located at the schema. Raises APIError 400 if the schema of the function `name` allows no
    object.
    """
    if not parameters:
        return NO_PARAMETERS, ""
    if not _may_be_object(parameters):
        raise _no_object(name, report, f"'type: {json.dumps(parameters['type'])}'")
    unions = [union for union in _UNIONS if union in parameters]
    if not unions:
        typed = parameters.get("type") == "object"
        return parameters if typed else {**parameters, "type": "object"}, ""
    too_complex = _no_object(name, report, f"'{unions[0]}' that is too complex to be taken apart")
    merged = _Reader(parameters, too_complex).read(parameters)
    if merged is None:
        raise _no_object(name, report, f"'{unions[0]}' that no object fits")
    for union in unions:
        report.at(union).warn(
            f"Claude takes no {union} at the top of a tool's schema, so the properties were put into one "
            "object and the rule into the tool's description",
        )
    rules = "\n".join(_rule(union, parameters[union]) for union in unions)
    return _with_merged(parameters, merged), rules


def _with_merged(parameters: JSONSchema, merged: _Object) -> JSONSchema:
    """`parameters` with `merged` in place of its unions."""
    schema: dict[str, object] = {"type": "object"}
    schema |= {key: value for key, value in parameters.items() if key not in _MERGED}
    schema["properties"] = merged.properties
    if merged.required:
        schema["required"] = list(merged.required)
    redirected = _redirected(schema)
    if redirected == schema or not isinstance(redirected, dict):
        return schema
    copied = {key: parameters[key] for key in ("properties", *_UNIONS) if key in parameters}
    definitions = redirected.get("$defs")
    known = definitions if isinstance(definitions, dict) else {}
    return {**redirected, "$defs": {**known, _COPY: _redirected(copied)}}


def _redirected(node: object) -> object:
    """`node` with references into the merged keywords, which Zod generates, redirected to the copy in $defs."""
    if isinstance(node, list):
        return [_redirected(item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _redirected(value) for key, value in node.items()}
    if isinstance(reference := copy.get("$ref"), str):
        copy["$ref"] = _MERGED_REFERENCE.sub(f"#/$defs/{_COPY}", reference)
    return copy


def _no_object(name: str, report: Report, got: str) -> Exception:
    return report.error(
        f"Invalid schema for function '{shorten(name)}': schema must be a JSON Schema of 'type: \"object\"', "
        f"got {shorten(got)}.",
        "invalid_function_parameters",
    )


def _rule(union: str, options: object) -> str:
    """The union as a sentence for the tool's description."""
    schemas = json.dumps(options, ensure_ascii=False, separators=(",", ":"))
    return f"The input must also match {_QUANTIFIERS[union]} of these JSON Schemas: {schemas}"


def _may_be_object(schema: JSONSchema) -> bool:
    types = schema.get("type", "object")
    return types == "object" or (isinstance(types, list) and "object" in types)


@dataclass(slots=True)
class _Reader:
    """Merges a schema with its unions and references. Raises `too_complex` if that exceeds the limits."""

    root: JSONSchema
    too_complex: Exception
    steps: int = 0

    def read(self, schema: object, depth: int = 0, followed: tuple[str, ...] = ()) -> _Object | None:
        """The merged object; None if `schema` allows no object. `followed`: the references that led to it."""
        self.steps += 1
        if self.steps > _MAX_STEPS or depth > _MAX_DEPTH:
            raise self.too_complex
        if schema is True:
            return _Object()
        if not isinstance(schema, Mapping) or not _may_be_object(schema):
            return None
        parts: list[_Object | None] = [_own(schema)]
        reference = schema.get("$ref")
        # A recursive or external reference adds no properties.
        if isinstance(reference, str) and reference not in followed:
            parts.append(self.read(_target(reference, self.root), depth + 1, (*followed, reference)))
        for union in _UNIONS:
            if union in schema:
                options = schema[union] if isinstance(schema[union], list) else []
                found = [self.read(option, depth + 1, followed) for option in options]
                parts += found if union == "allOf" else [_either(found)]
        return _all(parts)


def _own(schema: JSONSchema) -> _Object:
    """The properties that `schema` itself declares."""
    properties, required = schema.get("properties"), schema.get("required")
    return _Object(
        dict(properties) if isinstance(properties, Mapping) else {},
        dict.fromkeys(key for key in required if isinstance(key, str)) if isinstance(required, list) else {},
    )


def _target(reference: str, root: JSONSchema) -> object:
    """The target of `reference`; True, which allows any value, if it is external or dangling."""
    try:
        return resolve(reference, root)
    except LookupError:
        return True


def _all(parts: Sequence[_Object | None]) -> _Object | None:
    """The object that satisfies all parts; None if one of them allows no object."""
    objects = [part for part in parts if part]
    if len(objects) < len(parts):
        return None
    required = {key: None for part in objects for key in part.required}
    return _Object(_properties(objects, "allOf"), required)


def _either(parts: Sequence[_Object | None]) -> _Object | None:
    """The object that satisfies any part; None if all of them allow no object."""
    objects = [part for part in parts if part]
    if not objects:
        return None
    required = {key: None for key in objects[0].required if all(key in part.required for part in objects)}
    return _Object(_properties(objects, "anyOf"), required)


def _properties(parts: Sequence[_Object], union: str) -> dict[str, object]:
    """The properties of all parts. Different schemas of one property are combined with `union`."""
    declared: dict[str, dict[str, object]] = {}
    for part in parts:
        for name, schema in part.properties.items():
            # Compared as text, because 1 == 1.0 == True in Python.
            declared.setdefault(name, {}).setdefault(json.dumps(schema), schema)
    return {
        name: next(iter(schemas.values())) if len(schemas) == 1 else {union: list(schemas.values())}
        for name, schemas in declared.items()
    }
