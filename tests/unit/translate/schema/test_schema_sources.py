"""Schemas from real tools, and strict tools with their shared limits."""

import enum
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from claudexia.translate.schema import adapt, adapt_tool, fit_strict
from tests.helpers.schemas import INTEGER, NULL, STRING, checked_adapt, closed, many


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = Field(description="Street and number", max_length=80)
    zip: str | None = Field(default=None, pattern=r"^\d{5}$")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]


class Person(BaseModel):
    """Somebody."""

    name: str
    color: Color
    address: Address = Field(description="Where they live")
    others: list[Address] = Field(min_length=1)
    born: datetime
    weight: Decimal
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Tree(BaseModel):
    children: list["Tree"]


class Counts(BaseModel):
    model_config = ConfigDict(extra="forbid")
    counts: dict[str, int]


def test_pydantic_models() -> None:
    adapted = checked_adapt(Person.model_json_schema())
    address = closed(
        "street",
        street={**STRING, "description": "Street and number (maxLength: 80)"},
        zip={"default": None, "anyOf": [{**STRING, "pattern": r"^\d{5}$"}, NULL]},
    )
    properties = adapted.schema["properties"]
    assert adapted.schema["description"] == "Somebody."
    assert properties["address"] == {**address, "description": "Where they live"}
    assert properties["others"] == {"type": "array", "items": {"$ref": "#/$defs/Address"}, "minItems": 1}
    assert properties["born"] == {**STRING, "format": "date-time"}
    assert properties["pet"] == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    assert adapted.schema["$defs"]["Color"] == {**STRING, "enum": ["red", "blue"]}
    assert adapted.schema["$defs"]["Address"] == address
    assert set(adapted.relaxed) >= {
        "address.street: maxLength",
        "Address.street: maxLength",
        "Cat.lives: maximum",
    }
    assert not any("oneOf" in phrase for phrase in adapted.relaxed)


@pytest.mark.parametrize(
    ("model", "why"),
    [(Tree, "children[]: recursion"), (Counts, "counts: an object with arbitrary")],
    ids=["tree", "counts"],
)
def test_unsupported_pydantic_models(model: type[BaseModel], why: str) -> None:
    assert why in checked_adapt(model.model_json_schema()).reason


REAL = [
    pytest.param(
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": ["integer", "null"], "exclusiveMinimum": 0}, "url": {"type": "string", "format": "uri"}}, "required": ["name", "age"], "additionalProperties": False},
        closed("name", "age", name={**STRING, "description": "(minLength: 1)"}, age={"type": ["integer", "null"], "description": "(exclusiveMinimum: 0)"}, url={**STRING, "format": "uri"}),
        id="zod-draft-07",
    ),
    pytest.param(
        {"$ref": "#/definitions/Out", "definitions": {"Out": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}}, "$schema": "http://json-schema.org/draft-07/schema#"},
        closed("ok", ok={"type": "boolean"}),
        id="zod-named",
    ),
    pytest.param(
        {"allOf": [{"type": "object", "properties": {"a": STRING}, "required": ["a"]}, {"type": "object", "properties": {"b": INTEGER}, "required": ["b"]}], "unevaluatedProperties": False},
        closed("a", "b", a=STRING, b=INTEGER),
        id="zod-intersection",
    ),
    pytest.param(
        {"title": "joke", "description": "A joke.", "type": "object", "properties": {"setup": {"type": "string", "description": "The setup"}, "rating": {"type": ["integer", "null"], "default": None}}, "required": ["setup"]},
        {**closed("setup", setup={**STRING, "description": "The setup"}, rating={"type": ["integer", "null"], "default": None}), "description": "A joke."},
        id="langchain",
    ),
    pytest.param(
        {"type": "object", "properties": {"steps": {"type": "array", "items": {"$ref": "#/$defs/step"}}, "unit": {"type": ["string", "null"], "enum": ["C", "F", None]}}, "$defs": {"step": closed("out", out=STRING)}, "required": ["steps", "unit"], "additionalProperties": False},
        {**closed("steps", "unit", steps={"type": "array", "items": {"$ref": "#/$defs/step"}}, unit={"enum": ["C", "F", None]}), "$defs": {"step": closed("out", out=STRING)}},
        id="openai-strict",
    ),
    pytest.param({"anyOf": [closed("a", a=STRING), closed("b", b=STRING)]}, {"anyOf": [closed("a", a=STRING), closed("b", b=STRING)]}, id="union-of-objects"),
    pytest.param({"type": "array", "items": STRING}, {"type": "array", "items": STRING}, id="array"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sent"), REAL)
def test_schemas_of_other_tools(given: Any, sent: Any) -> None:
    adapted = checked_adapt(given)
    assert adapted.fits, adapted.reason
    assert adapted.schema == sent


TOOLS = [
    pytest.param({}, closed(), "", id="nothing"),
    pytest.param({"type": "object", "properties": {}}, closed(), "", id="no-arguments"),
    pytest.param({"type": "object", "additionalProperties": True}, None, "root: an object with arbitrary", id="any-arguments"),
    pytest.param({"allOf": [{"properties": {"a": STRING}}]}, closed(a=STRING), "", id="all-of-one"),
    pytest.param({"anyOf": [closed(a=STRING), closed(b=STRING)]}, None, "root: not a single object", id="union"),
    pytest.param({"type": ["object", "null"], "properties": {"a": STRING}}, None, "root: not a single object", id="object-or-null"),
    pytest.param(STRING, None, "root: not a single object", id="string"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sent", "why"), TOOLS)
def test_the_root_of_a_tool_is_one_object(given: Any, sent: Any, why: str) -> None:
    adapted = adapt_tool(given)
    assert adapted.schema == (sent or given)
    assert why in adapted.reason
    assert adapted.fits is bool(sent)


TEN_OPTIONAL, TEN_UNIONS = (
    many(10, STRING),
    {**many(10, {"type": ["string", "null"]}), "required": [f"p{n}" for n in range(10)]},
)
BUDGETS = [
    pytest.param([{}] * 22, None, [20, 21], "more than 20 strict tools", id="tools"),
    pytest.param([TEN_OPTIONAL, TEN_OPTIONAL, TEN_OPTIONAL, {}], None, [2], "more than 24 optional properties", id="optional"),
    pytest.param([TEN_UNIONS, TEN_UNIONS, TEN_OPTIONAL], None, [1], "more than 16 properties of several types", id="unions"),
    pytest.param([TEN_OPTIONAL, TEN_OPTIONAL], closed(a=STRING, b=STRING, c=STRING, d=STRING, e=STRING), [1], "more than 24 optional properties", id="format-first"),
    pytest.param([TEN_OPTIONAL, TEN_OPTIONAL], closed("a", a=STRING), [], "", id="all-fit"),
]  # fmt: skip


@pytest.mark.parametrize(("schemas", "output", "left_out", "why"), BUDGETS)
def test_the_first_strict_tools_are_enforced(
    schemas: list[Any], output: Any, left_out: list[int], why: str
) -> None:
    fitted = fit_strict([(f"t{index}", schema) for index, schema in enumerate(schemas)], output)
    assert [index for index, adapted in enumerate(fitted.values()) if not adapted.fits] == left_out
    for index in left_out:
        assert fitted[f"t{index}"].reason == f"{why} in one request"
        assert fitted[f"t{index}"].schema == schemas[index]


@pytest.mark.parametrize(
    ("pattern", "enforced"),
    [
        (r"^\p{L}+$", True),
        (r"^[\p{Lu}\p{Nd}_-]*$", True),
        (r"\P{Script=Greek}", True),
        (r"^\{p\}$", True),
        (r"\\p{2}", True),
        (r"\pL", False),
        (r"\p{L", False),
        (r"(a)\1", False),
    ],
)
def test_which_patterns_are_enforced(pattern: str, enforced: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}, "required": ["a"]}
    adapted = adapt({**schema, "additionalProperties": False})
    properties: Any = adapted.schema["properties"]
    assert ("pattern" in properties["a"]) == enforced
    assert bool(adapted.relaxed) != enforced
