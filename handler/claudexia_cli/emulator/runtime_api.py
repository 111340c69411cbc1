"""RuntimeApi: the Lambda Runtime API, version 2018-06-01, as the function's process calls it.

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
from collections.abc import AsyncGenerator, Callable

import h11

from claudexia_cli.http_server import HttpServer, Request, Response

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:claudexia"
_ROUTE = re.compile(r"/2018-06-01/runtime/(invocation|init)/(?:([^/]+)/)?(\w+)")
# Lambda replaces an error type that does not have this form by `Runtime.Unknown`.
_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_ERROR_TYPE_FIELD = "lambda-runtime-function-error-type"
_ERROR_BODY_FIELD = "lambda-runtime-function-error-body"
_JSON = {"Content-Type": "application/json"}


class FunctionError(Exception):
    """The function failed. `type` is Lambda's error type: `Runtime.ExitError`, `Function.KeyError`."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}" if message else error_type)
        self.type = error_type


class Invocation:
    """One event for the function, and the function's response to it.

    The Runtime API calls `write`, `finish` and `fail`; the caller reads `response`. One piece is in flight:
    `write` returns when the caller has consumed the piece, so a slow client slows the function down.
    """

    def __init__(self, request_id: str, event: bytes = b"") -> None:
        self.event = event
        self.request_id = request_id
        # Distinguishes the responses to two invocations with one request id: aws/aws-lambda-rust-runtime#1155
        self.invocation_id = str(uuid.uuid4())
        # https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
        root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        self.trace_id = f"Root={root};Parent={secrets.token_hex(8)};Sampled=0"
        self.responding = False
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._consumed = asyncio.Event()
        self._abandoned = False
        self._error: FunctionError | None = None

    async def write(self, piece: bytes) -> None:
        if self._abandoned:
            return
        self._consumed.clear()
        self._queue.put_nowait(piece)
        await self._consumed.wait()

    def finish(self) -> None:
        self._queue.put_nowait(None)

    def fail(self, error: FunctionError) -> None:
        """Ends the response with `error`, after the pieces that were written before."""
        self._error = self._error or error
        self.finish()

    async def response(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the response. Closing the generator abandons the invocation.

        Raises FunctionError after the last piece if the function failed.
        """
        try:
            while (piece := await self._queue.get()) is not None:
                yield piece
                self._consumed.set()
        finally:
            self._abandon()
        if self._error:
            raise self._error

    def _abandon(self) -> None:
        """The caller has left. The function is not notified: it runs to its end, and its pieces are dropped."""
        self._abandoned = True
        self._consumed.set()


class RuntimeApi:
    """Hands each invocation to one poll. The invocation times out `timeout` seconds after it was handed out.

    On a timeout `on_timeout` is called, and the response to that invocation is rejected with 410.
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
        """Listens on a free port; returns the value of AWS_LAMBDA_RUNTIME_API."""
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
        """The process has exited: closes its connections and fails the invocations that it had.

        If the process never polled, the invocations in the queue fail as well.
        """
        self._server.disconnect()
        for invocation in [*self._running.values()]:
            self._end(invocation, error)
        while not self.polled.is_set() and not self._waiting.empty():
            self._waiting.get_nowait().fail(self.init_error or error)
        self._expired.clear()
        self.polled.clear()
        self.init_error = None

    async def _handle(self, request: Request, response: Response) -> None:
        route = _ROUTE.fullmatch(request.target)
        match (request.method, *(route.groups() if route else ())):
            case ("GET", "invocation", None, "next"):
                await self._next(response)
            case ("POST", "init", None, "error"):
                self.init_error = await _read_error(request)
                await response.send(202, b'{"status":"OK"}', _JSON)
            case ("POST", "invocation", str(request_id), "response" | "error" as kind):
                await self._receive(request, response, request_id, kind)
            case _:
                await _reject(response, 404, "NotFound", f"no such path: {request.method} {request.target}")

    async def _next(self, response: Response) -> None:
        self.polled.set()
        invocation = await self._waiting.get()
        loop = asyncio.get_running_loop()
        self._running[invocation.request_id] = invocation
        self._timers[invocation.request_id] = loop.call_later(self._timeout, self._expire, invocation)
        await response.send(
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

    async def _receive(self, request: Request, response: Response, request_id: str, kind: str) -> None:
        invocation = self._running.get(request_id)
        if request_id in self._expired:
            await _reject_late(response)
        elif not invocation:
            await _reject(response, 400, "InvalidRequestID", "Invalid request ID")
        elif request.headers.get("lambda-runtime-invocation-id", invocation.invocation_id) != (
            invocation.invocation_id
        ):
            await _reject_late(response)
        elif invocation.responding:
            await _reject(response, 403, "InvalidStateTransition", "The response has already started")
        else:
            invocation.responding = True
            if kind == "response":
                error = await self._read_response(request, invocation)
            else:
                error = await _read_error(request)
            if request_id in self._expired:
                await _reject_late(response)
            else:
                self._end(invocation, error)
                await response.send(202, b'{"status":"OK"}', _JSON)

    async def _read_response(self, request: Request, invocation: Invocation) -> FunctionError | None:
        try:
            async for piece in request.body():
                await invocation.write(piece)
        except (h11.RemoteProtocolError, ConnectionError) as error:
            self._end(invocation, FunctionError("Runtime.TruncatedResponse", str(error)))
            raise
        if _ERROR_TYPE_FIELD not in request.trailers:
            return None
        return _error_in_trailers(request)

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


def _error_in_trailers(request: Request) -> FunctionError:
    try:
        body = base64.b64decode(request.trailers.get(_ERROR_BODY_FIELD, ""))
    except ValueError:
        body = b""
    return _function_error(request.trailers[_ERROR_TYPE_FIELD], body)


async def _read_error(request: Request) -> FunctionError:
    return _function_error(request.headers.get(_ERROR_TYPE_FIELD, ""), await request.read())


def _function_error(error_type: str, body: bytes) -> FunctionError:
    try:
        details = json.loads(body)
    except ValueError:
        details = None
    message = details.get("errorMessage", "") if isinstance(details, dict) else ""
    return FunctionError(error_type if _ERROR_TYPE.fullmatch(error_type) else "Runtime.Unknown", str(message))


async def _reject_late(response: Response) -> None:
    await _reject(response, 410, "ErrorRuntimeInvokeTimeout", "The invocation is over: it timed out")


async def _reject(response: Response, status: int, error_type: str, message: str) -> None:
    await response.send(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode(), _JSON)
