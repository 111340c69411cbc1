"""RuntimeApi: the Lambda Runtime API, version 2018-06-01, as a function's process sees it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, and for streamed responses
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import asyncio
import base64
import json
import re
import secrets
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus

# --- claudexia.local.invocation
# Invocation: one event on its way to the function, and what the function answers on its way back.


class FunctionError(Exception):
    """The function failed; `type` is in Lambda's terms, as `Runtime.ExitError` or `Function.KeyError`."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}" if message else error_type)
        self.type = error_type


class Invocation:
    """`write`, `finish` and `fail` are the Runtime API's side, `response` and `abandon` the caller's.

    There is one piece in flight: `write` returns when the caller has let go of it, so that a slow client slows
    the function down.
    """

    def __init__(self, request_id: str, event: bytes = b"") -> None:
        self.event = event
        self.request_id = request_id
        # A request id may come twice; this tells the answers apart. aws/aws-lambda-rust-runtime#1155
        self.invocation_id = str(uuid.uuid4())
        # https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
        root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        self.trace_id = f"Root={root};Parent={secrets.token_hex(8)};Sampled=0"
        self.responding = False
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._abandoned = False
        self._error: FunctionError | None = None

    async def write(self, piece: bytes) -> None:
        if self._abandoned:
            return
        self._taken.clear()
        self._queue.put_nowait(piece)
        await self._taken.wait()

    def finish(self) -> None:
        self._queue.put_nowait(None)

    def fail(self, error: FunctionError) -> None:
        """What was written before still arrives."""
        self._error = self._error or error
        self.finish()

    async def response(self) -> AsyncGenerator[bytes, None]:
        """Raises FunctionError where the function broke off. To be closed, which abandons the invocation."""
        try:
            while (piece := await self._queue.get()) is not None:
                yield piece
                self._taken.set()
        finally:
            self._abandon()
        if self._error:
            raise self._error

    def _abandon(self) -> None:
        """Nobody listens any more; the function is not told and runs on to its end."""
        self._abandoned = True
        self._taken.set()


# --- claudexia.local.http_server
# HttpServer: HTTP/1.1 over asyncio streams, for what uvicorn keeps to itself: chunk boundaries and trailers.
#
# It serves loopback only, to a client that is known; it is no server for a network.

_PIECE = 64 * 1024
# Go's net/http, on which Lambda's own Runtime API stands, resets a connection whose trailers are longer.
_TRAILER_LIMIT = 4096


class ProtocolError(Exception):
    """What was read is not HTTP/1.1 as this server speaks it."""


class Request:
    """A request whose head has been read. Names of headers and trailers are lower-case."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader) -> None:
        request_line, *lines = head.decode("latin-1").split("\r\n")
        try:
            self.method, self.target, _version = request_line.split(" ")
        except ValueError:
            raise ProtocolError(f"not a request line: {request_line!r}") from None
        self.headers = _fields(lines)
        self.trailers: Mapping[str, str] = {}
        self._reader = reader
        self._pieces = self._body()

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"

    def body(self) -> AsyncIterator[bytes]:
        """A chunk of up to 64 KB is one piece, given when it is whole; a longer one comes as it is read.

        Raises ProtocolError or IncompleteReadError. `trailers` are known once all of it has been read.
        """
        return self._pieces

    async def read(self) -> bytes:
        """What has not been read of the body."""
        return b"".join([piece async for piece in self._pieces])

    async def _body(self) -> AsyncIterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            async for piece in self._span(_number(self.headers.get("content-length", "0"), 10)):
                yield piece
            return
        while size := _number((await self._line()).partition(";")[0], 16):
            async for piece in self._span(size):
                yield piece
            if await self._reader.readexactly(2) != b"\r\n":
                raise ProtocolError("a chunk is longer than it said")
        self.trailers = await self._read_trailers()

    async def _span(self, size: int) -> AsyncIterator[bytes]:
        if 0 < size <= _PIECE:
            yield await self._reader.readexactly(size)
            return
        while size:
            piece = await self._reader.read(min(size, _PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(piece)
            yield piece

    async def _read_trailers(self) -> Mapping[str, str]:
        lines: list[str] = []
        while line := await self._line():
            lines.append(line)
            if sum(map(len, lines)) > _TRAILER_LIMIT:
                raise ProtocolError("the trailers are longer than 4 kB")
        # As in Go, a trailer that the head did not announce is not there.
        announced = {name.strip().lower() for name in self.headers.get("trailer", "").split(",")}
        return {name: value for name, value in _fields(lines).items() if name in announced}

    async def _line(self) -> str:
        return (await self._reader.readuntil(b"\r\n"))[:-2].decode("latin-1")


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, found, value = line.partition(":")
        if not found:
            raise ProtocolError(f"not a header: {line!r}")
        key = name.lower()
        fields[key] = f"{fields[key]}, {value.strip()}" if key in fields else value.strip()
    return fields


def _number(text: str, base: int) -> int:
    try:
        return int(text.strip(), base)
    except ValueError:
        raise ProtocolError(f"not a length: {text!r}") from None


class Answer:
    """The way back: `send` for a whole answer, or `begin`, `write` and `end`."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self._head(status, {**(headers or {}), "Content-Length": str(len(body))})
        self._writer.write(body)
        await self._writer.drain()

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._head(status, {**headers, "Transfer-Encoding": "chunked"})
        await self._writer.drain()

    async def write(self, piece: bytes) -> None:
        if piece:
            self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self._writer.drain()

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


class HttpServer:
    """Calls `handler` for each request, one after the other on each connection."""

    def __init__(self, handler: Callable[[Request, Answer], Awaitable[None]]) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listens on a free port of the loopback interface; gives `127.0.0.1:port`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return "{}:{}".format(*self._server.sockets[0].getsockname())

    def disconnect(self) -> None:
        """Breaks every connection off."""
        for connection in self._connections:
            connection.cancel()

    def stop(self) -> None:
        if self._server:
            self._server.close()
        self.disconnect()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            while request := await _next_request(reader):
                await self._handler(request, Answer(writer))
                await request.read()
                if not request.keeps_alive:
                    break
        except (ProtocolError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side is gone, or not to be talked to
        except asyncio.CancelledError:
            writer.transport.abort()  # and no more: Python 3.11 reports a cancelled connection as a bug
        finally:
            writer.close()


async def _next_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    return Request(head[:-4], reader)


FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:claudexia"
_ROUTE = re.compile(r"/2018-06-01/runtime/(invocation|init)/(?:([^/]+)/)?(\w+)")
# Lambda replaces the name of an error that is not of this form.
_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_ERROR_TYPE_FIELD = "lambda-runtime-function-error-type"
_ERROR_BODY_FIELD = "lambda-runtime-function-error-body"
_JSON = {"Content-Type": "application/json"}


class RuntimeApi:
    """Gives each invocation to one poll; each has `timeout` seconds from then on, as on Lambda.

    `on_timeout` is called when one has used them up; its answer is refused with 410 from then on.
    """

    def __init__(self, timeout: float, on_timeout: Callable[[Invocation], None]) -> None:
        self._timeout = timeout
        self._on_timeout = on_timeout
        self._server = HttpServer(self._handle)
        self._waiting: asyncio.Queue[Invocation] = asyncio.Queue()
        self._arrived = asyncio.Event()
        self._running: dict[str, Invocation] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._expired: set[str] = set()
        self.polled = asyncio.Event()
        self.init_error: FunctionError | None = None

    async def start(self) -> str:
        """Gives what AWS_LAMBDA_RUNTIME_API is to be."""
        return await self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def submit(self, invocation: Invocation) -> None:
        self._waiting.put_nowait(invocation)
        self._arrived.set()

    async def wait_for_work(self) -> None:
        """Returns when an invocation waits for a poll."""
        while self._waiting.empty():
            self._arrived.clear()
            await self._arrived.wait()

    def reset(self, error: FunctionError) -> None:
        """The process is gone: so are its connections, what it had, and the queue if it never polled."""
        self._server.disconnect()
        for invocation in [*self._running.values()]:
            self._end(invocation, error)
        while not self.polled.is_set() and not self._waiting.empty():
            self._waiting.get_nowait().fail(self.init_error or error)
        self._expired.clear()
        self.polled.clear()
        self.init_error = None

    async def _handle(self, request: Request, answer: Answer) -> None:
        route = _ROUTE.fullmatch(request.target)
        match (request.method, *(route.groups() if route else ())):
            case ("GET", "invocation", None, "next"):
                await self._next(answer)
            case ("POST", "init", None, "error"):
                self.init_error = _reported(request, await request.read())
                await answer.send(202, b'{"status":"OK"}', _JSON)
            case ("POST", "invocation", str(request_id), "response" | "error" as kind):
                await self._take(request, answer, request_id, kind)
            case _:
                await _refuse(answer, 404, "NotFound", f"no such path: {request.method} {request.target}")

    async def _next(self, answer: Answer) -> None:
        self.polled.set()
        invocation = await self._waiting.get()
        loop = asyncio.get_running_loop()
        self._running[invocation.request_id] = invocation
        self._timers[invocation.request_id] = loop.call_later(self._timeout, self._expire, invocation)
        await answer.send(
            200,
            invocation.event,
            {
                **_JSON,
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
                "Lambda-Runtime-Trace-Id": invocation.trace_id,
                "Lambda-Runtime-Invocation-Id": invocation.invocation_id,
            },
        )

    async def _take(self, request: Request, answer: Answer, request_id: str, kind: str) -> None:
        invocation = self._running.get(request_id)
        if request_id in self._expired:
            await _refuse_late(answer)
        elif not invocation:
            await _refuse(answer, 400, "InvalidRequestID", "Invalid request ID")
        elif request.headers.get("lambda-runtime-invocation-id", invocation.invocation_id) != (
            invocation.invocation_id
        ):
            await _refuse_late(answer)
        elif invocation.responding:
            await _refuse(answer, 403, "InvalidStateTransition", "The response has already begun")
        else:
            invocation.responding = True
            error = await (self._read_response if kind == "response" else _read_error)(request, invocation)
            if request_id in self._expired:
                await _refuse_late(answer)
            else:
                self._end(invocation, error)
                await answer.send(202, b'{"status":"OK"}', _JSON)

    async def _read_response(self, request: Request, invocation: Invocation) -> FunctionError | None:
        try:
            async for piece in request.body():
                await invocation.write(piece)
        except (ProtocolError, ConnectionError, asyncio.IncompleteReadError) as error:
            self._end(invocation, FunctionError("Runtime.TruncatedResponse", str(error)))
            raise
        if _ERROR_TYPE_FIELD not in request.trailers:
            return None
        return _reported_in_trailers(request)

    def _end(self, invocation: Invocation, error: FunctionError | None) -> None:
        if self._running.pop(invocation.request_id, None):
            self._timers.pop(invocation.request_id).cancel()
            if error:
                invocation.fail(error)
            else:
                invocation.finish()

    def _expire(self, invocation: Invocation) -> None:
        message = f"Task timed out after {self._timeout:.2f} seconds"
        self._end(invocation, FunctionError("Sandbox.Timedout", message))
        self._expired.add(invocation.request_id)
        self._on_timeout(invocation)


async def _read_error(request: Request, invocation: Invocation) -> FunctionError:
    return _reported(request, await request.read())


def _reported_in_trailers(request: Request) -> FunctionError:
    try:
        body = base64.b64decode(request.trailers.get(_ERROR_BODY_FIELD, ""))
    except ValueError:
        body = b""
    return _error(request.trailers[_ERROR_TYPE_FIELD], body)


def _reported(request: Request, body: bytes) -> FunctionError:
    return _error(request.headers.get(_ERROR_TYPE_FIELD, ""), body)


def _error(error_type: str, body: bytes) -> FunctionError:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    message = told.get("errorMessage", "") if isinstance(told, dict) else ""
    return FunctionError(error_type if _ERROR_TYPE.fullmatch(error_type) else "Runtime.Unknown", str(message))


async def _refuse_late(answer: Answer) -> None:
    await _refuse(answer, 410, "ErrorRuntimeInvokeTimeout", "The invocation is over: it timed out")


async def _refuse(answer: Answer, status: int, error_type: str, message: str) -> None:
    await answer.send(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode(), _JSON)
