"""One app under uvicorn, in a process that `processes.py` started: the same for both relays."""

import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp


def serve(create: Callable[[str], ASGIApp]) -> None:
    """Runs the app that `create` makes for an upstream's URL. Arguments: the listening socket's fd, the URL."""
    descriptor, upstream = sys.argv[1:]
    config = uvicorn.Config(
        create(upstream), log_level="warning", access_log=False, proxy_headers=False, ws="none"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])
