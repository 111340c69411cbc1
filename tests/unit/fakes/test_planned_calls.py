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
