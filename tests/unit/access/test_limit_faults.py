"""Limits while the table fails, and requests that are cancelled during admission or settlement."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import pytest

from claudexia.access.limiter import Limiter, TableFailurePolicy
from claudexia.access.limits import Limits
from claudexia.errors import APIError
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import ALWAYS, Change, Condition, ItemKey, Table, TableError, UpdateResult
from tests.helpers.tables import Clock, FaultyTable, faulty_dynamodb, table_at

LIMITS = Limits(requests_per_minute=1, tokens_per_minute=1000, concurrent_streams=1, usd_per_day_micros=1000)
COUNTERS = ("requests#2026-11-22T12:00", "tokens#2026-11-22T12:00", "streams#open", "usd#2026-11-22")


@contextmanager
def missing() -> Iterator[Table]:
    with faulty_dynamodb() as (_, url):
        yield table_at(url, Clock(), name="no-such-table")


@contextmanager
def failing(kind: str) -> Iterator[Table]:
    yield FaultyTable(MemoryTable(Clock()), kind)


@contextmanager
def slow() -> Iterator[Table]:
    """Slower than the limiter waits. Both timers run in one event loop, so the order is certain."""
    yield FaultyTable(MemoryTable(Clock()), delay=0.5)


FAULTS: dict[str, Callable[[], AbstractContextManager[Table]]] = {
    "missing": missing,
    "throttled": lambda: failing("throttled"),
    "denied": lambda: failing("denied"),
    "failed": lambda: failing("failed"),
    "timeout": slow,
}


def run_work(work: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(work())


def make_limiter(
    table: Table, reported: list[str], on_failure: Literal["open", "closed"] = "closed", patience: float = 10
) -> Limiter:
    return Limiter(table, Clock(), TableFailurePolicy(on_failure, reported.append, patience))


async def claimed(table: Table) -> dict[str, object]:
    items = {sort: await table.get(ItemKey("METER#k", sort)) or {} for sort in COUNTERS}
    return {sort.partition("#")[0]: item.get("claimed", 0) for sort, item in items.items()}


NOTHING = {"requests": 0, "tokens": 0, "streams": 0, "usd": 0}


@pytest.mark.parametrize("kind", FAULTS)
def test_closed_refuses_requests_while_the_table_fails(kind: str) -> None:
    async def work() -> None:
        reported: list[str] = []
        with FAULTS[kind]() as table, pytest.raises(APIError) as raised:
            limiter = make_limiter(table, reported, patience=0.2 if kind == "timeout" else 10)
            await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        error = raised.value
        assert (error.status, error.type, error.code) == (
            503,
            "service_unavailable_error",
            "limits_unavailable",
        )
        assert error.headers == {"retry-after": "1"}
        assert reported == [kind]

    run_work(work)


@pytest.mark.parametrize("kind", FAULTS)
def test_open_admits_requests_while_the_table_fails(kind: str) -> None:
    async def work() -> None:
        reported: list[str] = []
        with FAULTS[kind]() as table:
            limiter = make_limiter(table, reported, "open", patience=0.2 if kind == "timeout" else 10)
            for _ in range(3):
                admission = await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
                assert admission.headers() == {}
                await admission.settle(1, 1)
        assert reported == [kind] * 3

    run_work(work)


@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_a_key_without_limits_needs_no_table(on_failure: Literal["open", "closed"]) -> None:
    async def work() -> None:
        limiter = make_limiter(FaultyTable(MemoryTable(Clock()), "missing"), [], on_failure)
        admission = await limiter.admit("k", Limits(max_tokens=1), tokens=1, micros=1, streamed=True)
        assert admission.headers() == {}
        await admission.settle(1, 1)

    run_work(work)


@dataclass
class PartlyFailing(FaultyTable):
    """Fails for items whose sort key begins with `failing_prefix`.

    With `gate`, each write waits for that event and then takes place even if its caller was cancelled, like a write
    that has been sent.
    """

    failing_prefix: str = ""
    gate: asyncio.Event | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.writes: list[asyncio.Task[UpdateResult]] = []

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        return (await self.update_and_read(key, change, condition)).applied

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        if self.failing_prefix and key.sort.startswith(self.failing_prefix):
            raise TableError("throttled")
        self.writes.append(asyncio.create_task(self._write(self.gate, key, change, condition)))
        return await asyncio.shield(self.writes[-1])

    async def _write(
        self, gate: asyncio.Event | None, key: ItemKey, change: Change, condition: Condition
    ) -> UpdateResult:
        if gate:
            await gate.wait()
        return await self.table.update_and_read(key, change, condition)


async def wait_for_writes(table: PartlyFailing, writes: int) -> None:
    while len(table.writes) < writes:
        await asyncio.sleep(0)


def test_closed_returns_partial_reservations() -> None:
    async def work() -> None:
        reported: list[str] = []
        table = PartlyFailing(MemoryTable(Clock()), failing_prefix="tokens")
        with pytest.raises(APIError, match="cannot count"):
            await make_limiter(table, reported).admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        assert await claimed(table) == NOTHING
        assert reported == ["throttled"]

    run_work(work)


def test_open_enforces_the_limits_that_can_be_counted() -> None:
    async def work() -> None:
        limiter = make_limiter(PartlyFailing(MemoryTable(Clock()), failing_prefix="tokens"), [], "open")
        admission = await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        assert "x-ratelimit-limit-tokens" not in admission.headers()
        with pytest.raises(APIError, match="1 requests per minute"):
            await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=False)

    run_work(work)


@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_a_failed_settlement_does_not_fail_the_request(on_failure: Literal["open", "closed"]) -> None:
    async def work() -> None:
        reported: list[str] = []
        table = FaultyTable(MemoryTable(Clock()))
        admission = await make_limiter(table, reported, on_failure).admit(
            "k", LIMITS, tokens=9, micros=9, streamed=True
        )
        table.fault = "throttled"
        await admission.settle(1, 1)
        assert set(reported) == {"throttled"}
        assert await claimed(table.table) == {"requests": 1, "tokens": 9, "streams": 1, "usd": 9}

    run_work(work)


def test_a_cancelled_admission_returns_its_reservations() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        table = PartlyFailing(MemoryTable(Clock()), gate=gate)
        limiter = make_limiter(table, [])
        admitting = asyncio.create_task(limiter.admit("k", LIMITS, tokens=9, micros=9, streamed=True))
        await wait_for_writes(table, 4)
        admitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await admitting
        gate.set()
        await limiter.drain()
        await asyncio.gather(*table.writes)
        assert len(table.writes) == 8
        assert await claimed(table) == NOTHING

    run_work(work)


@pytest.mark.parametrize(
    ("on_failure", "expected"),
    [("closed", NOTHING), ("open", {"requests": 1, "tokens": 3, "streams": 0, "usd": 4})],
    ids=["closed", "open"],
)
def test_late_reservations_of_a_slow_table_are_settled(
    on_failure: Literal["open", "closed"], expected: dict[str, int]
) -> None:
    async def work() -> None:
        gate = asyncio.Event()
        table = PartlyFailing(MemoryTable(Clock()), gate=gate)
        limiter = make_limiter(table, [], on_failure, patience=0.05)
        admitting = limiter.admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        if on_failure == "open":
            settling = asyncio.create_task((await admitting).settle(3, 4))
            await asyncio.sleep(0)
            gate.set()
            await settling
        else:
            with pytest.raises(APIError, match="cannot count"):
                await admitting
            gate.set()
        await limiter.drain()
        assert await claimed(table) == expected

    run_work(work)


def test_a_settlement_continues_when_its_caller_is_cancelled() -> None:
    async def work() -> None:
        table = PartlyFailing(MemoryTable(Clock()))
        limiter = make_limiter(table, [])
        admission = await limiter.admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        settling = asyncio.create_task(admission.settle(3, 4))
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
        await admission.settle(100, 100)  # the same settlement, not another one
        await limiter.drain()
        assert await claimed(table) == {"requests": 1, "tokens": 3, "streams": 0, "usd": 4}

    run_work(work)
