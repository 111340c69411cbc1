"""APIError: every failure a client sees, in OpenAI's error envelope or, for the Messages API, in Anthropic's.

    cause                            built by                                   status   type
    -------------------------------  -----------------------------------------  -------  ---------------------
    the request is invalid           invalid_request, missing, unsupported      400      invalid_request_error
    the model does not exist         model_not_found                            404      invalid_request_error
    the key, or one of its limits    claudexia.access                           401-503  the type OpenAI uses
    the upstream failed              upstream_error, claudexia.upstream.errors  4xx-5xx  the type OpenAI uses
    a bug in the gateway             BUG                                        500      server_error

An error is raised where the fact is known and rendered once, by the API: as the HTTP response, or, if the
response has begun, as one `data: {"error": {...}}` frame without a [DONE].

Sources: https://platform.claude.com/docs/en/api/errors and
https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict


class ErrorObject(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(TypedDict):
    error: ErrorObject


class AnthropicErrorDetails(TypedDict, total=False):
    error_code: str


class AnthropicErrorObject(TypedDict):
    type: str
    message: str
    details: NotRequired[AnthropicErrorDetails | None]


class AnthropicErrorResponse(TypedDict):
    """Anthropic's error envelope. The gateway's own errors always have a request_id.

    Source: https://platform.claude.com/docs/en/api/errors
    """

    type: Literal["error"]
    error: AnthropicErrorObject
    request_id: NotRequired[str | None]


# Anthropic's error types by HTTP status; any other is an invalid_request_error below 500, else an api_error.
ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


# Characters of the client's own text in one place of an error message.
MAX_QUOTED = 200


def shorten(text: object, limit: int = MAX_QUOTED) -> str:
    """`text` as a string of at most `limit` characters; a longer one is cut and ends with an ellipsis.

    Every message that quotes the client's text quotes it through this function. Unpaired surrogates, which
    UTF-8 lacks, become question marks.
    """
    quoted = text if isinstance(text, str) else str(text)
    shortened = quoted if len(quoted) <= limit else f"{quoted[: limit - 1]}…"
    return shortened.encode(errors="replace").decode()


# Tells OpenAI's SDKs not to retry.
NO_RETRY = {"x-should-retry": "false"}


@dataclass(frozen=True, slots=True)
class OriginalError:
    """An error of the upstream in Anthropic's envelope, as it was received."""

    status: int
    body: bytes


@dataclass(eq=False)
class APIError(Exception):
    """A failure in OpenAI's terms: HTTP `status`, the four keys of the error object, extra response headers.

    `original` is the upstream's error if the Messages API relays it unchanged.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    original: OriginalError | None = None

    def __str__(self) -> str:
        return self.message

    def body(self) -> ErrorResponse:
        """The response body. OpenAI's specification requires all four keys. `param` is cut: it may name fields
        of the client's own.
        """
        param = None if self.param is None else shorten(self.param)
        return {"error": {"message": self.message, "type": self.type, "param": param, "code": self.code}}

    @property
    def anthropic_status(self) -> int:
        """The HTTP status in Anthropic's terms: 529 is its status for a service that is overloaded."""
        return 529 if self.status == 503 else self.status

    def anthropic_body(self, request_id: str) -> AnthropicErrorResponse:
        """The response body in Anthropic's envelope."""
        status = self.anthropic_status
        kind = ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        error: AnthropicErrorObject = {"type": kind, "message": self.message}
        if self.code:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}


class ResponseRefusedError(OSError):
    """The response could not be delivered to the client.

    A server's `send` raises it. It is an OSError because ASGI requires one for a client that cannot be reached.
    `code` is the error code of the request's log line; nothing is sent to the client.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def invalid_request(message: str, param: str | None, code: str | None = None) -> APIError:
    """A 400 that names the invalid field of the request."""
    return APIError(400, message, param=param or None, code=code)  # a field named "" has no path


def missing(param: str) -> APIError:
    """A 400 for a required field that is missing."""
    return invalid_request(
        f"Missing required parameter: '{shorten(param)}'.", param, "missing_required_parameter"
    )


def unsupported(param: str, reason: str) -> APIError:
    """A 400 for a field that Claude does not support and whose omission would break the client."""
    sentence = f"'{shorten(param)}' is not supported: {reason.removesuffix('.')}."
    return invalid_request(sentence, param, "unsupported_parameter")


def model_not_found(model: str, unknown: str = "") -> APIError:
    """A 404 that names the model, and the part of its name that is `unknown`."""
    cause = f" ({unknown} is not understood)" if unknown else ""
    return APIError(
        404,
        f"The model `{shorten(model)}` does not exist or you do not have access to it{cause}. "
        "GET /v1/models lists the models of this gateway; its setting MODEL_ALIASES maps other names to them.",
        code="model_not_found",
    )


def upstream_error(message: str, status: int = 502, code: str | None = None) -> APIError:
    """The upstream is unreachable or violates its protocol."""
    return APIError(status, message, type="server_error", code=code)


INTERNAL_ERROR = APIError(500, "The gateway failed to handle this request.", type="server_error")
