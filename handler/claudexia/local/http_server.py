"""HttpServer: HTTP/1.1 over asyncio streams, for what uvicorn keeps to itself: chunk boundaries and trailers.

It serves loopback only, to a client that is known; it is no server for a network.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus

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
