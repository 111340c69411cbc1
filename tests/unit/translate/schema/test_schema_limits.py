"""The limits of what is spent on schemas: each is met before the work that would exceed it."""

import json
from typing import Any

import pytest

from claudexia.translate.schema import adapt, fit_all, fit_strict
from tests.helpers.schemas import INTEGER, STRING, checked_adapt, closed, many


def patterns(*given: str) -> dict[str, Any]:
    names = [f"p{index}" for index in range(len(given))]
    return closed(
        *names, **{name: {**STRING, "pattern": text} for name, text in zip(names, given, strict=True)}
    )


LONG = ["(a|b)" * 250 + str(index) for index in range(3)]


@pytest.mark.parametrize(
    ("given", "relaxed"),
    [
        pytest.param(LONG[:2], (), id="two-long"),
        pytest.param(LONG, ("p2: pattern",), id="three-long"),
        pytest.param([LONG[0]] * 10, (), id="one-long-in-many-places"),
        pytest.param([*LONG, "^x$"], ("p2: pattern",), id="a-short-one-after-long-ones"),
        pytest.param(["a" * 2000], (), id="the-longest"),
        pytest.param(["a" * 2001, "^x$"], ("p0: pattern",), id="one-that-is-too-long"),
        pytest.param([f"^{index}$" for index in range(120)], (), id="many-short"),
        pytest.param([f"(?={index})" for index in range(20)], tuple(f"p{i}: pattern" for i in range(20)), id="unknown"),
    ],
)  # fmt: skip
def test_which_of_many_patterns_are_enforced(given: list[str], relaxed: tuple[str, ...]) -> None:
    adapted = checked_adapt(patterns(*given))
    assert adapted.fits
    assert adapted.relaxed == relaxed


def test_the_strict_tools_of_a_request_share_the_patterns() -> None:
    fitted = fit_strict([(f"t{index}", patterns(text)) for index, text in enumerate(LONG)])
    assert [adapted.relaxed for adapted in fitted.values()] == [(), (), ("p0: pattern",)]


def reference(name: str, written: str) -> dict[str, Any]:
    return {**closed("a", a={"$ref": f"#/$defs/{written}"}), "$defs": {name: STRING}}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        pytest.param(reference("e" * 1992, "e" * 1992), "", id="longest-reference"),
        pytest.param(reference("e" * 1993, "e" * 1993), "a: a $ref without a target", id="longer-reference"),
        pytest.param(reference("e" * 200, "%65" * 200), "", id="escaped-reference"),
        pytest.param(reference("e" * 201, "%65" * 201), "a: a $ref without a target", id="more-escaped-characters"),
        pytest.param(reference("a%é~/", "a%25%C3%A9~0~1"), "", id="reference-with-all-escapes"),
        pytest.param(closed(*(f"p{n}" for n in range(999)), **{f"p{n}": STRING for n in range(999)}), "", id="999-properties"),
        pytest.param(closed(*(f"p{n}" for n in range(1001)), **{f"p{n}": STRING for n in range(1001)}), "too large", id="1001-properties"),
        pytest.param({"anyOf": [True] * 2001}, "too large", id="options"),
        pytest.param({"type": "object", "required": [f"p{n}" for n in range(2001)]}, "too large", id="required"),
        pytest.param({**many(30, STRING), "$ref": "#"}, "root: recursion", id="reference-beside-properties"),
        pytest.param(many(24, STRING), "", id="24-optional"),
        pytest.param(many(26, STRING), "more than 24 optional properties", id="26-optional"),
    ],
)  # fmt: skip
def test_limits_of_one_schema(schema: dict[str, Any], reason: str) -> None:
    assert checked_adapt(schema).reason == reason


def test_an_option_of_the_root_that_has_no_values_is_not_counted() -> None:
    none: dict[str, Any] = {**many(25, STRING)["properties"], "z": False}
    schema = {"type": ["object", "array"], "properties": none, "required": ["z"], "items": INTEGER}
    assert checked_adapt(schema).schema == {"type": "array", "items": INTEGER}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        pytest.param([1, 1.0, 2.5], [1.0, 2.5], id="equal-numbers"),
        pytest.param([1, True, 0, False, "1", None], [1, True, 0, False, "1", None], id="numbers-and-booleans"),
        pytest.param([True, True, None, None], [True, None], id="twice"),
        pytest.param([10**30, 1e30, 10.0**30 + 1], [10**30, 1e30], id="large-numbers"),
    ],
)
def test_which_values_of_an_enum_are_equal(values: list[Any], kept: list[Any]) -> None:
    assert json.dumps(adapt(closed("a", a={"enum": values})).schema) == json.dumps(
        closed("a", a={"enum": kept})
    )


def test_fit_all_keeps_the_schemas_that_fit_and_stops_at_the_first_that_does_not() -> None:
    plain, open_object, last = (
        closed("a", a=STRING),
        {"properties": {"a": {"type": "object"}}},
        closed("b", b=STRING),
    )
    known: dict[str, Any] = {}
    assert fit_all([("f", plain), ("g", open_object), ("h", last)], known) is None
    assert known.keys() == {"f"}
    fitted = fit_all([("f", plain), ("h", last)], known)
    assert fitted is not None
    assert fitted["f"] is known["f"]
    assert fitted == fit_strict([("f", plain), ("h", last)])
