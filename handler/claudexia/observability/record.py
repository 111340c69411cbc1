"""RequestRecord: the facts about one request for the log and the metrics.

RequestMiddleware creates one per request and logs it once, when the request has ended. In between, the code
that learns a fact sets it. No field holds content, a key or a header's value.
"""

import re
import time
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Literal, cast

from claudexia.errors import APIError, ResponseRefusedError
from claudexia.translate.types.params import CompletionCreateParams

# abandoned: the client disconnected; deadline: the request hit the deployment's time limit;
# refused: the request failed before it reached the upstream.
Outcome = Literal["ok", "error", "abandoned", "deadline", "refused"]
Value = str | int | bool | list[str] | None

# Response headers: the host that answered or failed first, and the attempts in vain, with their reasons.
UPSTREAM_HEADER = "x-claudexia-upstream"
FAILED_UPSTREAMS_HEADER = "x-claudexia-failed-upstreams"
_IN_SCOPE = "claudexia.record"


@dataclass(slots=True)
class RequestRecord:
    """The fields of the request's log line. None means not known; the line omits it.

    status            the status that was sent; None also if the response could not be delivered
    api               the first segment of the endpoint: `chat`, `completions`, `messages`, `models`
    endpoint          the declared route, such as `/models/{model:path}`, not the path of the request
    model             the Claude model id, not the name in the request
    cost_micros       micro-dollars
    first_token_ms    milliseconds since the request arrived
    duration_ms       milliseconds since the request arrived
    warnings          names of request fields, as field_names() returns them
    limited           the code of the key's limit that was reached
    upstream          the host where Claude ran, as in the setting UPSTREAM
    failed_upstreams  the hosts of attempts in vain, and why: `bedrock throttled`
    """

    request_id: str
    upstream_request_id: str | None = None
    correlation_id: str | None = None
    trace_id: str | None = None
    key: str | None = None
    key_id: str | None = None
    model: str | None = None
    api: str | None = None
    endpoint: str | None = None
    streamed: bool = False
    choices: int = 1
    status: int | None = None
    outcome: Outcome = "abandoned"
    error_type: str | None = None
    error_code: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cost_micros: int | None = None
    first_token_ms: int | None = None
    duration_ms: int = 0
    warnings: list[str] = field(default_factory=list)
    cold_start: bool = False
    limited: str | None = None
    upstream: str | None = None
    failed_upstreams: list[str] = field(default_factory=list)
    _arrived: float = field(default_factory=time.perf_counter, repr=False)

    def elapsed_ms(self) -> int:
        return round((time.perf_counter() - self._arrived) * 1000)

    def mark_first_token(self) -> None:
        """Sets the time to the first token. Call it for every piece of output; only the first call counts."""
        if self.first_token_ms is None:
            self.first_token_ms = self.elapsed_ms()

    def set_upstream(self, headers: Mapping[str, str]) -> None:
        """Sets the host from the headers of an answer or of an error."""
        self.upstream = headers.get(UPSTREAM_HEADER, self.upstream)

    def attempt_headers(self) -> dict[str, str]:
        """The header that names the attempts in vain; {} without any."""
        return {FAILED_UPSTREAMS_HEADER: ", ".join(self.failed_upstreams)} if self.failed_upstreams else {}

    def fail(self, error: APIError) -> None:
        """Records the error that the client receives, as the response or within the stream."""
        self.error_type, self.error_code = error.type, error.code
        reached_upstream = self.upstream_request_id or "x-request-id" in error.headers
        if self.outcome != "deadline":  # more specific than "error"
            self.outcome = "error" if reached_upstream or error.status >= 500 else "refused"

    def refuse(self, error: ResponseRefusedError) -> None:
        """The response did not reach the client. What the client received, if anything, is not known."""
        self.status = None
        self.error_type, self.error_code = "server_error", error.code
        if self.outcome != "deadline":
            self.outcome = "error"

    def end(self) -> None:
        """The response is complete: a success unless another outcome is recorded."""
        if self.outcome == "abandoned":
            self.outcome = "ok"

    def log_fields(self) -> dict[str, Value]:
        """The fields of the log line that are known, by name."""
        values = ((name, getattr(self, name)) for name in _LOGGED)
        return {name: value for name, value in values if value is not None}

    def put_into(self, scope: MutableMapping[str, object]) -> None:
        scope[_IN_SCOPE] = self


_LOGGED = [each.name for each in fields(RequestRecord) if not each.name.startswith("_")]


def record_of(scope: Mapping[str, object]) -> RequestRecord:
    """The record that RequestMiddleware attached to the request."""
    return cast("RequestRecord", scope[_IN_SCOPE])


def field_names(params: Iterable[str]) -> list[str]:
    """The top-level request fields of `params`, which are paths like `tools[0].name`; unique, in order.

    A field that the request model does not have is the client's own text. It becomes `unknown`.
    """
    names = (re.split(r"[.\[]", param, maxsplit=1)[0] for param in params)
    return list(dict.fromkeys(name if _is_known(name) else "unknown" for name in names))


def _is_known(name: str) -> bool:
    if name in CompletionCreateParams.model_fields:
        return True
    # Most processes serve no Responses API.
    from claudexia.translate.types.response_params import ResponseCreateParams  # noqa: PLC0415

    return name in ResponseCreateParams.model_fields
