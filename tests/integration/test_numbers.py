"""NaN and Infinity, which Python's parsers read and JSON does not have: none reaches the upstream, and none is
changed in silence. The fake of Anthropic's API refuses them, as a server does.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway

NAN, INFINITY = float("nan"), float("-inf")
USER = {"role": "user", "content": "hi"}
PLACE = {"type": "object", "properties": {"a": {"default": NAN}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": NaN, "b": [1e400]}'}}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": NAN}}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": NAN}}
FOUND: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
FUNCTION = {"type": "function", "function": {"name": "f"}}
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def chat(*messages: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "/chat/completions", {"messages": [USER, *messages], **fields}


def text(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "/completions", {"prompt": "hi", **fields}


def response(*items: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "/responses", {"input": [USER, *items], **fields}


def call_item(arguments: str) -> list[dict[str, Any]]:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": arguments}
    return [call, {"type": "function_call_output", "call_id": "c1", "output": "ok"}]


# The request, and the field that the warning names.
REPORTED = {
    "arguments": (chat({"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "ok"}, tools=[FUNCTION]), "messages[1].tool_calls[0].function.arguments"),
    "tool-use": (chat({"role": "assistant", "content": [USE]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}, tools=[FUNCTION]), "messages[1].content[0].input"),
    "server-tool-use": (chat({"role": "assistant", "content": [SEARCH, FOUND, {"type": "text", "text": "a"}]}, USER, tools=[WEB_SEARCH]), "messages[1].content[0].input"),
    "unknown-field": (chat(x=INFINITY), "x"),
    "metadata": (chat(metadata={"a": NAN}), "metadata"),
    "arguments-of-an-item": (response(*call_item('{"a": -Infinity}'), tools=[{"type": "function", "name": "f"}]), "input[1].arguments"),
    "unknown-field-of-an-item": (response({**USER, "x": NAN}), "input[1].x"),
    "unknown-field-of-a-prompt": (text(x=NAN), "x"),
}  # fmt: skip

# The request, and the param of the error.
REFUSED = {
    "temperature": (chat(temperature=NAN), "temperature"),
    "max-tokens": (chat(max_tokens=INFINITY), "max_tokens"),
    "tool-schema": (chat(tools=[{"type": "function", "function": {"name": "f", "parameters": PLACE}}]), "tools[0].function.parameters.properties.a.default"),
    "native-tool-schema": (chat(tools=[{"name": "f", "input_schema": PLACE}]), "tools[0].input_schema.properties.a.default"),
    "server-tool": (chat(tools=[{**WEB_SEARCH, "max_uses": NAN}]), "tools[0].max_uses"),
    "server-tool-deep": (chat(tools=[{**WEB_SEARCH, "user_location": {"type": "approximate", "city": NAN}}]), "tools[0].user_location.city"),
    "answer-schema": (chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": PLACE}}), "response_format.json_schema.schema.properties.a.default"),
    "temperature-of-a-response": (response(temperature=NAN), "temperature"),
    "tool-schema-of-a-response": (response(tools=[{"type": "function", "name": "f", "parameters": PLACE}]), "tools[0].parameters.properties.a.default"),
    "answer-schema-of-a-response": (response(text={"format": {"type": "json_schema", "name": "a", "schema": PLACE}}), "text.format.schema.properties.a.default"),
    "temperature-of-a-prompt": (text(temperature=NAN), "temperature"),
}  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gateway(FakeAnthropic()) as url:
        yield url


def post(url: str, path: str, body: dict[str, Any]) -> httpx.Response:
    data = json.dumps({"model": "claude-sonnet-5-5", **body})
    return httpx.post(url + path, content=data, headers={"authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize("name", REPORTED)
def test_what_is_data_becomes_null_or_is_left_out(url: str, name: str) -> None:
    (path, body), place = REPORTED[name]
    answer = post(url, path, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-claudexia-warnings"].startswith(f"{place}: ")


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_a_meaning_is_refused(url: str, name: str) -> None:
    (path, body), place = REFUSED[name]
    answer = post(url, path, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == place


@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"temperature": NAN}, id="temperature"),
        pytest.param({"x": INFINITY}, id="unknown"),
        pytest.param({"messages": [USER, {"role": "assistant", "content": [USE]}]}, id="tool-use"),
    ],
)
def test_the_messages_api_refuses_the_body(path: str, fields: dict[str, Any]) -> None:
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        answer = post(url, path, {"max_tokens": 9, "messages": [USER], **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("The request body is not valid JSON: ")
    assert not upstream.bodies
