"""Limits of one key: exact under concurrency, settled or expired, with OpenAI's errors and headers."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claudexia.access.limiter import Admission, Limiter, TableFailurePolicy
from claudexia.access.limits import Limits, bounded_max_tokens
from claudexia.errors import APIError
from claudexia.storage.table import ItemKey, Table, int_of
from tests.helpers.tables import Clock, FaultyTable, OpenTable, key_counters, tables, tables_and_requests

ALL = Limits(
    requests_per_minute=10,
    tokens_per_minute=10_000,
    concurrent_streams=5,
    usd_per_day_micros=5_000_000,
    usd_per_month_micros=50_000_000,
)
MINUTE, DAY, MONTH = "2026-11-22T12:00", "2026-11-22", "2026-11"
COUNTERS = {
    "requests": f"requests#{MINUTE}",
    "tokens": f"tokens#{MINUTE}",
    "streams": "streams#open",
    "day": f"usd#{DAY}",
    "month": f"usd#{MONTH}",
}

Work = Callable[[Table, Clock], Coroutine[None, None, None]]


def make_limiter(table: Table, clock: Callable[[], datetime], **options: Any) -> Limiter:
    """A limiter with a long timeout, because the fake DynamoDB is slow under concurrency."""
    return Limiter(table, clock, TableFailurePolicy("closed", pytest.fail, timeout=60), **options)


async def admit(
    limiter: Limiter, limits: Limits, *, tokens: int = 100, micros: int = 1000, streamed: bool = True
) -> Admission:
    return await limiter.admit("k", limits, tokens=tokens, micros=micros, streamed=streamed)


async def refused(limiter: Limiter, limits: Limits, **request: Any) -> APIError:
    with pytest.raises(APIError) as raised:
        await admit(limiter, limits, **request)
    return raised.value


async def admitted(limiter: Limiter, limits: Limits, count: int) -> list[Admission]:
    """The admissions of `count` concurrent requests. Asserts that all others are 429s."""
    outcomes = await asyncio.gather(*(admit(limiter, limits) for _ in range(count)), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(failure, APIError) and failure.status == 429 for failure in failures), failures
    return [outcome for outcome in outcomes if isinstance(outcome, Admission)]


async def claimed(table: Table, names: dict[str, str] = COUNTERS) -> dict[str, int]:
    counters, _ = await key_counters(table, "k")
    return {name: counters.get(counter, 0) for name, counter in names.items()}


def run_work(open_table: OpenTable, work: Work) -> None:
    clock = Clock()
    with open_table(clock) as table:
        asyncio.run(work(table, clock))


# Limits that allow so many requests at once.
LIMITS: dict[str, Callable[[int], Limits]] = {
    "requests": lambda requests: Limits(requests_per_minute=requests),
    "tokens": lambda requests: Limits(tokens_per_minute=100 * requests),
    "streams": lambda requests: Limits(concurrent_streams=requests),
    "day": lambda requests: Limits(usd_per_day_micros=1000 * requests),
    "month": lambda requests: Limits(usd_per_month_micros=1000 * requests),
}


@pytest.mark.parametrize("name", LIMITS)
@tables_and_requests
def test_exactly_as_many_concurrent_requests_pass_as_allowed(
    open_table: OpenTable, requests: int, name: str
) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter, allowed = make_limiter(table, clock), requests // 2
        admissions = await admitted(limiter, LIMITS[name](allowed), requests)
        assert len(admissions) == allowed
        await asyncio.gather(*(admission.settle(10, 100) for admission in admissions))
        settled = {"requests": 1, "tokens": 10, "streams": 0, "day": 100, "month": 100}
        assert (await claimed(table))[name] == allowed * settled[name]

    run_work(open_table, work)


@tables
def test_settlement_replaces_the_reservation_by_the_usage(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        admissions = [await admit(limiter, ALL, tokens=1000, micros=90_000) for _ in range(3)]
        assert await claimed(table) == {
            "requests": 3,
            "tokens": 3000,
            "streams": 3,
            "day": 270_000,
            "month": 270_000,
        }
        clock.advance(minutes=2)  # the requests take longer than the minute in which they began
        for admission, (tokens, micros) in zip(admissions, [(0, 0), (10, 50), (2000, 100_000)], strict=True):
            await admission.settle(tokens, micros)
            await admission.settle(5, 5)  # a second settlement changes nothing
        assert await claimed(table) == {
            "requests": 3,
            "tokens": 2010,
            "streams": 0,
            "day": 100_050,
            "month": 100_050,
        }
        assert (await key_counters(table, "k"))[1] == frozenset()

    run_work(open_table, work)


@tables
def test_an_unsettled_reservation_expires(open_table: OpenTable) -> None:
    limits = Limits(concurrent_streams=2, usd_per_day_micros=2000, usd_per_month_micros=2000)

    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock, lease_seconds=900)
        crashed = [await admit(limiter, limits) for _ in range(2)]
        clock.advance(seconds=899)
        assert (await refused(limiter, limits)).code == "rate_limit_exceeded"
        clock.advance(seconds=1)
        for _ in range(2):
            await admit(limiter, limits)
        await refused(limiter, limits)
        # A late settlement: its usage is counted, and its stream is not subtracted twice.
        await crashed[0].settle(10, 7)
        assert await claimed(table, {"s": COUNTERS["streams"], "d": COUNTERS["day"]}) == {"s": 2, "d": 2007}

    run_work(open_table, work)


@tables
def test_streams_that_crashed_days_ago_do_not_count(open_table: OpenTable) -> None:
    """DynamoDB deletes expired items late. Until then, reads ignore them and conditional writes fail."""

    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        await admit(limiter, Limits(concurrent_streams=1))
        clock.advance(days=3)
        assert len(await admitted(limiter, Limits(concurrent_streams=1), 3)) == 1

    run_work(open_table, work)


@tables
def test_a_finished_stream_frees_its_place(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        limits = Limits(concurrent_streams=1)
        first = await admit(limiter, limits)
        await admit(limiter, limits, streamed=False)
        error = await refused(limiter, limits)
        assert (error.status, error.type, error.code) == (429, "rate_limit_error", "rate_limit_exceeded")
        assert error.headers == {"retry-after": "2"}
        await first.settle(0, 0)
        await admit(limiter, limits)

    run_work(open_table, work)


@tables
def test_a_request_refused_by_one_limit_reserves_nothing(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        first = await admit(limiter, ALL, tokens=9000)
        before = await claimed(table)
        error = await refused(limiter, ALL, tokens=2000)
        assert error.headers["x-ratelimit-remaining-tokens"] == "1000"
        assert await claimed(table) == before
        await first.settle(100, 100)
        await admit(limiter, ALL, tokens=2000)

    run_work(open_table, work)


@tables
def test_an_estimate_above_the_limit_is_admitted_alone(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        tokens = Limits(tokens_per_minute=1000)
        large = await admit(limiter, tokens, tokens=50_000)
        assert "this request may need 50000" in (await refused(limiter, tokens, tokens=50_000)).message
        await refused(limiter, tokens, tokens=1)
        await large.settle(400, 0)
        await refused(limiter, tokens, tokens=50_000)  # not in a minute with other usage
        await admit(limiter, tokens, tokens=600)

        money = Limits(usd_per_day_micros=1000)
        for spent in (300, 300, 5000):  # each is admitted alone, as long as part of the limit is left
            large = await admit(limiter, money, micros=9000)
            waiting = await refused(limiter, money, micros=1)
            assert (waiting.code, waiting.headers) == ("rate_limit_exceeded", {"retry-after": "2"})
            await large.settle(0, spent)
        assert (await refused(limiter, money, micros=0)).code == "insufficient_quota"
        assert await claimed(table, {"day": COUNTERS["day"]}) == {"day": 5600}

    run_work(open_table, work)


@tables
def test_only_one_running_request_may_overrun_a_budget(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        money = Limits(usd_per_month_micros=1000)
        running = await admit(limiter, money, micros=600)
        assert (await refused(limiter, money, micros=600)).code == "rate_limit_exceeded"
        await running.settle(0, 600)
        alone = await admit(limiter, money, micros=600)
        await refused(limiter, money, micros=1)
        await alone.settle(0, 600)
        assert await claimed(table, {"month": COUNTERS["month"]}) == {"month": 1200}

    run_work(open_table, work)


@tables
def test_items_settled_days_late_still_expire(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        admission = await admit(limiter, ALL)
        clock.advance(days=60)
        await admit(limiter, ALL)
        await admission.settle(1, 1)
        item = await table.get(ItemKey("METER#k", "counters"))
        assert item
        assert int_of(item, "expires") > clock().timestamp()

    run_work(open_table, work)


@tables
def test_limits_hold_for_two_clocks_at_the_edge_of_a_minute(open_table: OpenTable) -> None:
    """Three seconds apart, they count in two windows; in the same minute they share one."""

    async def work(table: Table, clock: Clock) -> None:
        clock.advance(seconds=38)  # 12:00:58
        slow = make_limiter(table, clock)
        fast = make_limiter(table, lambda: clock() + timedelta(seconds=3))
        limits = Limits(requests_per_minute=10)
        assert len(await admitted(slow, limits, 15)) == 10
        assert len(await admitted(fast, limits, 7)) == 7
        clock.advance(seconds=2)  # 12:01:00 for both
        assert len(await admitted(slow, limits, 15)) == 3
        minutes = {minute: f"requests#2026-11-22T12:{minute}" for minute in ("00", "01", "02")}
        assert await claimed(table, minutes) == {"00": 10, "01": 10, "02": 0}

    run_work(open_table, work)


WINDOWS = [
    ("minute", Limits(requests_per_minute=1), {"seconds": 40}, "40"),
    ("day", Limits(usd_per_day_micros=1), {"hours": 11, "minutes": 59, "seconds": 40}, "43180"),
    ("month", Limits(usd_per_month_micros=1), {"days": 8, "hours": 11, "minutes": 59, "seconds": 40}, "734380"),
]


@pytest.mark.parametrize(
    ("limits", "until_reset", "wait"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS]
)
@tables
def test_a_new_window_starts_at_zero(
    open_table: OpenTable, limits: Limits, until_reset: dict[str, float], wait: str
) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        await (await admit(limiter, limits)).settle(1, 1)
        assert (await refused(limiter, limits)).headers["retry-after"] == wait
        clock.advance(**until_reset)
        await admit(limiter, limits)

    run_work(open_table, work)


@tables
def test_the_december_window_resets_in_january(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        clock.time = datetime(2026, 12, 31, 23, 59, 59, 900_000, tzinfo=UTC)
        limits = Limits(usd_per_month_micros=1)
        await (await admit(limiter, limits)).settle(1, 1)
        error = await refused(limiter, limits)
        assert error.message == (
            "This API key may spend $0.000001 per month, and has spent it. "
            "The limit resets at 2027-01-01 00:00 UTC."
        )
        assert error.headers == {"retry-after": "1", "x-should-retry": "false"}
        assert (error.status, error.type, error.code) == (429, "insufficient_quota", "insufficient_quota")

    run_work(open_table, work)


@tables
def test_headers_have_the_limits_of_the_key(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        await admit(limiter, ALL, tokens=2000)
        second = await admit(limiter, ALL, tokens=3000)
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
            not in (await limiter.admit("other", requests, tokens=1, micros=1, streamed=True)).headers()
        )
        error = await refused(limiter, requests)
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

    run_work(open_table, work)


COSTS = [
    ("no limits", Limits(max_tokens=5), {}),
    ("requests", Limits(requests_per_minute=5), {"update": 1}),
    ("all", ALL, {"update": 2}),
]


@pytest.mark.parametrize(("limits", "calls"), [row[1:] for row in COSTS], ids=[row[0] for row in COSTS])
@tables
def test_table_calls_of_a_limited_request(open_table: OpenTable, limits: Limits, calls: dict[str, int]) -> None:
    async def work(table: Table, clock: Clock) -> None:
        counting = FaultyTable(table)
        limiter = make_limiter(counting, clock)
        await admit(limiter, limits)  # creates the item
        counting.calls.clear()
        admission = await admit(limiter, limits)
        admission.headers()
        await admission.settle(1, 1)
        assert counting.calls == calls

    run_work(open_table, work)


@tables
def test_limits_are_per_key_and_may_be_zero(open_table: OpenTable) -> None:
    async def work(table: Table, clock: Clock) -> None:
        limiter = make_limiter(table, clock)
        none = Limits(requests_per_minute=0)
        assert (await refused(limiter, none)).code == "rate_limit_exceeded"
        assert (await refused(limiter, Limits(usd_per_day_micros=0))).code == "insufficient_quota"
        one = Limits(requests_per_minute=1)
        for key in ("a", "b"):
            await limiter.admit(key, one, tokens=1, micros=1, streamed=False)
        await admit(limiter, one)

    run_work(open_table, work)


MAX_TOKENS = [
    ("no limit", None, 9000, 9000),
    ("no limit, not set", None, None, 4096),
    ("within", 1000, 1000, 1000),
    ("not set", 1000, None, 1000),
    ("default is less", 8000, None, 4096),
]


@pytest.mark.parametrize(
    ("maximum", "requested", "sent"), [row[1:] for row in MAX_TOKENS], ids=[row[0] for row in MAX_TOKENS]
)
def test_max_tokens_is_bounded_by_the_key(maximum: int | None, requested: int | None, sent: int) -> None:
    assert bounded_max_tokens(Limits(max_tokens=maximum), requested, 4096) == sent


def test_max_tokens_above_the_keys_limit_is_refused() -> None:
    with pytest.raises(APIError, match="at most 1000 tokens") as raised:
        bounded_max_tokens(Limits(max_tokens=1000), 1001, 4096)
    assert (raised.value.status, raised.value.param) == (400, "max_tokens")
