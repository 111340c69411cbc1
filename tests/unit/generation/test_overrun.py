"""Requests at once overrun a limit by no more than one reservation, on both tables."""

import asyncio
from typing import Any, NamedTuple, cast

import pytest

from claudexia.access.keys import Key
from claudexia.access.ledger import Ledger
from claudexia.access.limiter import Limiter, TableFailurePolicy
from claudexia.access.limits import Limits
from claudexia.access.prices import Prices
from claudexia.errors import APIError
from claudexia.generation.billing import Billing, RequestUsage
from claudexia.observability.record import RequestRecord
from claudexia.storage.table import Table
from tests.helpers.tables import Clock, OpenTable, key_counters, tables_and_requests

MODEL, MAX_TOKENS = "claude-haiku-4-5", 64_000  # $1 in and $5 out per million
PARAMS: Any = {
    "model": MODEL,
    "max_tokens": MAX_TOKENS,
    "messages": [{"role": "user", "content": "a"}],
    "stream": True,
}
INPUT = 10
PIECE = 400  # characters per network read: 100 tokens


class FakeGeneration:
    host = "anthropic"

    def __init__(self) -> None:
        self.output_tokens = 0
        self.finished = False

    @property
    def usage(self) -> dict[str, int]:
        return {"input_tokens": INPUT, "output_tokens": self.output_tokens}


class Outcome(NamedTuple):
    codes: list[str]  # of the errors
    tokens: int
    micros: int


class Gateway:
    def __init__(self, table: Table, clock: Clock, limits: Limits) -> None:
        limiter = Limiter(table, clock, TableFailurePolicy("closed", pytest.fail, timeout=120))
        self.billing = Billing(limiter, Ledger(table, pytest.fail), Prices())
        self.key = Key("k", "k", limits=limits)
        self.clock = clock
        self.codes: list[str] = []

    async def answer(self, tokens: int, visible: bool, max_tokens: int | None = None) -> None:
        """One streamed request whose answer has `tokens`, in pieces of 100 if it is `visible`."""
        usage = RequestUsage(self.billing, self.key, RequestRecord("r"), self.clock())
        generation = FakeGeneration()
        try:
            params: Any = {**PARAMS, "max_tokens": max_tokens or MAX_TOKENS}
            await usage.admit(params, 1, streamed=True, requested_max_tokens=max_tokens)
            usage.answers = cast("Any", [generation])
            while visible and generation.output_tokens < tokens:
                generation.output_tokens += PIECE // 4
                delta = {"type": "text_delta", "text": "x" * PIECE}
                await usage.on_events(
                    cast("Any", [{"type": "content_block_delta", "index": 0, "delta": delta}])
                )
            generation.output_tokens, generation.finished = tokens, True
        except APIError as error:
            assert error.status == 429
            self.codes.append(error.code or "")
        await usage.close()

    async def burst(self, *answers: tuple[int, bool, int | None]) -> Outcome:
        """Runs all of `answers` concurrently, on a new day. Returns their usage."""
        self.clock.advance(days=1)
        self.codes.clear()
        await asyncio.gather(*(self.answer(*answer) for answer in answers))
        await self.billing.settled()
        table, now = self.billing.limiter.table, self.clock()
        names = (f"usd#{now:%Y-%m-%d}", f"tokens#{now:%Y-%m-%dT%H:%M}")
        counters, leases = await key_counters(table, "k")
        assert not leases
        micros, tokens = (counters.get(name, 0) for name in names)
        return Outcome(self.codes, tokens, micros)


# Lengths of the answers before the burst and in it, and the largest reservation in tokens.
BURSTS: list[tuple[str, list[int], tuple[int, bool, int | None], int]] = [
    ("of a new process", [], (64_000, False, None), 64_000),
    ("with visible text", [], (64_000, True, None), 64_000),
    ("like those before", [64_000], (64_000, False, None), 64_000),
    ("with max_tokens", [2], (20_000, False, 20_000), 20_000),
    ("short", [2], (100, False, None), 4096),
]


@pytest.mark.parametrize(
    ("before", "answer", "reservation"), [pytest.param(*rest, id=name) for name, *rest in BURSTS]
)
@tables_and_requests
def test_concurrent_requests_overrun_a_limit_by_one_request_at_most(
    open_table: OpenTable,
    requests: int,
    before: list[int],
    answer: tuple[int, bool, int | None],
    reservation: int,
) -> None:
    day, minute = 1_000_000, 50_000
    for limits in (Limits(usd_per_day_micros=day), Limits(tokens_per_minute=minute)):
        clock = Clock()
        with open_table(clock) as table:
            gateway = Gateway(table, clock, limits)
            for tokens in before:
                asyncio.run(gateway.burst((tokens, False, None)))
            outcome = asyncio.run(gateway.burst(*[answer] * requests))
        assert outcome.micros <= day + 5 * reservation + INPUT
        assert outcome.tokens <= minute + reservation + INPUT
        assert len(outcome.codes) < requests, "some pass"


@pytest.mark.parametrize("before", [2, 100, 4096, 6000])
@tables_and_requests
def test_unexpectedly_long_streams_end_once_the_budget_is_spent(
    open_table: OpenTable, requests: int, before: int
) -> None:
    day, reservation = 1_000_000, 5 * max(before, 4096)
    clock = Clock()
    with open_table(clock) as table:
        gateway = Gateway(table, clock, Limits(usd_per_day_micros=day))
        asyncio.run(gateway.burst((before, False, None)))
        outcome = asyncio.run(gateway.burst(*[(64_000, True, None)] * requests))
    running = day // reservation + 1
    assert outcome.micros <= day + reservation + INPUT + running * (5 * PIECE // 4 + 2 * INPUT)
    assert "insufficient_quota" in outcome.codes
    assert len(outcome.codes) == requests
