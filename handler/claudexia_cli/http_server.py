"""HttpServer: HTTP/1.1 on a loopback port, with h11 as the parser.

The Lambda Runtime API needs the boundaries of chunks and the trailers of a request, which uvicorn hides. The
server is for known clients on this machine, not for a network.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus

import h11

_PIECE_LIMIT = 64 * 1024
_HEAD_LIMIT = 64 * 1024
# Lambda's Runtime API is written in Go, whose net/http resets a connection with longer trailers.
_TRAILER_LIMIT = 4096


class _Connection:
    """One client connection: h11's state machine over a pair of asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)

    async def receive(self) -> h11.Event:
        """The next event. Raises h11.RemoteProtocolError if the client breaks the protocol or a message off."""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(_PIECE_LIMIT))
            elif isinstance(event, h11.Event):
                return event
            else:
                raise h11.RemoteProtocolError("The client sent data after the end of its request.")

    async def send(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def next_request(self) -> "Request | None":
        """None if the client closed the connection, or if this exchange was the connection's last one."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        elif self._http.our_state is not h11.IDLE:
            return None
        event = await self.receive()
        return Request(event, self) if isinstance(event, h11.Request) else None


class Request:
    """A request whose head has been read. Names of headers and trailers are lower-case."""

    def __init__(self, head: h11.Request, connection: _Connection) -> None:
        self.method = head.method.decode("ascii")
        self.target = head.target.decode("latin-1")
        self.headers = _fields(head.headers)
        self.trailers: Mapping[str, str] = {}
        self._connection = connection
        self._pieces = self._read_body()

    def body(self) -> AsyncIterator[bytes]:
        """The body in pieces: a chunk of up to 64 KB when it is complete, a longer chunk as it is read.

        `trailers` are set when the body has been read to its end. Raises h11.RemoteProtocolError.
        """
        return self._pieces

    async def read(self) -> bytes:
        """The part of the body that has not been read yet. Raises h11.RemoteProtocolError."""
        return b"".join([piece async for piece in self._pieces])

    async def _read_body(self) -> AsyncIterator[bytes]:
        piece = bytearray()
        while isinstance(event := await self._connection.receive(), h11.Data):
            piece += event.data
            if event.chunk_end or len(piece) > _PIECE_LIMIT:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)
        if isinstance(event, h11.EndOfMessage):
            self.trailers = self._announced(event.headers)

    def _announced(self, trailers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
        """The trailers that the header `Trailer` names. Go's net/http ignores the others."""
        fields = _fields(trailers)
        if sum(len(f"{name}: {value}") for name, value in fields.items()) > _TRAILER_LIMIT:
            raise h11.RemoteProtocolError("The trailers are longer than 4 KB.")
        announced = {name.strip().lower() for name in self.headers.get("trailer", "").split(",")}
        return {name: value for name, value in fields.items() if name in announced}


def _fields(lines: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Values of a repeated field are joined by commas."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in lines:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


class Response:
    """Sends the response to one request: `send` for a whole one, or `start`, `write` and `end` for a stream."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def send(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        head = _head(status, {**(headers or {}), "Content-Length": str(len(body))})
        await self._connection.send(head, h11.Data(data=body), h11.EndOfMessage())

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        await self._connection.send(_head(status, {**headers, "Transfer-Encoding": "chunked"}))

    async def write(self, piece: bytes) -> None:
        """Sends `piece` as one chunk."""
        if piece:
            await self._connection.send(h11.Data(data=piece))

    async def end(self) -> None:
        await self._connection.send(h11.EndOfMessage())


def _head(status: int, headers: Mapping[str, str]) -> h11.Response:
    return h11.Response(status_code=status, headers=list(headers.items()), reason=HTTPStatus(status).phrase)


class HttpServer:
    """Calls `handler` for each request, one after the other on each connection."""

    def __init__(self, handler: Callable[[Request, Response], Awaitable[None]]) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listens on a free port of the loopback interface; returns `127.0.0.1:port`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return "{}:{}".format(*self._server.sockets[0].getsockname())

    def disconnect(self) -> None:
        """Closes every connection at once."""
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
        connection = _Connection(reader, writer)
        try:
            while request := await connection.next_request():
                await self._handler(request, Response(connection))
                await request.read()
        except (h11.RemoteProtocolError, ConnectionError):
            pass  # the client has gone, or does not speak HTTP/1.1
        except asyncio.CancelledError:
            writer.transport.abort()  # not re-raised: Python 3.11 logs a cancelled connection as an error
        finally:
            writer.close()
