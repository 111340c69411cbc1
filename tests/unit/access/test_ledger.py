"""The ledger on both tables: each request is counted once, by day, key and model."""

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from claudexia.access.ledger import DayUsage, Ledger, Totals, UsageRecord, totals
from claudexia.observability.record import Outcome
from claudexia.storage.memory import MemoryTable
from tests.helpers.tables import Clock, FaultyTable, OpenTable, tables
from tests.helpers.usage_records import RECORD

TOTALS = Totals(1, 0, 10, 200, 30, 40, 5, 1234, 0)


def fail_on_error(kind: str) -> None:
    raise AssertionError(kind)


def month_with(open_table: OpenTable, *records: UsageRecord, month: str = "2026-11") -> list[DayUsage]:
    async def run() -> list[DayUsage]:
        for record in records:
            await ledger.record(record)
        return await ledger.month(month)

    with open_table(Clock()) as table:
        ledger = Ledger(table, fail_on_error)
        return asyncio.run(run())


@tables
def test_a_request_is_counted_under_its_day_key_and_model(open_table: OpenTable) -> None:
    assert month_with(open_table, RECORD) == [
        DayUsage(date(2026, 11, 22), "AAAABBBBCCCC", "alice", "claude-sonnet-5-5", TOTALS)
    ]


@tables
def test_requests_are_summed_per_day_key_and_model(open_table: OpenTable) -> None:
    days = month_with(
        open_table,
        RECORD,
        RECORD,
        replace(RECORD, key_id="DDDDEEEEFFFF", key_name="bob"),
        replace(RECORD, model="claude-opus-5-5"),
        replace(RECORD, at=RECORD.at - timedelta(days=1)),
        replace(RECORD, at=RECORD.at + timedelta(days=30)),
    )
    assert [(day.day.day, day.key_name, day.model, day.totals) for day in days] == [
        (21, "alice", "claude-sonnet-5-5", TOTALS),
        (22, "alice", "claude-opus-5-5", TOTALS),
        (22, "alice", "claude-sonnet-5-5", TOTALS + TOTALS),
        (22, "bob", "claude-sonnet-5-5", TOTALS),
    ]
    assert totals(days).requests == 5
    assert totals(days).tokens == 5 * 280


@pytest.mark.parametrize(
    ("outcome", "errors"), [("ok", 0), ("abandoned", 0), ("error", 1), ("deadline", 1), ("refused", 1)]
)
@tables
def test_what_counts_as_an_error(open_table: OpenTable, outcome: Outcome, errors: int) -> None:
    (day,) = month_with(open_table, replace(RECORD, outcome=outcome))
    assert (day.totals.requests, day.totals.errors) == (1, errors)


@tables
def test_unpriced_and_free_requests_are_distinguished(open_table: OpenTable) -> None:
    unpriced, free = replace(RECORD, cost_micros=None), replace(RECORD, cost_micros=0)
    (day,) = month_with(open_table, unpriced, free, RECORD)
    assert (day.totals.unpriced, day.totals.cost_micros, day.totals.requests) == (1, 1234, 3)


@tables
def test_days_are_utc(open_table: OpenTable) -> None:
    at = datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert [day.day for day in month_with(open_table, replace(RECORD, at=at))] == [date(2026, 11, 30)]


@tables
def test_a_renamed_key_has_its_newest_name(open_table: OpenTable) -> None:
    (day,) = month_with(open_table, RECORD, replace(RECORD, key_name="alice-2"))
    assert (day.key_name, day.totals.requests) == ("alice-2", 2)


@tables
def test_a_model_may_have_any_name(open_table: OpenTable) -> None:
    names = ["claude-#2026", "claude-" + "x" * 5000]
    days = month_with(open_table, *(replace(RECORD, model=name) for name in names))
    assert [day.model for day in days] == ["claude-#2026", "claude-" + "x" * 93]


@tables
def test_usage_of_one_key(open_table: OpenTable) -> None:
    async def run() -> list[DayUsage]:
        await ledger.record(RECORD)
        await ledger.record(replace(RECORD, key_id="DDDDEEEEFFFF", key_name="bob"))
        return await ledger.month("2026-11", "DDDDEEEEFFFF")

    with open_table(Clock()) as table:
        ledger = Ledger(table, fail_on_error)
        assert [day.key_name for day in asyncio.run(run())] == ["bob"]


@tables
def test_an_unused_month_is_empty(open_table: OpenTable) -> None:
    assert month_with(open_table, RECORD, month="2026-10") == []


@tables
def test_concurrent_records_add_up(open_table: OpenTable) -> None:
    keys = ["AAAABBBBCCCC", "DDDDEEEEFFFF"]
    records = [
        replace(RECORD, key_id=keys[number % 2], input_tokens=number, cost_micros=number * number)
        for number in range(80)
    ]

    async def run() -> list[DayUsage]:
        await asyncio.gather(*map(ledger.record, records))
        return await ledger.month("2026-11")

    with open_table(Clock()) as table:
        ledger = Ledger(table, fail_on_error)
        days = asyncio.run(run())
    for day in days:
        expected = [record for record in records if record.key_id == day.key_id]
        assert day.totals.requests == len(expected)
        assert day.totals.input_tokens == sum(record.input_tokens for record in expected)
        assert day.totals.cost_micros == sum(record.cost_micros or 0 for record in expected)
    assert totals(days).requests == 80


@tables
def test_a_day_expires_after_400_days(open_table: OpenTable) -> None:
    clock = Clock(RECORD.at)
    with open_table(clock) as table:
        ledger = Ledger(table, fail_on_error)
        asyncio.run(ledger.record(RECORD))
        clock.advance(days=399, hours=23)
        assert len(asyncio.run(ledger.month("2026-11"))) == 1
        clock.advance(hours=1)
        assert asyncio.run(ledger.month("2026-11")) == []


@pytest.mark.parametrize("kind", ["missing", "denied", "throttled", "timeout", "failed"])
def test_a_table_failure_does_not_fail_the_request(kind: str) -> None:
    errors: list[str] = []
    faulty = FaultyTable(MemoryTable(Clock()), fault=kind)
    asyncio.run(Ledger(faulty, errors.append).record(RECORD))
    assert errors == [kind]


@tables
def test_a_request_costs_one_write(open_table: OpenTable) -> None:
    with open_table(Clock()) as table:
        counting_table = FaultyTable(table)
        asyncio.run(Ledger(counting_table, fail_on_error).record(RECORD))
    assert counting_table.calls == {"update": 1}
