"""Malformed responses of the Runtime API: none ends the process or another invocation; each is one log line."""

import asyncio
import gc
import json
import subprocess
import sys
from typing import Any, cast

import pytest
from mangum import Mangum

from claudexia.runtime.__main__ import Runtime
from claudexia.runtime.api import RuntimeAPI
from tests.fakes.runtime_api import (
    MALFORMED_WITH_ID,
    MALFORMED_WITHOUT_ID,
    FakeRuntimeAPI,
    Malformed,
    Received,
    rest_event,
)
from tests.helpers.gateway_process import environment
from tests.helpers.runtime import app_sending, body, log_lines, start, with_runtime

GOOD = app_sending(start(), body(b"1"))


@pytest.mark.parametrize("answer", MALFORMED_WITH_ID.values(), ids=MALFORMED_WITH_ID)
def test_a_malformed_invocation_with_an_id_is_reported_and_the_next_one_served(answer: Malformed) -> None:
    async def work(fake: FakeRuntimeAPI) -> tuple[Received, Received]:
        return await fake.give(answer), await fake.give(rest_event())

    with log_lines() as lines:
        failed, good = with_runtime(GOOD, work)
    assert failed.path.endswith("/invocation/request-0/error")
    assert json.loads(failed.body)["errorType"].startswith("Function.")
    assert good.payload == b"1"
    assert len(lines) == 1
    assert lines[0]["levelname"] == "WARNING"


@pytest.mark.parametrize("answer", MALFORMED_WITHOUT_ID.values(), ids=MALFORMED_WITHOUT_ID)
def test_a_malformed_invocation_without_an_id_is_logged_and_the_next_one_served(answer: Malformed) -> None:
    async def work(fake: FakeRuntimeAPI) -> tuple[Received, list[Received]]:
        await fake.send(answer)
        return await fake.give(rest_event()), fake.other

    with log_lines() as lines:
        good, other = with_runtime(GOOD, work)
    assert good.payload == b"1"
    assert other == []
    assert [line["levelname"] for line in lines] == ["WARNING"]
    if answer.status != 200:
        assert lines[0]["status"] == answer.status


ALL = {**MALFORMED_WITH_ID, **MALFORMED_WITHOUT_ID}


@pytest.mark.parametrize("answer", ALL.values(), ids=ALL)
def test_a_malformed_invocation_does_not_affect_a_concurrent_one(answer: Malformed) -> None:
    entered, released = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await released.wait()
        await send(start())
        await send(body(b"1"))

    async def work(fake: FakeRuntimeAPI) -> Received:
        first = asyncio.create_task(fake.give(rest_event()))
        await entered.wait()
        await fake.send(answer)
        second = asyncio.create_task(fake.give(rest_event()))
        while (
            fake.polls < 3
        ):  # once the other poll has taken the next event, the malformed one has been handled
            await asyncio.sleep(0)
        released.set()
        await second
        return await first

    assert with_runtime(app, work, concurrency=2).payload == b"1"


@pytest.mark.parametrize("name", ["no id", "a refusal", "no HTTP", "a closed connection"])
def test_repeated_poll_failures_back_off_and_then_end_the_process(name: str) -> None:
    async def main() -> int:
        async with FakeRuntimeAPI() as fake:
            for _ in range(20):
                await fake.send(MALFORMED_WITHOUT_ID[name])
            runtime = Runtime(RuntimeAPI(fake.address), Mangum(cast("Any", GOOD), lifespan="off"), {})
            async with asyncio.timeout(30):
                await runtime.serve(1)
            return fake.polls

    assert asyncio.run(main()) == 6


def test_a_good_invocation_resets_the_failure_count() -> None:
    async def work(fake: FakeRuntimeAPI) -> list[bytes]:
        payloads = []
        for answer in MALFORMED_WITHOUT_ID.values():
            await fake.send(answer)
            payloads.append((await fake.give(rest_event())).payload)
        return payloads

    assert with_runtime(GOOD, work) == [b"1"] * len(MALFORMED_WITHOUT_ID)


PROCESSES = {
    "no Runtime API": {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "_HANDLER": "claudexia.main.handler"},
    "no address": {"_HANDLER": "claudexia.main.handler"},
    "no handler": {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "_HANDLER": "no.such.handler"},
    "no number of polls": {
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1",
        "_HANDLER": "claudexia.main.handler",
        "AWS_LAMBDA_MAX_CONCURRENCY": "many",
    },
}


@pytest.mark.parametrize("variables", PROCESSES.values(), ids=PROCESSES)
def test_a_fatal_error_is_logged_as_json(variables: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "claudexia.runtime"],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["level"] for line in lines} <= {"WARNING", "ERROR"}
    assert lines


def test_no_connection_or_task_is_left() -> None:
    async def work(fake: FakeRuntimeAPI) -> None:
        for answer in MALFORMED_WITH_ID.values():
            await fake.give(answer)

    with log_lines() as lines:
        with_runtime(GOOD, work)
        gc.collect()
    assert [line["name"] for line in lines if line["name"] == "asyncio"] == []
