"""Half of an emoji, anywhere in a body, fails neither this request nor the conversation's later ones."""

import json
from typing import Any

import httpx
import pytest

from tests.helpers.serving import KEY, Upstream, gateway
from tests.helpers.waiting import PATIENCE

HALF, OTHER, BAD = "\ud83d", "\ude00", "\ufffd"
MODEL = "claude-haiku-4-5"
USER = {"role": "user", "content": "hi"}


def tool(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **fields}}


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the-end-of-a-text": ({"messages": [{"role": "user", "content": f"cut {HALF}"}]}, ["messages[0].content"]),
    "the-second-half": ({"messages": [{"role": "user", "content": f"{OTHER} cut"}]}, ["messages[0].content"]),
    "in-the-wrong-order": ({"messages": [{"role": "user", "content": OTHER + HALF}]}, ["messages[0].content"]),
    "in-a-part": ({"messages": [USER, {"role": "user", "content": [{"type": "text", "text": f"a{HALF}b"}]}]}, ["messages[1].content[0].text"]),
    "in-a-tool": ({"messages": [USER], "tools": [tool(description=HALF)]}, ["tools[0].function.description"]),
    "in-a-key": ({"messages": [USER], "tools": [tool(parameters={"type": "object", "properties": {HALF: {}}})]}, ["tools[0].function.parameters.properties"]),
    "after-an-escaped-backslash": ({"messages": [{"role": "user", "content": f"\\ud83d{OTHER}"}]}, ["messages[0].content"]),
    "two-first-halves": ({"messages": [{"role": "user", "content": HALF + HALF + OTHER}]}, ["messages[0].content"]),
    "two-second-halves": ({"messages": [{"role": "user", "content": HALF + OTHER + OTHER}]}, ["messages[0].content"]),
    "beside-a-whole-one": ({"messages": [{"role": "user", "content": f"\U0001f600{HALF}\\{HALF}"}]}, ["messages[0].content"]),
}  # fmt: skip


def post(url: str, body: bytes, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **headers}
    return httpx.post(url, content=body, headers=sent, timeout=PATIENCE)


@pytest.mark.parametrize("name", CASES)
def test_unpaired_surrogates_are_replaced_and_reported(name: str) -> None:
    given, places = CASES[name]
    body = json.dumps({"model": MODEL, **given}).encode()
    upstream = Upstream()
    with gateway(upstream) as url:
        response = post(f"{url}/chat/completions", body)
        strict = post(f"{url}/chat/completions", body, **{"x-claudexia-strict": "true"})
    assert response.status_code == 200, response.text
    warnings = response.headers["x-claudexia-warnings"].split("; ")
    assert [warning.partition(":")[0] for warning in warnings if "U+FFFD" in warning] == places
    assert BAD in json.dumps(upstream.bodies[0], ensure_ascii=False)
    assert (strict.status_code, strict.json()["error"]["param"]) == (400, places[0])


@pytest.mark.parametrize(
    "text",
    ["\U0001f600", "\\ud83d", "\ufffd", '\\"\U0001f600'],
    ids=["emoji", "written-out", "replaced-before", "escapes"],
)
def test_whole_characters_are_left_alone(text: str) -> None:
    upstream = Upstream()
    with gateway(upstream) as url:
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]}).encode()
        response = post(f"{url}/chat/completions", body)
    assert "x-claudexia-warnings" not in response.headers
    assert upstream.bodies[0]["messages"][0]["content"][0]["text"] == text


def test_text_completions() -> None:
    upstream = Upstream()
    with gateway(upstream) as url:
        response = post(f"{url}/completions", json.dumps({"model": MODEL, "prompt": f"cut {HALF}"}).encode())
    assert response.headers["x-claudexia-warnings"].startswith("prompt: ")
    assert upstream.bodies[0]["messages"][0]["content"][0]["text"] == f"cut {BAD}"
