"""`functions` and `function_call`, which `tools` and `tool_choice` replaced, case by case."""

from typing import Any

import pytest

from claudexia.errors import APIError
from tests.unit.translate.request.test_tools import FORCES, REFUSES, function, tooling, translate

FUNCTIONS = [{"name": "f", "description": "d", "parameters": {"type": "object"}}, {"name": "g.h"}]
ONE_AT_MOST = {"type": "auto", "disable_parallel_tool_use": True}


def test_functions_become_tools() -> None:
    request = translate(functions=FUNCTIONS)
    first, second = request.params["tools"]
    assert first == {"name": "f", "description": "d", "input_schema": {"type": "object"}}
    assert request.options.original_name(str(second.get("name"))) == "g.h"
    assert not request.warnings


CHOICES = [
    pytest.param({}, ONE_AT_MOST, [], id="absent"),
    pytest.param({"function_call": "auto"}, ONE_AT_MOST, [], id="auto"),
    pytest.param({"function_call": "none"}, {"type": "none"}, [], id="none"),
    pytest.param(
        {"function_call": {"name": "f"}},
        {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        [],
        id="named",
    ),
    pytest.param(
        {"tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": True}, [], id="tool_choice"
    ),
    pytest.param({"function_call": "auto", "tool_choice": "auto"}, ONE_AT_MOST, [], id="both-the-same"),
    pytest.param(
        {"function_call": "none", "tool_choice": "auto"}, {"type": "none"}, ["tool_choice"], id="both"
    ),
]


@pytest.mark.parametrize(("fields", "sent", "reported"), CHOICES)
def test_choices(fields: Any, sent: Any, reported: list[str]) -> None:
    request = translate(functions=FUNCTIONS, **fields)
    assert request.params["tool_choice"] == sent
    assert [warning.param for warning in request.warnings] == reported


def test_a_choice_the_model_refuses_becomes_structured_output() -> None:
    request = translate(REFUSES, functions=FUNCTIONS, function_call={"name": "f"})
    assert request.params["tool_choice"] == {"type": "none"}
    assert request.params["output_config"]["format"]["type"] == "json_schema"
    assert request.options.function_call
    assert request.options.named_call
    assert not request.warnings


LEGACY = [
    pytest.param({"functions": FUNCTIONS}, True, id="functions"),
    pytest.param({"functions": FUNCTIONS, "tools": []}, True, id="no-tools"),
    pytest.param({"functions": FUNCTIONS, "tools": [function()]}, False, id="both"),
    pytest.param({"tools": [function()]}, False, id="tools"),
    pytest.param({"functions": []}, False, id="no-functions"),
    pytest.param({}, False, id="nothing"),
]


@pytest.mark.parametrize(("fields", "legacy"), LEGACY)
def test_calls_are_returned_as_function_call(fields: Any, legacy: bool) -> None:
    assert tooling(FORCES, **fields).function_call is legacy


WITH_TOOLS = [
    pytest.param({"functions": FUNCTIONS}, ["functions"], id="functions"),
    pytest.param({"functions": [], "function_call": "auto"}, [], id="defaults"),
    pytest.param({"function_call": {"name": "f"}}, ["function_call"], id="function_call"),
]


@pytest.mark.parametrize(("fields", "reported"), WITH_TOOLS)
def test_tools_take_precedence_over_functions(fields: Any, reported: list[str]) -> None:
    request = translate(tools=[function("t")], **fields)
    assert [tool.get("name") for tool in request.params["tools"]] == ["t"]
    assert "tool_choice" not in request.params
    assert [warning.param for warning in request.warnings] == reported


@pytest.mark.parametrize("value", ["auto", "none", None])
def test_function_call_without_functions_is_ignored(value: str | None) -> None:
    request = translate(function_call=value)
    assert "tools" not in request.params
    assert "tool_choice" not in request.params
    assert not request.warnings


REFUSED = [
    pytest.param({"function_call": {"name": "f"}}, "function_call", id="named-without-functions"),
    pytest.param({"functions": FUNCTIONS, "function_call": {"name": "x"}}, "function_call", id="unknown-name"),
    pytest.param({"functions": FUNCTIONS, "function_call": "required"}, "function_call", id="unknown-word"),
    pytest.param(
        {"functions": [{"name": "f"}, {"name": "f", "description": "d"}]},
        "functions[1].name",
        id="same-name-twice",
    ),
    pytest.param(
        {"functions": [{"name": "f", "parameters": {"type": "string"}}]},
        "functions[0].parameters",
        id="root-type",
    ),
    pytest.param({"functions": [{}]}, "functions[0].name", id="no-name"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_refused(fields: Any, param: str) -> None:
    with pytest.raises(APIError) as caught:
        translate(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
