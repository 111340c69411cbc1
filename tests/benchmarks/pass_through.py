"""The baseline for the gateway: httpx to Starlette, which relays bytes without translation.

`/stream` sends each piece as it arrives; `/buffered` sends the complete body at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.benchmarks.serving import serve

_PER_CONNECTION = ("connection", "date", "transfer-encoding")


def _pass_through(upstream: str) -> Starlette:
    client = httpx.AsyncClient(
        headers={"accept-encoding": "identity", "content-type": "application/json", "x-api-key": "x"},
        timeout=600,
        trust_env=False,
    )

    async def open_stream(request: Request) -> httpx.Response:
        upstream_request = client.build_request("POST", f"{upstream}/v1/messages", content=await request.body())
        return await client.send(upstream_request, stream=True)

    async def stream(request: Request) -> Response:
        answer = await open_stream(request)
        closing = BackgroundTask(answer.aclose)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, _headers(answer), background=closing)

    async def buffered(request: Request) -> Response:
        answer = await open_stream(request)
        pieces = [piece async for piece in answer.aiter_raw()]
        await answer.aclose()
        return Response(b"".join(pieces), answer.status_code, _headers(answer))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    routes = [Route("/stream", stream, methods=["POST"]), Route("/buffered", buffered, methods=["POST"])]
    return Starlette(routes=routes, lifespan=lifespan)


def _headers(answer: httpx.Response) -> dict[str, str]:
    """The upstream's headers, without those of the connection and those that the server sets itself."""
    return {name: value for name, value in answer.headers.items() if name not in _PER_CONNECTION}


if __name__ == "__main__":
    serve(_pass_through)
