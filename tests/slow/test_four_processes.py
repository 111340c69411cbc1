"""Four processes share one table in dynalite, an independent DynamoDB implementation with ordered concurrent writes.

DYNALITE holds the path of its command (npm install dynalite).
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import pytest

from tests.fakes.aws import REGION
from tests.helpers.tables import NAME, Clock, create_table, key_counters, table_at
from tests.helpers.waiting import PATIENCE

DYNALITE = os.environ.get("DYNALITE", "")
ROOT = Path(__file__).parents[2]
PROCESSES, REQUESTS = 4, 50
# dynalite takes any credentials.
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}

pytestmark = pytest.mark.skipif(not DYNALITE, reason="DYNALITE does not name the command of npm's dynalite")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [DYNALITE, "--host", "127.0.0.1", "--port", str(port), "--createTableMs", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert "listening" in server.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@contextmanager
def limit_worker_process(endpoint: str, number: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.slow.limit_worker", endpoint, NAME, str(REQUESTS), str(number)]
    env = {**os.environ, **AWS, "PYTHONPATH": str(ROOT / "handler")}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env
    ) as process:
        yield process


def run_workers(endpoint: str) -> list[list[int]]:
    """The records of the admitted requests of all processes, which start at the same time."""
    with ExitStack() as stack:
        workers = [stack.enter_context(limit_worker_process(endpoint, number)) for number in range(PROCESSES)]
        for process in workers:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in workers:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        return [
            record for process in workers for record in json.loads(process.communicate(timeout=PATIENCE)[0])
        ]


def test_of_200_requests_of_four_processes_exactly_100_pass(endpoint: str) -> None:
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    create_table(client)
    client.get_waiter("table_exists").wait(TableName=NAME, WaiterConfig={"Delay": 1})
    records = run_workers(endpoint)
    assert len(records) == 100
    tokens, micros = (sum(column) for column in zip(*records, strict=True))
    counters, leases = asyncio.run(key_counters(table_at(endpoint, Clock()), "shared"))
    assert counters == {
        "requests#2026-11-22T12:00": 100,
        "tokens#2026-11-22T12:00": tokens,
        "streams#open": 0,
        "usd#2026-11-22": micros,
        "usd#2026-11": micros,
    }
    assert not leases
