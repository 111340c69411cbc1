"""The upstream's errors as APIErrors.

Source: https://platform.claude.com/docs/en/api/errors. Anthropic recommends branching on `error.type` and
`error.details.error_code`; the message's wording decides only where a cause has neither.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic_core import from_json

from claudexia.errors import (
    ANTHROPIC_TYPES,
    NO_RETRY,
    APIError,
    OriginalError,
    model_not_found,
    shorten,
    upstream_error,
)
from claudexia.json_text import dump
from claudexia.translate.response.event_shape import is_error

# Why a host did not answer, if it is the host's fault and not the request's:
#   unreachable  no connection could be made
#   failed       an error of the host
#   overloaded   the model is overloaded
#   throttled    a rate limit of the operator's account
#   no_model     the host has no such model, or the account no access to it
#   account      the host refuses the gateway's credential, or the account has no credit left
Fault = Literal["unreachable", "failed", "overloaded", "throttled", "no_model", "account"]


@dataclass(eq=False)
class HostError(APIError):
    """The host did not start to answer, for a reason of its own. Another host may be asked: nothing was billed.

    `retry_after` is in seconds, None if the host names no time.
    """

    fault: Fault = "failed"
    retry_after: float | None = None


class _Failure(NamedTuple):
    """How clients see one kind of upstream error. `message` replaces the upstream's own, `{model}` in it is the
    model. `fault` is None if the request is at fault.
    """

    status: int
    type: str
    code: str | None = None
    message: str = ""
    retry: bool = True
    fault: Fault | None = None


_INVALID = _Failure(400, "invalid_request_error")
_QUOTA = _Failure(429, "insufficient_quota", "insufficient_quota", retry=False, fault="account")
_CONTEXT = _Failure(400, "invalid_request_error", "context_length_exceeded")
_SERVER = _Failure(500, "server_error", fault="failed")
# The upstream refused the gateway's own credential, not the caller's key.
_CREDENTIAL = _Failure(
    502,
    "server_error",
    "upstream_credential_refused",
    "The upstream refused the gateway's own Anthropic credential. Your API key is valid; "
    "the gateway's operator has to fix this.",
    retry=False,
    fault="account",
)
# Anthropic's errors have no code for these; AWS's have none of them either.
_MODEL_ACCESS = _Failure(
    502,
    "server_error",
    "model_access_denied",
    "The gateway's AWS account or role has no access to the model {model} on this host. Its operator can "
    "request access and allow it for the role; `claudexia doctor` names what is missing.",
    retry=False,
    fault="no_model",
)
_PROFILE = _Failure(
    502,
    "server_error",
    "inference_profile_required",
    "Amazon Bedrock does not serve the model {model} with the gateway's inference profile. Its operator can "
    "choose another with BEDROCK_INFERENCE_PROFILE.",
    retry=False,
    fault="no_model",
)
_EXPIRED = _CREDENTIAL._replace(
    message="The gateway's AWS credentials have expired or are not valid. Your API key is valid; the gateway's "
    "operator has to fix this."
)

# https://platform.claude.com/docs/en/api/errors#http-errors
_BY_TYPE = {
    "invalid_request_error": _INVALID,
    "authentication_error": _CREDENTIAL,
    "billing_error": _QUOTA,
    "permission_error": _CREDENTIAL,
    "not_found_error": _Failure(404, "invalid_request_error", "model_not_found", fault="no_model"),
    "conflict_error": _Failure(409, "invalid_request_error"),
    "request_too_large": _Failure(413, "invalid_request_error", "request_too_large"),
    "rate_limit_error": _Failure(429, "rate_limit_error", "rate_limit_exceeded", fault="throttled"),
    "api_error": _SERVER,
    "timeout_error": _Failure(504, "server_error", "timeout", fault="failed"),
    "overloaded_error": _Failure(503, "service_unavailable_error", "server_is_overloaded", fault="overloaded"),
}
# AWS's errors, where a request did not get as far as the Messages API.
# https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
_BY_AWS_TYPE = {
    "AccessDeniedException": _CREDENTIAL,
    "ConflictException": _BY_TYPE["conflict_error"],
    "ExpiredTokenException": _EXPIRED,
    "IncompleteSignatureException": _EXPIRED,
    "InternalServerException": _SERVER,
    "InvalidSignatureException": _EXPIRED,
    "MissingAuthenticationTokenException": _EXPIRED,
    "ModelErrorException": _SERVER,
    "ModelNotReadyException": _BY_TYPE["overloaded_error"],
    "ModelStreamErrorException": _SERVER,
    "ModelTimeoutException": _BY_TYPE["timeout_error"],
    "ResourceNotFoundException": _BY_TYPE["not_found_error"],
    "ServiceQuotaExceededException": _BY_TYPE["rate_limit_error"],
    "ServiceUnavailableException": _BY_TYPE["overloaded_error"],
    "ThrottlingException": _BY_TYPE["rate_limit_error"],
    "UnrecognizedClientException": _EXPIRED,
    "ValidationException": _INVALID,
}
_AWS_MODEL_ACCESS_TEXT = re.compile(r"access to the model|model access is denied|marketplace", re.IGNORECASE)
_AWS_PROFILE_TEXT = re.compile(r"on-demand throughput|inference profile", re.IGNORECASE)
_AWS_NO_MODEL_TEXT = re.compile(
    r"model identifier is invalid|end of its life|model is not supported", re.IGNORECASE
)
_BY_STATUS = {
    401: _CREDENTIAL,
    402: _QUOTA,
    403: _CREDENTIAL,
    404: _Failure(
        502,
        "server_error",
        message="The upstream has no Messages API at its configured address.",
        fault="failed",
    ),
    408: _BY_TYPE["timeout_error"],
    409: _BY_TYPE["conflict_error"],
    413: _BY_TYPE["request_too_large"],
    429: _BY_TYPE["rate_limit_error"],
    503: _Failure(503, "service_unavailable_error", fault="failed"),
    504: _BY_TYPE["timeout_error"],
    529: _BY_TYPE["overloaded_error"],
}
_STATUS_OF = {kind: status for status, kind in ANTHROPIC_TYPES.items()} | {"invalid_request_error": 400}
# Characters. The upstream's messages may quote the request.
_MAX_MESSAGE = 2000
_SPEND_LIMIT_CODES = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
_SPEND_LIMIT_TEXT = re.compile(r"specified API usage limits|credit balance is too low", re.IGNORECASE)
_TOO_LONG_TEXT = re.compile(r"(prompt|input) is too long|exceeds? (the )?context (window|limit)", re.IGNORECASE)


def error_from_status(
    status: int, body: bytes, model: str, headers: Mapping[str, str], aws_type: str = ""
) -> APIError:
    """The error for a response with `status` and `body`; a HostError if the host is at fault.

    `headers` go to the client, `model` is the requested one, `aws_type` is the header `x-amzn-errortype`.
    """
    if status < 400:  # a redirect, or success without a stream
        return upstream_error(f"The upstream answered with status {status}.")
    error = _error_object(body)
    fallback = f"The upstream answered with status {status}."
    if not error.get("type") and (aws := _aws_error(body, aws_type)):
        return _api_error(_classify_aws(aws, status), aws, model, headers, fallback)
    api_error = _api_error(_classify(error, status), error, model, headers, fallback)
    return _with_original(api_error, error, OriginalError(status, body))


def error_from_event(event: Mapping[str, object], model: str, headers: Mapping[str, str]) -> APIError:
    """The error for an `error` event. The HTTP status was 200, so the error's type decides."""
    error = _mapping(event.get("error"))
    api_error = _api_error(
        _classify(error, 500), error, model, headers, "The upstream failed in the middle of its answer."
    )
    original = OriginalError(_STATUS_OF.get(str(error.get("type")), 500), dump(event))
    return _with_original(api_error, error, original)


def _with_original(api_error: APIError, error: Mapping[str, object], original: OriginalError) -> APIError:
    """`api_error` with `original`, unless that has another shape or concerns the gateway itself."""
    if is_error(error) and api_error.code != _CREDENTIAL.code:
        api_error.original = original
    return api_error


def credentials_unavailable(reason: str) -> HostError:
    """The gateway has no AWS credentials. `reason` contains no secret."""
    return HostError(
        502,
        f"{_EXPIRED.message} {reason}",
        type="server_error",
        code=_EXPIRED.code,
        headers=NO_RETRY,
        fault="account",
    )


def unreachable(message: str, status: int = 502, code: str | None = None) -> HostError:
    """No connection could be made."""
    return HostError(status, message, type="server_error", code=code, fault="unreachable")


def _classify(error: Mapping[str, object], status: int) -> _Failure:
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    code = _mapping(error.get("details")).get("error_code")
    if code in _SPEND_LIMIT_CODES or (status in (400, 403, 429, 500) and _SPEND_LIMIT_TEXT.search(message)):
        return _QUOTA
    if kind == "permission_error" and _AWS_MODEL_ACCESS_TEXT.search(message):
        return _MODEL_ACCESS
    if kind == "invalid_request_error":
        if status == 400:
            return _classify_invalid(message)
        # Some proxies use this type for every failure; their status is then more specific.
        return _CONTEXT if _TOO_LONG_TEXT.search(message) else _BY_STATUS.get(status, _INVALID)
    known = _BY_TYPE.get(kind) or _BY_STATUS.get(status)
    return known or (_INVALID if 400 <= status < 500 else _SERVER)


def _classify_invalid(message: str) -> _Failure:
    if _TOO_LONG_TEXT.search(message):
        return _CONTEXT
    if _AWS_PROFILE_TEXT.search(message):
        return _PROFILE
    return _BY_TYPE["not_found_error"] if _AWS_NO_MODEL_TEXT.search(message) else _INVALID


def _classify_aws(error: Mapping[str, object], status: int) -> _Failure:
    kind, message = str(error.get("type")), str(error.get("message"))
    if kind == "ValidationException":
        return _classify_invalid(message)
    if kind == "AccessDeniedException" and _AWS_MODEL_ACCESS_TEXT.search(message):
        return _MODEL_ACCESS
    known = _BY_AWS_TYPE.get(kind) or _BY_STATUS.get(status)
    return known or (_INVALID if 400 <= status < 500 else _SERVER)


def _api_error(
    failure: _Failure, error: Mapping[str, object], model: str, headers: Mapping[str, str], fallback: str
) -> APIError:
    sent = dict(headers) if failure.retry else {**headers, **NO_RETRY}
    param = "messages" if failure is _CONTEXT else None
    message = failure.message.replace("{model}", shorten(model))
    message = message or shorten(error.get("message") or fallback, _MAX_MESSAGE)
    if failure.code == "model_not_found":
        message = model_not_found(model).message
    if failure.fault is None:
        return APIError(failure.status, message, failure.type, param, failure.code, sent)
    host_error = HostError(failure.status, message, failure.type, param, failure.code, sent)
    host_error.fault, host_error.retry_after = failure.fault, _wait(headers)
    return host_error


def _wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that the host asks to wait."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < math.inf:  # not NaN
            return seconds
    return None


def _aws_error(body: bytes, aws_type: str) -> Mapping[str, object]:
    """An error in AWS's shape, as Anthropic's error object; {} if it is none."""
    try:
        given = _mapping(from_json(body))
    except ValueError:
        given = {}
    kind = aws_type or str(given.get("__type") or given.get("Code") or "")
    name = kind.partition(":")[0].rpartition("#")[2]
    return {"type": name, "message": given.get("message") or given.get("Message")} if name else {}


def _error_object(body: bytes) -> Mapping[str, object]:
    try:
        return _mapping(_mapping(from_json(body)).get("error"))
    except ValueError:  # a load balancer's page
        return {}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
