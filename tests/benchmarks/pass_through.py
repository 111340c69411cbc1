"""What the gateway is held against: httpx to Starlette, bytes in and the same bytes out, nothing translated.

`/stream` sends each piece as it comes; `/whole` sends all at once, which is a buffered answer's job.
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

_OWN = ("connection", "date", "transfer-encoding")


def _pass_through(upstream: str) -> Starlette:
    client = httpx.AsyncClient(
        headers={"accept-encoding": "identity", "content-type": "application/json", "x-api-key": "x"},
        timeout=600,
        trust_env=False,
    )

    async def open_stream(request: Request) -> httpx.Response:
        asked = client.build_request("POST", f"{upstream}/v1/messages", content=await request.body())
        return await client.send(asked, stream=True)

    async def stream(request: Request) -> Response:
        answer = await open_stream(request)
        closing = BackgroundTask(answer.aclose)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, _headers(answer), background=closing)

    async def whole(request: Request) -> Response:
        answer = await open_stream(request)
        pieces = [piece async for piece in answer.aiter_raw()]
        await answer.aclose()
        return Response(b"".join(pieces), answer.status_code, _headers(answer))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    routes = [Route("/stream", stream, methods=["POST"]), Route("/whole", whole, methods=["POST"])]
    return Starlette(routes=routes, lifespan=lifespan)


def _headers(answer: httpx.Response) -> dict[str, str]:
    """The upstream's, but for those that belong to one connection or that the server writes itself."""
    return {name: value for name, value in answer.headers.items() if name not in _OWN}


if __name__ == "__main__":
    serve(_pass_through)
