"""web_search_options becomes Claude's web search, alone and together with the client's tools."""

from typing import Any

import pytest

from claudexia.errors import APIError
from tests.unit.translate.request.test_tools import MESSAGES, NAMED, REFUSES, allowed, function, translate

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
F = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
SIZE = "web_search_options.search_context_size"


def place(**approximate: Any) -> dict[str, Any]:
    return {"user_location": {"type": "approximate", "approximate": approximate}}


OPTIONS = [
    pytest.param({}, {}, [], id="empty"),
    pytest.param({"search_context_size": "medium"}, {}, [], id="medium"),
    pytest.param({"search_context_size": "low"}, {"max_uses": 1}, [SIZE], id="low"),
    pytest.param({"search_context_size": "high"}, {"max_uses": 10}, [SIZE], id="high"),
    pytest.param(
        place(city="Bern", country="CH", region="Bern", timezone="Europe/Zurich"),
        {
            "user_location": {
                "type": "approximate",
                "city": "Bern",
                "region": "Bern",
                "country": "CH",
                "timezone": "Europe/Zurich",
            }
        },
        [],
        id="whole-place",
    ),
    pytest.param(
        place(country="CH", city=None),
        {"user_location": {"type": "approximate", "country": "CH"}},
        [],
        id="part-of-a-place",
    ),
    pytest.param(place(), {}, [], id="no-place"),
    pytest.param({"new": 1}, {}, ["web_search_options.new"], id="unknown-option"),
    pytest.param(
        place(street="x"), {}, ["web_search_options.user_location.approximate.street"], id="unknown-in-place"
    ),
]


@pytest.mark.parametrize(("options", "sent", "reported"), OPTIONS)
def test_options(options: Any, sent: Any, reported: list[str]) -> None:
    request = translate(web_search_options=options)
    assert request.params["tools"] == [{**SEARCH, **sent}]
    assert "tool_choice" not in request.params
    assert [warning.param for warning in request.warnings] == reported


WITH_TOOLS = [
    pytest.param({}, [F, SEARCH], None, id="no-choice"),
    pytest.param({"tool_choice": "required"}, [F, SEARCH], {"type": "any"}, id="required"),
    pytest.param({"tool_choice": allowed("auto", "f")}, [F, SEARCH], {"type": "auto"}, id="allowed"),
    pytest.param({"tool_choice": allowed("auto")}, [SEARCH], None, id="allowed-nothing"),
    pytest.param({"tool_choice": "none"}, [SEARCH], None, id="none"),
    pytest.param(
        {"tool_choice": "none", "parallel_tool_calls": False}, [SEARCH], None, id="none-and-no-parallel-calls"
    ),
    pytest.param(
        {"parallel_tool_calls": False},
        [F, SEARCH],
        {"type": "auto", "disable_parallel_tool_use": True},
        id="no-parallel-calls",
    ),
    pytest.param(
        {"tool_choice": {"type": "tool", "name": "web_search"}},
        [F, SEARCH],
        {"type": "tool", "name": "web_search"},
        id="the-search",
    ),
]


@pytest.mark.parametrize(("fields", "tools", "choice"), WITH_TOOLS)
def test_web_search_with_tools(fields: Any, tools: Any, choice: Any) -> None:
    params = translate(tools=[function("f")], web_search_options={}, **fields).params
    assert params["tools"] == tools
    assert params.get("tool_choice") == choice


def test_web_search_with_functions() -> None:
    assert translate(functions=[{"name": "f"}], web_search_options={}).params["tools"] == [F, SEARCH]


def test_required_choice_with_web_search_only() -> None:
    request = translate(web_search_options={}, tool_choice="required", parallel_tool_calls=False)
    assert request.params["tool_choice"] == {"type": "any"}
    refused = translate(REFUSES, web_search_options={}, tool_choice="required")
    assert refused.params["tool_choice"] == {"type": "auto"}
    assert "Search the web" in refused.params["system"][0]["text"]
    assert [warning.param for warning in refused.warnings] == ["tool_choice"]


def test_a_choice_of_an_unknown_name() -> None:
    with pytest.raises(APIError) as caught:
        translate(web_search_options={}, tool_choice=NAMED)
    assert caught.value.param == "tool_choice"


def test_a_client_tool_named_web_search_is_renamed() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "web_search", "arguments": "{}"}}
    history = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]
    choice = {"type": "function", "function": {"name": "web_search"}}
    request = translate(
        messages=history, tools=[function("web_search")], tool_choice=choice, web_search_options={}
    )
    mine, claudes = request.params["tools"]
    wire = str(mine.get("name"))
    assert wire != "web_search"
    assert request.options.original_name(wire) == "web_search"
    assert claudes == SEARCH
    assert request.params["tool_choice"] == {"type": "tool", "name": wire}
    block: Any = request.params["messages"][1]["content"][0]
    assert block["name"] == wire


def test_without_web_search_options_the_name_is_kept() -> None:
    assert translate(tools=[function("web_search")]).params["tools"][0]["name"] == "web_search"


def test_a_client_defined_search_tool_takes_precedence() -> None:
    brought = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    request = translate(tools=[brought], web_search_options={})
    assert request.params["tools"] == [brought]
    assert [warning.param for warning in request.warnings] == ["web_search_options"]
