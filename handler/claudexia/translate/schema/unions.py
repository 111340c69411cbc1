"""Alternatives: what a schema comes to when its $ref, allOf, anyOf and oneOf are multiplied out.

Claude's objects are closed, so a union beside `properties` would shut out what its options declare: parts
that hold together have to become one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from claudexia.translate.schema.keywords import Place, References, Schema, UnsupportedSchemaError, read, types

MAX_ALTERNATIVES = 64
MAX_STEPS = 2000


class Part(NamedTuple):
    """One schema of several that hold together, and the references it was found through."""

    schema: Schema
    refs: frozenset[str]


@dataclass(slots=True)
class Findings:
    """What is said about the schema as it is walked through."""

    relaxed: dict[str, None] = field(default_factory=dict)
    narrowed: dict[str, None] = field(default_factory=dict)
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise UnsupportedSchemaError("too large")


def alternatives(
    schema: Schema | bool, place: Place, references: References, findings: Findings
) -> list[list[Part]]:
    """One list per alternative: the parts that all hold, those from outside first. Each `false` leaves none."""
    findings.step()
    if isinstance(schema, bool):
        return [[Part({}, place.refs)]] if schema else []
    schema = read(schema, place.path)
    found = [[Part(schema, place.refs)]]
    if "$ref" in schema:
        _, target, inside = references.follow(schema["$ref"], place)
        found = _both(found, alternatives(target, inside, references, findings), place)
    for part in schema.get("allOf", ()):
        found = _both(found, alternatives(part, place.deeper(), references, findings), place)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            options = schema[union]
            each = [alternatives(option, place.deeper(), references, findings) for option in options]
            found = _both(found, [one for several in each for one in several], place)
    if "oneOf" in schema:
        check_disjoint(schema["oneOf"], place, references, findings)
    return found


def _both(left: list[list[Part]], right: list[list[Part]], place: Place) -> list[list[Part]]:
    if len(left) * len(right) > MAX_ALTERNATIVES:
        raise UnsupportedSchemaError(f"{place.path}: more than {MAX_ALTERNATIVES} combinations of alternatives")
    return [[*one, *other] for one in left for other in right]


def check_disjoint(
    options: Sequence[Schema | bool], place: Place, references: References, findings: Findings
) -> None:
    """anyOf says the same as oneOf only where no value fits two options."""
    if len(options) > MAX_ALTERNATIVES:
        raise UnsupportedSchemaError(f"{place.path}: more than {MAX_ALTERNATIVES} combinations of alternatives")
    targets = [_target(option, place, references) for option in options]
    if not all(_disjoint(one, other) for one, other in combinations(targets, 2)):
        findings.relaxed[f"{place.path}: oneOf"] = None


def _target(option: Schema | bool, place: Place, references: References) -> Schema | bool:
    while isinstance(option, dict) and isinstance(option.get("$ref"), str):
        _, option, place = references.follow(option["$ref"], place)
    return option


def _disjoint(one: Schema | bool, other: Schema | bool) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is False or other is False
    if "nullable" in one or "nullable" in other:
        return False
    left, right = values(one), values(other)
    if left is not None and right is not None and not set(map(json_key, left)) & set(map(json_key, right)):
        return True
    kinds, others = _kinds(one), _kinds(other)
    if kinds and others and not kinds & others:
        return True
    return {"object"} in (kinds, others) and _told_apart(one, other)


def _told_apart(one: Schema, other: Schema) -> bool:
    """By a property that one of them requires and both declare, as discriminators are."""
    left, right = (_mapping(schema.get("properties")) for schema in (one, other))
    required = {*_names(one.get("required")), *_names(other.get("required"))}
    return any(
        name in right and name in required and _disjoint(left[name], right[name])
        for name in left
        if isinstance(left[name], dict | bool) and isinstance(right.get(name), dict | bool)
    )


def _kinds(schema: Schema) -> set[str]:
    """The types of the values, with every integer taken for a number."""
    given = values(schema)
    named = types(schema) if given is None else [kind(value) for value in given]
    return {"number" if name == "integer" else name for name in named}


def _mapping(value: object) -> Schema:
    return value if isinstance(value, dict) else {}


def _names(value: object) -> Iterable[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def values(schema: Schema) -> list[object] | None:
    """The values that const or enum leave, None where neither is there."""
    if "const" in schema:
        return [schema["const"]]
    return schema["enum"] if isinstance(schema.get("enum"), list) else None


def kind(value: object) -> str:
    """The JSON type of `value`; 1.0 is an integer, as JSON Schema has it."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def json_key(value: object) -> tuple[bool, str]:
    """Equal for what JSON Schema holds equal among scalars: 1 and 1.0, but not 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return isinstance(value, bool), f"{kind(value)} {value}"
