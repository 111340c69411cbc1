"""."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic_core import from_json

from claudexia.errors import NO_RETRY, APIError, model_not_found


class _Answer(NamedTuple):
    """How one kind of upstream failure is told; `message` replaces one that is not for clients."""

    status: int
    type: str
    code: str | None = None
    message: str = ""
    retry: bool = True


_INVALID = _Answer(400, "invalid_request_error")
_QUOTA = _Answer(429, "insufficient_quota", "insufficient_quota", retry=False)
_CONTEXT = _Answer(400, "invalid_request_error", "context_length_exceeded")
_SERVER = _Answer(500, "server_error")
# The caller's key is fine; it is the gateway's own credential that the upstream refuses.
_CREDENTIAL = _Answer(
    502,
    "server_error",
    "upstream_credential_refused",
    "The gateway's own Anthropic credential was refused by the upstream. Your API key is fine; "
    "the gateway's operator has to fix this.",
    retry=False,
)

# https://platform.claude.com/docs/en/api/errors#http-errors
_BY_TYPE = {
    "invalid_request_error": _INVALID,
    "authentication_error": _CREDENTIAL,
    "billing_error": _QUOTA,
    "permission_error": _CREDENTIAL,
    "not_found_error": _Answer(404, "invalid_request_error", "model_not_found"),
    "conflict_error": _Answer(409, "invalid_request_error"),
    "request_too_large": _Answer(413, "invalid_request_error", "request_too_large"),
    "rate_limit_error": _Answer(429, "rate_limit_error", "rate_limit_exceeded"),
    "api_error": _SERVER,
    "timeout_error": _Answer(504, "server_error", "timeout"),
    "overloaded_error": _Answer(503, "service_unavailable_error", "server_is_overloaded"),
}
_BY_STATUS = {
    401: _CREDENTIAL,
    402: _QUOTA,
    403: _CREDENTIAL,
    404: _Answer(502, "server_error", message="The upstream has no Messages API at its configured address."),
    408: _BY_TYPE["timeout_error"],
    409: _BY_TYPE["conflict_error"],
    413: _BY_TYPE["request_too_large"],
    429: _BY_TYPE["rate_limit_error"],
    503: _Answer(503, "service_unavailable_error"),
    504: _BY_TYPE["timeout_error"],
    529: _BY_TYPE["overloaded_error"],
}
_SPEND_LIMIT_CODES = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
_SPEND_LIMIT_WORDS = re.compile(r"specified API usage limits|credit balance is too low", re.IGNORECASE)
_TOO_LONG_WORDS = re.compile(r"prompt is too long|exceeds? (the )?context (window|limit)", re.IGNORECASE)


def error_from_status(status: int, body: bytes, model: str, headers: Mapping[str, str]) -> APIError:
    """The upstream answered `status` and `body` instead of a Message; `headers` are passed on."""
    error = _error_object(body)
    return _told(_answer(error, status), error, model, headers, f"The upstream answered with status {status}.")


def error_from_event(event: Mapping[str, object], model: str, headers: Mapping[str, str]) -> APIError:
    """The upstream sent an `error` event, whose HTTP status was 200: its type decides."""
    error = _mapping(event.get("error"))
    return _told(_answer(error, 500), error, model, headers, "The upstream failed in the middle of its answer.")


def _answer(error: Mapping[str, object], status: int) -> _Answer:
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    code = _mapping(error.get("details")).get("error_code")
    if code in _SPEND_LIMIT_CODES or (status in (400, 403, 429, 500) and _SPEND_LIMIT_WORDS.search(message)):
        return _QUOTA
    if kind == "invalid_request_error":
        if _TOO_LONG_WORDS.search(message):
            return _CONTEXT
        # Some proxies type every failure so; the status they send is then the better witness.
        return _BY_STATUS.get(status, _INVALID)
    known = _BY_TYPE.get(kind) or _BY_STATUS.get(status)
    return known or (_INVALID if 400 <= status < 500 else _SERVER)


def _told(
    answer: _Answer, error: Mapping[str, object], model: str, headers: Mapping[str, str], fallback: str
) -> APIError:
    if answer.code == "model_not_found":
        not_found = model_not_found(model)
        not_found.headers = headers
        return not_found
    return APIError(
        answer.status,
        answer.message or str(error.get("message") or fallback),
        type=answer.type,
        param="messages" if answer is _CONTEXT else None,
        code=answer.code,
        headers=dict(headers) if answer.retry else {**headers, **NO_RETRY},
    )


def _error_object(body: bytes) -> Mapping[str, object]:
    try:
        return _mapping(_mapping(from_json(body)).get("error"))
    except ValueError:  # a load balancer's page, not the API's answer
        return {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
