"""Upstream errors mapped to OpenAI's errors, from recordings and from the documented table."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.upstream.errors import HostError, error_from_event, error_from_status
from claudexia.upstream.headers import relayed_headers, retry_headers
from tests.helpers import recordings

NO_RETRY = {"x-should-retry": "false"}


def body(kind: str, message: str = "m", error_code: str | None = None) -> bytes:
    details = {"error_code": error_code} if error_code else None
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message, "details": details}}
    ).encode()


CASES = [
    (400, "invalid_request_error", "m", 400, "invalid_request_error", None, {}),
    (401, "authentication_error", "m", 502, "server_error", "upstream_credential_refused", NO_RETRY),
    (402, "billing_error", "m", 429, "insufficient_quota", "insufficient_quota", NO_RETRY),
    (403, "permission_error", "m", 502, "server_error", "upstream_credential_refused", NO_RETRY),
    (404, "not_found_error", "m", 404, "invalid_request_error", "model_not_found", {}),
    (409, "conflict_error", "m", 409, "invalid_request_error", None, {}),
    (413, "request_too_large", "m", 413, "invalid_request_error", "request_too_large", {}),
    (429, "rate_limit_error", "m", 429, "rate_limit_error", "rate_limit_exceeded", {}),
    (500, "api_error", "m", 500, "server_error", None, {}),
    (504, "timeout_error", "m", 504, "server_error", "timeout", {}),
    (529, "overloaded_error", "m", 503, "service_unavailable_error", "server_is_overloaded", {}),
    (418, "teapot_error", "m", 400, "invalid_request_error", None, {}),
    (599, "new_error", "m", 500, "server_error", None, {}),
    (429, "invalid_request_error", "m", 429, "rate_limit_error", "rate_limit_exceeded", {}),
    (
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.",
        429,
        "insufficient_quota",
        "insufficient_quota",
        NO_RETRY,
    ),
    (
        400,
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit",
        400,
        "invalid_request_error",
        "context_length_exceeded",
        {},
    ),
]


@pytest.mark.parametrize(("status", "kind", "message", "expected_status", "type_", "code", "headers"), CASES)
def test_table(
    status: int, kind: str, message: str, expected_status: int, type_: str, code: str | None, headers: Any
) -> None:
    from_http = error_from_status(status, body(kind, message), "m-1", {"x-request-id": "r"})
    assert (from_http.status, from_http.type, from_http.code) == (expected_status, type_, code)
    assert from_http.headers == {"x-request-id": "r", **headers}
    assert from_http.body()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected_status", "type_", "code", "headers"), CASES[:11]
)
def test_an_error_event_is_mapped_like_an_error_response(
    status: int, kind: str, message: str, expected_status: int, type_: str, code: str | None, headers: Any
) -> None:
    error = error_from_event(json.loads(body(kind, message)), "m-1", {})
    assert (error.status, error.type, error.code) == (expected_status, type_, code)


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spend_limit_is_insufficient_quota(code: str) -> None:
    error = error_from_status(429, body("rate_limit_error", error_code=code), "m-1", {})
    assert (error.status, error.code, error.headers) == (429, "insufficient_quota", NO_RETRY)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"error": "text"}', b"\xff"])
@pytest.mark.parametrize(
    ("status", "expected_status"), [(400, 400), (404, 502), (429, 429), (500, 500), (502, 500), (503, 503)]
)
def test_error_bodies_from_other_servers(content: bytes, status: int, expected_status: int) -> None:
    error = error_from_status(status, content, "m-1", {})
    assert error.status == expected_status
    assert error.message


@recordings.needs_recordings
@pytest.mark.parametrize("name", recordings.names("errors", ".json"))
def test_recorded(name: str) -> None:
    recorded = json.loads(recordings.read_bytes("errors", name, ".json"))
    error = error_from_status(recorded["status"], recorded["raw_body"].encode(), "claude-x", {})
    expected = {
        400: (400, None),
        401: (502, "upstream_credential_refused"),
        404: (404, "model_not_found"),
        429: (429, "rate_limit_exceeded"),
    }
    assert (error.status, error.code) == expected[recorded["status"]]
    if error.status == 400:
        assert error.message == recorded["body"]["error"]["message"]
    assert isinstance(error, APIError)


AWS_CASES = [
    ("ThrottlingException", 429, "Too many requests", 429, "rate_limit_exceeded", "throttled"),
    ("ServiceQuotaExceededException", 400, "m", 429, "rate_limit_exceeded", "throttled"),
    ("AccessDeniedException", 403, "You don't have access to the model with the specified model ID.", 502,
     "model_access_denied", "no_model"),
    ("AccessDeniedException", 403, "Model access is denied due to IAM user or service role", 502,
     "model_access_denied", "no_model"),
    ("AccessDeniedException", 403, "is not authorized to perform: bedrock:InvokeModel", 502,
     "upstream_credential_refused", "account"),
    ("ExpiredTokenException", 403, "m", 502, "upstream_credential_refused", "account"),
    ("UnrecognizedClientException", 403, "m", 502, "upstream_credential_refused", "account"),
    ("ModelNotReadyException", 429, "m", 503, "server_is_overloaded", "overloaded"),
    ("ServiceUnavailableException", 503, "m", 503, "server_is_overloaded", "overloaded"),
    ("InternalServerException", 500, "m", 500, None, "failed"),
    ("ModelErrorException", 424, "m", 500, None, "failed"),
    ("ModelTimeoutException", 408, "m", 504, "timeout", "failed"),
    ("ResourceNotFoundException", 404, "m", 404, "model_not_found", "no_model"),
    ("ValidationException", 400, "The provided model identifier is invalid.", 404, "model_not_found", "no_model"),
    ("ValidationException", 400, "This model version has reached the end of its life.", 404, "model_not_found",
     "no_model"),
    ("ValidationException", 400, "Retry with the ID or ARN of an inference profile", 502,
     "inference_profile_required", "no_model"),
    ("ValidationException", 400, "Input is too long for requested model.", 400, "context_length_exceeded", None),
    ("ValidationException", 400, "messages.0: all messages must have content", 400, None, None),
    ("SomethingNewException", 418, "m", 400, None, None),
    ("SomethingNewException", 500, "m", 500, None, "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "message", "told", "code", "fault"), AWS_CASES)
@pytest.mark.parametrize("shape", ["header", "__type"])
def test_errors_of_aws(
    shape: str, kind: str, status: int, message: str, told: int, code: str | None, fault: str | None
) -> None:
    content = {"message": message}
    if shape == "__type":
        content["__type"] = f"com.amazon.coral.service#{kind}"
    aws_type = f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/" if shape == "header" else ""
    error = error_from_status(status, json.dumps(content).encode(), "claude-x", {}, aws_type)
    assert (error.status, error.code, getattr(error, "fault", None)) == (told, code, fault)
    if code == "model_access_denied":
        assert "claude-x" in error.message


def test_the_wait_that_a_host_asks_for_is_kept() -> None:
    for headers, wait in (({"retry-after": "7"}, 7.0), ({"retry-after-ms": "250"}, 0.25), ({}, None)):
        error = error_from_status(429, body("rate_limit_error"), "m", headers)
        assert isinstance(error, HostError)
        assert (error.retry_after, error.headers) == (wait, headers)


NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reset", "duration"),
    [
        ("2026-11-22T12:00:00Z", "0ms"),
        ("2026-11-22T11:59:00Z", "0ms"),
        ("2026-11-22T12:00:00.012Z", "12ms"),
        ("2026-11-22T12:00:01Z", "1s"),
        ("2026-11-22T12:06:00Z", "6m0s"),
        ("2026-11-22T14:00:05+01:00", "1h0m5s"),
        ("soon", None),
    ],
)
def test_reset_times_become_durations(reset: str, duration: str | None) -> None:
    headers = relayed_headers({"anthropic-ratelimit-requests-reset": reset}, NOW)
    assert headers.get("x-ratelimit-reset-requests") == duration


def test_only_known_headers_are_relayed() -> None:
    upstream = {
        "request-id": "req_1", "retry-after": "3", "x-should-retry": "true", "set-cookie": "x", "server": "y",
        "anthropic-organization-id": "org", "anthropic-ratelimit-tokens-limit": "10",
        "anthropic-ratelimit-tokens-remaining": "9",
    }  # fmt: skip
    assert retry_headers(upstream) == {"retry-after": "3", "x-should-retry": "true"}
    assert relayed_headers(upstream, NOW) == {
        "x-request-id": "req_1",
        "x-ratelimit-limit-tokens": "10",
        "x-ratelimit-remaining-tokens": "9",
    }
