"""StreamedResponse: ASGI's `send` for one invocation, which streams to the Runtime API."""

import asyncio
import contextlib
import json
from base64 import b64encode
from collections import defaultdict
from typing import cast

import h11
from starlette.types import Message

from claudexia.errors import ResponseRefusedError
from claudexia.observability.log import log_warning
from claudexia.runtime.api import (
    ERROR_BODY,
    ERROR_TYPE,
    Exchange,
    Invocation,
    RuntimeAPI,
    error_json,
    error_type,
)

_PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
_DELIMITER = bytes(8)
_MAX_PRELUDE = 16 * 1024 - len(_DELIMITER)
# API Gateway sets these itself.
_HOP_HEADERS = {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


# The error code of the request's log line by the API's status; others are "response_refused".
_REFUSAL_CODES = {410: "response_too_late", 413: "response_too_large"}


class PreludeTooLargeError(ResponseRefusedError):
    """The response headers exceed the service's limit of 16 KB."""

    def __init__(self) -> None:
        super().__init__("response_headers_too_large")


class IncompleteResponseError(Exception):
    """The app returned before its response was complete."""


class StreamedResponse:
    """The response to one invocation.

    Nothing is sent before the first body message, so an earlier failure is still sent as an error.

    complete        the app has sent its last message
    refused         the API has refused the response or broken the connection; nothing more can be sent
    acknowledged    the API has answered the complete response
    """

    def __init__(self, api: RuntimeAPI, invocation: Invocation) -> None:
        self.complete = False
        self.refused: ResponseRefusedError | None = None
        self.acknowledged = asyncio.Event()
        self._api = api
        self._invocation = invocation
        self._prelude = b""
        self._exchange: Exchange | None = None
        self._reply: asyncio.Future[tuple[h11.Response, bytes]] | None = None

    async def send(self, message: Message) -> None:
        """Sends one message of the app. Raises ResponseRefusedError if the API does not take the response."""
        if self.refused:
            raise self.refused
        self._check_early_reply()
        try:
            await self._send(message)
        except ResponseRefusedError:
            raise
        except OSError as error:
            self._check_early_reply()
            log_warning("the connection to the Runtime API broke", exception_type=type(error).__name__)
            self.refused = ResponseRefusedError("response_connection_lost")
            raise self.refused from error

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._prelude = _prelude(message, self._invocation)
        elif message["type"] == "http.response.body":
            exchange = self._exchange or await self._start()
            if body := message.get("body"):
                await exchange.send(h11.Data(data=body))
            if not message.get("more_body"):
                self.complete = True
                await self._end(exchange, h11.EndOfMessage())

    async def fail(self, error: BaseException) -> None:
        """Reports that the app failed: in trailers if the response has started, otherwise as an error."""
        if self.refused:
            return
        if self._exchange is None:
            invocation = self._invocation
            await self._api.error(invocation.context.aws_request_id, error, invocation.echo_headers)
            return
        body = b64encode(error_json(error)).decode()
        trailers = [(ERROR_TYPE, error_type(error)), (ERROR_BODY, body)]
        with contextlib.suppress(ResponseRefusedError):  # _check() has logged it
            await self._end(self._exchange, h11.EndOfMessage(headers=trailers))

    def close(self) -> None:
        if self._reply and self._reply.done() and not self._reply.cancelled():
            self._reply.exception()  # otherwise asyncio logs that nothing has read it
        elif self._reply:
            self._reply.cancel()
        if self._exchange:
            self._exchange.close()

    async def _start(self) -> Exchange:
        path = f"invocation/{self._invocation.context.aws_request_id}/response"
        headers = [
            ("Lambda-Runtime-Function-Response-Mode", "streaming"),
            ("Trailer", ERROR_TYPE),
            ("Trailer", ERROR_BODY),
            ("Content-Type", _PRELUDE_TYPE),
            ("Transfer-Encoding", "chunked"),
            *self._invocation.echo_headers,
        ]
        self._exchange = await self._api.open("POST", path, headers)
        # The API may refuse a response before its end.
        self._reply = asyncio.ensure_future(self._exchange.receive())
        await self._exchange.send(h11.Data(data=self._prelude), h11.Data(data=_DELIMITER))
        return self._exchange

    async def _end(self, exchange: Exchange, end: h11.EndOfMessage) -> None:
        await exchange.send(end)
        response, _ = await cast("asyncio.Future[tuple[h11.Response, bytes]]", self._reply)
        self.acknowledged.set()
        self._check(response.status_code)

    def _check_early_reply(self) -> None:
        """Raises ResponseRefusedError if the API has refused the response before its end."""
        if self._reply and self._reply.done() and not self._reply.cancelled() and not self._reply.exception():
            self._check(self._reply.result()[0].status_code)

    def _check(self, status: int) -> None:
        if status < 300:
            return
        log_warning("the Runtime API refused a response", status=status)
        self.refused = ResponseRefusedError(_REFUSAL_CODES.get(status, "response_refused"))
        raise self.refused


def _prelude(message: Message, invocation: Invocation) -> bytes:
    """Status and headers as JSON, for API Gateway and function URLs. Only function URLs read `cookies`."""
    values: defaultdict[str, list[str]] = defaultdict(list)
    for raw_name, raw_value in message.get("headers", []):
        name = raw_name.decode("latin-1").lower()
        if name not in _HOP_HEADERS:
            values[name].append(raw_value.decode("latin-1"))
    cookies = values.pop("set-cookie", []) if invocation.event.get("version") == "2.0" else []
    prelude: dict[str, object] = {
        "statusCode": message["status"],
        "headers": {name: each[0] for name, each in values.items() if len(each) == 1},
    }
    if repeated := {name: each for name, each in values.items() if len(each) > 1}:
        prelude["multiValueHeaders"] = repeated
    if cookies:
        prelude["cookies"] = cookies
    encoded = json.dumps(prelude, separators=(",", ":")).encode()
    if len(encoded) > _MAX_PRELUDE:
        raise PreludeTooLargeError
    return encoded
