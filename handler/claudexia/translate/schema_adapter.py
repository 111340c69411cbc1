"""SchemaAdapter: a client's JSON Schema, walked through and built anew from what Claude's grammar can say."""

from collections.abc import Iterable, Sequence
from typing import Any

from claudexia.translate.schema_alternatives import Findings, Part, alternatives, check_disjoint
from claudexia.translate.schema_keywords import (
    CONSTRAINTS,
    Schema,
    UnfitError,
    annotations,
    constrains,
    description,
    in_words,
    is_false,
    read,
)
from claudexia.translate.schema_limits import subschemas
from claudexia.translate.schema_refs import Place, References
from claudexia.translate.schema_shape import Shape, moved, scalar, shapes

Body = dict[str, Any]


class SchemaAdapter:
    """Every value of what it builds is one of `root`, but for what `findings.relaxed` names."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._references = References(root)
        self._defs: dict[str, Body | None] = {}
        self.findings = Findings()

    def build(self) -> Body:
        """Raises UnfitError where no schema for Claude says nearly the same."""
        place = Place()
        body = self._node(self._root, place)
        if body and "$ref" in body:
            # All but one option of a union were impossible; a schema's root is to show its type.
            body = self._multiplied(self._root, place)
        if body is None:
            raise UnfitError(f"{place.path}: no value satisfies it")
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
            raise UnfitError(f"{place.path}: an object with names of the model's choice")
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
            raise UnfitError(f"{place.path}: an array that has to be empty")
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
