"""Shape: what the parts of one alternative come to, for the values of one kind."""

from collections.abc import Sequence
from dataclasses import dataclass

from claudexia.translate.schema_alternatives import Findings, Part, json_key, kind
from claudexia.translate.schema_keywords import (
    CONSTRAINTS,
    FORMATS,
    MOVED,
    SCALARS,
    Schema,
    UnfitError,
    constrains,
    is_false,
    is_simple,
    types,
)
from claudexia.translate.schema_refs import Place

# Without a type anything goes, but Claude's objects need their properties named and arrays their items.
_ANY_SCALAR = ["string", "number", "boolean", "null"]


@dataclass(frozen=True, slots=True)
class Shape:
    """`types` is all object, all array or scalars only; `values` are what enum and const leave of them."""

    parts: Sequence[Part]
    types: list[str]
    values: list[object] | None = None

    def given(self, keyword: str) -> list[object]:
        """Every part's value of `keyword`."""
        return [part.schema[keyword] for part in self.parts if keyword in part.schema]


def shapes(parts: Sequence[Part], place: Place, findings: Findings) -> list[Shape]:
    """None where no value satisfies all parts. Raises UnfitError for values that Claude cannot be held to."""
    if any(is_false(part.schema) for part in parts):
        return []
    named = named_types(parts)
    if (left := _values(parts, named)) is not None:
        if any(kind(value) in ("object", "array") for value in left):
            raise UnfitError(f"{place.path}: an enum of objects or arrays")
        return [Shape(parts, list(dict.fromkeys(map(kind, left))), left)] if left else []
    if named is None:
        named = _implied_types(parts)
    if not named and not any(types(part.schema) for part in parts):
        if not place.depth:
            raise UnfitError(f"{place.path}: any value")
        findings.narrowed[f"{place.path}: arrays and objects"] = None
        named = _ANY_SCALAR
    scalars = [name for name in named if name in SCALARS]
    found = [Shape(parts, [name]) for name in named if name not in SCALARS]
    return [*found, Shape(parts, scalars)] if scalars else found


def named_types(parts: Sequence[Part]) -> list[str] | None:
    """The types that all parts allow, None where no part names any."""
    left: list[str] | None = None
    for part in parts:
        if given := types(part.schema):
            left = given if left is None else _common(left, given)
    if left is None:
        return None
    return [name for name in dict.fromkeys(left) if name != "integer" or "number" not in left]


def _common(left: list[str], right: list[str]) -> list[str]:
    """Every integer is a number."""
    both = [name for name in left if name in right or (name == "integer" and "number" in right)]
    return [*both, "integer"] if "number" in left and "integer" in right else both


def _implied_types(parts: Sequence[Part]) -> list[str]:
    """What the author had in mind who wrote `properties` but no type."""
    keywords = [keyword for part in parts for keyword in part.schema if keyword in CONSTRAINTS]
    hinted = [CONSTRAINTS[keyword] for keyword in keywords if len(CONSTRAINTS[keyword]) <= 2]
    return [name for name in ("object", "array", "string", "number") if any(name in hint for hint in hinted)]


def _values(parts: Sequence[Part], named: list[str] | None) -> list[object] | None:
    left: dict[tuple[bool, str], object] | None = None
    for part in parts:
        for given in _all_values(part.schema):
            keyed = {json_key(value): value for value in given}
            left = keyed if left is None else {key: value for key, value in left.items() if key in keyed}
    if left is None:
        return None
    return [value for value in left.values() if named is None or _has_type(value, named)]


def _all_values(schema: Schema) -> list[list[object]]:
    """const and enum may stand side by side."""
    const = [[schema["const"]]] if "const" in schema else []
    return [*const, schema["enum"]] if "enum" in schema else const


def _has_type(value: object, named: list[str]) -> bool:
    own = kind(value)
    return own in named or (own == "integer" and "number" in named)


def scalar(shape: Shape) -> tuple[dict[str, object], list[tuple[str, object]]]:
    """The schema of a scalar, and the patterns and formats it has no room for."""
    if shape.values is not None:
        return _value_schema(shape, shape.values), _texts(shape) if "string" in shape.types else []
    body: dict[str, object] = {"type": shape.types[0] if len(shape.types) == 1 else shape.types}
    if "string" not in shape.types:
        return body, []
    moved = []
    for keyword, value in _texts(shape):
        accepted = is_simple(str(value)) if keyword == "pattern" else value in FORMATS
        if accepted and body.get(keyword, value) == value:
            body[keyword] = value
        else:
            moved.append((keyword, value))
    return body, moved


def _value_schema(shape: Shape, left: list[object]) -> dict[str, object]:
    named = named_types(shape.parts) or []
    body: dict[str, object] = {"type": named[0]} if len(named) == 1 else {}
    return {**body, "const": left[0]} if shape.given("const") else {**body, "enum": left}


def _texts(shape: Shape) -> list[tuple[str, object]]:
    return [(keyword, value) for keyword in ("pattern", "format") for value in shape.given(keyword)]


def moved(shape: Shape) -> list[tuple[str, object]]:
    """The constraints on these values that Claude's grammar has no word for, in the order they were given."""
    found = []
    for index, part in enumerate(shape.parts):
        for keyword, value in part.schema.items():
            if keyword not in MOVED or not MOVED[keyword] & {*shape.types}:
                continue
            if constrains(keyword, value) and not (
                keyword == "unevaluatedProperties" and _is_met(shape, index)
            ):
                found.append((keyword, value))
    return found


def _is_met(shape: Shape, index: int) -> bool:
    """A closed object has no unevaluated properties; an inner part, though, sees only its own for evaluated."""
    others = [part for at, part in enumerate(shape.parts) if at != index] if index else []
    closed = is_false(shape.parts[index].schema["unevaluatedProperties"])
    return closed and not any("properties" in part.schema for part in others)
