"""to_input_schema(): a function's parameters as the input_schema of a tool that is not strict.

The client's schema goes as it is, but for a union at its top, which the API refuses:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from claudexia.translate.report import Report
from claudexia.translate.types.anthropic import JSONSchema

NO_PARAMETERS: JSONSchema = {"type": "object", "properties": {}}
_UNIONS = ("allOf", "anyOf", "oneOf")
_MERGED = {"type", "properties", "required", *_UNIONS}
_COPY = "top_level"
_INTO_MERGED = re.compile(r"#(?=/(?:properties|allOf|anyOf|oneOf)(?:/|$))")
_MAX_STEPS, _MAX_DEPTH = 5000, 100
_WORDS = {"allOf": "all", "anyOf": "at least one", "oneOf": "exactly one"}


@dataclass(slots=True)
class _Object:
    """What a schema asks of an object, its unions included: a superset of what it allows."""

    properties: dict[str, object] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)


def to_input_schema(parameters: JSONSchema | None, name: str, report: Report) -> tuple[JSONSchema, str]:
    """The schema, and what the description has to say of it, "" for nothing.

    `report` is located at the schema. Raises APIError 400 where the schema of the function `name` allows no
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
    told = "\n".join(_told(union, parameters[union]) for union in unions)
    return _rebuilt(parameters, merged), told


def _rebuilt(parameters: JSONSchema, merged: _Object) -> JSONSchema:
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
    """`node` with the references into what was merged, as Zod's clients write them, led to a copy in $defs."""
    if isinstance(node, list):
        return [_redirected(item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _redirected(value) for key, value in node.items()}
    if isinstance(reference := copy.get("$ref"), str):
        copy["$ref"] = _INTO_MERGED.sub(f"#/$defs/{_COPY}", reference)
    return copy


def _no_object(name: str, report: Report, got: str) -> Exception:
    return report.error(
        f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got {got}.",
        "invalid_function_parameters",
    )


def _told(union: str, options: object) -> str:
    rule = json.dumps(options, ensure_ascii=False, separators=(",", ":"))
    return f"The input must also match {_WORDS[union]} of these JSON Schemas: {rule}"


def _may_be_object(schema: JSONSchema) -> bool:
    kind = schema.get("type", "object")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


@dataclass(slots=True)
class _Reader:
    """Reads a schema through its unions and references; `too_complex` is raised where that has no end."""

    root: JSONSchema
    too_complex: Exception
    steps: int = 0

    def read(self, schema: object, depth: int = 0, through: tuple[str, ...] = ()) -> _Object | None:
        """None where `schema` allows no object; `through` are the references that led to it."""
        self.steps += 1
        if self.steps > _MAX_STEPS or depth > _MAX_DEPTH:
            raise self.too_complex
        if schema is True:
            return _Object()
        if not isinstance(schema, Mapping) or not _may_be_object(schema):
            return None
        parts: list[_Object | None] = [_own(schema)]
        reference = schema.get("$ref")
        # One that leads back to itself, or out of the schema, adds nothing that could be read.
        if isinstance(reference, str) and reference not in through:
            target = _follow(reference, self.root)
            parts.append(self.read(target, depth + 1, (*through, reference)))
        for union in _UNIONS:
            if union in schema:
                options = schema[union] if isinstance(schema[union], list) else []
                found = [self.read(option, depth + 1, through) for option in options]
                parts += found if union == "allOf" else [_either(found)]
        return _all(parts)


def _own(schema: JSONSchema) -> _Object:
    properties, required = schema.get("properties"), schema.get("required")
    return _Object(
        dict(properties) if isinstance(properties, Mapping) else {},
        dict.fromkeys(key for key in required if isinstance(key, str)) if isinstance(required, list) else {},
    )


def _follow(reference: str, root: JSONSchema) -> object:
    """What a pointer into the schema's own document leads to; True, which allows all, for anything else."""
    here: object = root
    first, *steps = reference.split("/")
    if first != "#":
        return True
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, Mapping) or name not in here:
            return True
        here = here[name]
    return here


def _all(parts: Sequence[_Object | None]) -> _Object | None:
    objects = [part for part in parts if part]
    if len(objects) < len(parts):
        return None
    required = {key: None for part in objects for key in part.required}
    return _Object(_properties(objects, "allOf"), required)


def _either(parts: Sequence[_Object | None]) -> _Object | None:
    objects = [part for part in parts if part]
    if not objects:
        return None
    required = {key: None for key in objects[0].required if all(key in part.required for part in objects)}
    return _Object(_properties(objects, "anyOf"), required)


def _properties(parts: Sequence[_Object], union: str) -> dict[str, object]:
    """Every property of any part; one that parts declare differently has to fit them as `union` says."""
    declared: dict[str, dict[str, object]] = {}
    for part in parts:
        for name, schema in part.properties.items():
            # As text, because Python takes 1, 1.0 and True for equal.
            declared.setdefault(name, {}).setdefault(json.dumps(schema), schema)
    return {
        name: next(iter(schemas.values())) if len(schemas) == 1 else {union: list(schemas.values())}
        for name, schemas in declared.items()
    }
