"""Translates a request with one content part."""

import base64
import json
from typing import Any

from claudexia.models import find_model
from claudexia.translate.request.build import to_message_params
from claudexia.translate.request.parse import parse_params
from tests.fakes.anthropic.rules import assert_accepted

MODEL = "claude-sonnet-5-5"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def translate_part(part: Any, role: str) -> tuple[Any, list[str]]:
    """The block for `part` in a user message or a tool message (`role`), and the reported fields."""
    messages: list[Any] = [{"role": "user", "content": [part]}]
    if role == "tool":
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": [part]},
        ]
    body = json.dumps({"model": MODEL, "messages": messages}).encode()
    request = to_message_params(parse_params(body), find_model(MODEL, {}))
    assert_accepted(json.loads(json.dumps(request.params)))
    block: Any = request.params["messages"][-1]["content"][0]
    return (block["content"][0] if role == "tool" else block), [warning.param for warning in request.warnings]
