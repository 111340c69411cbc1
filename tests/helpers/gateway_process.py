"""The gateway in a separate process with the logging of Lambda, and its complete output.

`python -m tests.helpers.gateway_process` is that process. With the variable TRANSPORT=quoting, each upstream request
raises an exception that quotes its headers and body. The request header `x-test-seconds` sets the remaining time of
the simulated Lambda invocation.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from claudexia.app import create_app
from claudexia.observability.log import log_as_json
from claudexia.settings import Settings
from claudexia_cli.serve import base_url, listen, serve
from tests.helpers.serving import KEY, UPSTREAM_KEY, Upstream, serving
from tests.helpers.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
SETTINGS_PREFIXES = ("ANTHROPIC_", "CLAUDEXIA_", "POWERTOOLS_", "AWS_LAMBDA_", "MODEL_ALIASES", "METRICS_")


@dataclass
class GatewayProcess:
    """`stdout` and `stderr` are set once the process has ended."""

    url: str
    stdout: str = ""
    stderr: str = ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("message") == "request"]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "_aws" in line]


def environment(**more: str) -> dict[str, str]:
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_PREFIXES)}
    return {**cleared, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def gateway_process(upstream: Upstream, **env: str) -> Iterator[GatewayProcess]:
    """Starts the process. By default it logs every request and writes metrics; `env` can change that."""
    defaults = {
        "ANTHROPIC_API_KEY": UPSTREAM_KEY,
        "CLAUDEXIA_API_KEYS": f"test:{KEY}",
        "AWS_LAMBDA_FUNCTION_NAME": "gateway",
    }
    with (
        serving(upstream) as upstream_url,
        subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.gateway_process"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**{**defaults, "ANTHROPIC_BASE_URL": upstream_url, **env}),
        ) as process,
    ):
        assert process.stdout
        running = GatewayProcess(process.stdout.readline().strip())
        # Unread pipes would fill up and block the process.
        with ThreadPoolExecutor() as readers:
            outputs = [readers.submit(pipe.read) for pipe in (process.stdout, process.stderr) if pipe]
            try:
                yield running
            finally:
                process.send_signal(signal.SIGTERM)
                running.stdout, running.stderr = (output.result(PATIENCE) for output in outputs)
                process.wait(PATIENCE)
    assert process.returncode == 0, running.stderr


class _QuotingTransport(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        raise RuntimeError(f"{request.headers.raw!r} {content.decode()}")


def main() -> None:
    log_as_json()
    transport = _QuotingTransport() if os.environ.get("TRANSPORT") == "quoting" else None
    app = create_app(Settings.from_env(), transport=transport)

    async def with_deadline(scope: Any, receive: Any, send: Any) -> None:
        seconds = dict(scope.get("headers", [])).get(b"x-test-seconds")
        if seconds:
            scope["aws.context"] = SimpleNamespace(get_remaining_time_in_millis=lambda: float(seconds) * 1000)
        await app(scope, receive, send)

    with listen("127.0.0.1", 0) as listener:
        sys.stdout.write(f"{base_url(listener)}\n")
        sys.stdout.flush()
        serve(with_deadline, listener)


if __name__ == "__main__":
    main()
