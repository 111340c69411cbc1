"""A fake Lambda Runtime API: hands out events and records the bytes of each POST."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    """One POST: its head, its body's chunks, and its trailers."""

    path: str
    headers: dict[str, list[str]]
    chunks: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def prelude(self) -> Any:
        return json.loads(self.body.partition(bytes(8))[0])

    @property
    def payload(self) -> bytes:
        return self.body.partition(bytes(8))[2]


def rest_event(method: str = "GET", path: str = "/", **more: Any) -> dict[str, Any]:
    """An API Gateway REST proxy event."""
    return {
        "resource": "/{proxy+}",
        "httpMethod": method,
        "path": path,
        "headers": {},
        "requestContext": {"identity": {"sourceIp": "192.0.2.1"}, "stage": "api"},
        "body": None,
        "isBase64Encoded": False,
        **more,
    }


def url_event(method: str = "GET", path: str = "/", **more: Any) -> dict[str, Any]:
    """A function URL's event, which is that of an HTTP API's payload 2.0."""
    http = {"method": method, "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "x.lambda-url.test"},
        "requestContext": {"http": http, "stage": "$default"},
        "isBase64Encoded": False,
        **more,
    }


@dataclass(frozen=True)
class Malformed:
    """A malformed response to `next`. None leaves that part out.

    body        the event's bytes
    deadline    the value of Lambda-Runtime-Deadline-Ms; "" stands for a good one
    with_request_id  whether the request id is sent
    id          the request id to send in place of the good one, raw
    invocation_id  the value of Lambda-Runtime-Invocation-Id, raw
    status      the status of the response
    raw         the raw bytes of the response; b"" closes the connection
    """

    body: bytes = b"{}"
    deadline: str | None = ""
    with_request_id: bool = True
    id: str = ""
    invocation_id: str | None = None
    status: int = 200
    raw: bytes | None = None


# By name: malformed responses with a request id, so that an error can be reported for the invocation.
MALFORMED_WITH_ID = {
    "no JSON": Malformed(b'{"httpMethod": '),
    "empty": Malformed(b""),
    "two values": Malformed(b"{} {}"),
    "nested 20,000 deep": Malformed(b"[" * 20_000 + b"]" * 20_000),
    "objects nested 20,000 deep": Malformed(b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "a number of 5,000 digits": Malformed(b'{"a":' + b"9" * 5_000 + b"}"),
    "not UTF-8": Malformed(b'{"path": "\xff\xfe"}'),
    "cut UTF-8": Malformed(b'{"path": "\xe2\x82'),
    "no deadline": Malformed(deadline=None),
    "a deadline in words": Malformed(deadline="soon"),
    "an infinite deadline": Malformed(deadline="1e999"),
    "a deadline that is not a number": Malformed(deadline="nan"),
    "an unusable invocation id": Malformed(invocation_id="caf\xe9 1"),
    "an array": Malformed(b"[1]"),
    "a string": Malformed(b'"text"'),
    "null": Malformed(b"null"),
    "a queue's event": Malformed(b'{"Records": [{"eventSource": "aws:sqs"}]}'),
    "a path that is a number": Malformed(
        b'{"resource": "/", "requestContext": {"path": "/v1/5"}, "path": 5, "httpMethod": "GET", "headers": {}}'
    ),
    "a body that is no text": Malformed(
        b'{"resource": "/", "requestContext": {}, "path": "/", "httpMethod": "GET", "headers": {}, "body": 7}'
    ),
    "a body that is not base64": Malformed(
        b'{"resource": "/", "requestContext": {}, "path": "/", "httpMethod": "GET", "headers": {}, "body": "a",'
        b' "isBase64Encoded": true}'
    ),
    "headers that are a list": Malformed(
        b'{"resource": "/", "requestContext": {}, "path": "/", "httpMethod": "GET", "headers": [1]}'
    ),
}
# Malformed responses without a usable request id.
MALFORMED_WITHOUT_ID = {
    "no id": Malformed(with_request_id=False),
    "an empty id": Malformed(id=" "),
    "an id with a line's end": Malformed(id="a\tb"),
    "an id with a path": Malformed(id="../../init/error?"),
    "an id that is not ASCII": Malformed(id="caf\xe9"),
    "an endless id": Malformed(id="a" * 10_000),
    "a refusal": Malformed(status=500),
    "a redirect": Malformed(status=302),
    "no HTTP": Malformed(raw=b"hello\r\n\r\n"),
    "half an answer": Malformed(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
    "a closed connection": Malformed(raw=b""),
}


class FakeRuntimeAPI:
    """Responds to each `next` with an event from `give()`, which returns the POST for it.

    status    the status of the response to each POST; with `early` it is sent before the body has been read, with
              `broken` the connection is closed in the middle of the body
    """

    def __init__(self, status: int = 202, seconds: float = 30, **headers: str) -> None:
        self.status = status
        self.early = False
        self.broken = False
        self.polls = 0
        self.other: list[Received] = []
        self.restores = 0
        self.stalled = False
        self.body_started = asyncio.Event()
        self.resumed = asyncio.Event()
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._seconds = seconds
        self._headers = headers
        self._events: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[Received]] = {}
        self._numbers = iter(range(10_000))
        self._server: asyncio.Server

    async def __aenter__(self) -> "FakeRuntimeAPI":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**16)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    def close_all(self) -> None:
        """Stops listening and closes every connection with a pending `next`."""
        self._server.close()
        self._gone.set()

    async def give(self, event: object) -> Received:
        """Hands out one event. Returns the POST for it."""
        request_id = f"request-{next(self._numbers)}"
        self._answers[request_id] = asyncio.get_running_loop().create_future()
        await self._events.put((request_id, event))
        return await self._answers[request_id]

    async def send(self, event: object) -> None:
        """Hands out one event without waiting for a POST."""
        await self._events.put((f"request-{next(self._numbers)}", event))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = head[0].split(" ")
            headers: dict[str, list[str]] = {}
            for line in filter(None, head[1:]):
                name, _, value = line.partition(": ")
                headers.setdefault(name.lower(), []).append(value)
            if method == "GET":
                await self._get(target, writer)
            else:
                await self._post(Received(target, headers), reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _get(self, target: str, writer: asyncio.StreamWriter) -> None:
        if target.endswith("/restore/next"):
            self.restores += 1
            _reply(writer, 200, b"", {})
            return
        waiting = asyncio.ensure_future(self._events.get())
        gone = asyncio.ensure_future(self._gone.wait())
        await asyncio.wait([waiting, gone], return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not waiting.done():
            waiting.cancel()
            return
        self.polls += 1
        request_id, event = waiting.result()
        if isinstance(event, Malformed):
            self._reply_malformed(event, request_id, writer)
            return
        deadline = str(int((time.time() + self._seconds) * 1000))
        own = {"Lambda-Runtime-Aws-Request-Id": request_id, "Lambda-Runtime-Deadline-Ms": deadline}
        _reply(writer, 200, json.dumps(event).encode(), {**own, **self._headers})

    def _reply_malformed(self, answer: Malformed, request_id: str, writer: asyncio.StreamWriter) -> None:
        if answer.raw is not None:
            writer.write(answer.raw)
            return
        headers = {}
        if answer.with_request_id:
            headers["Lambda-Runtime-Aws-Request-Id"] = answer.id or request_id
        if answer.deadline is not None:
            good = str(int((time.time() + self._seconds) * 1000))
            headers["Lambda-Runtime-Deadline-Ms"] = answer.deadline or good
        if answer.invocation_id is not None:
            headers["Lambda-Runtime-Invocation-Id"] = answer.invocation_id
        _reply(writer, answer.status, answer.body, headers)

    async def _post(
        self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        streamed = "transfer-encoding" in received.headers
        if streamed and self.broken:
            self.body_started.set()
            writer.transport.abort()
            return
        if streamed and self.early:
            _reply(writer, self.status, b'{"status":"refused"}', {})
            await writer.drain()
        if streamed:
            await self._read_chunks(received, reader)
        else:
            body = await reader.readexactly(int(received.headers["content-length"][0]))
            received.chunks.append(body)
        received.complete = True
        if not (streamed and self.early):
            _reply(writer, self.status, b'{"status":"OK"}', {})
        answer = self._answers.get(received.path.split("/")[-2])
        if answer:
            answer.set_result(received)
        else:
            self.other.append(received)

    async def _read_chunks(self, received: Received, reader: asyncio.StreamReader) -> None:
        self.body_started.set()
        if self.stalled:
            await self.resumed.wait()
        while size := int(await reader.readline(), 16):
            data = (await reader.readexactly(size + 2))[:-2]
            received.chunks.append(data)
            self.arrived.put_nowait(data)
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(": ")
            received.trailers[name] = value


def _reply(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
