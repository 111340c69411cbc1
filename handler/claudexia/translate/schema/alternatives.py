"""Alternatives: a schema expanded into the combinations that its $ref, allOf, anyOf and oneOf allow.

Each alternative is a conjunction: a list of schemas that a value must satisfy together. Claude's objects are
closed, so with a union beside `properties` each would exclude what the other declares. Therefore the schemas of
a conjunction are merged into one.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple, cast

from pydantic_core import to_json

from claudexia.translate.schema.keywords import (
    CONSTRAINTS,
    SCALARS,
    UNENFORCED,
    ReadSchema,
    is_false,
    is_supported_pattern,
    read_schema,
    strings,
    types,
)
from claudexia.translate.schema.references import (
    Interner,
    Location,
    References,
    Schema,
    UnsupportedSchemaError,
)

MAX_ALTERNATIVES = 64
MAX_STEPS = 2000
# How many conjuncts are merged into the options of unions.
MAX_MERGED = 4096
# To compile a pattern takes thousands of times as long as to read it. In characters: of one pattern, of all
# different ones together, and what each costs besides. Those beyond are not enforced.
MAX_PATTERN, MAX_PATTERNS, _COST_OF_PATTERN = 2000, 3000, 20
# Python compiles a class of such characters to a table.
_COST_BEYOND_LATIN = 10
# The cost of all visits, in characters: this much, or this many times the size of the schema.
MIN_BUDGET, VISITS = 50_000, 3
# How many pairs of options, and of properties in them, are compared for all oneOf of a schema.
MAX_COMPARISONS = 10_000
# The keywords whose schemas are visited in any case: an option may be one that has no values.
_ALL_VISITED = frozenset({"properties", "items"})
# Without a type any value is valid, but Claude's objects need named properties and its arrays need items.
_ANY_SCALAR = ["string", "number", "boolean", "null"]


class Conjunct(NamedTuple):
    """One schema of a conjunction, and the references that were followed to reach it."""

    schema: Schema
    refs: frozenset[str]
    read: ReadSchema


Conjunction = Sequence[Conjunct]

# The boolean schemas.
ANY_VALUE, NO_VALUE = ReadSchema({}, cost=1), ReadSchema({}, cost=1)


def _read_booleans() -> dict[int, tuple[Schema | bool, ReadSchema]]:
    return {id(True): (True, ANY_VALUE), id(False): (False, NO_VALUE)}


@dataclass(slots=True)
class Allowance:
    """What may still be spent on all schemas of one kind in a request together."""

    steps: int = MAX_STEPS
    merged: int = MAX_MERGED
    patterns: int = MAX_PATTERNS
    _patterns: dict[str, bool] = field(default_factory=dict)

    def merge(self, count: int) -> None:
        """Raises UnsupportedSchemaError for too many conjuncts in the options of unions."""
        self.merged -= count
        if self.merged < 0:
            raise UnsupportedSchemaError("too large")

    def is_supported_pattern(self, pattern: str) -> bool:
        """Whether Claude can be held to it, as far as patterns may still be compiled to find out."""
        if pattern not in self._patterns:
            beyond_latin = len(pattern) - len(pattern.encode("latin-1", "ignore"))
            cost = _COST_OF_PATTERN + len(pattern) + _COST_BEYOND_LATIN * beyond_latin
            compiled = len(pattern) <= MAX_PATTERN and cost <= self.patterns
            self.patterns -= cost if compiled else 0
            self._patterns[pattern] = compiled and is_supported_pattern(pattern)
        return self._patterns[pattern]


@dataclass(slots=True)
class AdaptationContext:
    """The state of one adaptation.

    relaxed     "path: keyword", as keys, for constraints that Claude does not enforce
    narrowed    "path: values", as keys, for values that the client allows and Claude cannot produce
    """

    references: References
    relaxed: dict[str, None] = field(default_factory=dict)
    narrowed: dict[str, None] = field(default_factory=dict)
    interner: Interner = field(default_factory=Interner)
    steps: int = 0
    allowance: Allowance = field(default_factory=Allowance)
    _max_steps: int = MAX_STEPS
    _spent: int = 0
    _budget: int = 0
    # By id() of the schema, with the schema itself so that no other one gets its id.
    _read: dict[int, tuple[Schema | bool, ReadSchema]] = field(default_factory=_read_booleans)
    _comparisons: int = MAX_COMPARISONS
    # By id() of the options of a oneOf, with the options themselves so that no others get their id.
    _disjoint: dict[int, tuple[object, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._max_steps = min(MAX_STEPS, self.allowance.steps)
        self._budget = MIN_BUDGET + VISITS * len(to_json(self.references.root))

    def visit(self, schema: Schema | bool, location: Location) -> ReadSchema:
        """Reads the schema, once. Each visit counts one step, and the schema's cost.

        Raises UnsupportedSchemaError for a malformed schema, after too many steps, or if the schemas that were
        visited, some of them by several references, are VISITS times as large as the whole one. This bounds the
        work and the result.
        """
        self.steps += 1
        if self.steps > self._max_steps:
            raise UnsupportedSchemaError("too large")
        known = self._read.get(id(schema))
        if known is None:
            known = self._read[id(schema)] = schema, read_schema(cast("Schema", schema))
        read = known[1]
        self.spend(read.cost)
        if read.problem:
            raise UnsupportedSchemaError(f"{location.path}: {read.problem}")
        return read

    def expect_all(self) -> None:
        """expect() of the schemas that are visited in any case, each of them twice."""
        pending: list[object] = [self.references.root]
        visits = 0
        while pending and visits <= self._max_steps:
            schema = pending.pop()
            if not isinstance(schema, dict) or "$ref" in schema:
                visits += 1
                continue
            visits += 2
            for keyword in _ALL_VISITED.intersection(schema):
                members = schema[keyword]
                if keyword == "items":
                    pending.append(members)
                else:
                    pending += members.values() if isinstance(members, dict) else ()
        self.expect(visits)

    def expect(self, visits: int) -> None:
        """Raises UnsupportedSchemaError if so many visits are too many, before the first of them."""
        if self.steps + visits > self._max_steps:
            raise UnsupportedSchemaError("too large")

    def spend(self, cost: int) -> None:
        """Raises UnsupportedSchemaError if the work for one schema exceeds its limit."""
        self._spent += cost
        if self._spent > self._budget:
            raise UnsupportedSchemaError("too large")

    def compare(self, one: "_Option", other: "_Option") -> bool:
        """Whether it is certain that no value is valid under both, as far as there are comparisons left."""
        self._comparisons -= 1 + (len(one.candidates) + len(other.candidates)) // 8
        return self._comparisons >= 0 and one.is_disjoint(other, self)

    def are_disjoint(self, options: Sequence[Schema | bool], location: Location) -> bool:
        if id(options) not in self._disjoint:
            targets = [_Option(_resolved(option, location, self.references)) for option in options]
            found = _have_own_values(targets) or all(
                self.compare(one, other) for one, other in combinations(targets, 2)
            )
            self._disjoint[id(options)] = options, found
        return self._disjoint[id(options)][1]


def alternatives(schema: Schema | bool, location: Location, context: AdaptationContext) -> list[list[Conjunct]]:
    """One conjunction per alternative, the outer schemas first; none if no value is valid."""
    read = context.visit(schema, location)
    if read is NO_VALUE:
        return []
    schema = read.schema
    found = [[Conjunct(schema, location.refs, read)]]
    if "$ref" in schema:
        _, target, inside = context.references.follow(schema["$ref"], location)
        found = _conjoin(found, alternatives(target, inside, context), location, context)
    context.expect(sum(len(schema[keyword]) for keyword in ("allOf", "anyOf", "oneOf") if keyword in schema))
    for part in schema.get("allOf", ()):
        found = _conjoin(found, alternatives(part, location.descend(), context), location, context)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            expanded = [alternatives(option, location.descend(), context) for option in schema[union]]
            found = _conjoin(found, [each for option in expanded for each in option], location, context)
    if "oneOf" in schema:
        check_disjoint(schema["oneOf"], location, context)
    return found


def _conjoin(
    left: list[list[Conjunct]], right: list[list[Conjunct]], location: Location, context: AdaptationContext
) -> list[list[Conjunct]]:
    """Every alternative of `left` with every alternative of `right`."""
    if len(left) * len(right) > MAX_ALTERNATIVES:
        raise _too_many_alternatives(location)
    context.spend(len(right) * sum(map(len, left)) + len(left) * sum(map(len, right)))
    return [[*one, *other] for one in left for other in right]


def _too_many_alternatives(location: Location) -> UnsupportedSchemaError:
    return UnsupportedSchemaError(f"{location.path}: more than {MAX_ALTERNATIVES} combinations of alternatives")


@dataclass(eq=False, slots=True)
class TypedConjunction:
    """A conjunction for the values of one kind: objects, arrays or scalars.

    types     ["object"], ["array"] or scalar types
    values    the values that enum and const allow; None without enum and const
    declared  the types that `type` allows if there are values; None without `type`
    """

    conjuncts: Conjunction
    types: list[str]
    values: list[object] | None = None
    declared: list[str] | None = None

    def given(self, keyword: str) -> list[object]:
        """The value of `keyword` in each conjunct that has it."""
        return [conjunct.schema[keyword] for conjunct in self.conjuncts if keyword in conjunct.schema]


def split_by_type(
    conjuncts: Conjunction, location: Location, context: AdaptationContext
) -> list[TypedConjunction]:
    """One TypedConjunction for objects, one for arrays and one for scalars; none if no value is valid.

    Raises UnsupportedSchemaError for an enum of objects or arrays, and for a root without any type.
    """
    if any(conjunct.read.never for conjunct in conjuncts):
        return []
    allowed = common_types(conjuncts)
    if (values := _common_values(conjuncts, allowed)) is not None:
        found = _types_of(values)
        if "object" in found or "array" in found:
            raise UnsupportedSchemaError(f"{location.path}: an enum of objects or arrays")
        return [TypedConjunction(conjuncts, found, values, allowed)] if values else []
    if allowed is None:
        allowed = _implied_types(conjuncts)
    if not allowed and not any(types(conjunct.schema) for conjunct in conjuncts):
        if not location.depth:
            raise UnsupportedSchemaError(f"{location.path}: any value")
        context.narrowed[f"{location.path}: arrays and objects"] = None
        allowed = _ANY_SCALAR
    scalars = [name for name in allowed if name in SCALARS]
    split = [TypedConjunction(conjuncts, [name]) for name in allowed if name not in SCALARS]
    return [*split, TypedConjunction(conjuncts, scalars)] if scalars else split


def common_types(conjuncts: Conjunction) -> list[str] | None:
    """The types that all conjuncts allow; None if no conjunct has a type."""
    common: list[str] | None = None
    for conjunct in conjuncts:
        if given := types(conjunct.schema):
            common = given if common is None else _intersection(common, given)
    if common is None or len(common) < 2:
        return common
    return [name for name in dict.fromkeys(common) if name != "integer" or "number" not in common]


def _intersection(left: list[str], right: list[str]) -> list[str]:
    """The types in both lists. Every integer is a number."""
    others = {*right, "integer"} if "number" in right else {*right}
    both = [name for name in left if name in others]
    return [*both, "integer"] if "number" in left and "integer" in others else both


def _implied_types(conjuncts: Conjunction) -> list[str]:
    """The types that the keywords imply, such as object for `properties`."""
    keywords = [keyword for conjunct in conjuncts for keyword in conjunct.read.constraints]
    implied = [CONSTRAINTS[keyword] for keyword in keywords if len(CONSTRAINTS[keyword]) <= 2]
    return [name for name in ("object", "array", "string", "number") if any(name in each for each in implied)]


def _common_values(conjuncts: Conjunction, allowed: list[str] | None) -> list[object] | None:
    """The values that every enum and const allows; None without enum and const."""
    common: dict[Hashable, object] | None = None
    for conjunct in conjuncts:
        for given in _value_lists(conjunct.schema):
            keyed = _by_equality(given)
            common = keyed if common is None else {key: value for key, value in common.items() if key in keyed}
    if common is None:
        return None
    values = list(common.values())
    return values if allowed is None else _of_types(values, allowed)


def _value_lists(schema: Schema) -> list[list[object]]:
    """The values of const and of enum; a schema can have both."""
    const = [[schema["const"]]] if "const" in schema else []
    return [*const, schema["enum"]] if "enum" in schema else const


def _of_types(values: list[object], allowed: Sequence[str]) -> list[object]:
    """The values of the types that are allowed. Every integer is a number."""
    names = {*allowed, "integer"} if "number" in allowed else {*allowed}
    if names.issuperset(_types_of(values)):
        return values
    return [value for value in values if json_type(value) in names]


def unenforced(typed: TypedConjunction) -> list[tuple[str, object]]:
    """The constraints on these values that Claude's grammar cannot enforce, in the order given."""
    if not any(conjunct.read.unenforced for conjunct in typed.conjuncts):
        return []
    found = []
    with_properties = sum("properties" in conjunct.schema for conjunct in typed.conjuncts)
    for index, conjunct in enumerate(typed.conjuncts):
        for keyword, value in conjunct.read.unenforced:
            if UNENFORCED[keyword].isdisjoint(typed.types):
                continue
            if keyword != "unevaluatedProperties" or not _is_satisfied(conjunct, index, with_properties):
                found.append((keyword, value))
    return found


def _is_satisfied(conjunct: Conjunct, index: int, with_properties: int) -> bool:
    """Whether closing the object satisfies the unevaluatedProperties of `conjunct`, which is number `index`.

    In an inner schema the keyword counts only that schema's own properties as evaluated. `with_properties` is
    the number of conjuncts that have some.
    """
    others = with_properties - ("properties" in conjunct.schema) if index else 0
    return is_false(conjunct.schema["unevaluatedProperties"]) and not others


def check_disjoint(options: Sequence[Schema | bool], location: Location, context: AdaptationContext) -> None:
    """Lists oneOf as relaxed unless its options exclude each other: only then anyOf means the same."""
    if len(options) > MAX_ALTERNATIVES:
        raise _too_many_alternatives(location)
    if not context.are_disjoint(options, location):
        context.relaxed[f"{location.path}: oneOf"] = None


def _resolved(option: Schema | bool, location: Location, references: References) -> Schema | bool:
    while isinstance(option, dict) and isinstance(option.get("$ref"), str):
        _, option, location = references.follow(option["$ref"], location)
    return option


def _have_own_values(options: "Sequence[_Option]") -> bool:
    """Whether all options are lists of values, none of which is in two of them."""
    values = [option.values for option in options if option.values is not None]
    return len(values) == len(options) and len(frozenset().union(*values)) == sum(map(len, values))


class _Option:
    """Shows whether the values of two schemas exclude each other. Read once for all comparisons."""

    def __init__(self, schema: Schema | bool) -> None:
        self.never = schema is False
        self.unknown = isinstance(schema, bool) or "nullable" in schema
        self._schema: Schema = {} if isinstance(schema, bool) else schema
        values = _values(self._schema)
        self.values = None if values is None else frozenset(_by_equality(values))
        names = types(self._schema) if values is None else _types_of(values)
        # Integers count as numbers.
        self._types = {"number" if name == "integer" else name for name in names}
        self._properties = _mapping(self._schema.get("properties"))
        # The properties that may exclude the values of another option.
        required = dict.fromkeys(strings(self._schema.get("required")))
        self.candidates = {name: None for name in required if name in self._properties}
        self._read: dict[str, _Option] = {}

    def is_disjoint(self, other: "_Option", context: AdaptationContext) -> bool:
        if self.unknown or other.unknown:
            return self.never or other.never
        if self.values is not None and other.values is not None and self.values.isdisjoint(other.values):
            return True
        if self._types and other._types and not self._types & other._types:
            return True
        return {"object"} in (self._types, other._types) and self._have_discriminator(other, context)

    def _have_discriminator(self, other: "_Option", context: AdaptationContext) -> bool:
        """Whether a property that one of them requires and both declare has disjoint values."""
        return any(
            context.compare(self._property(name), other._property(name))
            for name in self.candidates | other.candidates
            if name in self._properties and name in other._properties
        )

    def _property(self, name: str) -> "_Option":
        if name not in self._read:
            given = self._properties[name]
            # What is no schema excludes nothing.
            self._read[name] = _Option(given if isinstance(given, dict | bool) else True)
        return self._read[name]


def _mapping(value: object) -> Schema:
    return value if isinstance(value, dict) else {}


def _values(schema: Schema) -> list[object] | None:
    """The values that const or enum allows; None without either."""
    if "const" in schema:
        return [schema["const"]]
    return schema["enum"] if isinstance(schema.get("enum"), list) else None


_JSON_TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    str: "string",
    list: "array",
    dict: "object",
}
# Python's equality is that of JSON Schema among these: 1 equals 1.0.
_SAME_EQUALITY = frozenset({str, int, float, type(None)})


def _types_of(values: Collection[object]) -> list[str]:
    """The types of the values, each once."""
    kinds = dict.fromkeys(map(type, values))
    names = map(json_type, values) if float in kinds else (_JSON_TYPES[kind] for kind in kinds)
    return list(dict.fromkeys(names))


def _by_equality(values: Sequence[object]) -> dict[Hashable, object]:
    """The values by equality_key()."""
    keys = values if _SAME_EQUALITY.issuperset(map(type, values)) else map(equality_key, values)
    return dict(zip(cast("Iterable[Hashable]", keys), values, strict=True))


def json_type(value: object) -> str:
    """The JSON Schema type of `value`. 1.0 is an integer."""
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return _JSON_TYPES[type(value)]


def equality_key(value: object) -> Hashable:
    """Equal for scalars that JSON Schema considers equal: 1 and 1.0, but not 1 and true."""
    kind = type(value)
    if kind in _SAME_EQUALITY:
        return value
    return kind, value if kind is bool else str(value)
