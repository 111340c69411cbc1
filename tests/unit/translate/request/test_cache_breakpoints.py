"""Cache breakpoints of clients: the block that carries them, and their ttl."""

import json
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.report import Report
from claudexia.translate.request.build import to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.prompt_cache import client_cache_control
from claudexia.translate.types.base import Params
from tests.fakes.anthropic.rules import assert_accepted

MODEL = "claude-sonnet-5-5"
MARK: dict[str, Any] = {"type": "ephemeral"}
HOUR = {**MARK, "ttl": "1h"}
MARKED = {"cache_control": MARK}
CALL = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
FILE = {"type": "file", "file": {"file_data": "https://x/y.pdf"}}


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def user(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def tool_call(**fields: Any) -> list[Any]:
    return [user("a"), {"role": "assistant", "content": "b", "tool_calls": [{**CALL, **fields}]}]


def tool(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "x", "content": content, **fields}


def translate(messages: list[Any]) -> tuple[dict[str, Any], list[str]]:
    """The breakpoints that are sent, by 'turn.block', and the reported fields."""
    body = json.dumps({"model": MODEL, "messages": messages}).encode()
    request = to_message_params(parse_params(body), find_model(MODEL, {}))
    params = json.loads(json.dumps(request.params))
    assert_accepted(params)
    turns = [params.get("system", []), *(turn["content"] for turn in params["messages"])]
    marks = {
        f"{turn}.{place}": block["cache_control"]
        for turn, blocks in enumerate(turns)
        for place, block in enumerate(blocks)
        if "cache_control" in block
    }
    assert json.dumps(params).count("cache_control") == len(marks), "no mark inside another block"
    return marks, [warning.param for warning in request.warnings]


PLACES = [
    pytest.param([{"role": "system", "content": [text("s", **MARKED)]}, user("a")], "0.0", id="system-part"),
    pytest.param([{"role": "system", "content": "s", **MARKED}, user("a")], "0.0", id="system-message"),
    pytest.param([user([text("a", **MARKED), text("b")])], "1.0", id="text-part"),
    pytest.param([user([text("a"), {**IMAGE, **MARKED}])], "1.1", id="image-part"),
    pytest.param([user([text("a"), {**FILE, **MARKED}])], "1.1", id="file-part"),
    pytest.param([user([text("a"), text("b")], **MARKED)], "1.1", id="message"),
    pytest.param([user("a", **MARKED), user("b")], "1.0", id="message-within-a-turn"),
    pytest.param([user([text("a"), text(" ", **MARKED)])], "1.0", id="blank-text"),
    pytest.param(
        [user("a"), {"role": "assistant", "content": [text("b", **MARKED)]}, user("c")], "2.0", id="assistant"
    ),
    pytest.param([*tool_call(**MARKED), tool("1")], "2.1", id="tool-call"),
    pytest.param([*tool_call(), tool("1", **MARKED)], "3.0", id="tool-message"),
    pytest.param([*tool_call(), tool([text("1", **MARKED), text("2")])], "3.0", id="tool-part"),
    pytest.param([*tool_call(), tool("1"), user("b", **MARKED)], "3.1", id="after-results"),
    pytest.param(
        [*tool_call(), user([{"type": "tool_result", "tool_use_id": "x", **MARKED}])], "3.0", id="native-result"
    ),
    pytest.param(
        [*tool_call(), user([{"type": "tool_result", "tool_use_id": "x"}], **MARKED)],
        "3.0",
        id="message-of-native-results",
    ),
]


@pytest.mark.parametrize(("messages", "place"), PLACES)
def test_breakpoints_keep_their_position(messages: list[Any], place: str) -> None:
    assert translate(messages) == ({place: MARK}, [])


@pytest.mark.parametrize(
    ("given", "breakpoint_", "warned"),
    [
        pytest.param({"cache_control": {"type": "ephemeral", "ttl": "5m"}}, {**MARK, "ttl": "5m"}, [], id="5m"),
        pytest.param({"cache_control": HOUR}, HOUR, [], id="1h"),
        pytest.param({"prompt_cache_breakpoint": {"mode": "explicit"}}, MARK, [], id="breakpoint"),
        pytest.param({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}, HOUR, [], id="30m"),
        pytest.param(
            {"prompt_cache_breakpoint": {"ttl": "12h"}}, HOUR, ["prompt_cache_breakpoint.ttl"], id="12h"
        ),
        pytest.param({"cache_control": MARK, "prompt_cache_breakpoint": {"ttl": "30m"}}, MARK, [], id="both"),
        pytest.param({"cache_control": {**MARK, "scope": "x"}}, MARK, ["cache_control.scope"], id="extra"),
    ],
)
def test_lifetimes(given: Any, breakpoint_: Any, warned: list[str]) -> None:
    place = "messages[0].content[0]"
    assert translate([user([text("a", **given)])]) == (
        {"1.0": breakpoint_},
        [f"{place}.{name}" for name in warned],
    )


def test_a_breakpoint_without_a_block_is_reported() -> None:
    marks, warned = translate([user([text("", **MARKED), text("a")])])
    assert (marks, warned) == ({}, ["messages[0].content[0].cache_control"])


def test_a_breakpoint_inside_a_search_result_is_reported() -> None:
    result = {"type": "search_result", "source": "s", "title": "t", "content": [text("a", **MARKED)]}
    assert translate([user([result])]) == ({}, ["messages[0].content[0].content[0].cache_control"])


MANY = [text(str(number), **MARKED) for number in range(5)]
OPENAI = [text(str(number), prompt_cache_breakpoint={"mode": "explicit"}) for number in range(5)]
TOOLS = [{"type": "function", "function": {"name": f"f{number}"}, **MARKED} for number in range(5)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"messages": [user("a"), user(MANY)]}, "messages[1].content[0].cache_control", id="too-many"),
        pytest.param({"messages": [user("a"), user(OPENAI)]}, "messages[1].content[0].prompt_cache_breakpoint", id="in-openais-form"),
        pytest.param({"messages": [user(MANY[:3]), user("a", **MARKED), user("b", **MARKED)]}, "messages[0].content[0].cache_control", id="too-many-on-messages"),
        pytest.param({"messages": [user("a")], "tools": TOOLS}, "tools[0].cache_control", id="too-many-on-tools"),
        pytest.param({"messages": [user([text("a"), *MANY])], **MARKED}, "messages[0].content[1].cache_control", id="beside-the-top-level"),
        pytest.param({"messages": [user([text("a", **MARKED), text("b", cache_control=HOUR)])]}, "messages[0].content[0].cache_control", id="order"),
        pytest.param({"messages": [user([text("a", **MARKED)])], "cache_control": HOUR}, "cache_control", id="two-lifetimes"),
    ],
)  # fmt: skip
def test_a_warning_about_the_breakpoints_names_one(fields: Any, param: str) -> None:
    body = json.dumps({"model": MODEL, **fields}).encode()
    warnings = to_message_params(parse_params(body), find_model(MODEL, {})).warnings
    assert [warning.param for warning in warnings] == [param]


@pytest.mark.parametrize("breakpoint_", [{}, {"type": "persistent"}, {**MARK, "ttl": "1d"}, "ephemeral", True])
def test_a_malformed_breakpoint_is_refused(breakpoint_: Any) -> None:
    with pytest.raises(APIError) as caught:
        translate([user([text("a", cache_control=breakpoint_)])])
    assert caught.value.status == 400
    assert (caught.value.param or "").startswith("messages[0].content[0].cache_control")


def test_breakpoints_are_read_from_extra_fields() -> None:
    given = Params.model_validate({"cache_control": HOUR})
    assert client_cache_control(given, Report().at("tools", 0)) == HOUR
    with pytest.raises(APIError) as caught:
        client_cache_control(Params.model_validate({"cache_control": {"type": "x"}}), Report().at("tools", 0))
    assert caught.value.param == "tools[0].cache_control"
