"""Error messages quote only a short part of the client's text, wherever it comes from."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from claudexia.app import create_app
from claudexia.errors import MAX_QUOTED, shorten
from claudexia.settings import Settings
from tests.helpers.serving import KEY, error_body

LONG = "x" * 100_000
SHORTENED = [
    ("", ""),
    ("x" * MAX_QUOTED, "x" * MAX_QUOTED),
    ("x" * (MAX_QUOTED + 1), "x" * (MAX_QUOTED - 1) + "…"),
    (10**4000, "1" + "0" * (MAX_QUOTED - 2) + "…"),
    (None, "None"),
]


@pytest.mark.parametrize(("text", "expected"), SHORTENED, ids=["empty", "longest", "longer", "number", "none"])
def test_shorten(text: object, expected: str) -> None:
    assert shorten(text) == expected


def test_an_unpaired_surrogate_is_no_error() -> None:
    """The path in an event of API Gateway may have one; the error's body is UTF-8."""
    assert shorten("/\ud800\U0001f600").encode() == "/?\U0001f600".encode()


MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def blocks(*content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [*MESSAGES, {"role": "assistant", "content": list(content)}]}


SERVER_CALL = {"type": "server_tool_use", "id": f"srvtoolu_{LONG}", "name": "web_search", "input": {}}
# Request fields with 100,000 characters in the place that the error message quotes.
BODIES: dict[str, dict[str, Any]] = {
    "model": {"model": LONG},
    "Claude model": {"model": f"claude-{LONG}"},
    "role": {"messages": [{"role": LONG, "content": "Hi"}]},
    "part type": {"messages": [{"role": "user", "content": [{"type": LONG}]}]},
    "reasoning_effort": {"reasoning_effort": LONG},
    "response_format": {"response_format": {"type": LONG}},
    "tool type": {"tools": [{"type": LONG, "function": {"name": "f"}}]},
    "tool name, twice": {"tools": [function(LONG), function(LONG, description="another")]},
    "tool_choice": {"tools": [function("f")], "tool_choice": function(LONG)},
    "parameters of another type": {"tools": [function("f", parameters={"type": LONG})]},
    "parameters of many types": {"tools": [function("f", parameters={"type": ["string"] * 10_000})]},
    "function of parameters": {"tools": [function(LONG, parameters={"type": "string"})]},
    "server call, twice": blocks(SERVER_CALL, SERVER_CALL),
    "server call without a result": {
        "messages": [*blocks(SERVER_CALL)["messages"], {"role": "user", "content": "And?"}]
    },
    "unknown field, strict": {"messages": [{"role": "user", "content": "Hi", LONG: 1}]},
    "unknown top-level field, strict": {LONG: 1},
    "schema property, strict": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": {
                    "type": "object",
                    "properties": {LONG: {"type": "string", "minLength": 3, "pattern": "(?<=a)b"}},
                    "required": [LONG],
                    "additionalProperties": False,
                },
            },
        }
    },
}
NUMBERS = {
    "n": '"n": %s' % ("9" * 4_300),
    "n of 5,000 digits": '"n": %s' % ("9" * 5_000),
    "n below": '"n": -%s' % ("9" * 4_300),
    "top_p": '"top_p": %s' % ("9" * 300),
    "temperature": '"temperature": 9.%s' % ("9" * 4_300),
    "max_tokens": '"max_tokens": -%s' % ("9" * 4_300),
}


def refused(content: bytes | str, method: str = "POST", path: str = "/v1/chat/completions") -> dict[str, Any]:
    """The error of a request that the gateway refuses."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=error_body("invalid_request_error", f"tools.0.name: {LONG}"))

    app = create_app(
        Settings(anthropic_api_key="k", api_keys={"test": KEY}), transport=httpx.MockTransport(answer)
    )

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        headers = {"authorization": f"Bearer {KEY}", "x-claudexia-strict": "true"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, content=content, headers=headers)

    response = asyncio.run(main())
    assert 400 <= response.status_code < 500
    assert all(len(value) < 5000 for value in response.headers.values())
    error: dict[str, Any] = response.json()["error"]
    return error


@pytest.mark.parametrize("fields", BODIES.values(), ids=BODIES)
def test_long_texts_in_bodies_are_shortened(fields: dict[str, Any]) -> None:
    error = refused(json.dumps({"model": "claude-haiku-4-5", "messages": MESSAGES, **fields}))
    assert len(error["message"]) < 1000
    assert len(error["param"] or "") <= MAX_QUOTED
    assert "x" * (MAX_QUOTED + 1) not in error["message"]


@pytest.mark.parametrize("field", NUMBERS.values(), ids=NUMBERS)
def test_long_numbers_in_bodies_are_shortened(field: str) -> None:
    start = json.dumps({"model": "claude-haiku-4-5", "messages": MESSAGES}).removesuffix("}")
    error = refused(f"{start}, {field}}}")
    assert len(error["message"]) < 500


OTHER = {
    "path": ("GET", f"/v1/{LONG[:60_000]}"),
    "model in the path": ("GET", f"/v1/models/{LONG[:60_000]}"),
    "method": ("X" * 100_000, "/v1/models"),
    "method and path": ("X" * 100_000, f"/v1/{LONG[:60_000]}"),
}


@pytest.mark.parametrize(("method", "path"), OTHER.values(), ids=OTHER)
def test_long_methods_and_paths_are_shortened(method: str, path: str) -> None:
    assert len(refused(b"", method, path)["message"]) < 700


def test_a_message_of_the_upstream_that_quotes_the_request() -> None:
    error = refused(json.dumps({"model": "claude-haiku-4-5", "messages": MESSAGES}))
    assert error["message"].startswith("tools.0.name")
    assert len(error["message"]) <= 2000
