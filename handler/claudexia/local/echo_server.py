"""EchoServer: an httpx transport on a port of the loopback interface, for a gateway in another process."""

from contextlib import aclosing
from typing import cast

import httpx

from claudexia.local.http_server import Answer, HttpServer, Request

_FRAMING = {"content-length", "transfer-encoding"}


class EchoServer:
    """Answers each request with what `transport` answers."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._server = HttpServer(self._handle)

    async def start(self) -> str:
        """Gives its base URL."""
        return f"http://{await self._server.start()}"

    def stop(self) -> None:
        self._server.stop()

    async def _handle(self, request: Request, answer: Answer) -> None:
        asked = httpx.Request(
            request.method, f"http://echo.invalid{request.target}", content=await request.read()
        )
        response = await self._transport.handle_async_request(asked)
        headers = {name: value for name, value in response.headers.items() if name not in _FRAMING}
        async with aclosing(response):
            await answer.begin(response.status_code, headers)
            async for piece in cast("httpx.AsyncByteStream", response.stream):
                await answer.write(piece)
            await answer.end()
