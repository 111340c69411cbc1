"""An ASGI app on a socket of this machine, served by uvicorn, which stops at once on SIGINT or SIGTERM."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, ip_address
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds that a client may take to send one whole request.
REQUEST_TIMEOUT = 60.0
# asyncio tries to accept so many connections at once, also when it has no file descriptor for any.
_BACKLOG = 128


class ListenError(Exception):
    """The server cannot listen on the address; the message names the reason and the option to change."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, opened before the address is printed. Port 0 picks a free one. Raises ListenError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"The host {host!r} cannot be found; choose another with --host.") from error
    except OSError as error:
        raise ListenError(_reason(error, host, port)) from error


def _reason(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is already in use; choose another with --port (0 picks a free one)."
        case errno.EACCES:
            return f"Port {port} on {host} needs more privileges; choose another with --port."
        case errno.EADDRNOTAVAIL:
            return f"The host {host!r} is not an address of this machine; choose another with --host."
        case _:
            return f"Cannot listen on port {port} of {host}: {error.strerror}; choose another with --port."


def base_url(listener: socket.socket) -> str:
    """The server's base URL for a client on this machine: `http://127.0.0.1:8000/v1`."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if isinstance(address, IPv4Address) else "::1")
    name = f"{address}" if isinstance(address, IPv4Address) else f"[{address}]"
    return f"http://{name}:{port}/v1"


def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    on_ready: Callable[[], object] = lambda: None,
    request_timeout: float = REQUEST_TIMEOUT,
) -> None:
    """Serves until SIGINT or SIGTERM; returns about a quarter of a second later.

    Calls `on_ready` once requests and signals are handled. A connection whose request is not complete after
    `request_timeout` seconds is closed.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        backlog=_BACKLOG,
        http=type("Protocol", (_TimedProtocol,), {"request_timeout": request_timeout}),
        log_level="warning",
        proxy_headers=False,
        # In seconds, after the 0.1 s that uvicorn gives open requests to handle the disconnect.
        timeout_graceful_shutdown=0,
        ws="none",
    )
    _Server(config, on_ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Stops without waiting for open streams, and without raising the signal again, unlike uvicorn.Server."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_Reporter().report)
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Requests are aborted on purpose from here on, so their errors are not logged.
        logging.getLogger("uvicorn.error").disabled = True
        # Clients see a closed connection. The app sees a disconnected client and closes its upstream request.
        for connection in self.server_state.connections:
            connection.transport.abort()
        await super().shutdown(sockets)


class _TimedProtocol(H11Protocol):
    """Closes a connection whose request takes longer than `request_timeout` seconds to arrive.

    uvicorn has a limit only for connections that are idle between two requests.
    """

    request_timeout: float
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _set_timer(self) -> None:
        """Runs the timer from the first byte of a request, or from the connection's start, to its last byte."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.request_timeout, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class _Reporter:
    """Reports once that the process is out of file descriptors. asyncio reports it many times a second."""

    def __init__(self) -> None:
        self._reported = False

    def report(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(dict(context))
        elif not self._reported:
            self._reported = True
            logging.getLogger("uvicorn.error").warning("Too many open files: new connections have to wait.")
