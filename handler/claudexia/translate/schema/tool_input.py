"""to_input_schema: the parameters of a function as the input_schema of a tool that is not strict.

The client's schema is sent unchanged unless the API would refuse it: for a union at its root, for the name of a
property, or because it is not one of draft 2020-12.
https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic_core import to_json

from claudexia.errors import shorten
from claudexia.translate.report import Report
from claudexia.translate.schema.drafts import to_current_draft
from claudexia.translate.schema.property_names import (
    NO_NAMES,
    PropertyNames,
    property_names,
    rename_rule,
    with_property_names,
)
from claudexia.translate.schema.references import Interner, resolve
from claudexia.translate.types.anthropic import JSONSchema

NO_PARAMETERS: JSONSchema = {"type": "object", "properties": {}}
_UNIONS = ("allOf", "anyOf", "oneOf")
_MERGED = {"type", "properties", "required", *_UNIONS}
# The name in $defs of a copy of the merged keywords, for references into them.
_COPY = "top_level"
_MERGED_REFERENCE = re.compile(r"#(?=/(?:properties|allOf|anyOf|oneOf)(?:/|$))")
# The limits of one tool: levels, schemas that are read, properties that are merged. Without them, references
# could make the work, and the result, many times as large as the schema. In a recursion, a schema is read again
# for each way that leads to it.
_MAX_DEPTH = 100
_MIN_STEPS, _STEPS_PER_OBJECT, _MAX_STEPS = 50, 4, 1000
_MIN_PROPERTIES, _CHARACTERS_PER_PROPERTY = 500, 8
_QUANTIFIERS = {"allOf": "all", "anyOf": "at least one", "oneOf": "exactly one"}


@dataclass(slots=True)
class _Object:
    """The properties of an object schema and its unions. It allows at least the values that they allow."""

    properties: dict[str, object] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)


class InputSchema(NamedTuple):
    """`rule` holds the sentences that the tool's description needs about `schema`, or "".

    `names` are the names of top-level properties that were replaced, with their replacements.
    """

    schema: JSONSchema
    rule: str = ""
    names: PropertyNames = NO_NAMES


def to_input_schema(parameters: JSONSchema | None, name: str, report: Report) -> InputSchema:
    """`report` is located at the schema.

    Raises APIError 400 if the schema of the function `name` allows no object or is no JSON Schema.
    """
    if not parameters:
        return InputSchema(NO_PARAMETERS)
    draft = to_current_draft(parameters)
    if draft.problem:
        raise _invalid_schema(name, report, draft.problem)
    parameters = draft.schema
    if not _may_be_object(parameters):
        raise _no_object(name, report, f"'type: {json.dumps(parameters['type'])}'")
    unions = [union for union in _UNIONS if union in parameters]
    schema = _merge_unions(parameters, unions, name, report) if unions else parameters
    if schema.get("type") != "object":
        schema = {**schema, "type": "object"}
    names = property_names(schema)
    rules = "\n".join(_rule(union, rename_rule(parameters[union], names)) for union in unions)
    return InputSchema(with_property_names(schema, names), rules, names)


def _merge_unions(parameters: JSONSchema, unions: Sequence[str], name: str, report: Report) -> JSONSchema:
    too_complex = _no_object(name, report, f"'{unions[0]}' that is too complex to be taken apart")
    merged = _Reader(parameters, too_complex).read(parameters)
    if merged is None:
        raise _no_object(name, report, f"'{unions[0]}' that no object fits")
    for union in unions:
        report.at(union).warn(
            f"Claude takes no {union} at the top of a tool's schema, so the properties were put into one "
            "object and the rule into the tool's description",
        )
    return _with_merged(parameters, merged)


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
    return _invalid_schema(
        name, report, f"schema must be a JSON Schema of 'type: \"object\"', got {shorten(got)}"
    )


def _invalid_schema(name: str, report: Report, problem: str) -> Exception:
    return report.error(
        f"Invalid schema for function '{shorten(name)}': {problem}.", "invalid_function_parameters"
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
    # How many schemas may still be read, and properties be merged.
    steps: int = 0
    properties: int = 0
    # Which references were not followed because they led to themselves.
    recursive: int = 0
    targets: dict[str, _Object | None] = field(default_factory=dict)
    # A target in a recursion may be read many times, but its reference is resolved and its properties are
    # collected once. The latter are by the schema's id(); all schemas are parts of `root`.
    resolved: dict[str, object] = field(default_factory=dict)
    own: dict[int, _Object] = field(default_factory=dict)
    interner: Interner = field(default_factory=Interner)

    def __post_init__(self) -> None:
        self.properties = _MIN_PROPERTIES + len(to_json(self.root)) // _CHARACTERS_PER_PROPERTY
        objects = _count_objects(self.root, _MAX_STEPS // _STEPS_PER_OBJECT)
        self.steps = _MIN_STEPS + _STEPS_PER_OBJECT * objects

    def read(self, schema: object, depth: int = 0, followed: tuple[str, ...] = ()) -> _Object | None:
        """The merged object; None if `schema` allows no object. `followed`: the references that led to it."""
        self.steps -= 1
        if self.steps < 0 or depth > _MAX_DEPTH:
            raise self.too_complex
        if schema is True:
            return _Object()
        if not isinstance(schema, Mapping) or not _may_be_object(schema):
            return None
        parts: list[_Object | None] = [self._own(schema)]
        reference = schema.get("$ref")
        # A recursive or external reference adds no properties.
        if isinstance(reference, str):
            if reference in followed:
                self.recursive += 1
            else:
                parts.append(self._read_target(reference, depth + 1, followed))
        for union in _UNIONS:
            if union in schema:
                options = schema[union] if isinstance(schema[union], list) else []
                found = [self.read(option, depth + 1, followed) for option in options]
                parts += found if union == "allOf" else [self._either(found)]
        return self._all(parts)

    def _own(self, schema: JSONSchema) -> _Object:
        """The properties that `schema` itself declares."""
        if id(schema) not in self.own:
            properties, required = schema.get("properties"), schema.get("required")
            self.own[id(schema)] = _Object(
                dict(properties) if isinstance(properties, Mapping) else {},
                dict.fromkeys(each for each in required if isinstance(each, str))
                if isinstance(required, list)
                else {},
            )
        return self.own[id(schema)]

    def _read_target(self, reference: str, depth: int, followed: tuple[str, ...]) -> _Object | None:
        """A target is read once, unless what it allows depends on the references that led to it."""
        if reference in self.targets:
            return self.targets[reference]
        recursive = self.recursive
        if reference not in self.resolved:
            self.resolved[reference] = _target(reference, self.root)
        found = self.read(self.resolved[reference], depth, (*followed, reference))
        if recursive == self.recursive:
            self.targets[reference] = found
        return found

    def _all(self, parts: Sequence[_Object | None]) -> _Object | None:
        """The object that satisfies all parts; None if one of them allows no object."""
        if None in parts:
            return None
        objects = [part for part in _distinct(parts) if part.properties or part.required]
        if len(objects) < 2:
            return objects[0] if objects else _Object()
        required = {key: None for part in objects for key in part.required}
        return _Object(self._merged(objects, "allOf"), required)

    def _either(self, parts: Sequence[_Object | None]) -> _Object | None:
        """The object that satisfies any part; None if all of them allow no object."""
        objects = _distinct(parts)
        if len(objects) < 2:
            return objects[0] if objects else None
        required = {key: None for key in objects[0].required if all(key in part.required for part in objects)}
        return _Object(self._merged(objects, "anyOf"), required)

    def _merged(self, parts: Sequence[_Object], union: str) -> dict[str, object]:
        """The properties of all parts. Different schemas of one property are combined with `union`."""
        self.properties -= sum(len(part.properties) + len(part.required) for part in parts)
        if self.properties < 0:
            raise self.too_complex
        declared: dict[str, list[object]] = {}
        for part in parts:
            for name, schema in part.properties.items():
                declared.setdefault(name, []).append(schema)
        return {name: self._combined(schemas, union) for name, schemas in declared.items()}

    def _combined(self, schemas: Sequence[object], union: str) -> object:
        """The schemas of one property as one."""
        if len(schemas) == 1:
            return schemas[0]
        distinct: dict[int, object] = {}
        for schema in schemas:
            distinct.setdefault(self.interner.number(schema), schema)
        return schemas[0] if len(distinct) == 1 else {union: list(distinct.values())}


def _count_objects(value: object, most: int) -> int:
    """The number of objects in `value`, any JSON, as far as `most`."""
    count, rest = 0, [value]
    while rest and count < most:
        node = rest.pop()
        count += isinstance(node, dict)
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        rest += [child for child in children if isinstance(child, dict | list)]
    return count


def _distinct(parts: Sequence[_Object | None]) -> list[_Object]:
    return list({id(part): part for part in parts if part is not None}.values())


def _target(reference: str, root: JSONSchema) -> object:
    """The target of `reference`; True, which allows any value, if it is external or dangling."""
    try:
        return resolve(reference, root)
    except LookupError:
        return True
