"""The upstream's errors as APIErrors.

Source: https://platform.claude.com/docs/en/api/errors. Anthropic recommends branching on `error.type` and
`error.details.error_code`; the message's wording decides only where a cause has neither.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic_core import from_json, to_json

from claudexia.errors import (
    ANTHROPIC_TYPES,
    NO_RETRY,
    APIError,
    OriginalError,
    model_not_found,
    shorten,
    upstream_error,
)


class _Failure(NamedTuple):
    """How clients see one kind of upstream error. `message` replaces the upstream's own."""

    status: int
    type: str
    code: str | None = None
    message: str = ""
    retry: bool = True


_INVALID = _Failure(400, "invalid_request_error")
_QUOTA = _Failure(429, "insufficient_quota", "insufficient_quota", retry=False)
_CONTEXT = _Failure(400, "invalid_request_error", "context_length_exceeded")
_SERVER = _Failure(500, "server_error")
# The upstream refused the gateway's own credential, not the caller's key.
_CREDENTIAL = _Failure(
    502,
    "server_error",
    "upstream_credential_refused",
    "The upstream refused the gateway's own Anthropic credential. Your API key is valid; "
    "the gateway's operator has to fix this.",
    retry=False,
)

# https://platform.claude.com/docs/en/api/errors#http-errors
_BY_TYPE = {
    "invalid_request_error": _INVALID,
    "authentication_error": _CREDENTIAL,
    "billing_error": _QUOTA,
    "permission_error": _CREDENTIAL,
    "not_found_error": _Failure(404, "invalid_request_error", "model_not_found"),
    "conflict_error": _Failure(409, "invalid_request_error"),
    "request_too_large": _Failure(413, "invalid_request_error", "request_too_large"),
    "rate_limit_error": _Failure(429, "rate_limit_error", "rate_limit_exceeded"),
    "api_error": _SERVER,
    "timeout_error": _Failure(504, "server_error", "timeout"),
    "overloaded_error": _Failure(503, "service_unavailable_error", "server_is_overloaded"),
}
_BY_STATUS = {
    401: _CREDENTIAL,
    402: _QUOTA,
    403: _CREDENTIAL,
    404: _Failure(502, "server_error", message="The upstream has no Messages API at its configured address."),
    408: _BY_TYPE["timeout_error"],
    409: _BY_TYPE["conflict_error"],
    413: _BY_TYPE["request_too_large"],
    429: _BY_TYPE["rate_limit_error"],
    503: _Failure(503, "service_unavailable_error"),
    504: _BY_TYPE["timeout_error"],
    529: _BY_TYPE["overloaded_error"],
}
_STATUS_OF = {kind: status for status, kind in ANTHROPIC_TYPES.items()} | {"invalid_request_error": 400}
# Characters. The upstream's messages may quote the request.
_MAX_MESSAGE = 2000
_SPEND_LIMIT_CODES = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
_SPEND_LIMIT_TEXT = re.compile(r"specified API usage limits|credit balance is too low", re.IGNORECASE)
_TOO_LONG_TEXT = re.compile(r"prompt is too long|exceeds? (the )?context (window|limit)", re.IGNORECASE)


def error_from_status(status: int, body: bytes, model: str, headers: Mapping[str, str]) -> APIError:
    """The error for a response with `status` and `body`.

    `headers` go to the client, `model` is the requested one.
    """
    if status < 400:  # a redirect, or success without a stream
        return upstream_error(f"The upstream answered with status {status}.")
    error = _error_object(body)
    api_error = _api_error(
        _classify(error, status), error, model, headers, f"The upstream answered with status {status}."
    )
    return _with_original(api_error, error, OriginalError(status, body))


def error_from_event(event: Mapping[str, object], model: str, headers: Mapping[str, str]) -> APIError:
    """The error for an `error` event. The HTTP status was 200, so the error's type decides."""
    error = _mapping(event.get("error"))
    api_error = _api_error(
        _classify(error, 500), error, model, headers, "The upstream failed in the middle of its answer."
    )
    original = OriginalError(_STATUS_OF.get(str(error.get("type")), 500), to_json(event))
    return _with_original(api_error, error, original)


def _with_original(api_error: APIError, error: Mapping[str, object], original: OriginalError) -> APIError:
    """`api_error` with `original`, unless that has another envelope or concerns the gateway itself."""
    if isinstance(error.get("type"), str) and api_error.code != _CREDENTIAL.code:
        api_error.original = original
    return api_error


def _classify(error: Mapping[str, object], status: int) -> _Failure:
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    code = _mapping(error.get("details")).get("error_code")
    if code in _SPEND_LIMIT_CODES or (status in (400, 403, 429, 500) and _SPEND_LIMIT_TEXT.search(message)):
        return _QUOTA
    if kind == "invalid_request_error":
        if _TOO_LONG_TEXT.search(message):
            return _CONTEXT
        # Some proxies use this type for every failure; their status is then more specific.
        return _BY_STATUS.get(status, _INVALID)
    known = _BY_TYPE.get(kind) or _BY_STATUS.get(status)
    return known or (_INVALID if 400 <= status < 500 else _SERVER)


def _api_error(
    failure: _Failure, error: Mapping[str, object], model: str, headers: Mapping[str, str], fallback: str
) -> APIError:
    if failure.code == "model_not_found":
        not_found = model_not_found(model)
        not_found.headers = headers
        return not_found
    return APIError(
        failure.status,
        failure.message or shorten(error.get("message") or fallback, _MAX_MESSAGE),
        type=failure.type,
        param="messages" if failure is _CONTEXT else None,
        code=failure.code,
        headers=dict(headers) if failure.retry else {**headers, **NO_RETRY},
    )


def _error_object(body: bytes) -> Mapping[str, object]:
    try:
        return _mapping(_mapping(from_json(body)).get("error"))
    except ValueError:  # a load balancer's page
        return {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
