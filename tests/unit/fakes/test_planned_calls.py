"""The fake API makes the call that the prompt plans, also where its output is constrained."""

import json
from typing import Any

import httpx
import pytest

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import serving

ARGUMENTS = {"city": "Rome"}
CALL = {"name": "f", "arguments": ARGUMENTS}
CITY: Any = {"city": {"type": "string"}}


def closed(properties: Any) -> Any:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


CALL_SCHEMA = closed({"name": {"type": "string", "const": "f"}, "arguments": closed(CITY)})
SELECTED = closed({"name": {"type": "string", "enum": ["f"]}, "arguments": {"type": "string"}})
SHAPES = [
    pytest.param(closed(CITY), ARGUMENTS, id="arguments"),
    pytest.param(closed({"call": CALL_SCHEMA}), {"call": CALL}, id="one-call"),
    pytest.param(closed({"calls": {"type": "array", "items": CALL_SCHEMA}}), {"calls": [CALL]}, id="calls"),
    pytest.param(SELECTED, {"name": "f", "arguments": json.dumps(ARGUMENTS)}, id="arguments-as-text"),
]


@pytest.mark.parametrize(("schema", "expected"), SHAPES)
def test_a_planned_call_under_constrained_output(schema: Any, expected: Any) -> None:
    body = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": f"[use f {json.dumps(ARGUMENTS)}]"}],
        "tools": [{"name": "f", "input_schema": closed(CITY)}],
        "tool_choice": {"type": "none"},
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    with serving(FakeAnthropic()) as url:
        reply = httpx.post(f"{url}/v1/messages", json=body, headers=headers).json()
    (text,) = [block["text"] for block in reply["content"] if block["type"] == "text"]
    assert json.loads(text) == expected


TOOL_RESULT: list[dict[str, Any]] = [
    {"role": "user", "content": "What is the weather?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": ARGUMENTS}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "17 degrees"}]},
]
FORMAT = {"format": {"type": "json_schema", "schema": closed(CITY)}}
CHOICES = [
    pytest.param({"tool_choice": {"type": "auto"}}, "end_turn", id="auto"),
    pytest.param({"tool_choice": {"type": "any"}}, "tool_use", id="any"),
    pytest.param({"tool_choice": {"type": "tool", "name": "f"}}, "tool_use", id="tool"),
    pytest.param(
        {"tool_choice": {"type": "tool", "name": "f"}, "output_config": FORMAT},
        "tool_use",
        id="tool-and-format",
    ),
]


@pytest.mark.parametrize(("more", "stop_reason"), CHOICES)
def test_a_forced_call_comes_after_tool_results_too(more: dict[str, Any], stop_reason: str) -> None:
    body = {
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "messages": TOOL_RESULT,
        "tools": [{"name": "f", "input_schema": closed(CITY)}],
        **more,
    }
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    with serving(FakeAnthropic()) as url:
        reply = httpx.post(f"{url}/v1/messages", json=body, headers=headers).json()
    assert reply["stop_reason"] == stop_reason, reply
