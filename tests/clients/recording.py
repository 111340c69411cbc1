"""What clients send to the gateway, and what it reports: a wrapper around the gateway's app."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass
class Exchange:
    """A request's path and raw body, and what the response reports in `x-claudexia-warnings`."""

    path: str
    raw: bytes = b""
    warnings: str = ""

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw or b"{}")
        return body


@dataclass
class Recorder:
    exchanges: list[Exchange] = field(default_factory=list)

    def wrap(self, app: App) -> App:
        async def recorded(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            exchange = Exchange(scope["path"])
            self.exchanges.append(exchange)

            async def receiving() -> Message:
                message = await receive()
                exchange.raw += message.get("body", b"")
                return message

            async def sending(message: Message) -> None:
                headers = dict(message.get("headers", ()))
                exchange.warnings = headers.get(b"x-claudexia-warnings", b"").decode() or exchange.warnings
                await send(message)

            await app(scope, receiving, sending)

        return recorded

    def taken(self) -> list[Exchange]:
        """The exchanges since the last call."""
        exchanges, self.exchanges = self.exchanges, []
        return exchanges
