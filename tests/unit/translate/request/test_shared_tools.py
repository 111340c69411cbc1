"""Requests with the same tools share their translation: it is the same as that of the first one."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import HostLimits, find_model
from claudexia.translate import parse_params, to_message_params
from claudexia.translate.request.build import MessageRequest
from tests.helpers.large_bodies import forget_tools

MODEL = find_model("claude-haiku-4-5", {})


def tool(name: str = "f", schema: object = None, **fields: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema or {}, **fields}}


def sent(tools: list[Any], *, strict: bool = False, **fields: object) -> MessageRequest:
    messages = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": MODEL.id, "messages": messages, "tools": tools, **fields}).encode()
    return to_message_params(parse_params(body), MODEL, strict=strict)


def of(keyword: str, value: object) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {keyword: value}}}


CASES: dict[str, list[Any]] = {
    "plain": [tool(schema=of("type", "string"))],
    "union": [tool(schema={"anyOf": [of("type", "string"), of("type", "integer")]})],
    "strict": [
        tool(schema={**of("type", "string"), "required": ["a"], "additionalProperties": False}, strict=True)
    ],
    "relaxed": [tool(schema=of("minLength", 3), strict=True)],
    "replaced-names": [tool("a.b", {"type": "object", "properties": {"x y": {"type": "string"}}})],
    "unknown-field": [{**tool(), "x": 1}],
    "anthropic": [{"name": "f", "input_schema": of("type", "string"), "cache_control": {"type": "ephemeral"}}],
    "server": [{"type": "web_search_20250305", "name": "web_search"}],
}


@pytest.mark.parametrize("name", CASES)
def test_the_second_request_is_translated_like_the_first(name: str) -> None:
    forget_tools()
    first, second = sent(CASES[name]), sent(CASES[name])
    assert second.params == first.params
    assert second.warnings == first.warnings
    assert second.options.argument_names == first.options.argument_names
    upstream = [str(each.get("name")) for each in first.params["tools"]]
    assert [*map(second.options.original_name, upstream)] == [*map(first.options.original_name, upstream)]


@pytest.mark.parametrize("name", ["union", "unknown-field"])
def test_a_warning_is_an_error_in_a_later_strict_request(name: str) -> None:
    assert sent(CASES[name]).warnings
    for _ in range(2):
        with pytest.raises(APIError) as caught:
            sent(CASES[name], strict=True)
        assert str(caught.value.param).startswith("tools[0]")


@pytest.mark.parametrize(
    "values", [[1, 1.0, True], [0, False, None], ["1", 1], [[], {}]], ids=["one", "zero", "text", "empty"]
)
def test_tools_that_python_finds_equal_are_not_the_same(values: list[object]) -> None:
    for value in values:
        (only,) = sent([tool(schema=of("const", value))]).params["tools"]
        assert json.dumps(of("const", value)) == json.dumps(only.get("input_schema"))


def test_an_invalid_tool_is_an_error_each_time() -> None:
    for _ in range(2):
        with pytest.raises(APIError) as caught:
            sent([tool(), tool("f", of("type", "string"))])
        assert caught.value.param == "tools[1].function.name"


def test_another_host_does_not_get_the_tools_of_the_first() -> None:
    tools = CASES["server"]
    sent(tools)
    body = json.dumps(
        {"model": MODEL.id, "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    ).encode()
    model = replace(MODEL, host=HostLimits("Host", server_tools=False))
    with pytest.raises(APIError, match="does not run this tool"):
        to_message_params(parse_params(body), model)


MANY_TOOLS: dict[str, Callable[[int], list[Any]]] = {
    "empty": lambda i: [{}] * 3000 + [{"type": f"t{i}"}],
    "flat": lambda i: [{"name": f"f{i}_{j}"} for j in range(1600)],
}


@pytest.mark.parametrize("name", MANY_TOOLS)
def test_requests_with_many_small_tools_leave_little_memory(name: str) -> None:
    def send(number: int) -> None:
        with suppress(APIError):
            sent(MANY_TOOLS[name](number))

    send(0)
    forget_tools()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(5):
            send(number)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        forget_tools()
    assert kept < 4_000_000
