"""Admission: a request that may pass, and what it has reserved of each limit until it is settled."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from math import ceil

from claudexia.access.limits import Metered, Unit, over_limit, ratelimit_headers
from claudexia.access.meters import Claim, Hold, Meter, Reading
from claudexia.access.table import TableError
from claudexia.translate import APIError

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
        self, metered: Metered, meter: Meter, claim: Claim, now: datetime, background: Background
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
