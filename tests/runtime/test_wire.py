"""What leaves for the Runtime API, byte by byte, and beside it what AWS's own Node client sends.

Where the two differ, on purpose:
- Node keeps its connection; the documentation asks for it to be closed after a streamed response.
- Node writes a response without metadata bare; an ASGI response always has status and headers, so a prelude.
  For the same reason a response that ends without a byte has its prelude here, and nothing at all there.
- What fails before the first byte is an empty response with trailers there; here it is `/error`, which the
  documentation has for this, so that the caller is answered with a failure.
- Node sends the bare name of an exception; the service keeps only names like Function.Name.
- An exception's own message is left out here: it may quote a request.
"""

import ast
import asyncio
import base64
import json
import re
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any, TypeVar, cast

import pytest
from mangum import Mangum

from claudexia.runtime.__main__ import Runtime, run
from claudexia.runtime.api import RuntimeAPI
from tests.recordings import SHARED
from tests.runtime.runtime_api import FakeRuntimeAPI, Received, rest_event, url_event

CAPTURES = SHARED / "runtime-captures"
needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="recorded traffic is not part of the repository (../shared/data is absent)"
)
NULS = bytes(8)
T = TypeVar("T")
App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


def start(status: int = 200, *headers: tuple[str, str]) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": pairs}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def app_sending(*steps: Any) -> App:
    """An app that sends the given messages; a number is a pause in seconds, an exception is raised."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                await send(step)

    return app


async def ended(serving: asyncio.Task[Any]) -> None:
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def with_runtime(
    app: App, work: Callable[[FakeRuntimeAPI], Coroutine[Any, Any, T]], concurrency: int = 1, **api: Any
) -> T:
    """`work` beside a runtime that serves `app`."""

    async def main() -> T:
        async with FakeRuntimeAPI(**api) as fake:
            runtime = Runtime(
                RuntimeAPI(fake.address), Mangum(cast("Any", app), lifespan="off"), {"started": True}
            )
            serving = asyncio.create_task(runtime.serve(concurrency))
            try:
                return await work(fake)
            finally:
                await ended(serving)

    return asyncio.run(main())


def posted(app: App, event: object = None, **api: Any) -> Received:
    """What the runtime posts for one invocation of `app`."""
    return with_runtime(app, lambda fake: fake.give(rest_event() if event is None else event), **api)


# --- beside AWS's Node client -------------------------------------------------------------------------------

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
# Node keeps its connection; ours closes it, as the API's documentation asks.
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
def test_the_same_situation_gives_the_same_bytes_as_nodes_client(name: str) -> None:
    path, headers, chunks, trailers = capture(name)
    ours = posted(app_sending(*SITUATIONS[name]), url_event())
    assert re.sub("[0-9a-f-]{36}", "request-0", path) == ours.path
    for header in HEAD_THAT_MATTERS:
        assert ours.headers[header] == headers[header]
    assert [data for _, data in ours.chunks] == [data for _, data in chunks]
    assert list(ours.trailers) == re.findall(r"^([\w-]+):", trailers.decode(), re.MULTILINE)
    assert ours.whole


# --- the response -------------------------------------------------------------------------------------------


def test_chunks_leave_at_once() -> None:
    steps = [start(), *(step for number in range(4) for step in (body(b"%d" % number, True), 0.1)), body()]
    times = [at for at, data in posted(app_sending(*steps)).chunks[2:]]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(0.05 < gap < 2 for gap in gaps)


def test_the_prelude_holds_repeated_headers_and_no_framing() -> None:
    head = start(
        200, ("Content-Length", "3"), ("connection", "close"), ("Transfer-Encoding", "chunked"), ("Vary", "a"),
        ("vary", "b"), ("X-Name", "é"), *COOKIES,
    )  # fmt: skip
    rest = posted(app_sending(head, body(b"abc"))).prelude
    assert rest == {
        "statusCode": 200,
        "headers": {"x-name": "é"},
        "multiValueHeaders": {"vary": ["a", "b"], "set-cookie": ["a=b", "c=d"]},
    }
    url = posted(app_sending(head, body(b"abc")), url_event()).prelude
    assert url["cookies"] == ["a=b", "c=d"]
    assert url["multiValueHeaders"] == {"vary": ["a", "b"]}


@pytest.mark.parametrize("size", [0, 1, 100_000, 20_000_000])
def test_bodies_of_any_size_pass(size: int) -> None:
    received = posted(app_sending(start(), body(bytes(size))))
    assert received.payload == bytes(size)
    assert received.body.startswith(b'{"statusCode":200,"headers":{}}' + NULS)


def test_a_slow_client_holds_the_app_back() -> None:
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
        await fake.begun.wait()
        await asyncio.sleep(0.3)
        before, fake.stalled = sent, False
        fake.going_on.set()
        received = await giving
        assert len(received.payload) == 100_000_000
        return before

    assert with_runtime(app, work) < 200


# --- failures -----------------------------------------------------------------------------------------------


class Version2Error(Exception):
    """What its class says of it."""


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
    raise Version2Error("a prompt that must not be told")


async def raising_deeply(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"1", True))
    deep(300)


def test_a_failure_in_the_middle_is_told_in_trailers_that_the_service_can_read() -> None:
    received = posted(raising_deeply)
    assert received.payload == b"1"
    assert received.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.VersionError"
    told = base64.b64decode(received.trailers["Lambda-Runtime-Function-Error-Body"])
    assert sum(len(name) + len(value) + 4 for name, value in received.trailers.items()) < 4000
    assert json.loads(told).keys() == {"errorMessage", "errorType", "stackTrace"}
    assert b"a prompt" not in told
    assert b"deep" in told


BEFORE = [
    pytest.param([RuntimeError("a prompt")], "Function.RuntimeError", id="at-once"),
    pytest.param([start(), RuntimeError("a prompt")], "Function.RuntimeError", id="after-start"),
    pytest.param([], "Function.IncompleteResponseError", id="nothing-sent"),
    pytest.param([start()], "Function.IncompleteResponseError", id="only-start"),
    pytest.param([start(200, ("x", "y" * 17_000)), body()], "Function.PreludeTooLargeError", id="huge-headers"),
]


@pytest.mark.parametrize(("steps", "error_type"), BEFORE)
def test_a_failure_before_the_response_is_an_error(steps: list[Any], error_type: str) -> None:
    received = posted(app_sending(*steps))
    assert received.path.endswith("/request-0/error")
    assert received.headers["lambda-runtime-function-error-type"] == [error_type]
    assert json.loads(received.body)["errorType"] == error_type
    assert b"a prompt" not in received.body


def test_an_app_that_stops_in_the_middle_has_failed() -> None:
    received = posted(app_sending(start(), body(b"1", True)))
    assert received.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.IncompleteResponseError"


def test_what_is_raised_after_a_complete_response_changes_nothing() -> None:
    received = posted(app_sending(start(), body(b"1"), RuntimeError()))
    assert (received.payload, received.trailers) == (b"1", {})


@pytest.mark.parametrize("event", [{}, [], "text", 5, None, {"Records": [{"eventSource": "aws:sqs"}]}])
def test_an_event_that_is_no_request_is_a_clear_error(event: object) -> None:
    received = with_runtime(app_sending(), lambda fake: fake.give(event))
    assert received.path.endswith("/error")
    told = json.loads(received.body)
    assert told["errorType"] == "Function.UnsupportedEventError"
    assert "HTTP requests" in told["errorMessage"]


@pytest.mark.parametrize("status", [202, 400, 410, 413, 500])
def test_whatever_the_api_answers_the_next_invocation_comes(status: int) -> None:
    async def work(fake: FakeRuntimeAPI) -> list[bytes]:
        return [(await fake.give(rest_event())).payload for _ in range(3)]

    assert with_runtime(app_sending(start(), body(b"1")), work, status=status) == [b"1"] * 3


# --- what the app sees --------------------------------------------------------------------------------------


async def seeing(scope: Any, receive: Any, send: Any) -> None:
    context = scope["aws.context"]
    request = await receive()
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "body": request["body"].decode(),
        "state": scope["state"],
        "asgi": scope["asgi"],
        "left": context.get_remaining_time_in_millis(),
        "trace": context.trace_id,
        "tenant": context.tenant_id,
        "request_id": context.aws_request_id,
    }
    await send(start())
    await send(body(json.dumps(seen).encode()))
    assert (await receive())["type"] == "http.disconnect"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            rest_event(
                "POST",
                "/v1/x",
                multiValueQueryStringParameters={"a": ["1", "2"]},
                body="aGk=",
                isBase64Encoded=True,
            ),
            id="rest",
        ),
        pytest.param(url_event("POST", "/v1/x", rawQueryString="a=1&a=2", body="hi"), id="url"),
    ],
)
def test_the_app_sees_an_ordinary_request(event: object) -> None:
    headers = {"Lambda-Runtime-Trace-Id": "Root=1-2", "Lambda-Runtime-Aws-Tenant-Id": "t-1"}
    received = posted(seeing, event, **headers)
    seen = json.loads(received.payload)
    assert 29_000 < seen.pop("left") <= 30_000
    assert seen == {
        "method": "POST", "path": "/v1/x", "query": "a=1&a=2", "body": "hi", "state": {"started": True},
        "asgi": {"version": "3.0", "spec_version": "2.4"}, "trace": "Root=1-2", "tenant": "t-1", "request_id": "request-0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("full", "path", "root"),
    [
        ("/v1/docs", "/docs", "/v1"),
        ("/docs", "/docs", ""),
        ("/a/b/v1/models", "/v1/models", "/a/b"),
        (None, "/docs", ""),
    ],
)
def test_the_app_knows_what_the_api_took_off_the_path(full: str | None, path: str, root: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(scope["root_path"].encode()))

    event = rest_event(path=path, requestContext={"identity": {}, **({"path": full} if full else {})})
    assert posted(app, event).payload.decode() == root


@pytest.mark.parametrize("steps", [[start(), body()], [RuntimeError()]], ids=["response", "error"])
def test_the_invocation_id_is_echoed(steps: list[Any]) -> None:
    received = posted(app_sending(*steps), **{"Lambda-Runtime-Invocation-Id": "inv-7"})
    assert received.headers["lambda-runtime-invocation-id"] == ["inv-7"]


def test_four_invocations_at_once_in_one_process() -> None:
    inside = 0
    all_inside = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal inside
        inside += 1
        if inside == 4:
            all_inside.set()
        await all_inside.wait()
        await send(start())
        await send(body(scope["path"].encode()))

    async def work(fake: FakeRuntimeAPI) -> list[Received]:
        return list(await asyncio.gather(*(fake.give(rest_event(path=f"/{n}")) for n in range(4))))

    assert sorted(received.payload for received in with_runtime(app, work, concurrency=4)) == [
        b"/0",
        b"/1",
        b"/2",
        b"/3",
    ]


# --- the process --------------------------------------------------------------------------------------------


def test_an_app_that_cannot_be_loaded_is_an_init_error() -> None:
    async def main() -> tuple[int, Received]:
        async with FakeRuntimeAPI() as fake:
            status = await run({"AWS_LAMBDA_RUNTIME_API": fake.address, "_HANDLER": "no.such.module"})
            return status, fake.other[0]

    status, received = asyncio.run(main())
    assert (status, received.path) == (1, "/2018-06-01/runtime/init/error")
    assert received.headers["lambda-runtime-function-error-type"] == ["Function.ModuleNotFoundError"]


def test_a_process_without_its_api_ends() -> None:
    async def main() -> int:
        async with FakeRuntimeAPI() as fake:
            serving = asyncio.create_task(
                run({"AWS_LAMBDA_RUNTIME_API": fake.address, "_HANDLER": "claudexia.main.handler"})
            )
            await fake.give(rest_event(path="/health"))
            fake.hang_up()
            async with asyncio.timeout(5):
                return await serving

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize(("initialization", "restores"), [("on-demand", 0), ("snap-start", 1)])
def test_a_snapshot_is_waited_for(initialization: str, restores: int) -> None:
    async def main() -> int:
        async with FakeRuntimeAPI() as fake:
            environ = {
                "AWS_LAMBDA_RUNTIME_API": fake.address,
                "_HANDLER": "claudexia.main.handler",
                "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
            }
            serving = asyncio.create_task(run(environ))
            received = await fake.give(rest_event(path="/health"))
            assert received.payload == b'{"status":"ok"}'
            await ended(serving)
            return fake.restores

    assert asyncio.run(main()) == restores
