"""The Runtime API over HTTP: a connection for each exchange, as it asks for after a streamed response."""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import cast

import h11

from claudexia.observability.log import frames_of, log_fact

# --- claudexia.runtime.invocation
# Invocation: one event and what came with it, and the context that AWS's clients hand to a handler.

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


ERROR_TYPE, ERROR_BODY = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"
# The receiver resets the connection for trailers of more than about 4 kB, and base64 adds a third.
_ERROR_LIMIT = 2400
_VERSION = "/2018-06-01/runtime"

Headers = Sequence[tuple[str, str]]


class Exchange:
    """One request to the Runtime API, and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, *events: h11.Event) -> None:
        """Returns once the API has taken enough of it: a slow client holds the app back."""
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def receive(self) -> tuple[h11.Response, bytes]:
        """Raises ConnectionResetError where the API hangs up."""
        response: h11.Response | None = None
        body: list[bytes] = []
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(65536)
                if not data:
                    raise ConnectionResetError("the Runtime API hung up")
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
        """Waits, for hours if need be, for the next invocation."""
        response, body = await self._ask("GET", "invocation/next")
        return Invocation.from_next({name.decode(): value.decode() for name, value in response.headers}, body)

    async def restored(self) -> None:
        """Returns when the process goes on from a snapshot, which is taken while it waits here."""
        await self._ask("GET", "restore/next")

    async def init_error(self, error: BaseException) -> None:
        await self._ask("POST", "init/error", [(ERROR_TYPE, error_type(error))], error_json(error))

    async def error(self, invocation: Invocation, error: BaseException) -> None:
        """To be called only where no response has begun."""
        path = f"invocation/{invocation.context.aws_request_id}/error"
        await self._ask("POST", path, [(ERROR_TYPE, error_type(error)), *invocation.echoed], error_json(error))

    async def open(self, method: str, path: str, headers: Headers = ()) -> Exchange:
        """An exchange whose head has been sent, to be closed."""
        exchange = Exchange(*await asyncio.open_connection(self._host, self._port))
        try:
            head = [("Host", self._address), *headers]
            await exchange.send(h11.Request(method=method, target=f"{_VERSION}/{path}", headers=head))
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def _ask(
        self, method: str, path: str, headers: Headers = (), body: bytes = b""
    ) -> tuple[h11.Response, bytes]:
        if method == "POST":
            headers = [*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        with closing(await self.open(method, path, headers)) as exchange:
            await exchange.send(*([h11.Data(data=body)] if body else []), h11.EndOfMessage())
            response, answer = await exchange.receive()
        if response.status_code >= 300:
            log_fact("the Runtime API refused", path=path, status=response.status_code)
        return response, answer


def error_type(error: BaseException) -> str:
    """Only names of the form Function.Name, of letters alone, are kept by the service."""
    return "Function." + ("".join(filter(str.isalpha, type(error).__name__)) or "Error")


def error_json(error: BaseException) -> bytes:
    """What failed and where; never the exception's own message, which may quote a request."""
    frames = frames_of(error)
    while True:
        told = {"errorMessage": error.__doc__ or "", "errorType": error_type(error), "stackTrace": frames}
        encoded = json.dumps(told).encode()
        if len(encoded) <= _ERROR_LIMIT or not frames:
            return encoded
        frames = frames[1:]
