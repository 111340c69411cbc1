"""Files, images and Anthropic's own words in OpenAI's messages, from the client to what Claude reads."""

from base64 import b64encode
from typing import Any

import httpx
import pytest

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway
from tests.helpers.waiting import PATIENCE

# They think only when asked to, so that a made-up history has lost no thinking.
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


def answer(messages: list[Any], model: str, **asked: Any) -> dict[str, Any]:
    """What Claude says to `messages`, where nothing of them is lost."""
    body = {"model": model, "messages": messages, **asked}
    headers = {"authorization": f"Bearer {KEY}", "x-claudexia-strict": "true"}
    with gateway(FakeAnthropic()) as url:
        response = httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=PATIENCE)
    assert response.status_code == 200, response.text
    message: dict[str, Any] = response.json()["choices"][0]["message"]
    return message


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", PARTS)
def test_what_a_user_shows(name: str, model: str) -> None:
    content = [{"type": "text", "text": "What is it?"}, PARTS[name]]
    said = answer([{"role": "user", "content": content}], model)["content"]
    assert said.startswith("I see an image." if "image" in name else "I read a document.")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", PARTS)
def test_what_a_tool_shows(name: str, model: str) -> None:
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
    said = answer(messages, model, tools=[TOOL])["content"]
    assert said == f"Result: This: [{'image' if 'image' in name else 'document'}]"


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_that_failed(model: str) -> None:
    result = {"role": "tool", "tool_call_id": "call_1", "content": "no such file", "is_error": True}
    messages = [
        {"role": "user", "content": "Use the tool."},
        {"role": "assistant", "tool_calls": [CALL]},
        result,
    ]
    assert answer(messages, model, tools=[TOOL])["content"] == "Result: Error: no such file"


@pytest.mark.parametrize("model", MODELS)
def test_a_loop_in_anthropics_words(model: str) -> None:
    """As Cursor posts it to this route."""
    mark = {"cache_control": {"type": "ephemeral"}}
    opening = [
        {"role": "system", "content": [{"type": "text", "text": "You are a careful agent.", **mark}]},
        {"role": "user", "content": [{"type": "text", "text": "Use the tool."}]},
    ]
    asked: dict[str, Any] = {"tools": [{**READ_FILE, **mark}], "tool_choice": {"type": "auto"}}
    (call,) = answer(opening, model, **asked)["tool_calls"]
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
        {"role": "user", "content": [result, {"type": "text", "text": "Go on.", **mark}]},
    ]
    assert answer(messages, model, **asked)["content"] == "Result: Error: gone"
