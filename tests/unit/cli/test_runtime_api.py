"""The fake Runtime API, over raw sockets."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager

import pytest

from claudexia_cli.emulator.runtime_api import FunctionError, Invocation, RuntimeApi
from tests.helpers.waiting import PATIENCE, turns

BASE = "/2018-06-01/runtime"
TRAILERS = "Trailer: Lambda-Runtime-Function-Error-Type\r\nTrailer: Lambda-Runtime-Function-Error-Body\r\n"
FAILURE = base64.b64encode(json.dumps({"errorMessage": "boom"}).encode()).decode()
ERROR_BODY = f"Lambda-Runtime-Function-Error-Body: {FAILURE}\r\n"


class Client:
    """A connection of a runtime client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, text: str | bytes) -> None:
        self.writer.write(text if isinstance(text, bytes) else text.encode())
        await self.writer.drain()

    async def begin(self, request_id: str, headers: str = "") -> None:
        await self.send(
            f"POST {BASE}/invocation/{request_id}/response HTTP/1.1\r\nHost: x\r\n"
            f"Lambda-Runtime-Function-Response-Mode: streaming\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
        )

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def post(self, path: str, body: str = "", headers: str = "") -> tuple[int, str]:
        await self.send(
            f"POST {BASE}/{path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        status, _, answer = await self.answer()
        return status, answer.decode()

    async def next(self) -> tuple[dict[str, str], bytes]:
        await self.send(f"GET {BASE}/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, body = await self.answer()
        assert status == 200
        return headers, body

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(status.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))


class ApiWithClients:
    """A Runtime API, and clients connected to its port."""

    def __init__(self, seconds: float) -> None:
        self.timed_out: list[Invocation] = []
        self.api = RuntimeApi(seconds, self.timed_out.append)
        self.address = ""
        self.clients: list[Client] = []

    async def client(self) -> Client:
        host, port = self.address.split(":")
        client = Client(*await asyncio.open_connection(host, int(port)))
        self.clients.append(client)
        return client

    async def invoked(self, event: bytes = b"{}", request_id: str = "r1") -> tuple[Invocation, Client]:
        """An invocation that a client has taken."""
        invocation = Invocation(request_id, event)
        self.api.submit(invocation)
        client = await self.client()
        await client.next()
        return invocation, client


@asynccontextmanager
async def api_with_clients(seconds: float = 30) -> AsyncIterator[ApiWithClients]:
    setup = ApiWithClients(seconds)
    setup.address = await setup.api.start()
    try:
        async with asyncio.timeout(PATIENCE):
            yield setup
    finally:
        for client in setup.clients:
            client.writer.close()
        setup.api.stop()


async def response_and_error(invocation: Invocation) -> tuple[bytes, str]:
    """The whole response, and the error it ended with."""
    body = b""
    try:
        async for piece in invocation.response():
            body += piece
    except FunctionError as error:
        return body, str(error)
    return body, ""


def run_test(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(test())


def test_next_returns_an_event() -> None:
    async def test() -> None:
        async with api_with_clients(900) as setup:
            client = await setup.client()
            polling = asyncio.ensure_future(client.next())
            invocation = Invocation("r1", b'{"event": 1}')
            setup.api.submit(invocation)
            headers, body = await polling
            assert body == b'{"event": 1}'
            assert headers["lambda-runtime-aws-request-id"] == "r1"
            assert headers["lambda-runtime-invocation-id"] == invocation.invocation_id
            assert headers["lambda-runtime-invoked-function-arn"].startswith("arn:aws:lambda:")
            assert re.fullmatch(
                r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0",
                headers["lambda-runtime-trace-id"],
            )
            left = int(headers["lambda-runtime-deadline-ms"]) / 1000 - time.time()
            assert 900 - PATIENCE < left <= 900

    run_test(test)


def test_chunks_pass_at_once_and_unchanged() -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            invocation, client = await setup.invoked()
            await client.begin("r1")
            async with aclosing(invocation.response()) as response:
                for data in (b"{}", bytes(8), b"data: 1\n\n", b"x" * 65536):
                    await client.chunk(data)
                    assert await anext(response) == data  # before the next one is sent
                await client.send("6\r\nsp")
                await client.send("lit\n\r\n")
                assert await anext(response) == b"split\n"
                await client.send("0\r\n\r\n")
                assert [piece async for piece in response] == []
            assert (await client.answer())[0] == 202

    run_test(test)


@pytest.mark.parametrize(
    ("headers", "ending", "error"),
    [
        pytest.param("", "0\r\n\r\n", "", id="whole"),
        pytest.param(TRAILERS, f"0\r\nLambda-Runtime-Function-Error-Type: Function.KeyError\r\n{ERROR_BODY}\r\n", "Function.KeyError: boom", id="trailers"),
        pytest.param(TRAILERS, f"0\r\nLambda-Runtime-Function-Error-Type: RangeError\r\n{ERROR_BODY}\r\n", "Runtime.Unknown: boom", id="type-of-another-form"),
        pytest.param(TRAILERS, "0\r\nLambda-Runtime-Function-Error-Type: Function.E\r\nLambda-Runtime-Function-Error-Body: ?\r\n\r\n", "Runtime.Unknown", id="body-unreadable"),
        pytest.param("", f"0\r\nLambda-Runtime-Function-Error-Type: Function.KeyError\r\n{ERROR_BODY}\r\n", "", id="not-announced"),
    ],
)  # fmt: skip
def test_end_of_a_response_has_its_error(headers: str, ending: str, error: str) -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            invocation, client = await setup.invoked()
            await client.begin("r1", headers)
            await client.send(b"3\r\nabc\r\n" + ending.encode())
            assert await response_and_error(invocation) == (b"abc", error)
            assert (await client.answer())[0] == 202
            assert await client.post("invocation/r1/error") == (
                400,
                '{"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}',
            )

    run_test(test)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"", id="hang-up"),
        pytest.param(b"5\r\nab", id="hang-up-in-a-chunk"),
        pytest.param(b"zz\r\n", id="no-length"),
        pytest.param(b"2\r\nabc\r\n", id="longer-than-its-length"),
        pytest.param(
            b"0\r\nLambda-Runtime-Function-Error-Body: " + b"x" * 5000 + b"\r\n\r\n", id="trailers-too-long"
        ),
    ],
)
def test_incomplete_response_is_an_error(rest: bytes) -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            invocation, client = await setup.invoked()
            await client.begin("r1", TRAILERS)
            await client.send(b"3\r\nabc\r\n" + rest)
            client.writer.write_eof()
            body, error = await response_and_error(invocation)
            assert body[:3] == b"abc"
            assert error.startswith("Runtime.TruncatedResponse")
            assert await client.reader.read() == b""  # no 202

    run_test(test)


def test_disconnected_caller_does_not_stop_the_function() -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            invocation, client = await setup.invoked()
            await client.begin("r1")
            await client.chunk(b"one")
            async with aclosing(invocation.response()) as response:
                assert await anext(response) == b"one"
            for _ in range(40):
                await client.chunk(bytes(100_000))
            await client.send("0\r\n\r\n")
            assert (await client.answer())[0] == 202

    run_test(test)


def test_twenty_megabytes_pass_both_ways_with_backpressure() -> None:
    size = 20 * 2**20

    async def test() -> None:
        async with api_with_clients() as setup:
            setup.api.submit(invocation := Invocation("r1", b"e" * size))
            client = await setup.client()
            assert len((await client.next())[1]) == size
            await client.begin("r1")
            sending = asyncio.ensure_future(client.chunk(b"x" * size))
            async with aclosing(invocation.response()) as response:
                taken = len(await anext(response))
                await turns()
                assert not sending.done()
                counting = asyncio.ensure_future(count(response))
                await sending
                await client.send("0\r\n\r\n")
                assert taken + await counting == size
            assert (await client.answer())[0] == 202

    run_test(test)


async def count(response: AsyncIterator[bytes]) -> int:
    return sum([len(piece) async for piece in response])


@pytest.mark.parametrize(
    ("path", "body", "headers", "error"),
    [
        pytest.param("invocation/r1/error", '{"errorMessage": "no"}', "Lambda-Runtime-Function-Error-Type: Function.E\r\n", "Runtime.Unknown: no", id="short-name"),
        pytest.param("invocation/r1/error", '{"errorMessage": "no"}', "Lambda-Runtime-Function-Error-Type: Function.KeyError\r\n", "Function.KeyError: no", id="error"),
        pytest.param("invocation/r1/error", "not JSON", "", "Runtime.Unknown", id="no-error-type"),
    ],
)  # fmt: skip
def test_function_error_replaces_the_response(path: str, body: str, headers: str, error: str) -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            invocation, client = await setup.invoked()
            assert await client.post(path, body, headers) == (202, '{"status":"OK"}')
            assert await response_and_error(invocation) == (b"", error)

    run_test(test)


def test_init_error_is_recorded() -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            client = await setup.client()
            head = "Lambda-Runtime-Function-Error-Type: Function.ImportModuleError\r\n"
            assert (await client.post("init/error", '{"errorMessage": "no app"}', head))[0] == 202
            assert str(setup.api.init_error) == "Function.ImportModuleError: no app"

    run_test(test)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("invocation/r2/response", "", 400, id="unknown-id"),
        pytest.param(
            "invocation/r1/response", "Lambda-Runtime-Invocation-Id: another\r\n", 410, id="another-invocation"
        ),
        pytest.param("invocation/r1/next", "", 404, id="no-such-path"),
        pytest.param("elsewhere", "", 404, id="another-path"),
    ],
)
def test_rejected_request_changes_nothing(path: str, headers: str, status: int) -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            invocation, client = await setup.invoked()
            assert (await client.post(path, "{}", headers))[0] == status
            answering = asyncio.ensure_future(client.post("invocation/r1/response", "whole"))
            assert await response_and_error(invocation) == (b"whole", "")
            assert (await answering)[0] == 202

    run_test(test)


def test_second_response_is_rejected_during_the_first() -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            invocation, first = await setup.invoked()
            await first.begin("r1")
            await first.chunk(b"x")
            async with aclosing(invocation.response()) as response:
                assert await anext(response) == b"x"
                second = await setup.client()
                assert (await second.post("invocation/r1/response"))[0] == 403

    run_test(test)


@pytest.mark.parametrize("started", [False, True], ids=["before", "in-the-middle"])
def test_late_response_gets_410_and_then_the_next_event(started: bool) -> None:
    async def test() -> None:
        async with api_with_clients(0.2) as setup:
            invocation, client = await setup.invoked()
            if started:
                await client.begin("r1")
                await client.chunk(b"early")
            body, error = await response_and_error(invocation)
            assert (body, error) == (
                b"early" if started else b"",
                "Sandbox.Timedout: Task timed out after 0.20 seconds",
            )
            assert setup.timed_out == [invocation]
            if not started:
                await client.begin("r1")
            await client.chunk(b"late")
            await client.send("0\r\n\r\n")
            assert (await client.answer())[0] == 410
            setup.api.submit(Invocation("r2", b"next"))
            assert (await client.next())[1] == b"next"

    run_test(test)


@pytest.mark.parametrize(
    ("polled", "waiting_fails"), [(True, False), (False, True)], ids=["while-it-ran", "before-it-polled"]
)
def test_invocations_fail_when_the_process_exits(polled: bool, waiting_fails: bool) -> None:
    async def test() -> None:
        async with api_with_clients() as setup:
            running = (await setup.invoked())[0] if polled else None
            waiting = Invocation("r2", b"waits")
            setup.api.submit(waiting)
            setup.api.reset(FunctionError("Runtime.ExitError", "gone"))
            if running:
                assert await response_and_error(running) == (b"", "Runtime.ExitError: gone")
            if waiting_fails:
                assert await response_and_error(waiting) == (b"", "Runtime.ExitError: gone")
            else:
                assert (await (await setup.client()).next())[1] == b"waits"

    run_test(test)
