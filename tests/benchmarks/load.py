"""The client: one keep-alive connection over a plain socket, so that its own time is negligible."""

import asyncio
import re
import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.benchmarks.fake_upstream import words

_READ = 1 << 18
_PATIENCE = 60.0  # seconds; the first request waits for the start of its server
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# The text of the first delta, which is the same in both vendors' events.
_FIRST = words(1)[0].encode()


@dataclass(frozen=True)
class Answer:
    """`first` is the time from sending the request to the first delta, in seconds."""

    status: int
    body: bytes
    first: float


class Connection:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def send(self, request: bytes) -> Answer:
        async with asyncio.timeout(_PATIENCE):
            return await self._send(request)

    async def _send(self, request: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        received, first = bytearray(), 0.0
        sent = time.perf_counter()
        await loop.sock_sendall(self._socket, request)
        while not _complete(received):
            data = await loop.sock_recv(self._socket, _READ)
            if not data:
                raise ConnectionError(f"the server closed the connection after {bytes(received[-200:])!r}")
            received += data
            if not first and _FIRST in received:
                first = time.perf_counter() - sent
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        decoded = body if _CONTENT_LENGTH.search(head) else _joined(body)
        return Answer(int(head.split(b" ", 2)[1]), decoded, first)


def to_request(path: str, body: bytes, key: str, method: str = "POST") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        "accept: application/json",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "user-agent: benchmark",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _complete(received: bytearray) -> bool:
    if received.endswith(b"\r\n0\r\n\r\n"):
        return True
    end = received.find(b"\r\n\r\n")
    length = _CONTENT_LENGTH.search(received, 0, end) if end >= 0 else None
    return length is not None and len(received) == end + 4 + int(length[1])


def _joined(chunked: bytes) -> bytes:
    """The body without HTTP's chunk sizes."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = chunked.index(b"\r\n", position)
        size = int(chunked[position:end], 16)
        if not size:
            return b"".join(parts)
        parts.append(chunked[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
