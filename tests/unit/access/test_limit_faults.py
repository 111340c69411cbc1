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
from tests.helpers.tables import Clock, FaultyTable, faulty_dynamodb, key_counters, table_at

LIMITS = Limits(requests_per_minute=1, tokens_per_minute=1000, concurrent_streams=1, usd_per_day_micros=1000)


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


async def claimed(table: Table) -> dict[str, int]:
    counters, _ = await key_counters(table, "k")
    return {**NOTHING, **{name.partition("#")[0]: count for name, count in counters.items()}}


NOTHING = {"requests": 0, "tokens": 0, "streams": 0, "usd": 0}


@pytest.mark.parametrize("kind", FAULTS)
def test_closed_refuses_requests_while_the_table_fails(kind: str) -> None:
    async def work() -> None:
        reported: list[str] = []
        with FAULTS[kind]() as table, pytest.raises(APIError) as raised:
            limiter = make_limiter(table, reported, patience=0.2 if kind == "timeout" else 10)
            await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        error = raised.value
        if kind == "throttled":
            assert (error.status, error.code) == (429, "rate_limit_exceeded")
        else:
            assert (error.status, error.type, error.code) == (
                503,
                "service_unavailable_error",
                "limits_unavailable",
            )
            assert error.headers == {"retry-after": "1"}
        assert reported == [kind]

    run_work(work)


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "throttled"])
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
def test_requests_that_throttle_the_table_do_not_escape_their_limits(
    on_failure: Literal["open", "closed"],
) -> None:
    async def work() -> None:
        with failing("throttled") as table, pytest.raises(APIError, match="as can be counted") as raised:
            await make_limiter(table, [], on_failure).admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        assert (raised.value.status, raised.value.headers) == (429, {"retry-after": "2"})

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
class GatedTable(FaultyTable):
    """Each write waits for `gate` and then takes place even if its caller was cancelled, like a write that has been
    sent.
    """

    gate: asyncio.Event | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.writes: list[asyncio.Task[UpdateResult]] = []

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        return (await self.update_and_read(key, change, condition)).applied

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        self.writes.append(asyncio.create_task(self._write(self.gate, key, change, condition)))
        return await asyncio.shield(self.writes[-1])

    async def _write(
        self, gate: asyncio.Event | None, key: ItemKey, change: Change, condition: Condition
    ) -> UpdateResult:
        if gate:
            await gate.wait()
        return await self.table.update_and_read(key, change, condition)


async def wait_for_writes(table: GatedTable, writes: int) -> None:
    while len(table.writes) < writes:
        await asyncio.sleep(0)


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
        table = GatedTable(MemoryTable(Clock()), gate=gate)
        limiter = make_limiter(table, [])
        admitting = asyncio.create_task(limiter.admit("k", LIMITS, tokens=9, micros=9, streamed=True))
        await wait_for_writes(table, 1)
        admitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await admitting
        gate.set()
        await limiter.drain()
        await asyncio.gather(*table.writes)
        assert len(table.writes) == 3  # the item did not exist at the first one; the last one releases
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
        table = GatedTable(MemoryTable(Clock()), gate=gate)
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
        table = GatedTable(MemoryTable(Clock()))
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


@dataclass
class LostResponses(FaultyTable):
    """The `lost` next reservations end with a timeout: before the write, or after it if they are `executed`."""

    lost: int = 0
    executed: bool = True

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        if not self.lost:
            return await super().update_and_read(key, change, condition)
        self.lost -= 1
        if self.executed:
            await super().update_and_read(key, change, condition)
        raise TableError("timeout")


async def table_with_lost_responses(executed: bool) -> LostResponses:
    """The item of the key exists in it, and nothing is counted."""
    table = LostResponses(MemoryTable(Clock()), executed=executed)
    limiter = make_limiter(table, [])
    await (await limiter.admit("k", Limits(concurrent_streams=1), tokens=0, micros=0, streamed=True)).settle(
        0, 0
    )
    return table


LOST = pytest.mark.parametrize("executed", [True, False], ids=["executed", "not executed"])


@LOST
def test_a_reservation_without_a_response_is_not_repeated_and_is_released(executed: bool) -> None:
    async def work() -> None:
        table = await table_with_lost_responses(executed)
        table.lost = 1
        reported: list[str] = []
        limiter = make_limiter(table, reported)
        with pytest.raises(APIError, match="cannot count"):
            await limiter.admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        await limiter.drain()
        assert (await claimed(table), reported) == (NOTHING, ["timeout"])

    run_work(work)


@LOST
def test_a_request_that_was_admitted_without_a_response_is_settled_if_it_is_counted(executed: bool) -> None:
    async def work() -> None:
        table = await table_with_lost_responses(executed)
        table.lost = 1
        admission = await make_limiter(table, [], "open").admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        await admission.settle(3, 4)
        counted = {"requests": 1, "tokens": 3, "streams": 0, "usd": 4}
        assert await claimed(table) == (counted if executed else NOTHING)

    run_work(work)


@LOST
def test_an_extension_without_a_response_is_settled(executed: bool) -> None:
    async def work() -> None:
        table = await table_with_lost_responses(executed)
        admission = await make_limiter(table, []).admit("k", LIMITS, tokens=9, micros=9, streamed=True)
        table.lost = 1
        await admission.extend(9, 9)
        held = 18 if executed else 9
        assert await claimed(table) == {"requests": 1, "tokens": held, "streams": 1, "usd": held}
        await admission.settle(20, 21)
        assert await claimed(table) == {"requests": 1, "tokens": 20, "streams": 0, "usd": 21}
        assert (await key_counters(table, "k"))[1] == frozenset()

    run_work(work)


def test_a_table_that_fails_reserves_no_part_of_a_request() -> None:
    async def work() -> None:
        table = FaultyTable(MemoryTable(Clock()))
        reported: list[str] = []
        limiter = make_limiter(table, reported, "open")
        await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=False)
        counted = await claimed(table)
        table.fault = "failed"
        admission = await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=True)
        assert admission.headers() == {}
        table.fault = ""
        await admission.settle(5, 5)
        assert (await claimed(table), reported) == (counted, ["failed"])
        with pytest.raises(APIError, match="1 requests per minute"):
            await limiter.admit("k", LIMITS, tokens=1, micros=1, streamed=False)

    run_work(work)
