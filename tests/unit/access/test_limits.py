"""Limits of one key: exact under concurrency, settled or expired, and told in OpenAI's words."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claudexia.access.limiter import Admission, Limiter, TableFailurePolicy
from claudexia.access.limits import Limits, bounded_max_tokens
from claudexia.errors import APIError
from claudexia.storage.table import ItemKey, Table
from tests.helpers.tables import Clock, FaultyTable, OpenTable, tables

ALL = Limits(
    requests_per_minute=10,
    tokens_per_minute=10_000,
    concurrent_streams=5,
    usd_per_day_micros=5_000_000,
    usd_per_month_micros=50_000_000,
)
MINUTE, DAY, MONTH = "2026-11-22T12:00", "2026-11-22", "2026-11"
METERS = {
    "requests": f"requests#{MINUTE}",
    "tokens": f"tokens#{MINUTE}",
    "streams": "streams#open",
    "day": f"usd#{DAY}",
    "month": f"usd#{MONTH}",
}

Work = Callable[[Table, Clock], Coroutine[None, None, None]]


def limiter(table: Table, clock: Callable[[], datetime], **options: Any) -> Limiter:
    """Patient, since what stands in for DynamoDB is slow, and many ask it at once."""
    return Limiter(table, clock, TableFailurePolicy("closed", pytest.fail, timeout=60), **options)


async def admit(
    by: Limiter, limits: Limits, *, tokens: int = 100, micros: int = 1000, streamed: bool = True
) -> Admission:
    return await by.admit("k", limits, tokens=tokens, micros=micros, streamed=streamed)


async def refused(by: Limiter, limits: Limits, **request: Any) -> APIError:
    with pytest.raises(APIError) as raised:
        await admit(by, limits, **request)
    return raised.value


async def passed(by: Limiter, limits: Limits, count: int) -> list[Admission]:
    """Those of `count` requests at once that may pass; every other one has to get a 429."""
    outcomes = await asyncio.gather(*(admit(by, limits) for _ in range(count)), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(failure, APIError) and failure.status == 429 for failure in failures), failures
    return [outcome for outcome in outcomes if isinstance(outcome, Admission)]


async def claimed(table: Table, names: dict[str, str] = METERS) -> dict[str, int]:
    items = {name: await table.get(ItemKey("METER#k", sort)) or {} for name, sort in names.items()}
    return {name: int(item.get("claimed", 0)) for name, item in items.items()}  # type: ignore[arg-type]


def run(open_table: OpenTable, work: Work) -> None:
    clock = Clock()
    with open_table(clock) as table:
        asyncio.run(work(table, clock))


AT_ONCE = {
    "requests": Limits(requests_per_minute=100),
    "tokens": Limits(tokens_per_minute=10_000),
    "streams": Limits(concurrent_streams=100),
    "day": Limits(usd_per_day_micros=100_000),
    "month": Limits(usd_per_month_micros=100_000),
}


@pytest.mark.parametrize("name", AT_ONCE)
@tables
def test_of_200_at_once_exactly_100_pass(open_table: OpenTable, name: str) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        admissions = await passed(by, AT_ONCE[name], 200)
        assert len(admissions) == 100
        await asyncio.gather(*(admission.settle(10, 100) for admission in admissions))
        settled = {"requests": 100, "tokens": 1000, "streams": 0, "day": 10_000, "month": 10_000}
        assert (await claimed(table))[name] == settled[name]

    run(open_table, work)


@tables
def test_settling_counts_what_was_needed(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        admissions = [await admit(by, ALL, tokens=1000, micros=90_000) for _ in range(3)]
        assert await claimed(table) == {
            "requests": 3,
            "tokens": 3000,
            "streams": 3,
            "day": 270_000,
            "month": 270_000,
        }
        clock.advance(minutes=2)  # the answers take longer than their minute
        for admission, (tokens, micros) in zip(admissions, [(0, 0), (10, 50), (2000, 100_000)], strict=True):
            await admission.settle(tokens, micros)
            await admission.settle(5, 5)  # once is enough
        assert await claimed(table) == {
            "requests": 3,
            "tokens": 2010,
            "streams": 0,
            "day": 100_050,
            "month": 100_050,
        }
        for sort in METERS.values():
            item = await table.get(ItemKey("METER#k", sort))
            assert item
            assert item["expires"] > clock().timestamp()  # type: ignore[operator]
            assert "holds" not in item

    run(open_table, work)


@tables
def test_a_reservation_that_nobody_settles_expires(open_table: OpenTable) -> None:
    limits = Limits(concurrent_streams=2, usd_per_day_micros=2000, usd_per_month_micros=2000)

    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock, lease_seconds=900)
        crashed = [await admit(by, limits) for _ in range(2)]
        clock.advance(seconds=899)
        assert (await refused(by, limits)).code == "rate_limit_exceeded"
        clock.advance(seconds=1)
        for _ in range(2):
            await admit(by, limits)
        await refused(by, limits)
        # It was only slow: what it needed is counted, and its stream is not counted out twice.
        await crashed[0].settle(10, 7)
        assert await claimed(table, {"s": METERS["streams"], "d": METERS["day"]}) == {"s": 2, "d": 2007}

    run(open_table, work)


@tables
def test_streams_that_crashed_days_ago_block_nothing(open_table: OpenTable) -> None:
    """DynamoDB removes an expired item late; until then it refuses writes, and is not there for reads."""

    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        await admit(by, Limits(concurrent_streams=1))
        clock.advance(days=3)
        assert len(await passed(by, Limits(concurrent_streams=1), 3)) == 1

    run(open_table, work)


@tables
def test_a_stream_makes_room_when_it_ends(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        limits = Limits(concurrent_streams=1)
        first = await admit(by, limits)
        await admit(by, limits, streamed=False)
        error = await refused(by, limits)
        assert (error.status, error.type, error.code) == (429, "rate_limit_error", "rate_limit_exceeded")
        assert error.headers == {"retry-after": "2"}
        await first.settle(0, 0)
        await admit(by, limits)

    run(open_table, work)


@tables
def test_who_is_refused_by_one_limit_takes_nothing_of_the_others(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        first = await admit(by, ALL, tokens=9000)
        before = await claimed(table)
        error = await refused(by, ALL, tokens=2000)
        assert error.headers["x-ratelimit-remaining-tokens"] == "1000"
        assert await claimed(table) == before
        await first.settle(100, 100)
        await admit(by, ALL, tokens=2000)

    run(open_table, work)


@tables
def test_an_estimate_above_the_limit_passes_alone(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        tokens = Limits(tokens_per_minute=1000)
        large = await admit(by, tokens, tokens=50_000)
        assert "this request may need 50000" in (await refused(by, tokens, tokens=50_000)).message
        await refused(by, tokens, tokens=1)
        await large.settle(400, 0)
        await refused(by, tokens, tokens=50_000)  # not in a minute in which something was asked
        await admit(by, tokens, tokens=600)

        money = Limits(usd_per_day_micros=1000)
        for spent in (300, 300, 5000):  # each passes alone, as long as something is left
            large = await admit(by, money, micros=9000)
            waiting = await refused(by, money, micros=1)
            assert (waiting.code, waiting.headers) == ("rate_limit_exceeded", {"retry-after": "2"})
            await large.settle(0, spent)
        assert (await refused(by, money, micros=0)).code == "insufficient_quota"
        assert await claimed(table, {"day": METERS["day"]}) == {"day": 5600}

    run(open_table, work)


@tables
def test_only_one_running_request_may_overrun_a_budget(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        money = Limits(usd_per_month_micros=1000)
        running = await admit(by, money, micros=600)
        assert (await refused(by, money, micros=600)).code == "rate_limit_exceeded"
        await running.settle(0, 600)
        alone = await admit(by, money, micros=600)
        await refused(by, money, micros=1)
        await alone.settle(0, 600)
        assert await claimed(table, {"month": METERS["month"]}) == {"month": 1200}

    run(open_table, work)


@tables
def test_what_is_settled_days_late_is_not_kept_for_good(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        admission = await admit(by, ALL)
        clock.advance(days=60)
        await admit(by, ALL)
        await admission.settle(1, 1)
        for sort in METERS.values():
            item = await table.get(ItemKey("METER#k", sort))
            assert item is None or "expires" in item

    run(open_table, work)


@tables
def test_two_clocks_at_a_minutes_edge_overrun_no_window(open_table: OpenTable) -> None:
    """Three seconds apart, they count into two minutes; within one of them they share what there is."""

    async def work(table: Table, clock: Clock) -> None:
        clock.advance(seconds=38)  # 12:00:58
        slow = limiter(table, clock)
        fast = limiter(table, lambda: clock() + timedelta(seconds=3))
        limits = Limits(requests_per_minute=10)
        assert len(await passed(slow, limits, 15)) == 10
        assert len(await passed(fast, limits, 7)) == 7
        clock.advance(seconds=2)  # 12:01:00 for both
        assert len(await passed(slow, limits, 15)) == 3
        minutes = {minute: f"requests#2026-11-22T12:{minute}" for minute in ("00", "01", "02")}
        assert await claimed(table, minutes) == {"00": 10, "01": 10, "02": 0}

    run(open_table, work)


WINDOWS = [
    ("minute", Limits(requests_per_minute=1), {"seconds": 40}, "40"),
    ("day", Limits(usd_per_day_micros=1), {"hours": 11, "minutes": 59, "seconds": 40}, "43180"),
    ("month", Limits(usd_per_month_micros=1), {"days": 8, "hours": 11, "minutes": 59, "seconds": 40}, "734380"),
]


@pytest.mark.parametrize(
    ("limits", "left", "wait"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS]
)
@tables
def test_a_window_begins_anew(open_table: OpenTable, limits: Limits, left: dict[str, float], wait: str) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        await (await admit(by, limits)).settle(1, 1)
        assert (await refused(by, limits)).headers["retry-after"] == wait
        clock.advance(**left)
        await admit(by, limits)

    run(open_table, work)


@tables
def test_the_last_month_of_a_year_ends(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        clock.time = datetime(2026, 12, 31, 23, 59, 59, 900_000, tzinfo=UTC)
        limits = Limits(usd_per_month_micros=1)
        await (await admit(by, limits)).settle(1, 1)
        error = await refused(by, limits)
        assert error.message == (
            "This API key may spend $0.000001 per month, and has spent it. "
            "The limit resets at 2027-01-01 00:00 UTC."
        )
        assert error.headers == {"retry-after": "1", "x-should-retry": "false"}
        assert (error.status, error.type, error.code) == (429, "insufficient_quota", "insufficient_quota")

    run(open_table, work)


@tables
def test_headers_tell_the_callers_own_limits(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        await admit(by, ALL, tokens=2000)
        second = await admit(by, ALL, tokens=3000)
        assert second.headers() == {
            "x-ratelimit-limit-requests": "10",
            "x-ratelimit-remaining-requests": "8",
            "x-ratelimit-reset-requests": "40s",
            "x-ratelimit-limit-tokens": "10000",
            "x-ratelimit-remaining-tokens": "5000",
            "x-ratelimit-reset-tokens": "40s",
        }
        requests = Limits(requests_per_minute=2)
        assert (
            "x-ratelimit-limit-tokens"
            not in (await by.admit("other", requests, tokens=1, micros=1, streamed=True)).headers()
        )
        error = await refused(by, requests)
        assert (
            error.message
            == "Rate limit reached: this API key is limited to 2 requests per minute. The limit resets in 40 s."
        )
        assert error.headers == {
            "retry-after": "40",
            "x-ratelimit-limit-requests": "2",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "40s",
        }

    run(open_table, work)


COSTS = [
    ("no limits", Limits(max_tokens=5), {}),
    ("requests", Limits(requests_per_minute=5), {"update": 1}),
    ("all", ALL, {"update": 9}),
]


@pytest.mark.parametrize(("limits", "calls"), [row[1:] for row in COSTS], ids=[row[0] for row in COSTS])
@tables
def test_a_request_costs_as_many_reads_and_writes_as_stated(
    open_table: OpenTable, limits: Limits, calls: dict[str, int]
) -> None:
    async def work(table: Table, clock: Clock) -> None:
        counting = FaultyTable(table)
        admission = await admit(limiter(counting, clock), limits)
        admission.headers()
        await admission.settle(1, 1)
        assert counting.calls == calls

    run(open_table, work)


@tables
def test_each_key_has_its_own_and_nothing_may_be_a_limit(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        by = limiter(table, clock)
        none = Limits(requests_per_minute=0)
        assert (await refused(by, none)).code == "rate_limit_exceeded"
        assert (await refused(by, Limits(usd_per_day_micros=0))).code == "insufficient_quota"
        one = Limits(requests_per_minute=1)
        for key in ("a", "b"):
            await by.admit(key, one, tokens=1, micros=1, streamed=False)
        await admit(by, one)

    run(open_table, work)


MAX_TOKENS = [
    ("no limit", None, 9000, 9000),
    ("no limit, not asked", None, None, 4096),
    ("within", 1000, 1000, 1000),
    ("not asked", 1000, None, 1000),
    ("default is less", 8000, None, 4096),
]


@pytest.mark.parametrize(
    ("most", "asked", "sent"), [row[1:] for row in MAX_TOKENS], ids=[row[0] for row in MAX_TOKENS]
)
def test_max_tokens_stays_within_the_keys(most: int | None, asked: int | None, sent: int) -> None:
    assert bounded_max_tokens(Limits(max_tokens=most), asked, 4096) == sent


def test_more_max_tokens_than_the_key_may_have() -> None:
    with pytest.raises(APIError, match="at most 1000 tokens") as raised:
        bounded_max_tokens(Limits(max_tokens=1000), 1001, 4096)
    assert (raised.value.status, raised.value.param) == (400, "max_tokens")
