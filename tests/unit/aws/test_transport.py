"""HTTP over sockets with servers that split, delay, close and break their responses."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from claudexia.aws.transport import ConnectionPool, Response, TransportError

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CLOSE = b""  # as a piece of a response: the server closes the connection


@dataclass
class Server:
    """Answers each request with the next of `responses`, a sequence of writes; repeats the last."""

    responses: list[list[bytes]]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                assert length
                self.requests.append(head + await reader.readexactly(int(length[1])))
                pieces = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
                for piece in pieces:
                    if piece == CLOSE:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def server(*responses: list[bytes]) -> AsyncIterator[Server]:
    scripted = Server(list(responses))
    listener = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield scripted
    listener.close()


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(work())


def split(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


BODY = b'{"Item": "\r\n\r\n0\r\n\r\n"}'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"a;name=value\r\n"
    + BODY[:10]
    + b"\r\n%x\r\n" % len(BODY[10:])
    + BODY[10:]
    + b"\r\n"
)
LENGTH = b"HTTP/1.1 400 Bad Request\r\nContent-Length:%d  \r\nX-Other: 1\r\n\r\n" % len(BODY)
RESPONSES = [
    ("one write", [LENGTH + BODY], Response(400, BODY), True),
    ("byte by byte", split(LENGTH + BODY), Response(400, BODY), True),
    ("no reason", [b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"], Response(200, b""), True),
    ("chunks", [CHUNKED + b"0\r\n\r\n"], Response(200, BODY), True),
    ("chunks, byte by byte", split(CHUNKED + b"0\r\n\r\n"), Response(200, BODY), True),
    ("chunks with a trailer", [CHUNKED, b"0\r\nx: y\r\n", b"\r\n"], Response(200, BODY), True),
    ("until it closes", [b"HTTP/1.1 200 OK\r\n\r\n", BODY, CLOSE], Response(200, BODY), False),
    ("announced to close", [b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n{}"], Response(200, b"{}"), False),
    ("HTTP/1.0", [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"], Response(200, b"{}"), False),
    ("more than announced", [OK + b"HTTP/1.1 200 OK"], Response(200, b"{}"), False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pieces", "expected", "kept"), [row[1:] for row in RESPONSES], ids=[row[0] for row in RESPONSES]
)
def test_responses(pieces: list[bytes], expected: Response, kept: bool) -> None:
    async def work() -> None:
        pool = ConnectionPool(timeout=30)
        async with server(pieces, [OK]) as scripted:
            assert await pool.post(scripted.url, {}, b"") == expected
            assert await pool.post(scripted.url, {}, b"") == Response(200, b"{}")
            assert scripted.connections == (1 if kept else 2)

    run(work)


def test_an_opened_connection_is_used() -> None:
    async def work() -> None:
        async with server([OK]) as scripted:
            pool = ConnectionPool(timeout=30)
            await pool.open(scripted.url)
            assert await pool.post(scripted.url, {}, b"") == Response(200, b"{}")
            assert scripted.connections == 1

    run(work)


def test_an_opened_connection_that_the_server_has_closed_is_not_used() -> None:
    async def work() -> None:
        accepted: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.append(writer)
            if len(accepted) == 1:
                writer.close()
                return
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        pool = ConnectionPool(timeout=30)
        await pool.open(url)
        while pool._idle[0].reusable:  # until the close has arrived
            await asyncio.sleep(0)
        assert await pool.post(url, {}, b"") == Response(200, b"{}")
        accepted[1].close()
        listener.close()

    run(work)


def test_a_connection_that_was_opened_too_long_ago_is_not_used() -> None:
    async def work() -> None:
        async with server([OK]) as scripted:
            pool = ConnectionPool(timeout=30, max_idle=0)
            await pool.open(scripted.url)
            assert await pool.post(scripted.url, {}, b"") == Response(200, b"{}")
            assert scripted.connections == 2

    run(work)


def test_a_connection_that_cannot_be_opened_is_an_error() -> None:
    async def work() -> None:
        with pytest.raises(TransportError):
            await ConnectionPool(timeout=30).open("http://127.0.0.1:9")

    run(work)


def test_a_request() -> None:
    async def work() -> None:
        async with server([OK]) as scripted:
            await ConnectionPool(30).post(f"{scripted.url}/a%20b", {"x-name": "value"}, b"body")
            host = scripted.url.removeprefix("http://")
            assert scripted.requests == [
                f"POST /a%20b HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\nx-name: value\r\n\r\nbody".encode()
            ]

    run(work)


FAILURES = [
    ("closed before a response", [CLOSE]),
    ("closed in the head", [OK[:20], CLOSE]),
    ("closed in the body", [OK[:-1], CLOSE]),
    ("closed in a chunk", [CHUNKED, CLOSE]),
    ("no HTTP", [b"SSH-2.0-server\r\n\r\n"]),
    ("no length", [b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}"]),
    ("no chunk", [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n"]),
    ("endless head", [b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000]),
]


@pytest.mark.parametrize("pieces", [row[1] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_a_broken_response_may_be_of_an_executed_request(pieces: list[bytes]) -> None:
    async def work() -> None:
        pool = ConnectionPool(30)
        async with server(pieces, [OK]) as scripted:
            with pytest.raises(TransportError) as raised:
                await pool.post(scripted.url, {}, b"")
            assert (raised.value.sent, raised.value.timed_out) == (True, False)
            assert await pool.post(scripted.url, {}, b"") == Response(200, b"{}")

    run(work)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://a b.invalid/", "http://[::1]:9", "http://127.0.0.1:99999"]
)
def test_without_a_connection_nothing_was_sent(url: str) -> None:
    async def work() -> None:
        with pytest.raises(TransportError) as raised:
            await ConnectionPool(30).post(url, {}, b"")
        assert not raised.value.sent

    run(work)


def test_a_late_response_is_not_that_of_the_next_request() -> None:
    async def work() -> None:
        pool = ConnectionPool(0.05)
        async with server([OK[:10]], [OK]) as scripted:
            with pytest.raises(TransportError) as raised:
                await pool.post(scripted.url, {}, b"")
            assert (raised.value.sent, raised.value.timed_out) == (True, True)
            assert await pool.post(scripted.url, {}, b"") == Response(200, b"{}")
            assert scripted.connections == 2

    run(work)


def test_the_response_of_a_cancelled_request_is_not_that_of_the_next() -> None:
    async def work() -> None:
        pool = ConnectionPool(30)
        async with server([OK[:10]], [OK]) as scripted:
            first = asyncio.create_task(pool.post(scripted.url, {}, b""))
            while not scripted.requests:
                await asyncio.sleep(0.001)
            first.cancel()
            assert await pool.post(scripted.url, {}, b"") == Response(200, b"{}")
            assert scripted.connections == 2

    run(work)


def test_a_connection_that_the_server_has_closed_is_not_used() -> None:
    async def work() -> None:
        pool = ConnectionPool(30)
        async with server([OK, CLOSE], [OK]) as scripted:
            await pool.post(scripted.url, {}, b"")
            while scripted.open:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            await pool.post(scripted.url, {}, b"")
            assert scripted.connections == 2

    run(work)


def test_many_requests_share_some_connections() -> None:
    async def work() -> None:
        pool = ConnectionPool(30)
        async with server([OK]) as scripted:
            await asyncio.gather(*(pool.post(scripted.url, {}, b"") for _ in range(200)))
            assert (len(scripted.requests), scripted.connections) == (200, 32)

    run(work)


def test_one_pool_serves_several_event_loops_and_several_hosts() -> None:
    pool = ConnectionPool(30)

    async def work() -> None:
        async with server([OK]) as one, server([OK]) as other:
            for _ in range(3):
                for scripted in (one, other):
                    await pool.post(scripted.url, {}, b"")
            assert (one.connections, other.connections) == (1, 1)

    for _ in range(2):
        run(work)


def test_an_idle_connection_is_closed() -> None:
    async def work() -> None:
        async with server([OK]) as scripted:
            await ConnectionPool(30, max_idle=0.02).post(scripted.url, {}, b"")
            while scripted.open:
                await asyncio.sleep(0.001)

    run(work)
