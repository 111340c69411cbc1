"""adapt(): JSON Schema as Claude's structured output takes it.

Every value of the adapted schema is one of the original, but for the constraints that `relaxed` names: the
grammar has no word for them, so the description asks for them. Objects are closed, as the grammar wants it;
that is stricter than an object without `additionalProperties` and is told (`narrowed`) only where more
properties were asked for. One that names no property at all does not fit: closed, it could only be empty.

Sources: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations,
https://json-schema.org/draft/2020-12
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from claudexia.translate.schema.adapter import SchemaAdapter, named_types
from claudexia.translate.schema.keywords import (
    CONSTRAINTS,
    MAX_STRICT_TOOLS,
    Cost,
    Place,
    References,
    UnsupportedSchemaError,
    cost,
)
from claudexia.translate.schema.unions import Findings, alternatives
from claudexia.translate.types.anthropic import JSONSchema


@dataclass(frozen=True, slots=True)
class Adapted:
    """What became of a schema; paths are like `person.tags[]`, the outermost schema is `root`.

    schema    what Claude accepts; the client's own where it does not fit
    relaxed   "path: keyword" for what is not enforced any more
    narrowed  "path: what" for values that were allowed and cannot be given any more
    misfit    why Claude cannot be held to this schema, empty where it can
    """

    schema: JSONSchema
    relaxed: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()
    misfit: str = ""

    @property
    def fits(self) -> bool:
        return not self.misfit


def adapt(schema: JSONSchema) -> Adapted:
    """For `output_config.format`. Any dict will do, also one that is no JSON Schema: that does not fit."""
    adapter = SchemaAdapter(schema)
    try:
        body = adapter.build()
        excess = cost(body).excess
    except UnsupportedSchemaError as unfit:
        return Adapted(schema, misfit=str(unfit))
    except RecursionError:
        return Adapted(schema, misfit="nested too deeply")
    if excess:
        return Adapted(schema, misfit=excess)
    return Adapted(body, tuple(adapter.findings.relaxed), tuple(adapter.findings.narrowed))


def adapt_tool(schema: JSONSchema) -> Adapted:
    """For `input_schema` of a strict tool, whose root is one object.

    A tool whose root declares no properties and does not say that it takes others takes no arguments.
    """
    asked = {keyword for keyword in CONSTRAINTS if schema.get(keyword)}
    empty = asked <= {"type"} and schema.get("type", "object") == "object"
    adapted = adapt({**schema, "type": "object", "additionalProperties": False} if empty else schema)
    if adapted.fits and adapted.schema.get("type") != "object":
        return Adapted(schema, misfit="root: not one object")
    return replace(adapted, schema=adapted.schema if adapted.fits else schema)


def fit_strict(tools: Sequence[tuple[str, JSONSchema]], output: JSONSchema | None = None) -> dict[str, Adapted]:
    """The strict tools of one request, by name: those over its limits get a `misfit`, the first ones win.

    `output` is the adapted schema of the same request's format, which counts first.
    """
    spent, strict = cost(output or {}), 0
    fitted: dict[str, Adapted] = {}
    for name, schema in tools:
        adapted = adapt_tool(schema)
        if adapted.fits:
            price = cost(adapted.schema)
            excess = _excess(spent + price, strict + 1)
            if excess:
                adapted = Adapted(schema, misfit=f"{excess} in one request")
            else:
                spent, strict = spent + price, strict + 1
        fitted[name] = adapted
    return fitted


def _excess(total: Cost, strict: int) -> str:
    return total.excess or (f"more than {MAX_STRICT_TOOLS} strict tools" if strict > MAX_STRICT_TOOLS else "")


def has_object_root(schema: JSONSchema) -> bool:
    """Whether every value is an object, as far as types tell: OpenAI takes no other root."""
    try:
        found = alternatives(schema, Place(), References(schema), Findings())
    except (UnsupportedSchemaError, RecursionError):
        return False
    return all(named_types(parts) in (None, ["object"]) for parts in found)
