"""The emulator's execution environment: it starts, ends and restarts the function's process."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from claudexia_cli.emulator.runtime_api import FunctionError, Invocation
from claudexia_cli.emulator.server import ExecutionEnvironment, InitError
from tests.helpers.waiting import PATIENCE

# A runtime client whose behaviour depends on the event. The default response is its process id.
RUNTIME = """
import http.client, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None):
    api.request(method, "/2018-06-01/runtime/" + path, body)
    answer = api.getresponse()
    return answer.headers["Lambda-Runtime-Aws-Request-Id"], answer.read().decode()
while True:
    request_id, event = call("GET", "invocation/next")
    if event == "hang":
        time.sleep(3600)
    elif event == "exit":
        sys.exit(3)
    elif event == "exit in the middle":
        api.putrequest("POST", f"/2018-06-01/runtime/invocation/{request_id}/response")
        api.putheader("Transfer-Encoding", "chunked")
        api.endheaders(b"3\\r\\nabc\\r\\n")
        time.sleep(0.2)
        os._exit(4)
    else:
        call("POST", f"invocation/{request_id}/response", os.environ.get(event, str(os.getpid())))
"""
INIT_ERROR = """
import http.client, os, sys
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
headers = {"Lambda-Runtime-Function-Error-Type": "Function.ImportError"}
api.request("POST", "/2018-06-01/runtime/init/error", '{"errorMessage": "no app"}', headers)
api.getresponse()
sys.exit(1)
"""
ENVIRON = {**os.environ, "OWN": "kept"}


@asynccontextmanager
async def running_environment(seconds: float = 30, concurrency: int = 1) -> AsyncIterator[ExecutionEnvironment]:
    environment = ExecutionEnvironment(seconds, concurrency, [sys.executable, "-c", RUNTIME])
    ready = asyncio.Event()
    task = asyncio.ensure_future(environment.run(ENVIRON, ready.set))
    try:
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
            yield environment
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def invoke(environment: ExecutionEnvironment, event: str, request_id: str = "r") -> tuple[str, str]:
    """The response body, and the error at its end."""
    invocation = Invocation(request_id, event.encode())
    environment.invoke(invocation)
    body = b""
    try:
        async for piece in invocation.response():
            body += piece
    except FunctionError as error:
        return body.decode(), str(error)
    return body.decode(), ""


def run_test(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


def is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_serves_invocations_in_turn_and_is_ended_with_the_environment() -> None:
    async def test() -> None:
        async with running_environment() as environment:
            body = await asyncio.gather(*(invoke(environment, "pid", f"r{number}") for number in range(3)))
            assert len({*body}) == 1
            assert is_alive(body[0][0])
        assert not is_alive(body[0][0])

    run_test(test)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_HANDLER", "claudexia.main.handler"),
        ("AWS_LAMBDA_FUNCTION_NAME", "claudexia"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("OWN", "kept"),
    ],
)
def test_the_function_has_lambdas_environment_variables(name: str, value: str) -> None:
    async def test() -> None:
        async with running_environment() as environment:
            assert await invoke(environment, name) == (value, "")

    run_test(test)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_max_concurrency_is_set_only_if_above_one(concurrency: int) -> None:
    async def test() -> None:
        async with running_environment(concurrency=concurrency) as environment:
            body, _ = await invoke(environment, "AWS_LAMBDA_MAX_CONCURRENCY")
            assert (body == "4") == (concurrency == 4)

    run_test(test)


@pytest.mark.parametrize(
    ("event", "body", "error"),
    [
        pytest.param("hang", "", "Sandbox.Timedout: Task timed out after 3.00 seconds", id="timeout"),
        pytest.param("exit", "", "Runtime.ExitError: Runtime exited: exit status 3", id="exit"),
        pytest.param("exit in the middle", "abc", "Runtime.", id="exit-in-the-middle"),
    ],
)
def test_a_new_process_serves_pending_invocations_after_an_exit(event: str, body: str, error: str) -> None:
    async def test() -> None:
        async with running_environment(seconds=3) as environment:
            first, _ = await invoke(environment, "pid")
            failing, waiting = await asyncio.gather(
                invoke(environment, event, "r1"), invoke(environment, "pid", "r2")
            )
            assert failing[0] == body
            assert failing[1].startswith(error)
            assert waiting[1] == ""
            assert waiting[0] != first
            assert not is_alive(first)

    run_test(test)


def test_a_concurrent_process_survives_a_timeout() -> None:
    async def test() -> None:
        async with running_environment(seconds=3, concurrency=2) as environment:
            pid, _ = await invoke(environment, "pid")
            assert (await invoke(environment, "hang"))[1].startswith("Sandbox.Timedout")
            assert is_alive(pid)

    run_test(test)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param("import sys; sys.exit(5)", "exit status 5", id="exit"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "signal 9", id="killed"),
        pytest.param(INIT_ERROR, "Function.ImportError: no app", id="init-error"),
    ],
)
def test_a_process_that_fails_to_start_is_an_init_error(script: str, reason: str) -> None:
    environment = ExecutionEnvironment(30, 1, [sys.executable, "-c", script])
    with pytest.raises(InitError, match=reason):
        asyncio.run(environment.run(ENVIRON, lambda: pytest.fail("it was not ready")))
