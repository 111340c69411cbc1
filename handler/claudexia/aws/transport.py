"""HTTP/1.1 to AWS: one request and its whole response at a time, over connections that are kept.

A request with five limits makes five calls before its first token. Through httpx, a call takes about eight
times the CPU time that it takes here, and five of them longer than everything else in that request. AWS's APIs
need little of HTTP: no redirects, cookies, compression or streaming.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast
from urllib.parse import SplitResult, urlsplit

import httpx

_MAX_CONNECTIONS = 32  # more requests wait for one of them
_MAX_IDLE = 20.0  # seconds, well below the time after which AWS closes a connection
_HEAD = re.compile(rb"HTTP/1\.([01]) (\d{3})[^\r\n]*\r\n")
_HEADER = re.compile(rb"([^\s:]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
_MAX_HEAD = 64 * 1024
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")


class TransportError(Exception):
    """There is no response. `sent` is whether the server may have received the request."""

    def __init__(self, reason: str, *, sent: bool, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


class Transport(Protocol):
    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Sends one request; `headers` include neither `host` nor `content-length`. Raises TransportError."""


@cache
def tls_context() -> ssl.SSLContext:
    """Verifies servers. Shared in the process, since loading the certificate authorities takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class ConnectionPool:
    """`timeout` limits the time to connect, and then the time until the response is complete, in seconds.

    After `max_idle` seconds without a request, a connection is closed.
    """

    def __init__(self, timeout: float, max_idle: float = _MAX_IDLE) -> None:
        self._timeout = timeout
        self._max_idle = max_idle
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._idle: list[_Connection] = []
        self._reaper: asyncio.Task[None] | None = None

    async def open(self, url: str) -> None:
        """Opens a connection for the next request to this host, if that comes soon. Raises TransportError."""
        self._enter_loop()
        self._keep(await self._connect(urlsplit(url)))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        self._enter_loop()
        parts = urlsplit(url)
        request = _encode(parts, headers, body)
        async with self._slots:
            connection = self._take_idle(parts) or await self._connect(parts)
            try:
                async with asyncio.timeout(self._timeout):
                    response = await connection.exchange(request)
            except TimeoutError:
                connection.abort()
                raise TransportError("no response in time", sent=True, timed_out=True) from None
            except BaseException:
                connection.abort()  # its response may still arrive
                raise
            self._keep(connection)
            return response

    def _enter_loop(self) -> None:
        """Connections belong to one event loop; a command may run several, one after the other."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._idle, self._reaper = loop, [], None
            self._slots = asyncio.Semaphore(_MAX_CONNECTIONS)

    def _take_idle(self, parts: SplitResult) -> "_Connection | None":
        self._close_idle(self._max_idle)
        for connection in reversed(self._idle):  # the one used last
            if connection.origin == _origin(parts):
                self._idle.remove(connection)
                return connection
        return None

    async def _connect(self, parts: SplitResult) -> "_Connection":
        loop = asyncio.get_running_loop()
        secure = parts.scheme == "https"
        try:
            async with asyncio.timeout(self._timeout):
                _, connection = await loop.create_connection(
                    lambda: _Connection(_origin(parts)),
                    parts.hostname or "",
                    parts.port or (443 if secure else 80),
                    ssl=tls_context() if secure else None,
                )
        except TimeoutError:
            raise TransportError("no connection in time", sent=False, timed_out=True) from None
        except (OSError, ValueError) as error:  # ValueError: an invalid host or port
            raise TransportError("no connection", sent=False) from error
        return connection

    def _keep(self, connection: "_Connection") -> None:
        if not connection.reusable:
            connection.abort()
            return
        connection.idle_since = time.time()
        self._idle.append(connection)
        if self._reaper is None or self._reaper.done():
            self._reaper = asyncio.create_task(self._reap())

    async def _reap(self) -> None:
        """Closes connections that are idle too long, and all of them if the event loop ends."""
        try:
            while self._idle:
                await asyncio.sleep(self._max_idle)
                self._close_idle(self._max_idle)
        except asyncio.CancelledError:
            self._close_idle(0)
            raise

    def _close_idle(self, seconds: float) -> None:
        """Closes connections that have been idle for `seconds`.

        By the clock, since the event loop's time stands still while Lambda freezes the process.
        """
        since = time.time() - seconds
        for connection in self._idle:
            if connection.idle_since <= since:
                connection.abort()
        self._idle = [connection for connection in self._idle if connection.reusable]


class _Connection(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, origin: tuple[str, str]) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self.reusable = True
        self._response: asyncio.Future[Response] | None = None
        self._reader = _ResponseReader()

    async def exchange(self, request: bytes) -> Response:
        """Sends the request and returns the response. Raises TransportError."""
        if not self.reusable:
            raise TransportError("connection closed", sent=False)
        self._reader = _ResponseReader()
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._response

    def abort(self) -> None:
        self.reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._response is None or self._response.done():  # nothing was requested
            self.abort()
            return
        try:
            response = self._reader.feed(data)
        except ValueError:
            self._fail("invalid response")
            return
        if response:
            self._complete(response)

    def eof_received(self) -> None:
        if self._response and not self._response.done() and (response := self._reader.end()):
            self._complete(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._response and not self._response.done():
            self._response.set_exception(TransportError("connection closed", sent=True))

    def _complete(self, response: Response) -> None:
        self.reusable = self.reusable and self._reader.keeps_connection
        if self._response:
            self._response.set_result(response)

    def _fail(self, reason: str) -> None:
        self.abort()
        if self._response:
            self._response.set_exception(TransportError(reason, sent=True))


class _ResponseReader:
    """Reads one response. feed() raises ValueError if it is not HTTP/1.1 or HTTP/1.0.

    Source: https://www.rfc-editor.org/rfc/rfc9112.html#name-message-body-length
    """

    def __init__(self) -> None:
        self.keeps_connection = False
        self._received = bytearray()
        self._status = 0  # until the head is complete
        self._length: int | None = None
        self._chunked = False

    def feed(self, data: bytes) -> Response | None:
        """The response, once it is complete."""
        self._received += data
        if not self._status and not self._read_head():
            return None
        if self._chunked:
            # The last chunk is empty, and trailers may follow it.
            body = _join_chunks(self._received) if self._received.endswith(b"\r\n\r\n") else None
            return None if body is None else Response(self._status, body)
        if self._length is None or len(self._received) < self._length:
            return None
        if len(self._received) > self._length:
            self.keeps_connection = False  # bytes of something that was not requested
        return Response(self._status, bytes(self._received[: self._length]))

    def end(self) -> Response | None:
        """The response if the closed connection is what completes it."""
        if self._status and self._length is None and not self._chunked:
            return Response(self._status, bytes(self._received))
        return None

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _MAX_HEAD:
                raise ValueError("the head is too long")
            return False
        head = bytes(self._received[: end + 2])
        del self._received[: end + 4]
        first = _HEAD.match(head)
        if not first:
            raise ValueError("not HTTP/1.1")
        headers = {name.lower(): value.lower() for name, value in _HEADER.findall(head, first.end())}
        self._status = int(first[2])
        self._chunked = headers.get(b"transfer-encoding") == b"chunked"
        if b"content-length" in headers:
            self._length = int(headers[b"content-length"])
        has_end = self._chunked or self._length is not None
        self.keeps_connection = first[1] == b"1" and has_end and headers.get(b"connection") != b"close"
        return True


def _join_chunks(received: bytearray) -> bytes | None:
    """The body, or None if its last chunk has not arrived. Raises ValueError."""
    body, position = bytearray(), 0
    while position < len(received):
        size = _CHUNK_SIZE.match(received, position)
        if not size:
            raise ValueError("not a chunk")
        length = int(size[1], 16)
        if not length:
            return bytes(body)
        body += received[size.end() : size.end() + length]
        position = size.end() + length + 2
    return None


def _origin(parts: SplitResult) -> tuple[str, str]:
    return parts.scheme, parts.netloc


def _encode(parts: SplitResult, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {parts.path or '/'} HTTP/1.1",
        f"host: {parts.netloc.rpartition('@')[2]}",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "\r\n",
    ]
    return "\r\n".join(lines).encode("latin-1") + body
