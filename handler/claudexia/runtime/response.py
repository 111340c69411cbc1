"""StreamedResponse: ASGI's `send` for one invocation, which streams to the Runtime API."""

import asyncio
import json
from base64 import b64encode
from collections import defaultdict

import h11
from starlette.types import Message

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


class PreludeTooLargeError(Exception):
    """The response headers exceed the service's limit of 16 KB."""


class IncompleteResponseError(Exception):
    """The app returned before its response was complete."""


class StreamedResponse:
    """The response to one invocation.

    Nothing is sent before the first body message, so an earlier failure is still sent as an error.

    complete        the app has sent its last message
    acknowledged    the API has acknowledged the response
    """

    def __init__(self, api: RuntimeAPI, invocation: Invocation) -> None:
        self.complete = False
        self.acknowledged = asyncio.Event()
        self._api = api
        self._invocation = invocation
        self._prelude = b""
        self._exchange: Exchange | None = None

    async def send(self, message: Message) -> None:
        """Sends one message of the app. Raises OSError if the API is gone."""
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
        if self._exchange is None:
            await self._api.error(self._invocation, error)
            return
        body = b64encode(error_json(error)).decode()
        trailers = [(ERROR_TYPE, error_type(error)), (ERROR_BODY, body)]
        await self._end(self._exchange, h11.EndOfMessage(headers=trailers))

    def close(self) -> None:
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
        await self._exchange.send(h11.Data(data=self._prelude), h11.Data(data=_DELIMITER))
        return self._exchange

    async def _end(self, exchange: Exchange, end: h11.EndOfMessage) -> None:
        await exchange.send(end)
        response, _ = await exchange.receive()
        self.acknowledged.set()
        if response.status_code >= 300:  # 410: the invocation has timed out
            log_warning("the Runtime API refused a response", status=response.status_code)


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
