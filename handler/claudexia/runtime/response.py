"""ASGI's `send` for one invocation: a streamed response to the Runtime API."""

import asyncio
import json
from base64 import b64encode
from collections import defaultdict

import h11
from starlette.types import Message

from claudexia.observability.log import log_fact
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
_PRELUDE_LIMIT = 16 * 1024 - len(_DELIMITER)
# API Gateway frames the answer itself.
_NOT_RELAYED = {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


class PreludeTooLargeError(Exception):
    """The response's headers do not fit into the 16 KB that the service reads of them."""


class IncompleteResponseError(Exception):
    """The app returned before its response was complete."""


class Answer:
    """Nothing leaves before the first body message, so what fails before it can still be told as an error."""

    def __init__(self, api: RuntimeAPI, invocation: Invocation) -> None:
        self.complete = False
        self.over = asyncio.Event()  # not before the API has acknowledged: an app may stop at once
        self._api = api
        self._invocation = invocation
        self._prelude = b""
        self._exchange: Exchange | None = None

    async def send(self, message: Message) -> None:
        """Raises OSError where the API has gone away."""
        if message["type"] == "http.response.start":
            self._prelude = _prelude(message, self._invocation)
        elif message["type"] == "http.response.body":
            exchange = self._exchange or await self._begin()
            if body := message.get("body"):
                await exchange.send(h11.Data(data=body))
            if not message.get("more_body"):
                self.complete = True
                await self._end(exchange, h11.EndOfMessage())

    async def fail(self, error: BaseException) -> None:
        """Tells that the app broke off: by trailers where its response has begun."""
        if self._exchange is None:
            await self._api.error(self._invocation, error)
            return
        body = b64encode(error_json(error)).decode()
        trailers = [(ERROR_TYPE, error_type(error)), (ERROR_BODY, body)]
        await self._end(self._exchange, h11.EndOfMessage(headers=trailers))

    def close(self) -> None:
        if self._exchange:
            self._exchange.close()

    async def _begin(self) -> Exchange:
        path = f"invocation/{self._invocation.context.aws_request_id}/response"
        headers = [
            ("Lambda-Runtime-Function-Response-Mode", "streaming"),
            ("Trailer", ERROR_TYPE),
            ("Trailer", ERROR_BODY),
            ("Content-Type", _PRELUDE_TYPE),
            ("Transfer-Encoding", "chunked"),
            *self._invocation.echoed,
        ]
        self._exchange = await self._api.open("POST", path, headers)
        await self._exchange.send(h11.Data(data=self._prelude), h11.Data(data=_DELIMITER))
        return self._exchange

    async def _end(self, exchange: Exchange, end: h11.EndOfMessage) -> None:
        await exchange.send(end)
        response, _ = await exchange.receive()
        self.over.set()
        if response.status_code >= 300:  # 410: the invocation has timed out meanwhile
            log_fact("the Runtime API refused a response", status=response.status_code)


def _prelude(message: Message, invocation: Invocation) -> bytes:
    """Status and headers as API Gateway and function URLs read them; only the latter know `cookies`."""
    values: defaultdict[str, list[str]] = defaultdict(list)
    for raw_name, raw_value in message.get("headers", []):
        name = raw_name.decode("latin-1").lower()
        if name not in _NOT_RELAYED:
            values[name].append(raw_value.decode("latin-1"))
    cookies = values.pop("set-cookie", []) if invocation.event.get("version") == "2.0" else []
    prelude: dict[str, object] = {
        "statusCode": message["status"],
        "headers": {name: listed[0] for name, listed in values.items() if len(listed) == 1},
    }
    if repeated := {name: listed for name, listed in values.items() if len(listed) > 1}:
        prelude["multiValueHeaders"] = repeated
    if cookies:
        prelude["cookies"] = cookies
    encoded = json.dumps(prelude, separators=(",", ":")).encode()
    if len(encoded) > _PRELUDE_LIMIT:
        raise PreludeTooLargeError
    return encoded
