"""Requests that are over with given facts, told by the gateway's edge, in a process of its own.

`python -m tests.helpers.filled_requests` reads a JSON list of such facts, fields of a RequestRecord, and lets all of
the requests run at once; each gives way to the others between any two of its facts.
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

Facts = dict[str, Any]


def told(facts: Sequence[Facts], **env: str) -> list[dict[str, Any]]:
    """The lines that are written for these requests."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.filled_requests"],
        input=json.dumps(facts),
        capture_output=True,
        text=True,
        check=True,
        env=environment(**env),
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


async def app(scope: Any, receive: Any, send: Any) -> None:
    facts = json.loads((await receive())["body"])
    scope["route"] = SimpleNamespace(path=facts.pop("endpoint", "/chat/completions"))
    for name, value in facts.items():
        await asyncio.sleep(0)
        setattr(record_of(scope), name, value)
    await send({"type": "http.response.start", "status": facts.get("status", 200), "headers": []})
    if facts.get("outcome") != "abandoned":
        await send({"type": "http.response.body", "body": b""})


async def settled() -> None:
    """There is nothing to wait for."""


async def ask(edge: RequestMiddleware, facts: Facts) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(facts).encode(), "more_body": False}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)

    await edge({"type": "http", "headers": []}, receive, send)


async def main() -> None:
    edge = RequestMiddleware(app, Metrics(Settings.from_env()), settled)
    await asyncio.gather(*(ask(edge, facts) for facts in json.load(sys.stdin)))


if __name__ == "__main__":
    asyncio.run(main())
