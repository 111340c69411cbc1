"""Alternatives: a schema expanded into the combinations that its $ref, allOf, anyOf and oneOf allow.

Each alternative is a conjunction: a list of schemas that a value must satisfy together. Claude's objects are
closed, so with a union beside `properties` each would exclude what the other declares. Therefore the schemas of
a conjunction are merged into one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from claudexia.translate.schema.keywords import (
    CONSTRAINTS,
    SCALARS,
    UNENFORCED,
    constrains,
    is_false,
    normalize,
    strings,
    types,
)
from claudexia.translate.schema.references import Location, References, Schema, UnsupportedSchemaError

MAX_ALTERNATIVES = 64
MAX_STEPS = 2000
# Without a type any value is valid, but Claude's objects need named properties and its arrays need items.
_ANY_SCALAR = ["string", "number", "boolean", "null"]


class Conjunct(NamedTuple):
    """One schema of a conjunction, and the references that were followed to reach it."""

    schema: Schema
    refs: frozenset[str]


Conjunction = Sequence[Conjunct]


@dataclass(slots=True)
class AdaptationContext:
    """The state of one adaptation.

    relaxed     "path: keyword", as keys, for constraints that Claude does not enforce
    narrowed    "path: values", as keys, for values that the client allows and Claude cannot produce
    """

    references: References
    relaxed: dict[str, None] = field(default_factory=dict)
    narrowed: dict[str, None] = field(default_factory=dict)
    _steps: int = 0

    def count_step(self) -> None:
        """Raises UnsupportedSchemaError after MAX_STEPS, which bounds the work for one schema."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise UnsupportedSchemaError("too large")


def alternatives(schema: Schema | bool, location: Location, context: AdaptationContext) -> list[list[Conjunct]]:
    """One conjunction per alternative, the outer schemas first; none if no value is valid."""
    context.count_step()
    if isinstance(schema, bool):
        return [[Conjunct({}, location.refs)]] if schema else []
    schema = normalize(schema, location.path)
    found = [[Conjunct(schema, location.refs)]]
    if "$ref" in schema:
        _, target, inside = context.references.follow(schema["$ref"], location)
        found = _conjoin(found, alternatives(target, inside, context), location)
    for part in schema.get("allOf", ()):
        found = _conjoin(found, alternatives(part, location.descend(), context), location)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            expanded = [alternatives(option, location.descend(), context) for option in schema[union]]
            found = _conjoin(found, [each for option in expanded for each in option], location)
    if "oneOf" in schema:
        check_disjoint(schema["oneOf"], location, context)
    return found


def _conjoin(
    left: list[list[Conjunct]], right: list[list[Conjunct]], location: Location
) -> list[list[Conjunct]]:
    """Every alternative of `left` with every alternative of `right`."""
    if len(left) * len(right) > MAX_ALTERNATIVES:
        raise _too_many_alternatives(location)
    return [[*one, *other] for one in left for other in right]


def _too_many_alternatives(location: Location) -> UnsupportedSchemaError:
    return UnsupportedSchemaError(f"{location.path}: more than {MAX_ALTERNATIVES} combinations of alternatives")


@dataclass(frozen=True, slots=True)
class TypedConjunction:
    """A conjunction for the values of one kind: objects, arrays or scalars.

    types     ["object"], ["array"] or scalar types
    values    the values that enum and const allow; None without enum and const
    """

    conjuncts: Conjunction
    types: list[str]
    values: list[object] | None = None

    def given(self, keyword: str) -> list[object]:
        """The value of `keyword` in each conjunct that has it."""
        return [conjunct.schema[keyword] for conjunct in self.conjuncts if keyword in conjunct.schema]


def split_by_type(
    conjuncts: Conjunction, location: Location, context: AdaptationContext
) -> list[TypedConjunction]:
    """One TypedConjunction for objects, one for arrays and one for scalars; none if no value is valid.

    Raises UnsupportedSchemaError for an enum of objects or arrays, and for a root without any type.
    """
    if any(is_false(conjunct.schema) for conjunct in conjuncts):
        return []
    allowed = common_types(conjuncts)
    if (values := _common_values(conjuncts, allowed)) is not None:
        if any(json_type(value) in ("object", "array") for value in values):
            raise UnsupportedSchemaError(f"{location.path}: an enum of objects or arrays")
        return (
            [TypedConjunction(conjuncts, list(dict.fromkeys(map(json_type, values))), values)] if values else []
        )
    if allowed is None:
        allowed = _implied_types(conjuncts)
    if not allowed and not any(types(conjunct.schema) for conjunct in conjuncts):
        if not location.depth:
            raise UnsupportedSchemaError(f"{location.path}: any value")
        context.narrowed[f"{location.path}: arrays and objects"] = None
        allowed = _ANY_SCALAR
    scalars = [name for name in allowed if name in SCALARS]
    found = [TypedConjunction(conjuncts, [name]) for name in allowed if name not in SCALARS]
    return [*found, TypedConjunction(conjuncts, scalars)] if scalars else found


def common_types(conjuncts: Conjunction) -> list[str] | None:
    """The types that all conjuncts allow; None if no conjunct has a type."""
    common: list[str] | None = None
    for conjunct in conjuncts:
        if given := types(conjunct.schema):
            common = given if common is None else _intersection(common, given)
    if common is None:
        return None
    return [name for name in dict.fromkeys(common) if name != "integer" or "number" not in common]


def _intersection(left: list[str], right: list[str]) -> list[str]:
    """The types in both lists. Every integer is a number."""
    both = [name for name in left if name in right or (name == "integer" and "number" in right)]
    return [*both, "integer"] if "number" in left and "integer" in right else both


def _implied_types(conjuncts: Conjunction) -> list[str]:
    """The types that the keywords imply, such as object for `properties`."""
    keywords = [keyword for conjunct in conjuncts for keyword in conjunct.schema if keyword in CONSTRAINTS]
    implied = [CONSTRAINTS[keyword] for keyword in keywords if len(CONSTRAINTS[keyword]) <= 2]
    return [name for name in ("object", "array", "string", "number") if any(name in each for each in implied)]


def _common_values(conjuncts: Conjunction, allowed: list[str] | None) -> list[object] | None:
    """The values that every enum and const allows; None without enum and const."""
    common: dict[tuple[bool, str], object] | None = None
    for conjunct in conjuncts:
        for given in _value_lists(conjunct.schema):
            keyed = {equality_key(value): value for value in given}
            common = keyed if common is None else {key: value for key, value in common.items() if key in keyed}
    if common is None:
        return None
    return [value for value in common.values() if allowed is None or _has_type(value, allowed)]


def _value_lists(schema: Schema) -> list[list[object]]:
    """The values of const and of enum; a schema can have both."""
    const = [[schema["const"]]] if "const" in schema else []
    return [*const, schema["enum"]] if "enum" in schema else const


def _has_type(value: object, allowed: list[str]) -> bool:
    own = json_type(value)
    return own in allowed or (own == "integer" and "number" in allowed)


def unenforced(typed: TypedConjunction) -> list[tuple[str, object]]:
    """The constraints on these values that Claude's grammar cannot enforce, in the order given."""
    found = []
    for index, conjunct in enumerate(typed.conjuncts):
        for keyword, value in conjunct.schema.items():
            applies = keyword in UNENFORCED and UNENFORCED[keyword] & {*typed.types}
            if not applies or not constrains(keyword, value):
                continue
            if keyword != "unevaluatedProperties" or not _is_satisfied(typed, index):
                found.append((keyword, value))
    return found


def _is_satisfied(typed: TypedConjunction, index: int) -> bool:
    """Whether closing the object satisfies the unevaluatedProperties of conjunct `index`.

    In an inner schema the keyword counts only that schema's own properties as evaluated.
    """
    others = [conjunct for at, conjunct in enumerate(typed.conjuncts) if at != index] if index else []
    closed = is_false(typed.conjuncts[index].schema["unevaluatedProperties"])
    return closed and not any("properties" in conjunct.schema for conjunct in others)


def check_disjoint(options: Sequence[Schema | bool], location: Location, context: AdaptationContext) -> None:
    """Lists oneOf as relaxed unless its options exclude each other: only then anyOf means the same."""
    if len(options) > MAX_ALTERNATIVES:
        raise _too_many_alternatives(location)
    targets = [_resolved(option, location, context.references) for option in options]
    if not all(_disjoint(one, other) for one, other in combinations(targets, 2)):
        context.relaxed[f"{location.path}: oneOf"] = None


def _resolved(option: Schema | bool, location: Location, references: References) -> Schema | bool:
    while isinstance(option, dict) and isinstance(option.get("$ref"), str):
        _, option, location = references.follow(option["$ref"], location)
    return option


def _disjoint(one: Schema | bool, other: Schema | bool) -> bool:
    """Whether it is certain that no value is valid under both."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is False or other is False
    if "nullable" in one or "nullable" in other:
        return False
    left, right = _values(one), _values(other)
    if (
        left is not None
        and right is not None
        and not set(map(equality_key, left)) & set(map(equality_key, right))
    ):
        return True
    left_types, right_types = _value_types(one), _value_types(other)
    if left_types and right_types and not left_types & right_types:
        return True
    return {"object"} in (left_types, right_types) and _have_discriminator(one, other)


def _have_discriminator(one: Schema, other: Schema) -> bool:
    """Whether a property that one of them requires and both declare has disjoint values."""
    left, right = (_mapping(schema.get("properties")) for schema in (one, other))
    required = {*strings(one.get("required")), *strings(other.get("required"))}
    return any(
        name in right and name in required and _disjoint(left[name], right[name])
        for name in left
        if isinstance(left[name], dict | bool) and isinstance(right.get(name), dict | bool)
    )


def _value_types(schema: Schema) -> set[str]:
    """The types of the valid values; integers count as numbers."""
    given = _values(schema)
    names = types(schema) if given is None else [json_type(value) for value in given]
    return {"number" if name == "integer" else name for name in names}


def _mapping(value: object) -> Schema:
    return value if isinstance(value, dict) else {}


def _values(schema: Schema) -> list[object] | None:
    """The values that const or enum allows; None without either."""
    if "const" in schema:
        return [schema["const"]]
    return schema["enum"] if isinstance(schema.get("enum"), list) else None


def json_type(value: object) -> str:
    """The JSON Schema type of `value`. 1.0 is an integer."""
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


def equality_key(value: object) -> tuple[bool, str]:
    """Equal for scalars that JSON Schema considers equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return isinstance(value, bool), f"{json_type(value)} {value}"
