"""SchemaAdapter: a client's JSON Schema, walked through and built anew from what Claude's grammar can say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from claudexia.translate.schema.keywords import (
    CONSTRAINTS,
    FORMATS,
    MOVED,
    SCALARS,
    Place,
    References,
    Schema,
    UnsupportedSchemaError,
    annotations,
    constrains,
    description,
    in_words,
    is_false,
    is_simple,
    read,
    subschemas,
    types,
)
from claudexia.translate.schema.unions import Findings, Part, alternatives, check_disjoint, json_key, kind

# --- claudexia.translate.schema_shape
# Shape: what the parts of one alternative come to, for the values of one kind.

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
    """None where no value satisfies all parts. Raises UnsupportedSchemaError for values that Claude cannot be held to."""
    if any(is_false(part.schema) for part in parts):
        return []
    named = named_types(parts)
    if (left := _values(parts, named)) is not None:
        if any(kind(value) in ("object", "array") for value in left):
            raise UnsupportedSchemaError(f"{place.path}: an enum of objects or arrays")
        return [Shape(parts, list(dict.fromkeys(map(kind, left))), left)] if left else []
    if named is None:
        named = _implied_types(parts)
    if not named and not any(types(part.schema) for part in parts):
        if not place.depth:
            raise UnsupportedSchemaError(f"{place.path}: any value")
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


Body = dict[str, Any]


class SchemaAdapter:
    """Every value of what it builds is one of `root`, but for what `findings.relaxed` names."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._references = References(root)
        self._defs: dict[str, Body | None] = {}
        self.findings = Findings()

    def build(self) -> Body:
        """Raises UnsupportedSchemaError where no schema for Claude says nearly the same."""
        place = Place()
        body = self._node(self._root, place)
        if body and "$ref" in body:
            # All but one option of a union were impossible; a schema's root is to show its type.
            body = self._multiplied(self._root, place)
        if body is None:
            raise UnsupportedSchemaError(f"{place.path}: no value satisfies it")
        used: Body = {}
        self._collect(body, used)
        return {**body, "$defs": {name: used[name] for name in sorted(used)}} if used else body

    def _collect(self, body: Body, used: Body) -> None:
        """Adds to `used` the definitions that `body` leads to; what an impossible option needed is left out."""
        if "$ref" in body and (name := body["$ref"].rpartition("/")[2]) not in used:
            used[name] = self._defs[name]
            self._collect(used[name], used)
        for inner in subschemas(body):
            self._collect(inner, used)

    def _node(self, schema: Schema | bool, place: Place) -> Body | None:
        """The schema at `place` as Claude takes it, None where no value satisfies it."""
        self.findings.step()
        if isinstance(schema, bool):
            return self._multiplied({}, place) if schema else None
        schema = read(schema, place.path)
        text = description(schema)
        match [keyword for keyword in schema if keyword in CONSTRAINTS]:
            case ["$ref"] if place.depth and not text:
                return self._reference(schema["$ref"], place)
            case ["allOf"] if place.depth and not text and len(schema["allOf"]) == 1:
                return self._node(schema["allOf"][0], place.deeper())
            case ["anyOf" | "oneOf" as union]:
                if union == "oneOf":
                    check_disjoint(schema[union], place, self._references, self.findings)
                options = [self._node(option, place.deeper()) for option in schema[union]]
                return _any_of(options, annotations(schema))
        return self._multiplied(schema, place)

    def _reference(self, ref: str, place: Place) -> Body | None:
        pointer, target, inside = self._references.follow(ref, place)
        name = self._references.name(pointer)
        if name not in self._defs:
            self._defs[name] = self._node(target, inside.deeper(path=name))
        return None if self._defs[name] is None else {"$ref": f"#/$defs/{name}"}

    def _multiplied(self, schema: Schema, place: Place) -> Body | None:
        found = [
            shape
            for parts in alternatives(schema, place, self._references, self.findings)
            for shape in shapes(parts, place, self.findings)
        ]
        outer = annotations(read(schema, place.path))
        if len(found) == 1:
            body = self._shaped(found[0], _description(found[0].parts), place)
            return _any_of([body], {key: outer[key] for key in outer if key != "description"})
        # What the whole says of itself is said once, not with every option.
        options = [self._shaped(shape, _description(shape.parts[1:]), place) for shape in found]
        return _any_of(options, outer)

    def _shaped(self, shape: Shape, text: str, place: Place) -> Body | None:
        body: Body | None
        lost: list[tuple[str, object]] = []
        match shape.types:
            case ["object"]:
                body = self._object(shape, place)
            case ["array"]:
                body, lost = self._array(shape, place)
            case _:
                body, lost = scalar(shape)
        if body is None:
            return None
        lost = [*moved(shape), *lost]
        for keyword, _ in lost:
            self.findings.relaxed[f"{place.path}: {keyword}"] = None
        told = in_words(text, lost)
        return {**body, "description": told} if told else body

    def _object(self, shape: Shape, place: Place) -> Body | None:
        required = {name for names in shape.given("required") for name in _strings(names)}
        declared = [name for part in shape.parts for name in part.schema.get("properties", ())]
        # A set has no order of its own, and the same schema has to give the same bytes.
        names = list(dict.fromkeys([*declared, *sorted(required)]))
        self._check_open(shape, names, place)
        properties: Body = {}
        for name in names:
            found = self._property(shape, name, place)
            if found is not None:
                properties[name] = found
            elif name in required:
                return None
        body: Body = {"type": "object", "properties": properties}
        if required:
            body["required"] = [name for name in names if name in required]
        return {**body, "additionalProperties": False}

    def _check_open(self, shape: Shape, names: Sequence[str], place: Place) -> None:
        """Closing an object that names nothing would leave only the empty one, so that does not fit.

        Closing one that does is stricter than what was asked; it is told where openness was asked for.
        """
        patterns = any(constrains("patternProperties", given) for given in shape.given("patternProperties"))
        extra = shape.given("additionalProperties")
        closed = any(is_false(given) for given in [*extra, *shape.given("unevaluatedProperties")])
        if not names and (patterns or not closed):
            raise UnsupportedSchemaError(f"{place.path}: an object with names of the model's choice")
        if patterns or (extra and not closed):
            self.findings.narrowed[f"{place.path}: additional properties"] = None

    def _property(self, shape: Shape, name: str, place: Place) -> Body | None:
        """What all parts ask of the property; a part that does not declare it may still forbid it."""
        undeclared = not any(name in part.schema.get("properties", ()) for part in shape.parts)
        if undeclared and any(map(is_false, shape.given("unevaluatedProperties"))):
            return None
        asked, refs = [], frozenset[str]()
        for part in shape.parts:
            given = part.schema.get("properties", {}).get(name, part.schema.get("additionalProperties", True))
            if given is not True:
                asked.append(given)
                refs |= part.refs
        inside = place.deeper(place.property(name), refs)
        return self._node(asked[0] if len(asked) == 1 else {"allOf": asked} if asked else True, inside)

    def _array(self, shape: Shape, place: Place) -> tuple[Body, list[tuple[str, object]]]:
        asked = [item for part in shape.parts if (item := _items(part)) is not True]
        refs = frozenset(ref for part in shape.parts for ref in part.refs)
        inside = place.deeper(f"{place.path}[]", refs)
        items = self._node(asked[0] if len(asked) == 1 else {"allOf": asked} if asked else True, inside)
        if items is None:
            raise UnsupportedSchemaError(f"{place.path}: an array that has to be empty")
        body: Body = {"type": "array", "items": items}
        lost = [("minItems", count) for count in shape.given("minItems") if _number(count) > 1]
        if any(_number(count) > 0 for count in shape.given("minItems")):
            body["minItems"] = 1
        return body, lost


def _any_of(options: Iterable[Body | None], outer: Body) -> Body | None:
    """The union of `options` under the annotations `outer`; without a union where one option is left."""
    flat: list[Body] = []
    for option in options:
        nested = option["anyOf"] if option and option.keys() == {"anyOf"} else [option]
        flat += [body for body in nested if body is not None and body not in flat]
    if not flat:
        return None
    if len(flat) > 1 or (outer and "$ref" in flat[0]):
        return {**outer, "anyOf": flat}
    texts = dict.fromkeys(filter(None, (description(outer), description(flat[0]))))
    told = {"description": " ".join(texts)} if texts else {}
    return {**flat[0], **outer, **told}


def _description(parts: Sequence[Part]) -> str:
    """The first one that any part has: the outermost."""
    return next(filter(None, (description(part.schema) for part in parts)), "")


def _items(part: Part) -> Schema | bool:
    """What every item is; a tuple's items are any of those it lists, since Claude's grammar knows no places."""
    rest = part.schema.get("items", True)
    first = part.schema.get("prefixItems")
    if not first:
        return rest if isinstance(rest, dict | bool) else True
    return {"anyOf": [*first, *([rest] if isinstance(rest, dict) else [])]}


def _strings(names: object) -> list[str]:
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
