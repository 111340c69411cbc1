"""Runs an app under uvicorn in a process of `processes.py`, in the same way for both relays."""

import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp


def serve(create: Callable[[str], ASGIApp]) -> None:
    """Runs the app that `create` returns for an upstream's URL. Command-line arguments: fd of the listening socket, URL."""
    descriptor, upstream = sys.argv[1:]
    config = uvicorn.Config(
        create(upstream), log_level="warning", access_log=False, proxy_headers=False, ws="none"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])
