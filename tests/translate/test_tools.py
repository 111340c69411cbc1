"""Tool definitions and the choice among them, case by case."""

import json
from typing import Any

import pytest

from claudexia.translate import APIError, MessageRequest, find_model, parse_params, to_message_params
from tests.stand_in.rules import assert_accepted

FORCES, REFUSES = "claude-haiku-5-5", "claude-sonnet-5-5"
MESSAGES = [{"role": "user", "content": "a"}]
NO_PARAMETERS = {"type": "object", "properties": {}}


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def translate(model: str = FORCES, messages: list[Any] = MESSAGES, **fields: Any) -> MessageRequest:
    body = json.dumps({"model": model, "messages": messages, **fields}).encode()
    request = to_message_params(parse_params(body), find_model(model, {}))
    assert_accepted(json.loads(json.dumps(request.params)))
    return request


DEFINITIONS = [
    pytest.param(function(), {"name": "f", "input_schema": NO_PARAMETERS}, id="no-parameters"),
    pytest.param(function(parameters={}), {"name": "f", "input_schema": NO_PARAMETERS}, id="empty-parameters"),
    pytest.param(function(parameters=None), {"name": "f", "input_schema": NO_PARAMETERS}, id="null-parameters"),
    pytest.param(
        function(description="d", parameters={"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}),
        {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}},
        id="whole-schema",
    ),
    pytest.param(
        function(parameters={"properties": {"a": {}}}),
        {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}},
        id="untyped-root",
    ),
    pytest.param({"function": {"name": "f"}}, {"name": "f", "input_schema": NO_PARAMETERS}, id="tool-without-type"),
    pytest.param(function(description=" "), {"name": "f", "input_schema": NO_PARAMETERS}, id="blank-description"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "sent"), DEFINITIONS)
def test_definitions(tool: Any, sent: Any) -> None:
    assert translate(tools=[tool]).params["tools"] == [sent]


@pytest.mark.parametrize("name", ["a.b/c", "überprüfen", "x" * 80, "mcp server:tool", "\U0001f600"])
def test_foreign_names_go_there_and_back(name: str) -> None:
    called = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}],
    }
    messages = [*MESSAGES, called, {"role": "tool", "tool_call_id": "1", "content": "ok"}]
    choice = {"type": "function", "function": {"name": name}}
    request = translate(messages=messages, tools=[function(name), function("g")], tool_choice=choice)
    wire = request.params["tools"][0]["name"]
    assert wire != name
    assert request.original_name(wire) == name
    assert request.original_name("g") == "g"
    assert request.params["tool_choice"]["name"] == wire
    block: Any = request.params["messages"][1]["content"][0]
    assert block["name"] == wire


def test_foreign_names_that_look_alike_stay_apart() -> None:
    request = translate(tools=[function("a.b"), function("a/b"), function("a_b")])
    assert len({tool["name"] for tool in request.params["tools"]}) == 3


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


NAMED = {"type": "function", "function": {"name": "g"}}
CHOICES = [
    pytest.param(None, None, "fg", id="absent"),
    pytest.param("auto", {"type": "auto"}, "fg", id="auto"),
    pytest.param("none", {"type": "none"}, "fg", id="none"),
    pytest.param("required", {"type": "any"}, "fg", id="required"),
    pytest.param(NAMED, {"type": "tool", "name": "g"}, "fg", id="named"),
    pytest.param(allowed("auto", "g"), {"type": "auto"}, "g", id="allowed-auto"),
    pytest.param(allowed("required", "g"), {"type": "any"}, "g", id="allowed-required"),
    pytest.param(allowed("auto"), {"type": "none"}, "fg", id="allowed-nothing"),
]


@pytest.mark.parametrize(("choice", "sent", "names"), CHOICES)
def test_choices(choice: Any, sent: Any, names: str) -> None:
    params = translate(tools=[function("f"), function("g")], tool_choice=choice).params
    assert params.get("tool_choice") == sent
    assert "".join(tool["name"] for tool in params["tools"]) == names


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("required", "at least one of the tools"),
        (NAMED, "the tool `g`"),
        (allowed("required", "g"), "at least one"),
    ],
    ids=["required", "named", "allowed-required"],
)
def test_a_forced_choice_the_model_refuses_is_asked_for_in_words(choice: Any, words: str) -> None:
    system = {"role": "system", "content": "s"}
    tools = [function("f"), function("g")]
    request = translate(REFUSES, [system, *MESSAGES], tools=tools, tool_choice=choice)
    assert request.params["tool_choice"] == {"type": "auto"}
    assert request.params["system"][0]["text"] == "s"
    assert words in request.params["system"][1]["text"]
    assert [warning.param for warning in request.warnings] == ["tool_choice"]


PARALLEL = [
    pytest.param({}, {"type": "auto", "disable_parallel_tool_use": True}, id="no-choice"),
    pytest.param(
        {"tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": True}, id="required"
    ),
    pytest.param({"tool_choice": "none"}, {"type": "none"}, id="none"),
]


@pytest.mark.parametrize(("fields", "sent"), PARALLEL)
def test_parallel_calls_off(fields: Any, sent: Any) -> None:
    assert translate(tools=[function()], parallel_tool_calls=False, **fields).params["tool_choice"] == sent


def test_parallel_calls_off_without_tools_is_no_matter() -> None:
    assert "tool_choice" not in translate(parallel_tool_calls=False).params
    assert "tool_choice" not in translate(tools=[], tool_choice="auto").params
    assert "tool_choice" not in translate(tools=[function()], parallel_tool_calls=True).params


def test_a_history_of_calls_without_tools_defines_them_but_allows_none() -> None:
    called = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    request = translate(messages=[*MESSAGES, called, {"role": "tool", "tool_call_id": "1", "content": "ok"}])
    assert request.params["tools"] == [{"name": "f", "input_schema": NO_PARAMETERS}]
    assert request.params["tool_choice"] == {"type": "none"}


REFUSED = [
    pytest.param({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type", id="custom"),
    pytest.param({"tools": [{"type": "web_search_20260209"}]}, "tools[0].type", id="unknown-type"),
    pytest.param({"tools": [{"type": "function"}]}, "tools[0].function", id="no-function"),
    pytest.param({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", id="no-name"),
    pytest.param({"tools": [function(), function()]}, "tools[1].function.name", id="same-name-twice"),
    pytest.param({"tools": [function(parameters={"type": "string"})]}, "tools[0].function.parameters", id="root-type"),
    pytest.param({"tools": [function(parameters={"anyOf": []})]}, "tools[0].function.parameters", id="root-union"),
    pytest.param({"tools": [function(cache_control={"type": "ephemeral"})]}, "tools[0].function.cache_control", id="cache"),
    pytest.param({"tools": [function()], "tool_choice": NAMED}, "tool_choice", id="unknown-name"),
    pytest.param({"tools": [function()], "tool_choice": allowed("auto", "g")}, "tool_choice", id="unknown-allowed"),
    pytest.param({"tools": [function()], "tool_choice": "any"}, "tool_choice", id="unknown-word"),
    pytest.param({"tools": [function()], "tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice", id="custom-choice"),
    pytest.param({"tool_choice": "required"}, "tool_choice", id="required-without-tools"),
    pytest.param({"tool_choice": NAMED}, "tool_choice", id="named-without-tools"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_refused(fields: Any, param: str) -> None:
    with pytest.raises(APIError) as caught:
        translate(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
