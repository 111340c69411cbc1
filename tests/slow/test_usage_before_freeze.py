"""On Lambda nothing is left to be written when the process asks for its next invocation: it is frozen then."""

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
from tests.helpers.tables import Clock, FaultyTable
from tests.integration.test_deadline import Hanging

WHOLE, HALF = sse(*text_events()), sse(*text_events()[:4])
LIMITS = Limits(requests_per_minute=50, tokens_per_minute=10**6, concurrent_streams=1, usd_per_day_micros=10**6)


class Polling(FakeRuntimeAPI):
    """Looks at the table whenever it is polled."""

    def __init__(self, look: Callable[[], Any], **given: Any) -> None:
        super().__init__(**given)
        self._look = look
        self.seen: list[Any] = []

    async def _get(self, target: str, writer: asyncio.StreamWriter) -> None:
        self.seen.append(await self._look())
        await super()._get(target, writer)


class Slowing(Hanging):
    """An upstream, and a table whose writes take `delay` seconds as soon as that is asked: after the admission."""

    def __init__(self, said: bytes, table: FaultyTable, delay: float) -> None:
        super().__init__(said)
        self._table, self._delay = table, delay

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._table.slow = {"update": self._delay}
        return await super().handle_async_request(request)


CASES: list[Any] = [
    # What the upstream says, whether it is streamed, how slow the table's writes are while it is admitted and then,
    # how many seconds the invocation has, and requests, errors, output.
    pytest.param(WHOLE, False, (0.1, 0.1), 900, (1, 0, 2), id="whole"),
    pytest.param(WHOLE, True, (0.1, 0.1), 900, (1, 0, 2), id="streamed"),
    pytest.param(WHOLE, False, (0.1, 0.8), 900, (1, 0, 2), id="whole, slow table"),
    pytest.param(WHOLE, True, (0.1, 0.8), 900, (1, 0, 2), id="streamed, slow table"),
    pytest.param(HALF, False, (0.1, 0.1), 2, (1, 1, 1), id="whole, deadline"),
    pytest.param(HALF, True, (0.1, 0.1), 2, (1, 1, 1), id="streamed, deadline"),
    pytest.param(WHOLE, False, (1.5, 1.5), 0.3, (1, 1, 0), id="deadline while it is admitted"),
]


@pytest.mark.parametrize(("said", "stream", "delays", "seconds", "counted"), CASES)
def test_nothing_is_left_to_be_written(
    monkeypatch: pytest.MonkeyPatch,
    said: bytes,
    stream: bool,
    delays: tuple[float, float],
    seconds: float,
    counted: tuple[int, int, int],
) -> None:
    clock = Clock()
    kept = MemoryTable(clock)
    table = FaultyTable(kept, slow={"update": delays[0]})
    app = create_app(Settings(), transport=Slowing(said, table, delays[1]), table=table, now=clock)

    async def look() -> tuple[tuple[int, int, int], int, bool]:
        """What the ledger and the meters have by now."""
        sums = totals(await Ledger(kept, lambda kind: None).month("2026-11"))
        meters = [item for sort, item in await kept.query("METER#" + key_ids[0])] if key_ids else []
        return (
            (sums.requests, sums.errors, sums.output_tokens),
            table.running,
            any("holds" in i for i in meters),
        )

    key_ids: list[str] = []

    async def work(fake: FakeRuntimeAPI) -> int:
        key, secret = await TableKeyStore(kept, clock).create("me", limits=LIMITS)
        key_ids.append(key.id)
        body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        headers = {"authorization": f"Bearer {secret}"}
        event = rest_event("POST", "/v1/chat/completions", headers=headers, body=json.dumps(body))
        received = await fake.give(event)
        await fake.give(rest_event(path="/health"))
        assert isinstance(fake, Polling)
        _, after, *_ = fake.seen
        assert after == (counted, 0, False)
        return int(received.prelude["statusCode"])

    monkeypatch.setattr("tests.helpers.runtime.FakeRuntimeAPI", lambda **given: Polling(look, **given))
    status = with_runtime(app, work, seconds=seconds)
    assert status == (200 if stream or not counted[1] else 504)
