"""The request log, read from the output of a gateway process."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from claudexia.observability.record import field_names
from tests.helpers.gateway_process import gateway_process
from tests.helpers.request_records import run_requests
from tests.helpers.serving import KEY, Reply, Upstream, error_body, sse, text_events
from tests.helpers.waiting import PATIENCE

BODY: dict[str, Any] = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi"}]}
AUTH = {"authorization": f"Bearer {KEY}"}
TRACE = "1-67891233-abcdef012345678912345678"
POWERTOOLS = {"level", "location", "message", "timestamp", "service"}
RECORD_FIELDS = {
    "request_id", "upstream_request_id", "correlation_id", "trace_id", "key", "key_id", "model", "api", "endpoint", "streamed",
    "choices", "status", "outcome", "error_type", "error_code", "input_tokens", "cached_tokens", "cache_write_tokens",
    "output_tokens", "thinking_tokens", "cost_micros", "first_token_ms", "duration_ms", "warnings", "cold_start", "limited",
    "upstream", "failed_upstreams",
}  # fmt: skip
OPTIONAL_FIELDS = {
    "upstream_request_id", "correlation_id", "trace_id", "key", "key_id", "model", "error_type", "error_code", "cost_micros",
    "first_token_ms", "limited", "upstream",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_trace_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Powertools logs the trace id in the environment, which other tests may have set."""
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)


def test_a_request_is_one_log_line() -> None:
    headers = {**AUTH, "x-correlation-id": "batch-7", "x-amzn-trace-id": f"Root={TRACE};Sampled=1"}
    with gateway_process(Upstream(), POWERTOOLS_SERVICE_NAME="team-gateway") as process:
        httpx.post(
            f"{process.url}/chat/completions", json=BODY, headers=headers, timeout=PATIENCE
        ).raise_for_status()
    (line,) = process.requests
    assert line.keys() <= POWERTOOLS | RECORD_FIELDS
    assert line["request_id"].startswith("req_")
    assert line["duration_ms"] > 0
    known = {
        "level": "INFO", "service": "team-gateway", "upstream_request_id": "req_upstream", "correlation_id": "batch-7",
        "trace_id": TRACE, "api": "chat", "endpoint": "/chat/completions", "status": 200, "outcome": "ok", "cold_start": True,
        "upstream": "anthropic", "failed_upstreams": [],
    }  # fmt: skip
    assert known.items() <= line.items()
    assert process.stderr == ""


REQUESTS = [
    ("health", "GET", "/health", None, Reply(), ("INFO", 200, "ok", None, None, "/health")),
    ("no route", "GET", "/nothing", None, Reply(), ("WARNING", 404, "refused", "invalid_request_error", None, None)),
    ("method", "DELETE", "/models", None, Reply(), ("WARNING", 405, "refused", "invalid_request_error", "method_not_allowed", "/models")),
    ("path", "GET", "/models/private", None, Reply(), ("WARNING", 404, "refused", "invalid_request_error", "model_not_found", "/models/{model:path}")),
    ("bad body", "POST", "/chat/completions", {}, Reply(), ("WARNING", 400, "refused", "invalid_request_error", "missing_required_parameter", "/chat/completions")),
    ("upstream 429", "POST", "/chat/completions", BODY, Reply([error_body("rate_limit_error", "slow")], 429), ("WARNING", 429, "error", "rate_limit_error", "rate_limit_exceeded", "/chat/completions")),
    ("upstream 529", "POST", "/chat/completions", BODY, Reply([error_body("overloaded_error", "busy")], 529), ("ERROR", 503, "error", "service_unavailable_error", "server_is_overloaded", "/chat/completions")),
    ("malformed response", "POST", "/chat/completions", BODY, Reply([b"data: {}\n\n"]), ("ERROR", 502, "error", "server_error", None, "/chat/completions")),
]  # fmt: skip


def test_every_request_has_one_log_line_with_its_outcome() -> None:
    upstream = Upstream(*(row[4] for row in REQUESTS if row[3] is BODY))
    with gateway_process(upstream) as process:
        for _, method, path, body, _, _ in REQUESTS:
            httpx.request(method, f"{process.url}{path}", json=body, headers=AUTH, timeout=PATIENCE)
    shown = ("level", "status", "outcome", "error_type", "error_code", "endpoint")
    lines = [tuple(line.get(key) for key in shown) for line in process.requests]
    expected = {row[0]: row[5] for row in REQUESTS}
    assert dict(zip(expected, lines, strict=True)) == expected


def test_an_internal_error_is_logged() -> None:
    with gateway_process(Upstream(), TRANSPORT="quoting") as process:
        assert (
            httpx.post(f"{process.url}/chat/completions", json=BODY, headers=AUTH, timeout=PATIENCE).status_code
            == 500
        )
    (line,) = process.requests
    assert (line["level"], line["status"], line["outcome"]) == ("ERROR", 500, "error")
    (exception_line,) = (line for line in process.lines if line.get("message") == "unhandled exception")
    assert exception_line["exception_type"] == "RuntimeError"


def test_a_disconnect_is_logged_as_abandoned() -> None:
    upstream = Upstream(Reply([sse(*text_events()[:4])], then="hang"))
    with gateway_process(upstream) as process:
        address = urlsplit(process.url)
        body = json.dumps({**BODY, "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
            connection.sendall(head.encode() + body)
            assert connection.recv(100)
        assert upstream.disconnected.wait(PATIENCE)
    (line,) = process.requests
    assert (line["level"], line["status"], line["outcome"]) == ("INFO", 200, "abandoned")


CORRELATION_HEADERS: list[tuple[str, dict[str, str], str | None]] = [
    ("none", {}, None),
    ("its own header", {"x-correlation-id": "A-b_c.9"}, "A-b_c.9"),
    ("a request id", {"x-request-id": "trace-1"}, "trace-1"),
    ("both", {"x-correlation-id": "one", "x-request-id": "two"}, "one"),
    ("an invalid one and a request id", {"x-correlation-id": "a b", "x-request-id": "two"}, "two"),
    ("the longest", {"x-correlation-id": "a" * 128}, "a" * 128),
    ("too long", {"x-correlation-id": "a" * 129}, None),
    ("empty", {"x-correlation-id": ""}, None),
    ("no id", {"x-correlation-id": 'x","level":"'}, None),
]


def test_a_correlation_id_is_returned_and_logged() -> None:
    responses = {}
    with gateway_process(Upstream()) as process:
        for name, headers, _ in CORRELATION_HEADERS:
            responses[name] = httpx.get(f"{process.url}/health", headers=headers, timeout=PATIENCE)
    expected = {name: correlation_id for name, _, correlation_id in CORRELATION_HEADERS}
    lines = dict(zip(expected, process.requests, strict=True))
    assert {name: response.headers.get("x-correlation-id") for name, response in responses.items()} == expected
    assert {name: line.get("correlation_id") for name, line in lines.items()} == expected
    for name, response in responses.items():
        assert response.headers["x-request-id"] == lines[name]["request_id"]


def test_only_a_valid_trace_id_is_logged() -> None:
    with gateway_process(Upstream()) as process:
        for trace in (f"Self=1-a;Root={TRACE}", "Root=private"):
            httpx.get(f"{process.url}/health", headers={"x-amzn-trace-id": trace}, timeout=PATIENCE)
    assert [line.get("trace_id") for line in process.requests] == [TRACE, None]


LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "gateway"}


@pytest.mark.parametrize(
    ("env", "requests", "metrics"),
    [
        pytest.param(LAMBDA, True, True, id="lambda"),
        pytest.param({**LAMBDA, "CLAUDEXIA_METRICS": "off"}, True, False, id="metrics-off"),
        pytest.param({**LAMBDA, "POWERTOOLS_LOG_LEVEL": "ERROR"}, False, True, id="errors-only"),
        pytest.param({}, False, False, id="own-machine"),
        pytest.param({"CLAUDEXIA_METRICS": "on"}, False, True, id="own-machine-metrics"),
        pytest.param({"POWERTOOLS_LOG_LEVEL": "INFO"}, True, False, id="own-machine-requests"),
    ],
)
def test_settings_select_log_lines_and_metrics(env: dict[str, str], requests: bool, metrics: bool) -> None:
    lines = run_requests([{}], **env)
    assert any(line.get("message") == "request" for line in lines) is requests
    assert any("_aws" in line for line in lines) is metrics


ALL_FIELDS = {
    "upstream_request_id": "req_up", "correlation_id": "c", "trace_id": TRACE, "key": "ana", "key_id": "k1",
    "model": "claude-opus-5-5", "streamed": True, "choices": 2, "status": 429, "outcome": "error",
    "error_type": "rate_limit_error", "error_code": "rate_limit_exceeded", "input_tokens": 7, "cached_tokens": 5,
    "cache_write_tokens": 4, "output_tokens": 3, "thinking_tokens": 2, "cost_micros": 2_500_000, "first_token_ms": 120,
    "warnings": ["seed"], "limited": "requests_per_minute", "upstream": "aws", "failed_upstreams": ["bedrock failed"],
}  # fmt: skip


def test_a_log_line_has_these_keys_only() -> None:
    """Fields without a value are left out."""
    (full_line,) = run_requests([ALL_FIELDS], **LAMBDA, CLAUDEXIA_METRICS="off")
    (shortest_line,) = run_requests([{}], **LAMBDA, CLAUDEXIA_METRICS="off")
    assert full_line.keys() == POWERTOOLS | RECORD_FIELDS
    assert ALL_FIELDS.items() <= full_line.items()
    assert shortest_line.keys() == POWERTOOLS | RECORD_FIELDS - OPTIONAL_FIELDS


@pytest.mark.parametrize(
    ("status", "outcome", "level"),
    [
        (200, "ok", "INFO"),
        (200, "abandoned", "INFO"),
        (200, "error", "ERROR"),
        (200, "deadline", "ERROR"),
        (400, "refused", "WARNING"),
        (429, "refused", "WARNING"),
        (429, "error", "WARNING"),
        (503, "error", "ERROR"),
        (504, "deadline", "ERROR"),
    ],
)
def test_level_follows_status_and_outcome(status: int, outcome: str, level: str) -> None:
    (line,) = run_requests([{"status": status, "outcome": outcome}], **LAMBDA, CLAUDEXIA_METRICS="off")
    assert (line["level"], line["outcome"]) == (level, outcome)


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ([], []),
        (["seed", "stop"], ["seed", "stop"]),
        (["tools[0].function.name", "tools[1]", "metadata.private"], ["tools", "metadata"]),
        (["private", "private[0]", ""], ["unknown"]),
    ],
)
def test_warnings_are_logged_by_top_level_field_name(params: list[str], names: list[str]) -> None:
    assert field_names(params) == names
