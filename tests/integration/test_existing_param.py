"""`param` names a place that the client's own body has, however it is spelled."""

import json
from typing import Any

import httpx
import pytest

from tests.helpers.serving import KEY, Upstream, gateway
from tests.helpers.waiting import PATIENCE

USER = {"role": "user", "content": "hi"}
BAD = {"type": "object", "properties": {"a": {"minimum": float("nan")}}}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "flat-function": ({"tools": [{"type": "function", "name": "f", "parameters": BAD}]}, "tools[0].parameters.properties.a.minimum"),
    "nested-function": ({"tools": [{"type": "function", "function": {"name": "f", "parameters": BAD}}]}, "tools[0].function.parameters.properties.a.minimum"),
    "flat-grammar": ({"tools": [{"type": "custom", "name": "f", "format": {"type": "grammar", "definition": "a"}}]}, "tools[0].format"),
    "flat-format": ({"response_format": {"type": "json_schema", "name": "n", "schema": BAD}}, "response_format.schema.properties.a.minimum"),
    "json-object": ({"response_format": {"type": "json_object", "schema": BAD}}, "response_format.schema.properties.a.minimum"),
    "no-name": ({"": {"model": "\ud800"}}, ".model"),
    "no-name-and-a-list": ({"": ["\ud800"]}, "[0]"),
    "no-name-further-below": ({"a": {"": {"model": "\ud800"}}}, "a..model"),
    "top-level": ({"logprobs": True}, "logprobs"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_param(name: str) -> None:
    given, param = CASES[name]
    body = json.dumps({"model": "claude-haiku-4-5", "messages": [USER], **given})
    headers = {
        "authorization": f"Bearer {KEY}",
        "x-claudexia-strict": "true",
        "content-type": "application/json",
    }
    with gateway(Upstream()) as url:
        response = httpx.post(f"{url}/chat/completions", content=body, headers=headers, timeout=PATIENCE)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert f"'{param}'" in error["message"]
