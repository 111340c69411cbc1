"""A fake of an OpenAI-compatible API for `claudexia check`: correct responses, except for the given faults."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from claudexia_cli import check_client
from tests.helpers.serving import serving

KEY = "sk_cdx_test"
USAGE = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
WORDS = ["one", " two", " three", " four", " five", " six"]
Respond = Callable[[], Response]


def completion(finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": None, **message}, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": USAGE}


def call(name: str = "get_weather", arguments: str = '{"city": "Paris"}') -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return completion("tool_calls", tool_calls=[{"id": "call_1", "type": "function", "function": function}])


def error(status: int, code: str | None, message: str = "No.") -> JSONResponse:
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": body}, status)


def chunk(**parts: Any) -> str:
    shape = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], **parts}
    return f"data: {json.dumps(shape)}\n\n"


def delta(content: str | None = None, finish_reason: str | None = None) -> str:
    return chunk(choices=[{"delta": {"content": content}, "finish_reason": finish_reason}])


STREAM = [*map(delta, WORDS), delta(finish_reason="stop"), chunk(usage=USAGE), "data: [DONE]\n\n"]


class Time:
    """Replaces `time` in the reader of a streaming() response, which sets the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0

    def perf_counter(self) -> float:
        self.reads += 1
        return self.now


TIME = Time()


def streaming(pieces: list[str], pause: float = 0.02) -> Response:
    """Sends each piece after the reader has read the time at which the previous one arrived."""

    async def sent() -> AsyncIterator[str]:
        for later in reversed(range(len(pieces))):
            TIME.now += pause
            reads = TIME.reads
            yield pieces[-1 - later]
            while later and TIME.reads == reads:  # polled, since the reader is in another thread
                await asyncio.sleep(0.001)

    return StreamingResponse(sent(), media_type="text/event-stream")


CITY = '{"city": "Paris", "country": "France", "population": 2000000}'
# The correct response to each request.
CORRECT: Mapping[str, Respond] = {
    "health": lambda: JSONResponse({"status": "ok"}),
    "models": lambda: JSONResponse({"object": "list", "data": [{"id": "claude-haiku-5-5"}]}),
    "wrong key": lambda: error(401, "invalid_api_key"),
    "whole": lambda: JSONResponse(completion(content="Hello.")),
    "stream": lambda: streaming(STREAM),
    "tool": lambda: JSONResponse(call()),
    "tool result": lambda: JSONResponse(completion(content="Sunny.")),
    "structured": lambda: JSONResponse(completion(content=CITY)),
}


def fake_openai(**wrong: Respond) -> Starlette:
    """`wrong` has the responses that replace CORRECT; a name has _ in place of a space."""
    responses = {**CORRECT, **{name.replace("_", " "): respond for name, respond in wrong.items()}}

    async def health(request: Request) -> Response:
        return responses["health"]()

    async def models(request: Request) -> Response:
        known = request.headers["authorization"] == f"Bearer {KEY}"
        return responses["models" if known else "wrong key"]()

    async def complete(request: Request) -> Response:
        return responses[_request_name(await request.json())]()

    routes = [
        Route("/stage/v1/health", health),
        Route("/stage/v1/models", models),
        Route("/stage/v1/chat/completions", complete, methods=["POST"]),
    ]
    return Starlette(routes=routes)


@contextmanager
def fake_openai_url(**wrong: Respond) -> Iterator[str]:
    """The URL of a fake_openai(). Its streams are measured with its own time."""
    with serving(fake_openai(**wrong)) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(check_client, "time", TIME)
        yield url


def _request_name(body: Mapping[str, Any]) -> str:
    if body.get("stream"):
        return "stream"
    if "response_format" in body:
        return "structured"
    if "tools" not in body:
        return "whole"
    return "tool result" if body["messages"][-1]["role"] == "tool" else "tool"
