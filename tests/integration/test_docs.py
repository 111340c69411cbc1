"""/docs, /redoc and /openapi.json: when they are served, and what they describe."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import jsonschema
import pytest

from claudexia.app import create_app
from claudexia.settings import Settings
from tests.helpers.serving import (
    KEY,
    WHOLE_JSON,
    Reply,
    Upstream,
    error_body,
    gateway,
    message_body,
    sse,
    text_events,
)

PATHS = ["/docs", "/redoc", "/openapi.json"]
LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "f"}
ENVIRONMENTS: list[tuple[Mapping[str, str], bool]] = [
    ({}, True),
    ({"SERVE_DOCS": "off"}, False),
    ({"SERVE_DOCS": "on"}, True),
    (LAMBDA, False),
    ({**LAMBDA, "SERVE_DOCS": "on"}, True),
    ({**LAMBDA, "SERVE_DOCS": "off"}, False),
]


def test_the_deployed_app_describes_the_same() -> None:
    """Its models for the description are built by the request for it."""
    script = "import json, sys; from claudexia.main import app; json.dump(app.openapi(), sys.stdout)"
    environ = {**os.environ, "SERVE_DOCS": "on"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)
    assert json.loads(done.stdout) == create_app(Settings()).openapi()


def get(app: Any, path: str) -> httpx.Response:
    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            return await client.get(path)

    return asyncio.run(main())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("environ", "served"), ENVIRONMENTS, ids=[str(environ) for environ, _ in ENVIRONMENTS])
def test_docs_are_served_or_not(environ: Mapping[str, str], served: bool, path: str) -> None:
    response = get(create_app(Settings.from_env(environ)), path)
    if served:
        assert response.status_code == 200
        return
    assert response.status_code == 404
    assert response.json() == {
        "error": {
            "message": f"Invalid URL (GET {path}).",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    document: dict[str, Any] = get(create_app(Settings()), "/openapi.json").json()
    return document


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        discriminator = node.get("discriminator")
        if isinstance(discriminator, dict):
            yield from discriminator.get("mapping", {}).values()
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_has_its_target(description: dict[str, Any]) -> None:
    targets = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert set(references(description)) <= targets


def test_every_schema_is_a_json_schema(description: dict[str, Any]) -> None:
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def schema_at(description: dict[str, Any], *steps: str) -> dict[str, Any]:
    """The schema at a place of the description, with the components that it refers to."""
    node: Any = description
    for step in steps:
        node = node[step]
    return {**node, "components": description["components"]}


JSON = ("content", "application/json", "schema")
MESSAGES = [{"role": "user", "content": "Hi"}]
REQUESTS: dict[str, tuple[str, Any, bool]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}, True),
    "chat with a tool": (
        "/v1/chat/completions",
        {"model": "m", "messages": MESSAGES, "tools": [{"type": "function", "function": {"name": "f"}}]},
        True,
    ),
    "chat without messages": ("/v1/chat/completions", {"model": "m"}, False),
    "chat with a wrong type": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES, "n": "1"}, False),
    "message": ("/v1/messages", {"model": "m", "messages": MESSAGES, "max_tokens": 9, "new": 1}, True),
    "message without max_tokens": ("/v1/messages", {"model": "m", "messages": MESSAGES}, False),
    "tokens": ("/v1/messages/count_tokens", {"model": "m", "messages": MESSAGES}, True),
    "text": ("/v1/completions", {"model": "m", "prompt": "Hi"}, True),
    "text in an array": ("/v1/completions", {"model": "m", "prompt": ["Hi"], "max_tokens": 3}, True),
    "text without a prompt": ("/v1/completions", {"model": "m"}, False),
    "text with an empty prompt": ("/v1/completions", {"model": "m", "prompt": " "}, False),
    "response": ("/v1/responses", {"model": "m", "input": "Hi"}, True),
    "response to items": (
        "/v1/responses",
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]},
        True,
    ),
    "response without input": ("/v1/responses", {"model": "m"}, False),
    "response to an item without a role": (
        "/v1/responses",
        {"model": "m", "input": [{"content": "Hi"}]},
        False,
    ),
    "text with two prompts": ("/v1/completions", {"model": "m", "prompt": ["a", "b"]}, False),
}


@pytest.mark.parametrize(("path", "body", "valid"), REQUESTS.values(), ids=REQUESTS)
def test_request_bodies(description: dict[str, Any], path: str, body: Any, valid: bool) -> None:
    schema = schema_at(description, "paths", path, "post", "requestBody", *JSON)
    assert jsonschema.Draft202012Validator(schema).is_valid(body) == valid


def test_security_schemes(description: dict[str, Any]) -> None:
    assert description["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    assert {"bearer": []} in description["security"]
    assert description["paths"]["/v1/health"]["get"]["security"] == []


CHAT = {"model": "claude-haiku-4-5", "messages": MESSAGES}
TEXT = {"model": "claude-haiku-4-5", "prompt": "Hi"}
RESPONSE = {"model": "claude-haiku-4-5", "input": "Hi"}
MESSAGE = {**CHAT, "max_tokens": 9}
WHOLE = Reply([message_body()], headers=WHOLE_JSON)
COUNTED = Reply([b'{"input_tokens": 3}'], headers=WHOLE_JSON)
GOOD = Reply([sse(*text_events())])
BUSY = Reply([error_body("rate_limit_error", "Busy")], 429)
DOWN = Reply([error_body("overloaded_error", "Busy")], 529)
ANSWERS: dict[str, tuple[Reply, str, str, Any, int]] = {
    "chat": (GOOD, "post", "/v1/chat/completions", CHAT, 200),
    "text": (GOOD, "post", "/v1/completions", TEXT, 200),
    "response": (GOOD, "post", "/v1/responses", RESPONSE, 200),
    "response, invalid": (GOOD, "post", "/v1/responses", {}, 400),
    "response, 429": (BUSY, "post", "/v1/responses", RESPONSE, 429),
    "no response": (GOOD, "get", "/v1/responses/{response_id}", "resp_1", 404),
    "no response to delete": (GOOD, "delete", "/v1/responses/{response_id}", "resp_1", 404),
    "no response to list": (GOOD, "get", "/v1/responses/{response_id}/input_items", "resp_1", 404),
    "no response to cancel": (GOOD, "post", "/v1/responses/{response_id}/cancel", "resp_1", 404),
    "chat, invalid": (GOOD, "post", "/v1/chat/completions", {}, 400),
    "text, invalid": (GOOD, "post", "/v1/completions", {}, 400),
    "chat, no model": (GOOD, "post", "/v1/chat/completions", {**CHAT, "model": "m"}, 404),
    "chat, 429": (BUSY, "post", "/v1/chat/completions", CHAT, 429),
    "text, 503": (DOWN, "post", "/v1/completions", TEXT, 503),
    "models": (GOOD, "get", "/v1/models", None, 200),
    "model": (GOOD, "get", "/v1/models/{model}", "claude-haiku-4-5", 200),
    "no model": (GOOD, "get", "/v1/models/{model}", "m", 404),
    "message": (WHOLE, "post", "/v1/messages", MESSAGE, 200),
    "message, invalid": (WHOLE, "post", "/v1/messages", {}, 400),
    "message, 429": (BUSY, "post", "/v1/messages", MESSAGE, 429),
    "message, 529": (DOWN, "post", "/v1/messages", MESSAGE, 529),
    "tokens": (COUNTED, "post", "/v1/messages/count_tokens", MESSAGE, 200),
    "tokens, no model": (COUNTED, "post", "/v1/messages/count_tokens", {**MESSAGE, "model": "m"}, 404),
    "health": (GOOD, "get", "/v1/health", None, 200),
}


@pytest.mark.parametrize(("reply", "method", "path", "value", "status"), ANSWERS.values(), ids=ANSWERS)
def test_responses_are_as_described(
    description: dict[str, Any], reply: Reply, method: str, path: str, value: Any, status: int
) -> None:
    with gateway(Upstream(reply)) as url:
        real = path.removeprefix("/v1").replace("{model}", str(value)).replace("{response_id}", str(value))
        response = httpx.request(
            method,
            f"{url}{real}",
            json=value if method == "post" else None,
            headers={"authorization": f"Bearer {KEY}"},
        )
    assert response.status_code == status
    described = description["paths"][path][method]["responses"][str(status)]
    assert set(described["headers"]) - {"x-claudexia-warnings"} <= set(response.headers)
    schema = schema_at({**description, "response": described}, "response", *JSON)
    jsonschema.Draft202012Validator(schema).validate(response.json())


@pytest.mark.parametrize(
    ("path", "body", "chunk"),
    [
        ("/v1/chat/completions", CHAT, "ChatCompletionChunk"),
        ("/v1/completions", TEXT, "TextCompletionChunk"),
    ],
)
def test_chunks_are_as_described(description: dict[str, Any], path: str, body: Any, chunk: str) -> None:
    with gateway(Upstream(GOOD)) as url:
        streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
        auth = {"authorization": f"Bearer {KEY}"}
        response = httpx.post(f"{url}{path.removeprefix('/v1')}", json=streamed, headers=auth)
    assert "text/event-stream" in description["paths"][path]["post"]["responses"]["200"]["content"]
    schema = schema_at(description, "components", "schemas", chunk)
    *frames, done = [line for line in response.text.split("\n\n") if line.startswith("data: ")]
    assert done == "data: [DONE]"
    assert len(frames) > 2
    for frame in frames:
        jsonschema.Draft202012Validator(schema).validate(httpx.Response(200, text=frame[6:]).json())
