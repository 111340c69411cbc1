"""An ASGI app on a socket of this machine, served by uvicorn, which stops at once on SIGINT or SIGTERM."""

import errno
import logging
import socket
from ipaddress import IPv4Address, ip_address
from types import FrameType

import uvicorn
from starlette.types import ASGIApp


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


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serves until SIGINT or SIGTERM; returns about a quarter of a second later."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        # In seconds, after the 0.1 s that uvicorn gives open requests to handle the disconnect.
        timeout_graceful_shutdown=0,
        ws="none",
    )
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Stops without waiting for open streams, and without raising the signal again, unlike uvicorn.Server."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Requests are aborted on purpose from here on, so their errors are not logged.
        logging.getLogger("uvicorn.error").disabled = True
        # Clients see a closed connection. The app sees a disconnected client and closes its upstream request.
        for connection in self.server_state.connections:
            connection.transport.abort()
        await super().shutdown(sockets)
