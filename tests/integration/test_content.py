"""Files, images and Anthropic's own content blocks in OpenAI messages, from the client to the upstream."""

from base64 import b64encode
from typing import Any

import httpx
import pytest

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway
from tests.helpers.waiting import PATIENCE

# Thinking is off by default on these, so that an invented history lacks no thinking blocks.
MODELS = ["claude-opus-4-8", "claude-haiku-4-5"]
PDF = b64encode(b"%PDF-1.7 a page").decode()
TEXT = b64encode("a line of t\u00e9xt".encode()).decode()
PNG = b64encode(b"\x89PNG\r\n\x1a\n0000").decode()

PARTS: dict[str, Any] = {
    "PDF as data URL": {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
    },
    "PDF as base64": {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
    "text file": {"type": "file", "file": {"filename": "a.txt", "file_data": TEXT}},
    "image with a wrong label": {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
    "document of Anthropic's": {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
    },
    "image of Anthropic's": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
    },
}
READ_FILE: dict[str, Any] = {
    "name": "read_file",
    "description": "Reads a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}
TOOL = {
    "type": "function",
    "function": {"name": "read_file", "parameters": READ_FILE["input_schema"]},
}


def reply_message(messages: list[Any], model: str, **fields: Any) -> dict[str, Any]:
    """The reply to `messages`, in strict mode, so that nothing may be left out."""
    body = {"model": model, "messages": messages, **fields}
    headers = {"authorization": f"Bearer {KEY}", "x-claudexia-strict": "true"}
    with gateway(FakeAnthropic()) as url:
        response = httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=PATIENCE)
    assert response.status_code == 200, response.text
    message: dict[str, Any] = response.json()["choices"][0]["message"]
    return message


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", PARTS)
def test_content_parts_of_a_user_message(name: str, model: str) -> None:
    content = [{"type": "text", "text": "What is it?"}, PARTS[name]]
    reply = reply_message([{"role": "user", "content": content}], model)["content"]
    assert reply.startswith("I see an image." if "image" in name else "I read a document.")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", PARTS)
def test_content_parts_of_a_tool_result(name: str, model: str) -> None:
    result = {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": [{"type": "text", "text": "This:"}, PARTS[name]],
    }
    messages = [
        {"role": "user", "content": "Use the tool."},
        {"role": "assistant", "tool_calls": [CALL]},
        result,
    ]
    reply = reply_message(messages, model, tools=[TOOL])["content"]
    assert reply == f"Result: This: [{'image' if 'image' in name else 'document'}]"


@pytest.mark.parametrize("model", MODELS)
def test_a_failed_tool_result(model: str) -> None:
    result = {"role": "tool", "tool_call_id": "call_1", "content": "no such file", "is_error": True}
    messages = [
        {"role": "user", "content": "Use the tool."},
        {"role": "assistant", "tool_calls": [CALL]},
        result,
    ]
    assert reply_message(messages, model, tools=[TOOL])["content"] == "Result: Error: no such file"


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_loop_in_anthropics_format(model: str) -> None:
    """The format in which Cursor posts to this route."""
    breakpoint_ = {"cache_control": {"type": "ephemeral"}}
    opening = [
        {"role": "system", "content": [{"type": "text", "text": "You are a careful agent.", **breakpoint_}]},
        {"role": "user", "content": [{"type": "text", "text": "Use the tool."}]},
    ]
    fields: dict[str, Any] = {"tools": [{**READ_FILE, **breakpoint_}], "tool_choice": {"type": "auto"}}
    (call,) = reply_message(opening, model, **fields)["tool_calls"]
    assert call["function"] == {"name": "read_file", "arguments": '{"path": "a"}'}
    use = {"type": "tool_use", "id": call["id"], "name": "read_file", "input": {"path": "a"}}
    result = {
        "type": "tool_result",
        "tool_use_id": call["id"],
        "is_error": True,
        "content": [{"type": "text", "text": "gone"}],
    }
    messages = [
        *opening,
        {"role": "assistant", "content": [{"type": "text", "text": "I call read_file."}, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "Go on.", **breakpoint_}]},
    ]
    assert reply_message(messages, model, **fields)["content"] == "Result: Error: gone"
