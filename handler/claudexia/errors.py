"""APIError: everything that can go wrong, as OpenAI's clients know it.

    raised where the fact is known                     rendered once, at the edge
    ------------------------------------------------   -----------------------------------------
    the caller's fault    invalid_request(...)         HTTP status + {"error": {...}}, or, when
    the upstream's fault  error_from_status(...),            the answer has already begun, one
                          error_from_event(...)              `data: {"error": {...}}` and no [DONE]

Sources: https://platform.claude.com/docs/en/api/errors and OpenAI's published error codes. Anthropic asks
to branch on `error.type` and `error.details.error_code`; where a cause has neither, its wording decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict


class ErrorObject(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(TypedDict):
    error: ErrorObject


NO_RETRY = {"x-should-retry": "false"}


@dataclass(eq=False)
class APIError(Exception):
    """A failure in OpenAI's terms: HTTP `status`, the four keys of the error object, headers to send along."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def body(self) -> ErrorResponse:
        """The error object; all four keys are required by OpenAI's specification."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def invalid_request(message: str, param: str | None, code: str | None = None) -> APIError:
    """A 400 that names the offending part of the request."""
    return APIError(400, message, param=param, code=code)


def missing(param: str) -> APIError:
    """A 400 for a part that has to be there."""
    return invalid_request(
        f"Missing required parameter: '{param}'.", param or None, "missing_required_parameter"
    )


def unsupported(param: str, why: str) -> APIError:
    """A 400 for what Claude cannot promise."""
    return invalid_request(f"'{param}' is not supported here: {why}", param, "unsupported_parameter")


def model_not_found(model: str) -> APIError:
    return APIError(
        404,
        f"The model `{model[:100]}` does not exist or you do not have access to it. "
        "GET /v1/models lists what this gateway serves; its setting MODEL_ALIASES maps other names.",
        code="model_not_found",
    )


def upstream_error(message: str, status: int = 502, code: str | None = None) -> APIError:
    """The upstream could not be reached or did not keep to its protocol."""
    return APIError(status, message, type="server_error", code=code)


INTERNAL_ERROR = APIError(500, "The gateway failed to handle this request.", type="server_error")
