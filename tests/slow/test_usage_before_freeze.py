"""All table writes of a request finish before the runtime polls for the next invocation: Lambda freezes it then."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from claudexia.access.key_store import TableKeyStore
from claudexia.access.ledger import Ledger, totals
from claudexia.access.limits import Limits
from claudexia.app import create_app
from claudexia.settings import Settings
from claudexia.storage.memory import MemoryTable
from tests.fakes.runtime_api import FakeRuntimeAPI, rest_event
from tests.helpers.runtime import with_runtime
from tests.helpers.serving import sse, text_events
from tests.helpers.tables import Clock, FaultyTable, key_counters
from tests.integration.test_deadline import HangingTransport

COMPLETE, HALF = sse(*text_events()), sse(*text_events()[:4])
LIMITS = Limits(requests_per_minute=50, tokens_per_minute=10**6, concurrent_streams=1, usd_per_day_micros=10**6)


class PollingRuntimeAPI(FakeRuntimeAPI):
    """Takes a snapshot at each poll."""

    def __init__(self, snapshot: Callable[[], Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._snapshot = snapshot
        self.snapshots: list[Any] = []

    async def _get(self, target: str, writer: asyncio.StreamWriter) -> None:
        self.snapshots.append(await self._snapshot())
        await super()._get(target, writer)


class SlowTransport(HangingTransport):
    """Sends `pieces`, then hangs. From its first request on, after the admission, table writes take `delay` seconds."""

    def __init__(self, pieces: bytes, table: FaultyTable, delay: float) -> None:
        super().__init__(pieces)
        self._table, self._delay = table, delay

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._table.slow = {"update": self._delay}
        return await super().handle_async_request(request)


CASES: list[Any] = [
    # Upstream response, streamed or not, seconds per table write during and after the admission, seconds of the
    # invocation, expected (requests, errors, output tokens).
    pytest.param(COMPLETE, False, (0.1, 0.1), 900, (1, 0, 2), id="buffered"),
    pytest.param(COMPLETE, True, (0.1, 0.1), 900, (1, 0, 2), id="streamed"),
    pytest.param(COMPLETE, False, (0.1, 0.8), 900, (1, 0, 2), id="buffered, slow table"),
    pytest.param(COMPLETE, True, (0.1, 0.8), 900, (1, 0, 2), id="streamed, slow table"),
    pytest.param(HALF, False, (0.1, 0.1), 2, (1, 1, 1), id="buffered, deadline"),
    pytest.param(HALF, True, (0.1, 0.1), 2, (1, 1, 1), id="streamed, deadline"),
    pytest.param(COMPLETE, False, (1.5, 1.5), 0.3, (1, 1, 0), id="deadline during the admission"),
]


@pytest.mark.parametrize(("pieces", "stream", "delays", "seconds", "expected"), CASES)
def test_everything_is_written_before_the_next_poll(
    monkeypatch: pytest.MonkeyPatch,
    pieces: bytes,
    stream: bool,
    delays: tuple[float, float],
    seconds: float,
    expected: tuple[int, int, int],
) -> None:
    clock = Clock()
    memory_table = MemoryTable(clock)
    table = FaultyTable(memory_table, slow={"update": delays[0]})
    app = create_app(Settings(), transport=SlowTransport(pieces, table, delays[1]), table=table, now=clock)

    async def snapshot() -> tuple[tuple[int, int, int], int, bool]:
        """Ledger totals, running table calls, and whether a lease is left."""
        sums = totals(await Ledger(memory_table, lambda kind: None).month("2026-11"))
        leases = (await key_counters(memory_table, key_ids[0]))[1] if key_ids else ()
        return (
            (sums.requests, sums.errors, sums.output_tokens),
            table.running,
            bool(leases),
        )

    key_ids: list[str] = []

    async def work(fake: FakeRuntimeAPI) -> int:
        key, secret = await TableKeyStore(memory_table, clock).create("me", limits=LIMITS)
        key_ids.append(key.id)
        body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        headers = {"authorization": f"Bearer {secret}"}
        event = rest_event("POST", "/v1/chat/completions", headers=headers, body=json.dumps(body))
        received = await fake.give(event)
        await fake.give(rest_event(path="/health"))
        assert isinstance(fake, PollingRuntimeAPI)
        _, after, *_ = fake.snapshots
        assert after == (expected, 0, False)
        return int(received.prelude["statusCode"])

    monkeypatch.setattr(
        "tests.helpers.runtime.FakeRuntimeAPI", lambda **arguments: PollingRuntimeAPI(snapshot, **arguments)
    )
    status = with_runtime(app, work, seconds=seconds)
    assert status == (200 if stream or not expected[1] else 504)
