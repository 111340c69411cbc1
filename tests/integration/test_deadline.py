"""On Lambda a response ends with a timeout error before its invocation ends."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from claudexia.api.http import request_deadline
from claudexia.app import create_app
from claudexia.settings import Settings
from tests.fakes.runtime_api import FakeRuntimeAPI, Received, rest_event
from tests.helpers.apis import CHAT, Api, each_api
from tests.helpers.runtime import with_runtime
from tests.helpers.serving import KEY, sse, text_events
from tests.helpers.waiting import PATIENCE

EVENTS = text_events()


class HangingTransport(httpx.AsyncBaseTransport):
    """Sends `pieces`, then nothing more. `closed` is set once the response is closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self._Stream(self))

    class _Stream(httpx.AsyncByteStream):
        def __init__(self, upstream: "HangingTransport") -> None:
            self._upstream = upstream

        async def __aiter__(self) -> Any:
            for piece in self._upstream.pieces:
                yield piece
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            self._upstream.closed = True


def invoke(upstream: HangingTransport, stream: bool, seconds: float, api: Api = CHAT) -> Received:
    """One request through the streaming runtime, with `seconds` until its invocation ends."""
    body = json.dumps({**api.body, "stream": stream})
    event = rest_event("POST", f"/v1{api.path}", headers={"Authorization": f"Bearer {KEY}"}, body=body)
    app = create_app(Settings(api_keys={"test": KEY}), transport=upstream)

    async def work(fake: FakeRuntimeAPI) -> Received:
        async with asyncio.timeout(PATIENCE):  # the upstream never finishes
            return await fake.give(event)

    return with_runtime(app, work, seconds=seconds)


@pytest.mark.parametrize(("remaining", "time_limit"), [(900.0, 899.0), (600.0, 599.0), (3.0, 2.7)])
def test_deadline_is_before_the_end_of_the_invocation(remaining: float, time_limit: float) -> None:
    async def check() -> None:
        clock = asyncio.get_running_loop().time
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: remaining * 1000)
        before = clock()
        deadline = request_deadline({"type": "http", "aws.context": context})
        assert deadline is not None
        assert before + time_limit <= deadline + 1e-6
        assert deadline <= clock() + time_limit + 1e-6

    asyncio.run(check())


@each_api
@pytest.mark.parametrize("pieces", [[], [sse(*EVENTS[:4])]], ids=["silent", "half"])
def test_a_buffered_response_that_times_out_is_a_504(pieces: list[bytes], api: Api) -> None:
    upstream = HangingTransport(*pieces)
    received = invoke(upstream, stream=False, seconds=0.5, api=api)
    assert received.prelude["statusCode"] == 504
    envelope = json.loads(received.payload)
    assert envelope["error"]["type"] == ("server_error" if api is CHAT else "timeout_error")
    assert api.code_in(envelope) == "timeout"
    assert upstream.closed


@each_api
def test_a_stream_that_times_out_ends_with_an_error_frame(api: Api) -> None:
    upstream = HangingTransport(sse(*EVENTS[:4]))
    received = invoke(upstream, stream=True, seconds=0.5, api=api)
    assert received.prelude["statusCode"] == 200
    frames = [line[6:] for line in received.payload.decode().splitlines() if line.startswith("data: ")]
    assert api.code_in(json.loads(frames[-1])) == "timeout"
    assert "[DONE]" not in frames
    assert not any('"finish_reason":"' in frame for frame in frames)
    assert received.trailers == {}
    assert upstream.closed


@each_api
def test_a_stream_without_a_first_event_is_a_504(api: Api) -> None:
    assert invoke(HangingTransport(), stream=True, seconds=0.5, api=api).prelude["statusCode"] == 504


def test_a_response_within_the_deadline_is_complete() -> None:
    received = invoke(HangingTransport(sse(*EVENTS)), stream=True, seconds=30)
    assert received.payload.endswith(b"data: [DONE]\n\n")
