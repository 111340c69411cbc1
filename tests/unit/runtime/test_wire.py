"""The bytes that are sent to the Runtime API, compared with those of AWS's own Node client.

Intended differences:
- Node keeps its connection; the documentation asks for it to be closed after a streamed response.
- Node sends a response without metadata without a prelude; an ASGI response always has status and headers, so it
  always has a prelude, even if its body is empty.
- For a failure before the first byte, Node sends an empty response with trailers; here `/error` is called, as
  documented, so that the caller receives an error.
- Node sends the bare name of an exception; the service keeps only names like Function.Name.
- An exception's own message is left out here: it may quote a request.
"""

import ast
import asyncio
import json
import re
from typing import Any

import pytest

from tests.fakes.runtime_api import FakeRuntimeAPI, Received, rest_event, url_event
from tests.helpers.recordings import SHARED
from tests.helpers.runtime import app_sending, body, post_of_one_invocation, start, with_runtime
from tests.helpers.waiting import PATIENCE, turns

CAPTURES = SHARED / "runtime-captures"
needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="recorded traffic is not part of the repository (../shared/data is absent)"
)
NULS = bytes(8)


COOKIES = (("set-cookie", "a=b"), ("set-cookie", "c=d"))
NODE_HEAD = (("content-type", "text/event-stream"), ("x-custom", "v"), *COOKIES)
SITUATIONS: dict[str, list[Any]] = {
    "node_meta": [
        start(201, *NODE_HEAD),
        body(b"data: 1\n\n", True),
        0.1,
        body(b"data: 2\n\n", True),
        0.1,
        body(),
    ],
    "node_empty_body": [start(201, *NODE_HEAD), body()],
    "node_throw_mid": [start(201, *NODE_HEAD), body(b"data: 1\n\n", True), 0.1, RuntimeError("boom mid")],
}
# Node keeps its connection open; this client closes it, as documented.
HEAD_THAT_MATTERS = ("lambda-runtime-function-response-mode", "trailer", "content-type", "transfer-encoding")


def capture(name: str) -> Any:
    """A capture's summary: path, headers, chunks, trailers."""
    text = (CAPTURES / f"{name}.txt").read_text("utf-8")
    path = re.findall(r"^== POST (\S+)", text, re.MULTILINE)[0]
    found = {
        key: re.findall(rf"^   {key}[^:]*: (.*)$", text, re.MULTILINE)[0]
        for key in ("headers", "chunks", "trailers")
    }
    return (
        path,
        json.loads(found["headers"]),
        ast.literal_eval(found["chunks"]),
        ast.literal_eval(found["trailers"]),
    )


@needs_captures
@pytest.mark.parametrize("name", SITUATIONS)
def test_bytes_equal_those_of_awss_node_client(name: str) -> None:
    path, headers, chunks, trailers = capture(name)
    ours = post_of_one_invocation(app_sending(*SITUATIONS[name]), url_event())
    assert re.sub("[0-9a-f-]{36}", "request-0", path) == ours.path
    for header in HEAD_THAT_MATTERS:
        assert ours.headers[header] == headers[header]
    assert ours.chunks == [data for _, data in chunks]
    assert list(ours.trailers) == re.findall(r"^([\w-]+):", trailers.decode(), re.MULTILINE)
    assert ours.complete


def test_chunks_leave_at_once() -> None:
    """Each has arrived before the app sends the next one."""
    arrived: list[bytes] = []

    async def work(fake: FakeRuntimeAPI) -> Received:
        fakes.append(fake)
        return await fake.give(rest_event())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        async with asyncio.timeout(PATIENCE):
            for number in range(4):
                await send(body(b"%d" % number, True))
                while arrived[-1:] != [b"%d" % number]:
                    arrived.append(await fakes[0].arrived.get())
        await send(body())

    fakes: list[FakeRuntimeAPI] = []
    received = with_runtime(app, work)
    assert received.payload == b"0123"
    assert received.trailers == {}
    assert arrived[-4:] == [b"0", b"1", b"2", b"3"]


def test_the_prelude_has_repeated_headers_and_no_framing_headers() -> None:
    head = start(
        200, ("Content-Length", "3"), ("connection", "close"), ("Transfer-Encoding", "chunked"), ("Vary", "a"),
        ("vary", "b"), ("X-Name", "é"), *COOKIES,
    )  # fmt: skip
    rest = post_of_one_invocation(app_sending(head, body(b"abc"))).prelude
    assert rest == {
        "statusCode": 200,
        "headers": {"x-name": "é"},
        "multiValueHeaders": {"vary": ["a", "b"], "set-cookie": ["a=b", "c=d"]},
    }
    url = post_of_one_invocation(app_sending(head, body(b"abc")), url_event()).prelude
    assert url["cookies"] == ["a=b", "c=d"]
    assert url["multiValueHeaders"] == {"vary": ["a", "b"]}


@pytest.mark.parametrize("size", [0, 1, 100_000, 20_000_000])
def test_bodies_of_any_size_are_posted(size: int) -> None:
    received = post_of_one_invocation(app_sending(start(), body(bytes(size))))
    assert received.payload == bytes(size)
    assert received.body.startswith(b'{"statusCode":200,"headers":{}}' + NULS)


def test_backpressure_reaches_the_app() -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(start())
        for _ in range(1000):
            await send(body(bytes(100_000), True))
            sent += 1
        await send(body())

    async def work(fake: FakeRuntimeAPI) -> int:
        fake.stalled = True
        giving = asyncio.create_task(fake.give(rest_event()))
        await fake.body_started.wait()
        before = -1
        while before < sent:  # the app runs as far as it can
            before = sent
            await turns()
        fake.stalled = False
        fake.resumed.set()
        received = await giving
        assert len(received.payload) == 100_000_000
        return before

    assert with_runtime(app, work) < 200
