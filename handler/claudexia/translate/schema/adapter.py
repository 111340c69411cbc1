"""SchemaAdapter: builds the schema that Claude accepts from a client's JSON Schema."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from claudexia.translate.schema.alternatives import (
    MAX_STEPS,
    NO_VALUE,
    AdaptationContext,
    Allowance,
    Conjunct,
    Conjunction,
    TypedConjunction,
    alternatives,
    check_disjoint,
    common_types,
    split_by_type,
    unenforced,
)
from claudexia.translate.schema.drafts import to_current_draft
from claudexia.translate.schema.keywords import (
    COMBINATORS,
    CONSTRAINTS,
    FORMATS,
    MAX_STRICT_TOOLS,
    SCALARS,
    UNENFORCED,
    Complexity,
    ReadSchema,
    annotations,
    complexity,
    constrains,
    description,
    is_false,
    strings,
    subschemas,
    with_constraints,
)
from claudexia.translate.schema.references import Location, References, Schema, UnsupportedSchemaError
from claudexia.translate.types.anthropic import JSONSchema

Body = dict[str, Any]

# The keywords with which a scalar has one alternative, whose values are not listed.
_ONE_ALTERNATIVE = frozenset({"type", "pattern", "format", *UNENFORCED} - {"not", "if", "then", "else"})

_NONE: Schema = {}

# How many strict tools are adapted, some of which may not fit.
_MAX_TRIED = 3 * MAX_STRICT_TOOLS
# Of all strict tools of one request together.
_MAX_STEPS_OF_TOOLS = 3 * MAX_STEPS


@dataclass(frozen=True, slots=True)
class AdaptedSchema:
    """The result of an adaptation. Paths are like `person.tags[]`; the outermost schema is `root`.

    schema      what Claude accepts; the client's schema if it does not fit
    relaxed     "path: keyword" for constraints that Claude does not enforce
    narrowed    "path: values" for values that the client allows and Claude cannot produce
    reason      why Claude cannot be held to the schema; empty if it fits
    """

    schema: JSONSchema
    relaxed: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()
    reason: str = ""

    @property
    def fits(self) -> bool:
        return not self.reason


def adapt(schema: JSONSchema) -> AdaptedSchema:
    """Adapts the schema of a structured output format. A dict that is not a JSON Schema does not fit."""
    draft = to_current_draft(schema)
    # What no draft allows does not fit as it stands.
    adapted = _adapt(schema if draft.problem else draft.schema, Allowance())
    return adapted if adapted.fits else replace(adapted, schema=schema)


def _adapt(schema: JSONSchema, allowance: Allowance) -> AdaptedSchema:
    try:
        adapter = SchemaAdapter(schema, allowance)
    except RecursionError:
        return AdaptedSchema(schema, reason="nested too deeply")
    adapted = _result(adapter, schema)
    allowance.steps -= adapter.context.steps
    return adapted


def _result(adapter: "SchemaAdapter", schema: JSONSchema) -> AdaptedSchema:
    try:
        body = adapter.build()
        _check_limits(complexity(body))
    except UnsupportedSchemaError as error:
        return AdaptedSchema(schema, reason=str(error))
    except RecursionError:
        return AdaptedSchema(schema, reason="nested too deeply")
    return AdaptedSchema(body, tuple(adapter.context.relaxed), tuple(adapter.context.narrowed))


def _check_limits(counted: Complexity) -> None:
    """Raises UnsupportedSchemaError if one request may not have such schemas."""
    if counted.exceeded_limit:
        raise UnsupportedSchemaError(counted.exceeded_limit)


def adapt_tool(schema: JSONSchema) -> AdaptedSchema:
    """Adapts the `input_schema` of a strict tool. Its root must be an object, not a union.

    A root with no constraint but `type` takes no arguments: the adapted object is empty.
    """
    return _adapt_tool(schema, Allowance())


def _adapt_tool(schema: JSONSchema, allowance: Allowance) -> AdaptedSchema:
    constraints = {keyword for keyword in CONSTRAINTS if schema.get(keyword)}
    empty = constraints <= {"type"} and schema.get("type", "object") == "object"
    closed = {**schema, "type": "object", "additionalProperties": False} if empty else schema
    adapted = _adapt(closed, allowance)
    if adapted.fits and adapted.schema.get("type") != "object":
        return AdaptedSchema(schema, reason="root: not a single object")
    return replace(adapted, schema=adapted.schema if adapted.fits else schema)


def fit_strict(
    tools: Iterable[tuple[str, JSONSchema]],
    output: JSONSchema | None = None,
    known: dict[str, AdaptedSchema] | None = None,
) -> dict[str, AdaptedSchema]:
    """Adapts the strict tools of one request, given as name and schema. Returns the results by name.

    Tools that exceed the limits of one request get a `reason`; earlier tools have priority. `output` is the
    adapted schema of the request's output format, which counts against the limits first. `known` holds the
    results for these tools that fit by themselves, by name, as far as earlier calls have adapted them.
    """
    return dict(_fitted(tools, output, {} if known is None else known))


def fit_all(
    tools: Iterable[tuple[str, JSONSchema]], known: dict[str, AdaptedSchema]
) -> dict[str, AdaptedSchema] | None:
    """What fit_strict() returns if all tools fit; None, after the first that does not, if they do not."""
    fitted = {}
    for name, adapted in _fitted(tools, None, known):
        if not adapted.fits:
            return None
        fitted[name] = adapted
    return fitted


def _fitted(
    tools: Iterable[tuple[str, JSONSchema]], output: JSONSchema | None, known: dict[str, AdaptedSchema]
) -> Iterator[tuple[str, AdaptedSchema]]:
    used, strict = complexity(output or {}), 0
    allowance = Allowance(steps=_MAX_STEPS_OF_TOOLS)
    for index, (name, schema) in enumerate(tools):
        if strict >= MAX_STRICT_TOOLS or index >= _MAX_TRIED:
            limit = MAX_STRICT_TOOLS if strict >= MAX_STRICT_TOOLS else _MAX_TRIED
            yield name, AdaptedSchema(schema, reason=f"more than {limit} strict tools in one request")
            continue
        adapted = known.get(name) or _adapt_tool(schema, allowance)
        if adapted.fits:
            known[name] = adapted
            total = used + complexity(adapted.schema)
            if total.exceeded_limit:
                adapted = AdaptedSchema(schema, reason=f"{total.exceeded_limit} in one request")
            else:
                used, strict = total, strict + 1
        yield name, adapted


def fits_limits(schema: JSONSchema) -> bool:
    """Whether one request may have this adapted schema."""
    return not complexity(schema).exceeded_limit


def has_object_root(schema: JSONSchema) -> bool:
    """Whether the types allow objects only. OpenAI accepts no other root."""
    try:
        found = alternatives(schema, Location(), AdaptationContext(References(schema)))
    except (UnsupportedSchemaError, RecursionError):
        return False
    return all(common_types(conjuncts) in (None, ["object"]) for conjuncts in found)


class SchemaAdapter:
    """Builds the adapted schema of `root`; `context` then lists what was relaxed and narrowed."""

    def __init__(self, root: Schema, allowance: Allowance) -> None:
        self.context = AdaptationContext(References(root), allowance=allowance)
        self._root = root
        self._defs: dict[str, Body | None] = {}

    def build(self) -> Body:
        """Raises UnsupportedSchemaError if Claude cannot be held to the schema."""
        self.context.expect_all()
        location = Location()
        body = self._adapt(self._root, location)
        if body and "$ref" in body:
            # Only one option of a union has valid values. The root needs a type, so the $ref is expanded.
            body = self._expand(self.context.visit(self._root, location).schema, location)
        if body is None:
            raise UnsupportedSchemaError(f"{location.path}: no value satisfies it")
        if not self._defs:
            return body
        used: Body = {}
        self._collect(body, used)
        return {**body, "$defs": {name: used[name] for name in sorted(used)}} if used else body

    def _collect(self, body: Body, used: Body) -> None:
        """Adds the definitions that `body` references to `used`. Those of removed options are left out."""
        if "$ref" in body and (name := body["$ref"].rpartition("/")[2]) not in used:
            used[name] = self._defs[name]
            self._collect(used[name], used)
        for inner in subschemas(body):
            self._collect(inner, used)

    def _adapt(self, schema: Schema | bool, location: Location) -> Body | None:
        """The adapted schema at `location`; None if no value is valid."""
        read = self.context.visit(schema, location)
        if read is NO_VALUE:
            return None
        if COMBINATORS.isdisjoint(read.constraints):
            return self._one(read, location)
        schema, text = read.schema, description(read.schema)
        match read.constraints:
            case ("$ref",) if location.depth and not text:
                return self._reference(schema["$ref"], location)
            case ("allOf",) if location.depth and not text and len(schema["allOf"]) == 1:
                return self._adapt(schema["allOf"][0], location.descend())
            case ("anyOf" | "oneOf" as union,):
                if union == "oneOf":
                    check_disjoint(schema[union], location, self.context)
                inside = location.descend()
                self.context.expect(len(schema[union]))
                options = [self._adapt(option, inside) for option in schema[union]]
                return self._any_of(options, annotations(schema))
        return self._expand(schema, location)

    def _one(self, read: ReadSchema, location: Location) -> Body | None:
        """What _expand() returns for a schema that combines no others, as most do, in less time."""
        read = self.context.visit(read.schema, location)
        kind = read.schema.get("type")
        if kind in SCALARS and _ONE_ALTERNATIVE.issuperset(read.constraints):
            self.context.spend(1)
            body: Body | None = self._scalar(kind, read, location)
        else:
            found = split_by_type([Conjunct(read.schema, location.refs, read)], location, self.context)
            self.context.spend(len(found))
            if len(found) != 1:
                options = [self._build(typed, "", _of_option(location)) for typed in found]
                return self._any_of(options, annotations(read.schema))
            body = self._build(found[0], description(read.schema), location)
        return {**body, "default": read.schema["default"]} if body and "default" in read.schema else body

    def _scalar(self, kind: str, read: ReadSchema, location: Location) -> Body:
        """A schema of this one type without values."""
        body: Body = {"type": kind}
        lost = [each for each in read.unenforced if kind in UNENFORCED[each[0]]]
        if kind == "string":
            lost += self._add_string_constraints(body, _string_constraints([read.schema]))
        return self._described(body, lost, description(read.schema), location)

    def _reference(self, ref: str, location: Location) -> Body | None:
        pointer, target, inside = self.context.references.follow(ref, location)
        name = self.context.references.name(pointer)
        if name not in self._defs:
            self._defs[name] = self._adapt(target, inside.descend(path=name))
        return None if self._defs[name] is None else {"$ref": f"#/$defs/{name}"}

    def _expand(self, schema: Schema, location: Location) -> Body | None:
        """The union of all alternatives of `schema`, as it was read, each merged into one schema."""
        found = [
            typed
            for conjuncts in alternatives(schema, location, self.context)
            for typed in split_by_type(conjuncts, location, self.context)
        ]
        outer = annotations(schema)
        self.context.spend(sum(len(typed.conjuncts) for typed in found))
        if len(found) == 1:
            body = self._build(found[0], _description(found[0].conjuncts), location)
            return self._any_of([body], {key: outer[key] for key in outer if key != "description"})
        self.context.allowance.merge(sum(len(typed.conjuncts) for typed in found))
        # The union has the outer description, so its options do not repeat it.
        inside = _of_option(location)
        options = [self._build(typed, _description(typed.conjuncts[1:]), inside) for typed in found]
        return self._any_of(options, outer)

    def _build(self, typed: TypedConjunction, text: str, location: Location) -> Body | None:
        body: Body | None
        lost: list[tuple[str, object]] = []
        match typed.types:
            case ["object"]:
                body = self._object(typed, location)
            case ["array"]:
                body, lost = self._array(typed, location)
            case _:
                body, lost = self._scalars(typed)
        return None if body is None else self._described(body, [*unenforced(typed), *lost], text, location)

    def _described(self, body: Body, lost: Sequence[tuple[str, object]], text: str, location: Location) -> Body:
        """`body` with its description, which names the constraints that are lost."""
        for keyword, _ in lost:
            self.context.relaxed[f"{location.path}: {keyword}"] = None
        if lost:
            text = with_constraints(text, lost)
        if text:
            body["description"] = text
        return body

    def _object(self, typed: TypedConjunction, location: Location) -> Body | None:
        required = {name for names in typed.given("required") for name in strings(names)}
        # By the name of a property, the conjuncts that declare it.
        declaring: dict[str, list[int]] = {}
        for index, conjunct in enumerate(typed.conjuncts):
            for name in conjunct.schema.get("properties", ()):
                declaring.setdefault(name, []).append(index)
        self.context.expect(max(len(declaring), len(required)))
        # Sorted, because a set has no order and the same schema must give the same bytes.
        names = [*declaring, *sorted(required.difference(declaring))]
        never_extra = self._check_open(typed, names, location)
        self.context.spend(len(names) * len(typed.conjuncts))
        self.context.expect(len(names))
        several = len(typed.conjuncts) > 1
        restricting = _restricting(typed.conjuncts) if several else []
        properties: Body = {}
        counted = Complexity()
        for name in names:
            found = None
            if name in declaring or not never_extra:
                indices = sorted({*declaring.get(name, ()), *restricting}) if several else [0]
                found = self._property([typed.conjuncts[index] for index in indices], name, location)
            if found is not None:
                properties[name] = found
                if not location.depth:  # the root is as complex as its properties
                    counted.add(found)
                    counted.optional += name not in required
                    _check_limits(counted)
            elif name in required:
                return None
        body: Body = {"type": "object", "properties": properties}
        if required:
            body["required"] = [name for name in names if name in required]
        body["additionalProperties"] = False
        return body

    def _check_open(self, typed: TypedConjunction, names: Sequence[str], location: Location) -> bool:
        """Whether unevaluatedProperties forbids properties that are not declared.

        Raises UnsupportedSchemaError for an open object without properties: closed, it could only be empty.
        Lists additional properties as narrowed if the client allows them explicitly.
        """
        patterns = extra = closed = never_extra = False
        for schema, _, _ in typed.conjuncts:
            if "patternProperties" in schema:
                patterns = patterns or constrains("patternProperties", schema["patternProperties"])
            if "additionalProperties" in schema:
                extra, closed = True, closed or is_false(schema["additionalProperties"])
            if "unevaluatedProperties" in schema:
                never_extra = never_extra or is_false(schema["unevaluatedProperties"])
        closed = closed or never_extra
        if not names and (patterns or not closed):
            raise UnsupportedSchemaError(f"{location.path}: an object with arbitrary property names")
        if patterns or (extra and not closed):
            self.context.narrowed[f"{location.path}: additional properties"] = None
        return never_extra

    def _property(self, conjuncts: Conjunction, name: str, location: Location) -> Body | None:
        """The adapted schema of property `name`; None if no value is valid.

        `conjuncts` are those that declare it and those that can forbid it because they do not.
        """
        schemas: list[Schema | bool] = []
        refs = frozenset[str]()
        for conjunct in conjuncts:
            declared = conjunct.schema.get("properties", _NONE)
            given = declared[name] if name in declared else conjunct.schema.get("additionalProperties", True)
            if given is not True:
                schemas.append(given)
                refs |= conjunct.refs
        inside = location.descend(location.property_path(name), refs)
        return self._adapt(_all_of(schemas), inside)

    def _array(self, typed: TypedConjunction, location: Location) -> tuple[Body, list[tuple[str, object]]]:
        schemas = [item for conjunct in typed.conjuncts if (item := _items(conjunct)) is not True]
        refs = frozenset(ref for conjunct in typed.conjuncts for ref in conjunct.refs)
        inside = location.descend(f"{location.path}[]", refs)
        items = self._adapt(_all_of(schemas), inside)
        if items is None:
            raise UnsupportedSchemaError(f"{location.path}: an array that must be empty")
        body: Body = {"type": "array", "items": items}
        lost = [("minItems", count) for count in typed.given("minItems") if _number(count) > 1]
        if any(_number(count) > 0 for count in typed.given("minItems")):
            body["minItems"] = 1
        return body, lost

    def _scalars(self, typed: TypedConjunction) -> tuple[Body, list[tuple[str, object]]]:
        """The schema of scalars, and the patterns and formats that it cannot express."""
        constraints = _string_constraints([conjunct.schema for conjunct in typed.conjuncts])
        if typed.values is not None:
            return _value_schema(typed, typed.values), constraints if "string" in typed.types else []
        body: Body = {"type": typed.types[0] if len(typed.types) == 1 else typed.types}
        return body, self._add_string_constraints(body, constraints) if "string" in typed.types else []

    def _add_string_constraints(
        self, body: Body, constraints: Sequence[tuple[str, object]]
    ) -> list[tuple[str, object]]:
        """Adds the patterns and formats that Claude enforces to `body`; returns the others."""
        lost = []
        for keyword, value in constraints:
            if body.get(keyword, value) == value and self._is_enforced(keyword, value):
                body[keyword] = value
            else:
                lost.append((keyword, value))
        return lost

    def _is_enforced(self, keyword: str, value: object) -> bool:
        if keyword == "format":
            return value in FORMATS
        return self.context.allowance.is_supported_pattern(str(value))

    def _any_of(self, options: Iterable[Body | None], outer: Body) -> Body | None:
        """The union of `options` with the annotations `outer`. A single option is returned without a union."""
        distinct: dict[int, Body] = {}
        given = [option for option in options if option is not None]
        for option in given:
            for body in option["anyOf"] if option.keys() == {"anyOf"} else [option]:
                number = self.context.interner.number(body) if len(given) > 1 else len(distinct)
                distinct.setdefault(number, body)
        flat = list(distinct.values())
        if not flat:
            return None
        if len(flat) > 1 or (outer and "$ref" in flat[0]):
            return {**outer, "anyOf": flat}
        texts = dict.fromkeys(filter(None, (description(outer), description(flat[0]))))
        described = {"description": " ".join(texts)} if texts else {}
        return {**flat[0], **outer, **described}


def _of_option(location: Location) -> Location:
    """Where an option of a union is. One of the root is not the root: the others may be left."""
    return location if location.depth else location.descend()


def _restricting(conjuncts: Conjunction) -> list[int]:
    """The indices of the conjuncts that restrict the properties that they do not declare."""
    given = [conjunct.schema.get("additionalProperties", True) for conjunct in conjuncts]
    return [index for index, schema in enumerate(given) if schema is not True]


def _all_of(schemas: Sequence[Schema | bool]) -> Schema | bool:
    if len(schemas) == 1:
        return schemas[0]
    return {"allOf": schemas} if schemas else True


def _description(conjuncts: Conjunction) -> str:
    """The outermost description."""
    return next(filter(None, (description(conjunct.schema) for conjunct in conjuncts)), "")


def _items(conjunct: Conjunct) -> Schema | bool:
    """The schema of every item. A tuple becomes the union of its items: Claude's grammar has no positions."""
    rest = conjunct.schema.get("items", True)
    first = conjunct.schema.get("prefixItems")
    if not first:
        return rest if isinstance(rest, dict | bool) else True
    return {"anyOf": [*first, *([rest] if isinstance(rest, dict) else [])]}


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0


def _value_schema(typed: TypedConjunction, values: list[object]) -> Body:
    allowed = typed.declared or []
    body: Body = {"type": allowed[0]} if len(allowed) == 1 else {}
    return {**body, "const": values[0]} if typed.given("const") else {**body, "enum": values}


def _string_constraints(schemas: Sequence[Schema]) -> list[tuple[str, object]]:
    return [(key, schema[key]) for key in ("pattern", "format") for schema in schemas if key in schema]
