"""Runs requests whose records have given fields through the gateway's middleware, in a separate process.

`python -m tests.helpers.request_records` reads a JSON list with the RequestRecord fields of each request and runs
the requests concurrently; each yields to the others between any two of its fields.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from claudexia.api.middleware import RequestMiddleware
from claudexia.observability.metrics import Metrics
from claudexia.observability.record import record_of
from claudexia.settings import Settings
from tests.helpers.gateway_process import environment

RecordFields = dict[str, Any]


def run_requests(fields: Sequence[RecordFields], **env: str) -> list[dict[str, Any]]:
    """The log lines and metrics that are written for requests with these record fields."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.helpers.request_records"],
        input=json.dumps(fields),
        capture_output=True,
        text=True,
        check=True,
        env=environment(**env),
    )
    assert process.stderr == ""
    return [json.loads(line) for line in process.stdout.splitlines()]


async def app(scope: Any, receive: Any, send: Any) -> None:
    fields = json.loads((await receive())["body"])
    scope["route"] = SimpleNamespace(path=fields.pop("endpoint", "/chat/completions"))
    for name, value in fields.items():
        await asyncio.sleep(0)
        setattr(record_of(scope), name, value)
    await send({"type": "http.response.start", "status": fields.get("status", 200), "headers": []})
    if fields.get("outcome") != "abandoned":
        await send({"type": "http.response.body", "body": b""})


async def drain() -> None:
    """No background work exists here."""


async def send_request(middleware: RequestMiddleware, fields: RecordFields) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(fields).encode(), "more_body": False}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    await middleware(scope, receive, send)


async def main() -> None:
    middleware = RequestMiddleware(app, Metrics(Settings.from_env()), drain)
    await asyncio.gather(*(send_request(middleware, fields) for fields in json.load(sys.stdin)))


if __name__ == "__main__":
    asyncio.run(main())
