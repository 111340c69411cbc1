"""The Lambda Runtime API over HTTP, and the invocations it returns.

Each exchange has its own connection: the API requires that a connection is closed after a streamed response.
"""

import asyncio
import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import cast

import h11

from claudexia.observability.log import log_warning, stack_frames

_REQUEST_ID = "lambda-runtime-aws-request-id"
_INVOCATION_ID = "lambda-runtime-invocation-id"
# What may stand in a path, so that the error of an unreadable invocation can be reported.
_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,256}")


class InvalidInvocationError(Exception):
    """The Runtime API sent an invocation that the runtime cannot read."""

    def __init__(self, problem: str, request_id: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.request_id = request_id


class RuntimeAPIError(OSError):
    """The Runtime API refused a request, with `status`, or broke the protocol: None."""

    def __init__(self, problem: str, status: int | None = None) -> None:
        super().__init__(problem)
        self.status = status


@dataclass(frozen=True, slots=True)
class Context:
    """The context object of a handler. `deadline` is seconds since 1970.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

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
    """One invocation. `event` is a dict for an HTTP request and any JSON value for other callers.

    `echo_headers` must be sent back with the response.
    """

    event: dict[str, object]
    context: Context
    echo_headers: tuple[tuple[str, str], ...]

    @classmethod
    def from_next(cls, headers: Mapping[str, str], body: bytes) -> "Invocation":
        """From the response to invocation/next: `headers`, with lower-case names, and `body`.

        Raises InvalidInvocationError.
        """
        request_id = headers.get(_REQUEST_ID, "")
        if not _VALID_ID.fullmatch(request_id):
            raise InvalidInvocationError("it has no valid request id")
        invocation_id = headers.get(_INVOCATION_ID)
        if invocation_id is not None and not _VALID_ID.fullmatch(invocation_id):
            raise InvalidInvocationError("its invocation id is not valid", request_id)
        deadline = _deadline(headers.get("lambda-runtime-deadline-ms", ""))
        if deadline is None:
            raise InvalidInvocationError("it has no valid deadline", request_id)
        try:
            event: object = json.loads(body)
        except (ValueError, RecursionError):  # a UnicodeDecodeError is a ValueError
            raise InvalidInvocationError("its event is not valid JSON", request_id) from None
        return cls(
            event=cast("dict[str, object]", event),
            context=Context(
                aws_request_id=request_id,
                invoked_function_arn=headers.get("lambda-runtime-invoked-function-arn", ""),
                deadline=deadline,
                trace_id=headers.get("lambda-runtime-trace-id"),
                tenant_id=headers.get("lambda-runtime-aws-tenant-id"),
            ),
            # Distinguishes a late response from one to a later invocation with the same request id.
            echo_headers=(("Lambda-Runtime-Invocation-Id", invocation_id),) if invocation_id else (),
        )


def _deadline(milliseconds: str) -> float | None:
    """In seconds; None if `milliseconds` is not a number."""
    try:
        deadline = float(milliseconds) / 1000
    except ValueError:
        return None
    return deadline if math.isfinite(deadline) else None


ERROR_TYPE, ERROR_BODY = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"
# Bytes. The API resets the connection for trailers of more than about 4 kB, and base64 adds a third.
_MAX_ERROR_JSON = 2400
_VERSION = "/2018-06-01/runtime"

Headers = Sequence[tuple[str, str]]


class Exchange:
    """One request to the Runtime API, and its response, on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, *events: h11.Event) -> None:
        """Sends `events`. Waits while the send buffer is full, so that a slow client slows the app down."""
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def receive(self) -> tuple[h11.Response, bytes]:
        """The response and its body. Raises OSError if the API closes the connection or sends no HTTP."""
        try:
            return await self._receive()
        except h11.RemoteProtocolError as error:
            raise RuntimeAPIError("the Runtime API sent no valid HTTP response") from error

    async def _receive(self) -> tuple[h11.Response, bytes]:
        response: h11.Response | None = None
        body: list[bytes] = []
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(65536)
                if not data:
                    raise ConnectionResetError("the Runtime API closed the connection")
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and response:
                return response, b"".join(body)

    def close(self) -> None:
        self._writer.close()


class RuntimeAPI:
    """The Runtime API at `address`, host:port as in AWS_LAMBDA_RUNTIME_API."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._host, _, port = address.rpartition(":")
        self._port = int(port)

    async def next(self) -> Invocation:
        """Waits for the next invocation, without a time limit.

        Raises OSError if the API is gone or refuses, InvalidInvocationError if the invocation is unreadable.
        """
        response, body = await self._exchange("GET", "invocation/next")
        if response.status_code != 200:
            raise RuntimeAPIError("the Runtime API refused the next invocation", response.status_code)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        return Invocation.from_next(headers, body)

    async def restored(self) -> None:
        """Returns when the process is restored from its SnapStart snapshot, which is taken during the wait."""
        await self._request("GET", "restore/next")

    async def init_error(self, error: BaseException) -> None:
        """Reports that the process cannot start."""
        await self._request("POST", "init/error", [(ERROR_TYPE, error_type(error))], error_json(error))

    async def error(self, request_id: str, error: BaseException, echo_headers: Headers = ()) -> bool:
        """Reports that an invocation failed; returns whether the API accepted the report.

        Only valid before the response has started.
        """
        response, _ = await self._request(
            "POST",
            f"invocation/{request_id}/error",
            [(ERROR_TYPE, error_type(error)), *echo_headers],
            error_json(error),
        )
        return response.status_code < 300

    async def open(self, method: str, path: str, headers: Headers = ()) -> Exchange:
        """Opens a connection and sends the request's head. The caller closes the exchange."""
        exchange = Exchange(*await asyncio.open_connection(self._host, self._port))
        try:
            head = [("Host", self._address), *headers]
            await exchange.send(h11.Request(method=method, target=f"{_VERSION}/{path}", headers=head))
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def _request(
        self, method: str, path: str, headers: Headers = (), body: bytes = b""
    ) -> tuple[h11.Response, bytes]:
        """As _exchange(). Logs a refusal."""
        response, received = await self._exchange(method, path, headers, body)
        if response.status_code >= 300:
            log_warning("the Runtime API refused a request", path=path, status=response.status_code)
        return response, received

    async def _exchange(
        self, method: str, path: str, headers: Headers = (), body: bytes = b""
    ) -> tuple[h11.Response, bytes]:
        if method == "POST":
            headers = [*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        with closing(await self.open(method, path, headers)) as exchange:
            await exchange.send(*([h11.Data(data=body)] if body else []), h11.EndOfMessage())
            return await exchange.receive()


def error_type(error: BaseException) -> str:
    """`Function.` and the error's class name, in letters only: the service drops any other form."""
    return "Function." + ("".join(filter(str.isalpha, type(error).__name__)) or "Error")


def error_json(error: BaseException) -> bytes:
    """The error's type, the docstring of its class and its stack, at most 2400 bytes: outer frames are dropped.

    The exception's message is omitted: it may quote a request.
    """
    frames = stack_frames(error)
    while True:
        report = {"errorMessage": error.__doc__ or "", "errorType": error_type(error), "stackTrace": frames}
        encoded = json.dumps(report).encode()
        if len(encoded) <= _MAX_ERROR_JSON or not frames:
            return encoded
        frames = frames[1:]
