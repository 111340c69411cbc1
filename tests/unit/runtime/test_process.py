"""The request that an app receives for an invocation, and how the process starts, waits and ends."""

import asyncio
import json
from typing import Any
from urllib.parse import unquote

import pytest

from claudexia.runtime.__main__ import run
from tests.fakes.runtime_api import FakeRuntimeAPI, Received, rest_event, url_event
from tests.helpers.runtime import app_sending, body, cancel_task, post_of_one_invocation, start, with_runtime
from tests.helpers.waiting import PATIENCE


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
def test_the_app_receives_an_http_request(event: object) -> None:
    headers = {"Lambda-Runtime-Trace-Id": "Root=1-2", "Lambda-Runtime-Aws-Tenant-Id": "t-1"}
    received = post_of_one_invocation(seeing, event, seconds=900, **headers)
    seen = json.loads(received.payload)
    assert (900 - PATIENCE) * 1000 < seen.pop("left") <= 900_000
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
def test_root_path_is_the_stage_of_the_api(full: str | None, path: str, root: str) -> None:
    event = rest_event(path=path, requestContext={"identity": {}, **({"path": full} if full else {})})
    assert paths(event) == (root, root + path)


def paths(event: object) -> tuple[str, str]:
    """ASGI's root_path and path for `event`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(json.dumps([scope["root_path"], scope["path"]]).encode()))

    root, path = json.loads(post_of_one_invocation(app, event).payload)
    return root, path


# A custom domain's base path, the stage, what the client asks for below it, and the greedy part of the path.
MAPPED = [
    ("/claude", "v1", "/chat/completions", "chat/completions"),
    ("/claude", "v1", "/v1/models/", "v1/models"),  # API Gateway drops the slash from the parameter
    ("/team/ai", "live", "/v1/models", "v1/models"),
    ("/models", "v1", "/models/claude-haiku-4-5", "models/claude-haiku-4-5"),
    ("/models", "v1", "/models", "models"),
    ("/v1", "v1", "/v1/chat/completions", "v1/chat/completions"),
    ("/v1", "v1", "/chat/completions", "chat/completions"),
    ("/claude", "v1", "/v1/models/a%2Fb", "v1/models/a/b"),
    ("/claude", "v1", "/", None),
    ("", "v1", "/docs", "docs"),
]


@pytest.mark.parametrize(("base", "stage", "route", "proxy"), MAPPED)
def test_a_custom_domain_leaves_its_base_path_in_the_path(
    base: str, stage: str, route: str, proxy: str | None
) -> None:
    whole = base + route
    event = rest_event(
        path=whole,
        resource="/{proxy+}" if proxy else "/",
        pathParameters={"proxy": proxy} if proxy else None,
        requestContext={"identity": {}, "path": whole, "stage": stage},
    )
    assert paths(event) == (base, base + unquote(route))


def test_the_root_of_a_mapping_may_lack_its_slash() -> None:
    event = rest_event(path="/claude", resource="/", requestContext={"identity": {}, "path": "/claude"})
    assert paths(event) == ("/claude", "/claude/")


@pytest.mark.parametrize("steps", [[start(), body()], [RuntimeError()]], ids=["response", "error"])
def test_the_invocation_id_is_echoed(steps: list[Any]) -> None:
    received = post_of_one_invocation(app_sending(*steps), **{"Lambda-Runtime-Invocation-Id": "inv-7"})
    assert received.headers["lambda-runtime-invocation-id"] == ["inv-7"]


def test_four_concurrent_invocations_in_one_process() -> None:
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


def test_an_app_that_cannot_be_loaded_is_an_init_error() -> None:
    async def main() -> tuple[int, Received]:
        async with FakeRuntimeAPI() as fake:
            status = await run({"AWS_LAMBDA_RUNTIME_API": fake.address, "_HANDLER": "no.such.module"})
            return status, fake.other[0]

    status, received = asyncio.run(main())
    assert (status, received.path) == (1, "/2018-06-01/runtime/init/error")
    assert received.headers["lambda-runtime-function-error-type"] == ["Function.ModuleNotFoundError"]


def test_a_process_ends_without_its_api() -> None:
    async def main() -> int:
        async with FakeRuntimeAPI() as fake:
            serving = asyncio.create_task(
                run({"AWS_LAMBDA_RUNTIME_API": fake.address, "_HANDLER": "claudexia.main.handler"})
            )
            await fake.give(rest_event(path="/health"))
            fake.close_all()
            async with asyncio.timeout(PATIENCE):
                return await serving

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize(("initialization", "restores"), [("on-demand", 0), ("snap-start", 1)])
def test_restore_is_awaited_after_a_snapshot(initialization: str, restores: int) -> None:
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
            await cancel_task(serving)
            return fake.restores

    assert asyncio.run(main()) == restores
