"""Secrets that are sent through every path are in nothing that the gateway writes: real sockets, a real process."""

import base64
import json
import socket
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.helpers.apis import Api
from tests.helpers.gateway_process import GatewayProcess, environment, gateway_process
from tests.helpers.serving import KEY, Reply, Upstream, error_body, sse, start, text_events, tool_events
from tests.helpers.waiting import PATIENCE

# Does not occur in the gateway's own texts.
MARK = "zq7marked"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + MARK.encode()).decode()


def secret(what: str) -> str:
    return f"{MARK}-{what}"


TOOL = {
    "type": "function",
    "function": {
        "name": secret("tool-name"),
        "description": secret("tool-description"),
        "parameters": {
            "type": "object",
            "properties": {secret("property"): {"type": "string", "description": secret("schema")}},
        },
    },
}
CALL = {
    "id": secret("call-id"),
    "type": "function",
    "function": {
        "name": secret("tool-name"),
        "arguments": json.dumps({secret("property"): secret("arguments")}),
    },
}
BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "messages": [
        {"role": "system", "content": secret("system")},
        {"role": "user", "name": secret("name"), "content": secret("earlier")},
        {"role": "assistant", "content": secret("assistant"), "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": secret("call-id"), "content": secret("tool-result")},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": secret("prompt")},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
    ],
    "tools": [TOOL],
    "metadata": {secret("metadata-key"): secret("metadata-value")},
    "user": secret("user"),
    "safety_identifier": secret("safety"),
    "stop": [secret("stop")],
    secret("unknown-field"): secret("unknown-value"),
}
MESSAGE_BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 50,
    "system": secret("system"),
    "messages": [{"role": "user", "content": secret("prompt")}],
    "tools": [
        {"name": secret("tool-name"), "input_schema": {"type": "object", secret("schema"): secret("schema")}}
    ],
    "metadata": {"user_id": secret("user")},
    secret("unknown-field"): secret("unknown-value"),
}
RESPONSE_BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "instructions": secret("system"),
    "input": [
        {"role": "user", "content": secret("earlier")},
        {"type": "reasoning", "summary": [], "encrypted_content": secret("reasoning")},
        {"role": "assistant", "content": secret("assistant")},
        {"type": "function_call", "call_id": secret("call-id"), "name": secret("tool-name"), "arguments": MARK},
        {"type": "function_call_output", "call_id": secret("call-id"), "output": secret("tool-result")},
        {"role": "user", "content": [{"type": "input_text", "text": secret("prompt"), secret("key"): MARK}]},
    ],
    "tools": [{"type": "function", "name": secret("tool-name"), "parameters": {"type": "object"}}],
    "metadata": {secret("metadata-key"): secret("metadata-value")},
    "user": secret("user"),
    secret("unknown-field"): secret("unknown-value"),
}
each_api = pytest.mark.parametrize(
    "api",
    [Api("/chat/completions", BODY), Api("/messages", MESSAGE_BODY), Api("/responses", RESPONSE_BODY)],
    ids=["chat", "messages", "responses"],
)
HEADERS = {
    "authorization": f"Bearer {KEY}",
    "cookie": secret("cookie"),
    "user-agent": secret("agent"),
    "x-custom": secret("header"),
    "x-correlation-id": f"{secret('correlation')} is no id",
    "x-amzn-trace-id": f"Root={secret('trace')}",
    "openai-organization": secret("organization"),
}
FILE = {"type": "file", "file": {"filename": secret("file-name"), "file_data": secret("file-data")}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": secret("schema-type")}}}
WRONG_KEYS = [
    {"authorization": f"Bearer sk_cdx_{MARK}"},
    {"authorization": f"Basic {MARK}"},
    {"api-key": f"sk-{MARK}"},
    {"x-api-key": f"sk-{MARK}"},
]
# Each body is BODY with these fields, or, as bytes, itself.
BAD: list[tuple[str, Any]] = [
    ("no json", f'{{"{MARK}'.encode()),
    ("no utf-8", f'{{"{MARK}": "\xff"}}'.encode("latin-1")),
    ("a model", {"model": secret("model")}),
    ("a type", {"temperature": secret("temperature")}),
    ("a role", {"messages": [{"role": secret("role"), "content": "x"}]}),
    ("a part", {"messages": [{"role": "user", "content": [{"type": secret("part"), "text": "x"}]}]}),
    ("a file", {"messages": [{"role": "user", "content": [FILE]}]}),
    ("arguments", {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "a", "arguments": MARK}}]}]}),
    ("a result without a call", {"messages": [{"role": "tool", "tool_call_id": MARK, "content": MARK}]}),
    ("an image", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"ftp://{MARK}"}}]}]}),
    ("a choice", {"tool_choice": {"type": "function", "function": {"name": secret("nobody")}}}),
    ("a schema", {"response_format": SCHEMA}),
]  # fmt: skip
REPLIES = [
    ("an answer", Reply([sse(*text_events(f"{MARK} completion"))], headers={"request-id": f"{MARK} is no id"})),
    ("a tool call", Reply([sse(*tool_events((secret("tool-name"), json.dumps({"a": MARK}))))])),
    ("a refusal", Reply([error_body("invalid_request_error", f"messages.0: {MARK}")], 400)),
    ("a 401", Reply([error_body("authentication_error", MARK)], 401)),
    ("a 429", Reply([error_body("rate_limit_error", MARK)], 429)),
    ("a 500", Reply([error_body("api_error", MARK)], 500)),
    ("a type of its own", Reply([error_body(secret("error"), MARK)], 418)),
    ("a page", Reply([f"<html>{MARK}</html>".encode()], 502)),
    ("an error first", Reply([sse({"type": "error", "error": {"type": secret("error"), "message": MARK}})])),
    ("an error in the middle", Reply([sse(*text_events(MARK)[:4], {"type": "error", "error": {"type": "overloaded_error", "message": MARK}})])),
    ("a break", Reply([sse(*text_events(MARK)[:4])], then="break")),
    ("no json", Reply([f"data: {MARK}\n\n".encode()])),
    ("no json in the middle", Reply([sse(*text_events(MARK)[:4]), f"data: {MARK}\n\n".encode()])),
    ("no event", Reply([sse({"type": secret("event")})])),
    ("no list", Reply([b"data: [1]\n\n"])),
    ("a start without a message", Reply([sse({"type": "message_start", "message": MARK})])),
    ("no usage", Reply([sse({"type": "message_start", "message": {**start(), "usage": MARK}}, *text_events(MARK)[1:])])),
    ("an unknown block", Reply([sse({"type": "message_start", "message": start()}, {"type": "content_block_start", "index": MARK, "content_block": {"type": MARK}})])),
    ("a delta of nothing", Reply([sse({"type": "message_start", "message": start()}, {"type": "content_block_delta", "index": 9, "delta": {"type": MARK, "text": {MARK: MARK}}})])),
    ("a stop that nobody knows", Reply([sse(*text_events(MARK, stop_reason=MARK))])),
]  # fmt: skip


def assert_no_secret_written(process: GatewayProcess, requests: int) -> None:
    written = process.stdout + process.stderr
    for value in (MARK, PNG[16:24], "sk_cdx_", "sk-ant-"):
        assert value not in written
    assert len(process.requests) == requests  # so the log was written at all
    assert process.lines
    assert process.stderr == ""


@pytest.fixture(params=["INFO", "DEBUG"])
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@each_api
def test_upstream_responses(level: str, api: Api) -> None:
    replies = [reply for _, reply in REPLIES for _ in range(2)]
    upstream = Upstream(*replies, Reply())
    with (
        gateway_process(upstream, POWERTOOLS_LOG_LEVEL=level) as process,
        httpx.Client(headers=HEADERS, timeout=PATIENCE) as client,
    ):
        for number in range(len(replies)):
            client.post(process.url + api.path, json={**api.body, "stream": bool(number % 2)})
    assert_no_secret_written(process, len(replies))
    assert json.dumps(upstream.bodies).count(secret("prompt")) == len(replies)


def test_client_requests(level: str) -> None:
    without_key = {name: value for name, value in HEADERS.items() if name != "authorization"}
    with gateway_process(Upstream(), POWERTOOLS_LOG_LEVEL=level) as process:
        url = f"{process.url}/chat/completions"
        for _, body in BAD:
            content = body if isinstance(body, bytes) else json.dumps({**BODY, **body}).encode()
            httpx.post(url, content=content, headers=HEADERS, timeout=PATIENCE)
        strict = {**HEADERS, "x-claudexia-strict": "true"}
        assert httpx.post(url, json=BODY, headers=strict, timeout=PATIENCE).status_code == 400
        for headers in WRONG_KEYS:
            assert (
                httpx.post(url, json=BODY, headers={**without_key, **headers}, timeout=PATIENCE).status_code
                == 401
            )
        for path in (f"/{MARK}", f"/models/{MARK}", f"/chat/completions?{MARK}={MARK}"):
            assert httpx.get(f"{process.url}{path}", headers=HEADERS, timeout=PATIENCE).status_code in (
                404,
                405,
            )
    assert_no_secret_written(process, len(BAD) + len(WRONG_KEYS) + 4)


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@each_api
def test_an_internal_error_that_quotes_the_request(level: str, stream: bool, api: Api) -> None:
    with gateway_process(Upstream(), TRANSPORT="quoting", POWERTOOLS_LOG_LEVEL=level) as process:
        response = httpx.post(
            process.url + api.path,
            json={**api.body, "stream": stream},
            headers=HEADERS,
            timeout=PATIENCE,
        )
        assert response.status_code == 500
    assert_no_secret_written(process, 1)
    assert [line["frames"] for line in process.lines if line.get("message") == "unhandled exception"]


@pytest.mark.parametrize("pieces", [[], [sse(*text_events(MARK)[:4])]], ids=["silent", "half"])
@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@each_api
def test_a_deadline(stream: bool, pieces: list[bytes], api: Api) -> None:
    with gateway_process(Upstream(Reply(pieces, then="hang"))) as process:
        headers = {**HEADERS, "x-test-seconds": "0.3"}
        response = httpx.post(
            process.url + api.path,
            json={**api.body, "stream": stream},
            headers=headers,
            timeout=PATIENCE,
        )
        assert "time limit" in response.text
    assert_no_secret_written(process, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@each_api
def test_a_disconnect(stream: bool, api: Api) -> None:
    upstream = Upstream(Reply([sse(*text_events(MARK)[:4])], then="hang"))
    with gateway_process(upstream) as process:
        address = urlsplit(process.url)
        body = json.dumps({**api.body, "stream": stream}).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        head = f"POST /v1{api.path} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(body)}\r\n\r\n"
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
            connection.sendall(head.encode() + body)
            assert upstream.requested.wait(PATIENCE)
        assert upstream.disconnected.wait(PATIENCE)
    assert_no_secret_written(process, 1)


def test_a_truncated_request_body() -> None:
    with gateway_process(Upstream()) as process:
        address = urlsplit(process.url)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 1000\r\n\r\n{MARK}"
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
            connection.sendall(head.encode())
        assert httpx.get(f"{process.url}/health", timeout=PATIENCE).status_code == 200
    assert_no_secret_written(process, 2)


SCRIPT_WITH_EXCEPTIONS = f"""
import asyncio, logging
from claudexia.observability.log import log_as_json
log_as_json()

async def fails():
    raise RuntimeError("{MARK}")

async def main():
    asyncio.create_task(fails(), name="{MARK}")
    await asyncio.sleep(0.01)

asyncio.run(main())
try:
    raise ValueError("{MARK}")
except ValueError:
    logging.getLogger("a.library").exception("it failed")
"""


def test_exceptions_logged_by_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT_WITH_EXCEPTIONS],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert done.stderr == ""
    assert MARK not in done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["message"], line["exception_type"]) for line in lines] == [
        ("Task exception was never retrieved", "RuntimeError"),
        ("it failed", "ValueError"),
    ]
    assert all(line["frames"] for line in lines)
