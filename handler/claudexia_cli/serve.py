"""The app on a socket of this machine: uvicorn, which ends at once when a person says so."""

import errno
import logging
import socket
from ipaddress import IPv4Address, ip_address
from types import FrameType

import uvicorn
from starlette.types import ASGIApp


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to change."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that already listens, so that a busy port is known before anything is said about it.

    Port 0 picks a free one. Raises ListenError.
    """
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
            return f"Port {port} on {host} needs more rights than yours; choose another with --port."
        case errno.EADDRNOTAVAIL:
            return f"The host {host!r} is not an address of this machine; choose another with --host."
        case _:
            return f"Cannot listen on port {port} of {host}: {error.strerror}; choose another with --port."


def base_url(listener: socket.socket) -> str:
    """Where a client on this machine finds the server: `http://127.0.0.1:8000/v1`."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if isinstance(address, IPv4Address) else "::1")
    name = f"{address}" if isinstance(address, IPv4Address) else f"[{address}]"
    return f"http://{name}:{port}/v1"


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Returns, a quarter of a second later, when SIGINT or SIGTERM has come."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        # Counted after the tenth of a second in which uvicorn lets open requests notice that they are over.
        timeout_graceful_shutdown=0,
        ws="none",
    )
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn waits for open streams to end, and then raises the signal again; a person waits for neither."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # What is broken off from here on is broken off on purpose: no news, and no tracebacks.
        logging.getLogger("uvicorn.error").disabled = True
        # Clients who are cut off see just that; the app sees a client who left, and closes its upstream.
        for connection in self.server_state.connections:
            connection.transport.abort()
        await super().shutdown(sockets)
