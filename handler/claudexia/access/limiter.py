"""Limiter: lets a request pass while its key keeps its limits: reserved on the way in, settled on the way out.

What a request costs on DynamoDB: nothing for a key without limits. With all five a streamed request makes
5 writes before the upstream is asked, 4 at its end, each time together, and 2 reads for its headers meanwhile.
That is about $5.88 per million requests, at $0.625 per million write units and $0.125 per million read units
(us-east-1, on demand). A limit of requests per minute alone is 1 write and 1 read, about $0.75. A refused
request gives back what it had taken, which writes as often as the settlement would have. An item grows by some
30 bytes with each request that is running; beyond 1 KB, every further one adds a write unit.

A request that is refused by one limit may keep another request out of a second one until it has given that
back. So where several limits are reached in the same moment, fewer may pass than could have, and never more.

Windows are named by the clock of the process that reserves. Where clocks differ, requests of the same moment
count into two windows, and neither is overrun.

Source: https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from math import ceil
from typing import Literal

from claudexia.access.limits import (
    METERED,
    Claim,
    Hold,
    Limits,
    Metered,
    Reading,
    Unit,
    WindowCounter,
    over_limit,
    ratelimit_headers,
)
from claudexia.errors import APIError
from claudexia.storage.table import Table, TableError

# --- claudexia.access.admission
# Admission: a request that may pass, and what it has reserved of each limit until it is settled.

Amounts = Mapping[Unit, int]
# Whether a write that failed so has taken place, nobody knows.
_DOUBTFUL = {"timeout", "failed"}
_SHOWN: tuple[Unit, ...] = ("requests", "tokens")


class Background:
    """Work that goes on when the request that began it is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()  # a loop alone does not keep its tasks

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def done(self) -> None:
        """Waits for what has been started, not for what others start meanwhile."""
        if tasks := set(self._tasks):
            await asyncio.wait(tasks)


class Reservation:
    """One limit's part in a request; `outcome` is what came of it so far.

    It is never broken off: a write that is under way takes place, and only who knows of it can give it back.
    """

    def __init__(
        self, metered: Metered, meter: WindowCounter, claim: Claim, now: datetime, background: Background
    ) -> None:
        self.metered = metered
        self.meter = meter
        self.claim = claim
        self.outcome: Hold | Reading | TableError = TableError("timeout")
        self.reserving = background.start(self._reserve(now))

    async def _reserve(self, now: datetime) -> None:
        try:
            self.outcome = await self.meter.reserve(self.claim, now)
        except TableError as error:
            self.outcome = error

    async def settle(self, amounts: Amounts, failed: Callable[[str], None]) -> None:
        await self.reserving
        actual = amounts[self.metered.unit]
        if isinstance(self.outcome, Hold):
            try:
                await self.meter.settle(self.outcome, actual)
            except TableError as error:  # the hold expires
                failed(error.kind)
        elif isinstance(self.outcome, TableError) and self.outcome.kind in _DOUBTFUL:
            with suppress(TableError):  # the failure is known already
                await self.meter.settle_doubtful(actual)

    def refusal(self, now: datetime) -> APIError | None:
        if not isinstance(self.outcome, Reading):
            return None
        return over_limit(self.metered, self.claim, self.meter.window, self.outcome, now)

    async def headers(self, now: datetime) -> dict[str, str]:
        """Raises TableError."""
        resets = max(1, ceil(self.meter.window.ends - now.timestamp()))
        claimed = await self.meter.claimed()
        return ratelimit_headers(self.metered.unit, self.claim.limit, claimed, resets)


class Admission:
    """What a request holds of its key's limits. To be settled once its cost is known, whatever became of it."""

    def __init__(
        self,
        reservations: Sequence[Reservation],
        background: Background,
        now: Callable[[], datetime],
        failed: Callable[[str], None],
        patience: float,
    ) -> None:
        self._reservations = reservations
        self._background = background
        self._now = now
        self._failed = failed
        self._patience = patience
        self._settlement: asyncio.Task[None] | None = None

    async def settle(self, tokens: int, micros: int) -> None:
        """Counts what was needed instead of what was reserved.

        Only the first call does. It goes on where the caller is cancelled, and a failing table is not raised.
        """
        if not self._reservations:
            return
        if self._settlement is None:
            # A request stays one, and its stream has ended.
            amounts: Amounts = {"requests": 1, "tokens": tokens, "micros": micros, "streams": 0}
            self._settlement = self._background.start(settle_each(self._reservations, amounts, self._failed))
        await asyncio.shield(self._settlement)

    async def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` for the caller's own limits, as they are now: worth asking while the upstream works.

        Without them where the table fails.
        """
        shown = [
            reservation
            for reservation in self._reservations
            if reservation.metered.unit in _SHOWN and isinstance(reservation.outcome, Hold)
        ]
        try:
            async with asyncio.timeout(self._patience):
                parts = await asyncio.gather(*(each.headers(self._now()) for each in shown))
        except TimeoutError:
            self._failed("timeout")
        except TableError as error:
            self._failed(error.kind)
        else:
            return {name: value for part in parts for name, value in part.items()}
        return {}


async def settle_each(
    reservations: Iterable[Reservation], amounts: Amounts, failed: Callable[[str], None]
) -> None:
    await asyncio.gather(*(reservation.settle(amounts, failed) for reservation in reservations))


_NOTHING: Amounts = {"requests": 0, "tokens": 0, "micros": 0, "streams": 0}


class Limiter:
    """`now` gives the time with its zone, `failed` is told the kind of a TableError.

    `on_failure` says what becomes of a request that cannot be counted: "open" lets it pass without the limits
    that failed, "closed" refuses it. `patience` is how many seconds it waits for the table. A reservation that
    nobody settles expires after `lasts` seconds, which have to be more than the longest answer takes.
    """

    def __init__(
        self,
        table: Table,
        now: Callable[[], datetime],
        on_failure: Literal["open", "closed"],
        failed: Callable[[str], None],
        *,
        patience: float = 1.0,
        lasts: int = 960,  # Lambda ends a function after 900
    ) -> None:
        self._table = table
        self._now = now
        self._on_failure = on_failure
        self._failed = failed
        self._patience = patience
        self._lasts = lasts
        self._background = Background()

    async def admit(
        self, key_id: str, limits: Limits, *, tokens: int, micros: int, streamed: bool
    ) -> Admission:
        """`tokens` and `micros` are the most that the request may need: its input and its max_tokens.

        Raises APIError: 429 over a limit, 503 where it cannot be counted and `on_failure` is "closed".
        """
        now = self._now()
        amounts: Amounts = {"requests": 1, "tokens": tokens, "micros": micros, "streams": 1}
        reservations = [
            Reservation(metered, meter, claim, now, self._background)
            for metered in METERED
            if (limit := metered.of(limits)) is not None and (streamed or metered.unit != "streams")
            for meter in [WindowCounter(self._table, key_id, metered.meter, metered.period(now))]
            for claim in [metered.claim(amounts[metered.unit], limit, self._lasts)]
        ]
        if reservations:
            await self._wait_for(reservations, now)
        return Admission(reservations, self._background, self._now, self._failed, self._patience)

    async def settled(self) -> None:
        """Waits for the settlements under way, those of requests that were cancelled or refused too."""
        await self._background.done()

    async def _wait_for(self, reservations: Sequence[Reservation], now: datetime) -> None:
        try:
            _, late = await asyncio.wait([each.reserving for each in reservations], timeout=self._patience)
        except asyncio.CancelledError:
            self._give_back(reservations)
            raise
        kinds = [each.outcome.kind for each in reservations if isinstance(each.outcome, TableError)]
        for kind in dict.fromkeys(kinds):
            self._failed(kind)
        if error := self._refusal(reservations, now):
            given_back = self._give_back(reservations)
            if not late and "timeout" not in kinds:
                # Before it is told: the client may ask again at once, for less.
                await asyncio.shield(given_back)
            raise error

    def _give_back(self, reservations: Sequence[Reservation]) -> asyncio.Task[None]:
        return self._background.start(settle_each(reservations, _NOTHING, self._failed))

    def _refusal(self, reservations: Sequence[Reservation], now: datetime) -> APIError | None:
        for reservation in reservations:
            if error := reservation.refusal(now):
                return error
        failed = any(isinstance(reservation.outcome, TableError) for reservation in reservations)
        return _uncounted() if failed and self._on_failure == "closed" else None


def _uncounted() -> APIError:
    return APIError(
        503,
        "The gateway cannot count this API key's requests right now, and lets none pass that it cannot count. "
        "Try again; its operator finds why in its metrics.",
        type="service_unavailable_error",
        code="limits_unavailable",
        headers={"retry-after": "1"},
    )
