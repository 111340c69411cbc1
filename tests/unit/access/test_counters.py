"""The item with the counters of a key: windows that end, counters of earlier versions, its size."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta

import pytest

from claudexia.access.limiter import Admission, Limiter, TableFailurePolicy
from claudexia.access.limits import Limits
from claudexia.errors import APIError
from claudexia.storage.table import Change, Item, ItemKey, Table
from tests.helpers.tables import Clock, OpenTable, dynamo_table, key_counters, memory_table, tables

ITEM = ItemKey("METER#k", "counters")
MANY = 10**12
ALL = Limits(
    requests_per_minute=MANY,
    tokens_per_minute=MANY,
    concurrent_streams=MANY,
    usd_per_day_micros=MANY,
    usd_per_month_micros=MANY,
)
Work = Callable[[Table, Clock], Coroutine[None, None, None]]


def run_work(open_table: OpenTable, work: Work) -> None:
    clock = Clock()
    with open_table(clock) as table:
        asyncio.run(work(table, clock))


def make_limiter(table: Table, clock: Callable[[], datetime]) -> Limiter:
    return Limiter(table, clock, TableFailurePolicy("closed", pytest.fail, timeout=60))


async def admit(limiter: Limiter, limits: Limits = ALL, tokens: int = 100, micros: int = 100) -> Admission:
    return await limiter.admit("k", limits, tokens=tokens, micros=micros, streamed=True)


async def count_admitted(*requests: Coroutine[None, None, Admission]) -> list[bool]:
    """Whether each of the concurrent `requests` is admitted."""
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert all(
        isinstance(each, Admission) or (isinstance(each, APIError) and each.status == 429) for each in outcomes
    )
    return [isinstance(each, Admission) for each in outcomes]


EDGES = {
    "minute": (datetime(2026, 11, 22, 12, 0, 59, tzinfo=UTC), Limits(tokens_per_minute=1000)),
    "day": (datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), Limits(usd_per_day_micros=1000)),
    "month": (datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), Limits(usd_per_month_micros=1000)),
}


@pytest.mark.parametrize(("time", "limits"), EDGES.values(), ids=EDGES)
@tables
def test_concurrent_requests_at_the_edge_of_a_window(
    open_table: OpenTable, time: datetime, limits: Limits
) -> None:
    """Half of the processes are in the next window already. Each window has room for ten requests."""

    async def work(table: Table, clock: Clock) -> None:
        clock.time = time
        early, late = make_limiter(table, clock), make_limiter(table, lambda: clock() + timedelta(seconds=2))
        await (await admit(early, limits, 1, 1)).settle(0, 0)
        admitted = await count_admitted(
            *(admit(limiter, limits) for _ in range(20) for limiter in (early, late))
        )
        assert (sum(admitted[::2]), sum(admitted[1::2])) == (10, 10)
        clock.advance(seconds=2)
        assert not any(await count_admitted(admit(early, limits), admit(late, limits)))

    run_work(open_table, work)


@tables
def test_a_settlement_after_the_end_of_its_windows_does_not_change_the_next_ones(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        clock.time = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)
        limiter = make_limiter(table, clock)
        short, long = await admit(limiter), await admit(limiter)
        clock.advance(seconds=20)
        late = await admit(limiter, tokens=5, micros=7)
        await short.settle(10, 20)
        current = {
            "usd#2026-12": 7,
            "usd#2026-12-01": 7,
            "tokens#2026-12-01T00:00": 5,
            "requests#2026-12-01T00:00": 1,
        }
        counters, leases = await key_counters(table, "k")
        assert counters == {
            "usd#2026-11": 120,
            "usd#2026-11-30": 120,
            "tokens#2026-11-30T23:59": 110,
            "requests#2026-11-30T23:59": 2,
            **current,
            "streams#open": 2,
        }
        assert len(leases) == 2
        clock.advance(minutes=10)
        await (await admit(limiter, tokens=1, micros=1)).settle(1, 1)  # removes the windows that have ended
        await long.settle(10, 20)
        await late.settle(5, 7)
        await (await admit(limiter, tokens=1, micros=1)).settle(1, 1)
        counters, leases = await key_counters(table, "k")
        assert counters == {
            "usd#2026-12": 9,
            "usd#2026-12-01": 9,
            "tokens#2026-12-01T00:10": 2,
            "requests#2026-12-01T00:10": 2,
            "streams#open": 0,
        }
        assert not leases

    run_work(open_table, work)


@tables
def test_a_key_without_leases_keeps_few_ended_windows(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        for _ in range(30):
            await (await admit(limiter, Limits(requests_per_minute=1))).settle(1, 1)
            clock.advance(minutes=1)
            assert len((await key_counters(table, "k"))[0]) <= 12

    run_work(open_table, work)


@tables
def test_the_lease_of_a_dead_process_is_released_though_there_is_room(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        await admit(limiter)
        clock.advance(seconds=961)
        await (await admit(limiter)).settle(1, 2)
        counters, leases = await key_counters(table, "k")
        assert not leases
        assert (counters["usd#2026-11"], counters["streams#open"]) == (2, 0)

    run_work(open_table, work)


EARLIER = {
    "usd#2026-11": Change({"claimed": 700}),
    "usd#2026-11-22": Change({"claimed": 650}, {"holds": "1795349000-150-0a1b2c3d"}),  # 500 are settled
    "usd#2026-11-21": Change({"claimed": 200}),
    "usd#2026-10": Change({"claimed": 9000}),
    "tokens#2026-11-22T12:00": Change({"claimed": 30}),
    "streams#open": Change({"claimed": 1}, {"holds": "1795349000-1-0a1b2c3d"}),
}


@tables
def test_what_an_earlier_version_has_settled_is_carried_over_once(open_table: OpenTable) -> None:
    """Its counters are items. 50 concurrent requests find them at once, and the month has room for three."""

    async def work(table: Table, clock: Clock) -> None:
        for sort, change in EARLIER.items():
            expires = {"expires": int(clock().timestamp()) + 86_400}
            await table.update(ItemKey("METER#k", sort), Change(change.add, change.include, assign=expires))
        limits = Limits(tokens_per_minute=MANY, usd_per_day_micros=MANY, usd_per_month_micros=1000)
        limiter = make_limiter(table, clock)
        assert sum(await count_admitted(*(admit(limiter, limits) for _ in range(50)))) == 3
        counters, leases = await key_counters(table, "k")
        assert counters == {
            "usd#2026-11": 1000,
            "usd#2026-11-22": 800,
            "tokens#2026-11-22T12:00": 330,
            "streams#open": 0,
        }
        assert len(leases) == 3

    run_work(open_table, work)


@tables
def test_a_request_that_is_only_counted_carries_money_over(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        await table.update(ItemKey("METER#k", "usd#2026-11"), Change({"claimed": 1000}))
        limits = Limits(requests_per_minute=5, usd_per_month_micros=1000)
        limiter = make_limiter(table, clock)
        await limiter.open("k", limits).count_request()
        with pytest.raises(APIError) as raised:
            await admit(limiter, limits)
        assert raised.value.code == "insufficient_quota"

    run_work(open_table, work)


def size_of(item: Item) -> int:
    """The bytes that DynamoDB counts for an item of numbers and sets.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    size = sum(len(part) for part in ("pk", ITEM.partition, "sk", ITEM.sort)) + sum(len(name) for name in item)
    for value in item.values():
        size += 3 + (
            sum(len(each) + 1 for each in value) if isinstance(value, frozenset) else len(str(value)) // 2
        )
    return size


@pytest.mark.parametrize(
    ("requests", "kilobytes", "open_table"),
    [(1, 1, memory_table), (15, 1, memory_table), (200, 8, memory_table), (15, 1, dynamo_table)],
)
def test_size_of_the_item_with_open_requests(requests: int, kilobytes: int, open_table: OpenTable) -> None:
    """Each further KB costs a further unit per write. The requests have begun during the last three minutes."""

    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        await admit(limiter)
        for _ in range(3):
            clock.advance(minutes=1)
            await asyncio.gather(
                *(admit(limiter, tokens=200_000, micros=5_000_000) for _ in range(-(-requests // 3)))
            )
        item = await table.get(ITEM)
        assert item
        assert len((await key_counters(table, "k"))[1]) >= requests
        assert size_of(item) <= kilobytes * 1024

    run_work(open_table, work)
