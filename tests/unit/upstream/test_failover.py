"""The pause of a host that failed, with a clock of its own: who is called when."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from claudexia.errors import APIError
from claudexia.settings import Settings
from claudexia.translate.types.anthropic import MessageCreateParams
from claudexia.upstream import HostClient, MessageStream
from claudexia.upstream.anthropic import HTTPHostClient
from claudexia.upstream.failover import FailoverUpstream
from tests.helpers.serving import error_body, sse, text_events

NOW = datetime(2026, 11, 26, tzinfo=UTC)


class Host(httpx.AsyncBaseTransport):
    """Answers with `status`, after `started` requests may go on. `called` counts its requests."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status, self.headers, self.called = status, headers, 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.called += 1
        await self.gate.wait()
        if self.status == 200:
            return httpx.Response(200, stream=_Body(sse(*text_events())))
        return httpx.Response(self.status, headers=self.headers, content=error_body("", "m"))


class _Body(httpx.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> Any:
        yield self._data


class Bench:
    def __init__(self, *hosts: Host, max_wait: float = 5) -> None:
        self.now = 0.0
        names: Sequence[Any] = ("anthropic", "aws", "bedrock")
        settings = Settings(upstream_retry=False)
        upstreams = [HTTPHostClient(settings, host, name) for host, name in zip(hosts, names, strict=False)]
        self.upstream = FailoverUpstream(upstreams, max_wait, lambda: self.now)

    async def open(self, model: str = "claude-sonnet-5-5") -> str:
        params: MessageCreateParams = {"model": model, "max_tokens": 9, "messages": [], "stream": True}

        async def attempt(host: HostClient) -> MessageStream:
            return await host.open(params, NOW, [])

        stream = await self.upstream.start(model, attempt, [])
        await stream.aclose()
        return stream.host


# Signing needs credentials.
@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")


PAUSES = [
    ("a failure", 500, {}, 10),
    ("a wait", 529, {"retry-after": "30"}, 30),
    ("a long wait", 529, {"retry-after": "3600"}, 60),
    ("no model", 404, {}, 10),
    ("the account", 401, {}, 60),
]


@pytest.mark.parametrize(("name", "status", "headers", "pause"), PAUSES, ids=[each[0] for each in PAUSES])
def test_a_host_pauses_and_then_gets_one_request(name: str, status: int, headers: Any, pause: float) -> None:
    async def run() -> None:
        first, second = Host(status, **headers), Host()
        bench = Bench(first, second)
        assert await bench.open() == "aws"
        bench.now = pause - 0.1
        assert (await bench.open(), first.called) == ("aws", 1)
        bench.now = pause
        assert (await bench.open(), first.called) == ("aws", 2)  # the probe failed: another pause
        assert (await bench.open(), first.called) == ("aws", 2)
        bench.now, first.status = 2 * pause, 200
        assert [await bench.open(), await bench.open()] == ["anthropic", "anthropic"]

    asyncio.run(run())


def test_one_request_probes_while_others_pass_by() -> None:
    async def run() -> None:
        first, second = Host(500), Host()
        bench = Bench(first, second)
        await bench.open()
        bench.now, first.status = 10, 200
        first.gate.clear()
        probe = asyncio.create_task(bench.open())
        await asyncio.sleep(0)
        assert (await bench.open(), first.called) == ("aws", 2)
        first.gate.set()
        assert await probe == "anthropic"
        assert await bench.open() == "anthropic"

    asyncio.run(run())


def test_a_cancelled_probe_leaves_the_next_one_to_another_request() -> None:
    async def run() -> None:
        first, second = Host(500), Host()
        bench = Bench(first, second)
        await bench.open()
        bench.now, first.status = 10, 200
        first.gate.clear()
        probe = asyncio.create_task(bench.open())
        await asyncio.sleep(0)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        first.gate.set()
        assert await bench.open() == "anthropic"

    asyncio.run(run())


def test_hosts_that_all_pause_are_tried_anyway() -> None:
    async def run() -> None:
        first, second = Host(500), Host(500)
        bench = Bench(first, second)
        for called in (1, 2):
            with pytest.raises(APIError) as caught:
                await bench.open()
            assert (first.called, second.called, caught.value.status) == (called, called, 500)
        second.status = 200
        assert await bench.open() == "aws"

    asyncio.run(run())


@pytest.mark.parametrize(("wait", "called"), [("5", 0), ("5.5", 1), ("", 1)])
def test_a_rate_limit_with_a_short_wait_is_the_clients_to_wait_for(wait: str, called: int) -> None:
    async def run() -> None:
        first, second = Host(429, **({"retry-after": wait} if wait else {})), Host()
        bench = Bench(first, second)
        for _ in range(2):
            try:
                await bench.open()
            except APIError as error:
                assert error.headers["retry-after"] == wait
        assert second.called == 2 * called

    asyncio.run(run())
