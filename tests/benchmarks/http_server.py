"""The HTTP/1.1 server of both fakes: keep-alive, one request at a time."""

import asyncio
import re
import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import cast

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class HTTPConnection(asyncio.Protocol):
    """One connection. Its requests come one at a time."""

    def __init__(self) -> None:
        self._received = b""

    @abstractmethod
    def answer(self, head: bytes, body: bytes) -> None:
        """Writes the response to `transport`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, rest = self._received.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if not (ended and length) or len(rest) < int(length[1]):
            return
        self._received = rest[int(length[1]) :]
        self.answer(head, rest[: int(length[1])])


async def serve(connect: Callable[[], HTTPConnection], descriptor: int) -> None:
    """Serves on the listening socket with the file descriptor `descriptor`."""
    listener = socket.socket(fileno=descriptor)
    server = await asyncio.get_running_loop().create_server(connect, sock=listener)
    await server.serve_forever()
