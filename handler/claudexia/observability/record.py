"""RequestRecord: the facts about one request that are logged and counted; no content, no key, no header.

RequestMiddleware makes one for every request and tells it once, when the request is over, whatever became of it. Whoever
knows a fact writes it in between.
"""

import re
import time
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Literal, cast

from claudexia.errors import APIError
from claudexia.translate.types.params import CompletionCreateParams

# abandoned: the client left; deadline: this deployment's time was over; refused: the upstream was not asked.
Outcome = Literal["ok", "error", "abandoned", "deadline", "refused"]
Value = str | int | bool | list[str] | None

_IN_SCOPE = "claudexia.record"


@dataclass(slots=True)
class RequestRecord:
    """What is not known stays None, and is left out of the line.

    Times are milliseconds since the request came, money is micro-dollars. `endpoint` is the route as it is
    declared and not the path, `model` Claude's id and not what the client wrote, `warnings` what
    field_names() makes of them: everything here is for the eyes of whoever may read the logs. `limited` names
    the caller's own limit that was reached.
    """

    request_id: str
    upstream_request_id: str | None = None
    correlation_id: str | None = None
    trace_id: str | None = None
    key: str | None = None
    key_id: str | None = None
    model: str | None = None
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
    _arrived: float = field(default_factory=time.perf_counter, repr=False)

    def elapsed_ms(self) -> int:
        return round((time.perf_counter() - self._arrived) * 1000)

    def mark_first_token(self) -> None:
        """To be called for every piece of the answer; the first call counts."""
        if self.first_token_ms is None:
            self.first_token_ms = self.elapsed_ms()

    def fail(self, error: APIError) -> None:
        """`error` is what the client is told, before the answer or in the middle of it."""
        self.error_type, self.error_code = error.type, error.code
        asked = self.upstream_request_id or "x-request-id" in error.headers
        if self.outcome != "deadline":  # which is an error too, and says more
            self.outcome = "error" if asked or error.status >= 500 else "refused"

    def end(self) -> None:
        """The response is complete, which is a success unless something else was found before."""
        if self.outcome == "abandoned":
            self.outcome = "ok"

    def facts(self) -> dict[str, Value]:
        return {each.name: getattr(self, each.name) for each in fields(self) if not each.name.startswith("_")}

    def put_into(self, scope: MutableMapping[str, object]) -> None:
        scope[_IN_SCOPE] = self


def record_of(scope: Mapping[str, object]) -> RequestRecord:
    """The record that RequestMiddleware has made for the request."""
    return cast("RequestRecord", scope[_IN_SCOPE])


def field_names(params: Iterable[str]) -> list[str]:
    """The request's fields in which `params`, paths like `tools[0].name`, are; once each, in order.

    A name that OpenAI does not have, and what is further down a path, is the client's own text: `unknown`.
    """
    known = CompletionCreateParams.model_fields
    names = (re.split(r"[.\[]", param, maxsplit=1)[0] for param in params)
    return list(dict.fromkeys(name if name in known else "unknown" for name in names))
