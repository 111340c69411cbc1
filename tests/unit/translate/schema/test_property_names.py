"""Names of properties that the API refuses are replaced everywhere in the schema that they refer to the same."""

import re
from typing import Any

import pytest

from claudexia.translate.schema.property_names import (
    property_names,
    rename_input,
    rename_rule,
    with_property_names,
)

VALID = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
TEXT = {"type": "string"}
LONG = "a" * 65


def schema(*names: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(names, TEXT), **more}


@pytest.mark.parametrize("names", [(), ("a",), ("a.b-c_D9", "x" * 64)], ids=["none", "one", "all-characters"])
def test_accepted_names_stay(names: tuple[str, ...]) -> None:
    given = schema(*names)
    assert not property_names(given)
    assert with_property_names(given, {}) is given


REFUSED = {
    "dollar": ["$filter", "$top"],
    "brackets": ["filter[name]", "filter[id]", "ids[]"],
    "spaces": ["Start Date", " ", ""],
    "non-latin": ["查询", "数量", "größe", "🎉"],
    "long": [LONG, LONG + "b", "é" * 65],
    "alike": ["a b", "a?b", "a_b"],
    "line-end": ["a\n"],
    "surrogate": ["\ud83d"],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_names_are_replaced_by_different_ones(kind: str) -> None:
    given = REFUSED[kind]
    names = property_names(schema(*given, "path"))
    assert names.keys() == {name for name in given if not VALID.fullmatch(name)}
    sent = with_property_names(schema(*given, "path"), names)["properties"]
    assert isinstance(sent, dict)
    assert all(map(VALID.fullmatch, sent))
    assert len(sent) == len(given) + 1
    assert names == property_names(schema(*reversed(given)))  # they depend on nothing but the name


def test_a_replacement_leaves_a_name_alone_that_is_there() -> None:
    (first,) = property_names(schema("$a")).values()
    (second,) = property_names(schema("$a", first)).values()
    assert second != first
    assert VALID.fullmatch(second)


def test_names_and_arguments_there_and_back() -> None:
    names = property_names(schema("$filter", "filter[name]", "path"))
    arguments = {"$filter": 1, "path": {"$filter": 2}, "filter[name]": [], "other key": None}
    sent = rename_input(arguments, names)
    assert sent["path"] == {"$filter": 2}
    assert sent["other key"] is None
    back = {replacement: name for name, replacement in names.items()}
    assert rename_input(sent, back) == arguments


# A keyword of the schema, before and after; R stands for the replacement of $a.
KEYWORDS: dict[str, tuple[Any, Any]] = {
    "required": ({"required": ["$a", "b"]}, {"required": ["R", "b"]}),
    "dependentRequired": ({"dependentRequired": {"$a": ["b"], "b": ["$a"]}}, {"dependentRequired": {"R": ["b"], "b": ["R"]}}),
    "dependentSchemas": ({"dependentSchemas": {"$a": {"required": ["$a"]}}}, {"dependentSchemas": {"R": {"required": ["R"]}}}),
    "logic": ({"if": {"required": ["$a"]}, "then": {"properties": {"$a": {}}}, "not": {"required": ["$a"]}}, {"if": {"required": ["R"]}, "then": {"properties": {"R": {}}}, "not": {"required": ["R"]}}),
    "unions": ({"allOf": [{"anyOf": [{"required": ["$a"]}]}]}, {"allOf": [{"anyOf": [{"required": ["R"]}]}]}),
    "values": ({"default": {"$a": 1}, "examples": [{"$a": 1, "b": {"$a": 2}}], "enum": [{"$a": 1}, 5]}, {"default": {"R": 1}, "examples": [{"R": 1, "b": {"$a": 2}}], "enum": [{"R": 1}, 5]}),
    "reference": ({"$defs": {"D": {"$ref": "#/properties/$a"}}}, {"$defs": {"D": {"$ref": "#/properties/R"}}}),
    "reference-below": ({"$defs": {"D": {"$ref": "#/properties/%24a/items"}}}, {"$defs": {"D": {"$ref": "#/properties/R/items"}}}),
    "reference-elsewhere": ({"$defs": {"D": {"$ref": "#/$defs/$a"}}}, None),
    "nested-names": ({"$defs": {"D": {"properties": {"$a": {}}, "required": ["$a"]}}}, None),
    "rule-for-names": ({"propertyNames": {"pattern": "^[$b]"}}, {}),
    "additional": ({"additionalProperties": False}, None),
}  # fmt: skip


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_keywords_that_refer_to_a_name(keyword: str) -> None:
    given, expected = KEYWORDS[keyword]
    names = property_names(schema("$a", "b"))
    sent = dict(with_property_names(schema("$a", "b", **given), names))
    assert sent.pop("type") == "object"
    sent.pop("properties")
    (replacement,) = names.values()
    wanted = repr(given) if expected is None else re.sub(r"\bR\b", replacement, repr(expected))
    assert repr(sent) == wanted


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        pytest.param("a/b", "#/properties/a~1b", id="slash"),
        pytest.param("a~b", "#/properties/a~0b", id="tilde"),
        pytest.param("a b", "#/properties/a%20b", id="space"),
        pytest.param("größe", "#/properties/gr%C3%B6%C3%9Fe", id="utf-8"),
    ],
)
def test_references_as_pointers_write_a_name(name: str, reference: str) -> None:
    given = schema(name, **{"$defs": {"D": {"$ref": reference}}})
    sent: Any = with_property_names(given, property_names(given))
    (replacement,) = property_names(given).values()
    assert sent["$defs"]["D"]["$ref"] == f"#/properties/{replacement}"


DESCRIPTIONS: dict[str, tuple[Any, Any]] = {
    "none": (TEXT, {**TEXT, "description": '"$a"'}),
    "given": ({**TEXT, "description": "d"}, {**TEXT, "description": '"$a": d'}),
    "anything": (True, {"description": '"$a"'}),
    "nothing": (False, False),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_the_description_holds_the_clients_name(name: str) -> None:
    given, expected = DESCRIPTIONS[name]
    whole = {"type": "object", "properties": {"$a": given}}
    sent: Any = with_property_names(whole, property_names(whole))
    assert [*sent["properties"].values()] == [expected]


def test_rules_outside_the_schema() -> None:
    names = property_names(schema("$a"))
    (replacement,) = names.values()
    rule = [{"required": ["$a"]}, True, {"properties": {"$a": TEXT}}]
    assert rename_rule(rule, names) == [
        {"required": [replacement]},
        True,
        {"properties": {replacement: TEXT}},
    ]
    assert rename_rule(rule, {}) == rule
