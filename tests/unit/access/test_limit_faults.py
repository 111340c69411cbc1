"""What becomes of a request when its limits cannot be counted, or when it is cancelled while they are."""

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
from tests.helpers.tables import Clock, FaultyTable, dynamo, table_at

LIMITS = Limits(requests_per_minute=1, tokens_per_minute=1000, concurrent_streams=1, usd_per_day_micros=1000)
METERS = ("requests#2026-11-22T12:00", "tokens#2026-11-22T12:00", "streams#open", "usd#2026-11-22")


@contextmanager
def missing() -> Iterator[Table]:
    with dynamo() as (_, url):
        yield table_at(url, Clock(), name="no-such-table")


@contextmanager
def failing(kind: str) -> Iterator[Table]:
    yield FaultyTable(MemoryTable(Clock()), kind)


@contextmanager
def slow() -> Iterator[Table]:
    """Its timer and that of a limiter with less patience run in one loop, which ends the shorter one first."""
    yield FaultyTable(MemoryTable(Clock()), delay=0.5)


FAULTS: dict[str, Callable[[], AbstractContextManager[Table]]] = {
    "missing": missing,
    "throttled": lambda: failing("throttled"),
    "denied": lambda: failing("denied"),
    "failed": lambda: failing("failed"),
    "timeout": slow,
}


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(work())


def limiter(
    table: Table, told: list[str], on_failure: Literal["open", "closed"] = "closed", patience: float = 10
) -> Limiter:
    return Limiter(table, Clock(), TableFailurePolicy(on_failure, told.append, patience))


async def claimed(table: Table) -> dict[str, object]:
    items = {sort: await table.get(ItemKey("METER#k", sort)) or {} for sort in METERS}
    return {sort.partition("#")[0]: item.get("claimed", 0) for sort, item in items.items()}


NOTHING = {"requests": 0, "tokens": 0, "streams": 0, "usd": 0}


@pytest.mark.parametrize("kind", FAULTS)
def test_closed_refuses_what_it_cannot_count(kind: str) -> None:
    async def work() -> None:
        told: list[str] = []
        with FAULTS[kind]() as table, pytest.raises(APIError) as raised:
            by = limiter(table, told, patience=0.2 if kind == "timeout" else 10)
            await by.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        error = raised.value
        assert (error.status, error.type, error.code) == (
            503,
            "service_unavailable_error",
            "limits_unavailable",
        )
        assert error.headers == {"retry-after": "1"}
        assert told == [kind]

    run(work)


@pytest.mark.parametrize("kind", FAULTS)
def test_open_lets_pass_what_it_cannot_count(kind: str) -> None:
    async def work() -> None:
        told: list[str] = []
        with FAULTS[kind]() as table:
            by = limiter(table, told, "open", patience=0.2 if kind == "timeout" else 10)
            for _ in range(3):
                admission = await by.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
                assert admission.headers() == {}
                await admission.settle(1, 1)
        assert told == [kind] * 3

    run(work)


@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_a_key_without_limits_needs_no_table(on_failure: Literal["open", "closed"]) -> None:
    async def work() -> None:
        by = limiter(FaultyTable(MemoryTable(Clock()), "missing"), [], on_failure)
        admission = await by.admit("k", Limits(max_tokens=1), tokens=1, micros=1, streamed=True)
        assert admission.headers() == {}
        await admission.settle(1, 1)

    run(work)


@dataclass
class PartlyFailing(FaultyTable):
    """Fails for the items whose sort key begins with `only`.

    While it is given an event to be `waiting` for, writes take place after that, even if the caller has left:
    so do those that have been sent.
    """

    only: str = ""
    waiting: asyncio.Event | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.writes: list[asyncio.Task[UpdateResult]] = []

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        return (await self.update_and_read(key, change, condition)).applied

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        if self.only and key.sort.startswith(self.only):
            raise TableError("throttled")
        self.writes.append(asyncio.create_task(self._write(self.waiting, key, change, condition)))
        return await asyncio.shield(self.writes[-1])

    async def _write(
        self, waiting: asyncio.Event | None, key: ItemKey, change: Change, condition: Condition
    ) -> UpdateResult:
        if waiting:
            await waiting.wait()
        return await self.table.update_and_read(key, change, condition)


async def begun(table: PartlyFailing, writes: int) -> None:
    while len(table.writes) < writes:
        await asyncio.sleep(0)


def test_closed_gives_back_what_could_be_counted() -> None:
    async def work() -> None:
        told: list[str] = []
        table = PartlyFailing(MemoryTable(Clock()), only="tokens")
        with pytest.raises(APIError, match="cannot count"):
            await limiter(table, told).admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        assert await claimed(table) == NOTHING
        assert told == ["throttled"]

    run(work)


def test_open_still_holds_to_the_limits_that_can_be_counted() -> None:
    async def work() -> None:
        by = limiter(PartlyFailing(MemoryTable(Clock()), only="tokens"), [], "open")
        admission = await by.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        assert "x-ratelimit-limit-tokens" not in admission.headers()
        with pytest.raises(APIError, match="1 requests per minute"):
            await by.admit("k", LIMITS, tokens=1, micros=1, streamed=False)

    run(work)


@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_a_table_that_fails_at_the_end_fails_no_request(on_failure: Literal["open", "closed"]) -> None:
    async def work() -> None:
        told: list[str] = []
        table = FaultyTable(MemoryTable(Clock()))
        admission = await limiter(table, told, on_failure).admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        table.fault = "throttled"
        await admission.settle(1, 1)
        assert set(told) == {"throttled"}
        assert await claimed(table.table) == {"requests": 1, "tokens": 9, "streams": 1, "usd": 9}

    run(work)


def test_who_leaves_while_it_is_admitted_holds_nothing() -> None:
    async def work() -> None:
        waiting = asyncio.Event()
        table = PartlyFailing(MemoryTable(Clock()), waiting=waiting)
        by = limiter(table, [])
        admitting = asyncio.create_task(by.admit("k", LIMITS, tokens=9, micros=9, streamed=True))
        await begun(table, 4)
        admitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await admitting
        waiting.set()
        await by.drain()
        await asyncio.gather(*table.writes)
        assert len(table.writes) == 8
        assert await claimed(table) == NOTHING

    run(work)


@pytest.mark.parametrize(
    ("on_failure", "left"),
    [("closed", NOTHING), ("open", {"requests": 1, "tokens": 3, "streams": 0, "usd": 4})],
    ids=["closed", "open"],
)
def test_what_a_slow_table_reserves_too_late_is_settled_too(
    on_failure: Literal["open", "closed"], left: dict[str, int]
) -> None:
    async def work() -> None:
        waiting = asyncio.Event()
        table = PartlyFailing(MemoryTable(Clock()), waiting=waiting)
        by = limiter(table, [], on_failure, patience=0.05)
        admitting = by.admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        if on_failure == "open":
            settling = asyncio.create_task((await admitting).settle(3, 4))
            await asyncio.sleep(0)
            waiting.set()
            await settling
        else:
            with pytest.raises(APIError, match="cannot count"):
                await admitting
            waiting.set()
        await by.drain()
        assert await claimed(table) == left

    run(work)


def test_a_settlement_goes_on_when_its_caller_is_cancelled() -> None:
    async def work() -> None:
        table = PartlyFailing(MemoryTable(Clock()))
        by = limiter(table, [])
        admission = await by.admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        settling = asyncio.create_task(admission.settle(3, 4))
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
        await admission.settle(100, 100)  # the same settlement, not another one
        await by.drain()
        assert await claimed(table) == {"requests": 1, "tokens": 3, "streams": 0, "usd": 4}

    run(work)
