"""Invocation: one event and what came with it, and the context that AWS's clients hand to a handler."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

_REQUEST_ID = "lambda-runtime-aws-request-id"
_INVOCATION_ID = "lambda-runtime-invocation-id"


@dataclass(frozen=True, slots=True)
class Context:
    """As https://docs.aws.amazon.com/lambda/latest/dg/python-context.html; `deadline` is seconds since 1970."""

    aws_request_id: str
    invoked_function_arn: str
    deadline: float
    trace_id: str | None
    tenant_id: str | None
    function_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""))
    function_version: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""))
    memory_limit_in_mb: int = field(
        default_factory=lambda: int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"))
    )
    log_group_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""))
    log_stream_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""))
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline - time.time()) * 1000))


@dataclass(frozen=True, slots=True)
class Invocation:
    """`event` is what the JSON holds: a dict for every HTTP request, anything for other callers."""

    event: dict[str, object]
    context: Context
    echoed: tuple[tuple[str, str], ...]

    @classmethod
    def from_next(cls, headers: Mapping[str, str], body: bytes) -> "Invocation":
        """`headers`, with names in lower case, and `body` are those of the answer to invocation/next."""
        echoed = headers.get(_INVOCATION_ID)
        return cls(
            event=cast("dict[str, object]", json.loads(body)),
            context=Context(
                aws_request_id=headers[_REQUEST_ID],
                invoked_function_arn=headers.get("lambda-runtime-invoked-function-arn", ""),
                deadline=int(headers["lambda-runtime-deadline-ms"]) / 1000,
                trace_id=headers.get("lambda-runtime-trace-id"),
                tenant_id=headers.get("lambda-runtime-aws-tenant-id"),
            ),
            # Tells a late answer from one to a later invocation with the same request id.
            echoed=(("Lambda-Runtime-Invocation-Id", echoed),) if echoed else (),
        )
