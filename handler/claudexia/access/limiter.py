"""Limiter: enforces the limits of a key. It reserves before a request runs and settles after it.

A request of a key without limits makes no DynamoDB requests. With all five limits, a streamed request makes 5
concurrent writes before the upstream call, 2 reads for its headers during it, and 4 concurrent writes at its
end. That is about $5.88 per million requests, at $0.625 per million write units and $0.125 per million read
units (us-east-1, on demand). With requests per minute only, it makes 1 write and 1 read, about $0.75. A
rejected request releases what it reserved, with as many writes as a settlement. The item of a counter grows by
some 30 bytes per running request; every further KB costs a further unit per write.

A request that one limit rejects holds its reservations of the other limits until it has released them. If
several limits are reached at the same time, fewer requests may pass than the limits allow, but never more.

The clock of the reserving process selects the window. If clocks differ, simultaneous requests count in two
windows, and neither exceeds its limit.

Source: https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from claudexia.access.limits import (
    COUNTED_LIMITS,
    CountedLimit,
    CounterState,
    Lease,
    Limits,
    Reservation,
    Unit,
    WindowCounter,
    limit_error,
    ratelimit_headers,
)
from claudexia.errors import APIError
from claudexia.settings import OnFailure
from claudexia.storage.table import OnError, Table, TableError

Amounts = Mapping[Unit, int]
_RELEASE: Amounts = {"requests": 0, "tokens": 0, "micros": 0, "streams": 0}
# TableError kinds after which a write may have been executed.
_UNCERTAIN = {"timeout", "failed"}
_UNITS_IN_HEADERS: tuple[Unit, ...] = ("requests", "tokens")


@dataclass(frozen=True, slots=True)
class TableFailurePolicy:
    """What happens if the table fails while a request is admitted.

    "open" admits the request without the limits whose counters failed, "closed" rejects it. A response after
    more than `timeout` seconds is a failure too. `on_error` is called with each TableError.kind.
    """

    on_failure: OnFailure
    on_error: OnError
    timeout: float = 1.0


class Background:
    """Runs tasks that continue when the request that started them is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop keeps weak references only

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self) -> None:
        """Waits for the tasks that run now, not for tasks that are started during the wait."""
        if tasks := set(self._tasks):
            await asyncio.wait(tasks)


class LimitReservation:
    """The reservation of one request in one counter. The constructor starts it; `outcome` is its result so far.

    It is never cancelled: its write is executed anyway, and only this object can release it.
    """

    def __init__(
        self,
        limit: CountedLimit,
        counter: WindowCounter,
        reservation: Reservation,
        now: datetime,
        background: Background,
    ) -> None:
        self._limit = limit
        self._counter = counter
        self._reservation = reservation
        self.outcome: Lease | CounterState | TableError = TableError("timeout")
        self.task = background.start(self._reserve(now))

    async def settle(self, amounts: Amounts, on_error: OnError) -> None:
        await self.task
        actual = amounts[self._limit.unit]
        if isinstance(self.outcome, Lease):
            try:
                await self._counter.settle(self.outcome, actual)
            except TableError as error:  # the lease expires
                on_error(error.kind)
        elif isinstance(self.outcome, TableError) and self.outcome.kind in _UNCERTAIN:
            with suppress(TableError):  # the first failure is reported already
                await self._counter.settle_uncertain(actual)

    def error(self, now: datetime) -> APIError | None:
        """The 429 if the limit is reached."""
        if not isinstance(self.outcome, CounterState):
            return None
        return limit_error(self._limit, self._reservation, self._counter.window, self.outcome, now)

    @property
    def in_headers(self) -> bool:
        return self._limit.unit in _UNITS_IN_HEADERS and isinstance(self.outcome, Lease)

    async def headers(self, now: datetime) -> dict[str, str]:
        """Raises TableError."""
        reset_seconds = max(1, ceil(self._counter.window.ends - now.timestamp()))
        total = await self._counter.total()
        return ratelimit_headers(self._limit.unit, self._reservation.limit, total, reset_seconds)

    async def _reserve(self, now: datetime) -> None:
        try:
            self.outcome = await self._counter.reserve(self._reservation, now)
        except TableError as error:
            self.outcome = error


class Admission:
    """The reservations of an admitted request. They must be settled when the request ends, however it ends."""

    def __init__(
        self,
        reservations: Sequence[LimitReservation],
        background: Background,
        now: Callable[[], datetime],
        policy: TableFailurePolicy,
    ) -> None:
        self._reservations = reservations
        self._background = background
        self._now = now
        self._policy = policy
        self._settlement: asyncio.Task[None] | None = None

    async def settle(self, tokens: int, micros: int) -> None:
        """Replaces the reserved amounts by the used ones. Only the first call has an effect.

        The settlement continues if the caller is cancelled. Table failures are not raised.
        """
        if not self._reservations:
            return
        if self._settlement is None:
            amounts: Amounts = {"requests": 1, "tokens": tokens, "micros": micros, "streams": 0}
            self._settlement = self._background.start(
                _settle_all(self._reservations, amounts, self._policy.on_error)
            )
        await asyncio.shield(self._settlement)

    async def headers(self) -> dict[str, str]:
        """The current `x-ratelimit-*` headers of the key's limits; empty if the table fails.

        This reads the table, so callers run it concurrently with the upstream call.
        """
        shown = [reservation for reservation in self._reservations if reservation.in_headers]
        try:
            async with asyncio.timeout(self._policy.timeout):
                parts = await asyncio.gather(*(reservation.headers(self._now()) for reservation in shown))
        except TimeoutError:
            self._policy.on_error("timeout")
        except TableError as error:
            self._policy.on_error(error.kind)
        else:
            return {name: value for part in parts for name, value in part.items()}
        return {}


class Limiter:
    """Admits requests within the limits of their keys.

    `now` returns an aware datetime. A reservation that is not settled expires after `lease_seconds`, which must
    exceed the longest request.
    """

    def __init__(
        self,
        table: Table,
        now: Callable[[], datetime],
        policy: TableFailurePolicy,
        *,
        lease_seconds: int = 960,  # Lambda stops a function after 900 s
    ) -> None:
        self._table = table
        self._now = now
        self._policy = policy
        self._lease_seconds = lease_seconds
        self._background = Background()

    async def admit(
        self, key_id: str, limits: Limits, *, tokens: int, micros: int, streamed: bool
    ) -> Admission:
        """Reserves the estimated maximum of the request: `tokens` of input and output, `micros` of cost.

        Raises APIError: 429 if a limit is reached, 503 if the table fails and the policy is "closed".
        """
        now = self._now()
        amounts: Amounts = {"requests": 1, "tokens": tokens, "micros": micros, "streams": 1}
        reservations = [
            LimitReservation(
                limit,
                WindowCounter(self._table, key_id, limit.counter_name, limit.window_at(now)),
                limit.reservation(amounts[limit.unit], value, self._lease_seconds),
                now,
                self._background,
            )
            for limit in COUNTED_LIMITS
            if (value := limit.value_of(limits)) is not None and (streamed or limit.unit != "streams")
        ]
        if reservations:
            await self._wait_for(reservations, now)
        return Admission(reservations, self._background, self._now, self._policy)

    async def drain(self) -> None:
        """Waits for running settlements, including those of cancelled and rejected requests."""
        await self._background.drain()

    async def _wait_for(self, reservations: Sequence[LimitReservation], now: datetime) -> None:
        try:
            _, pending = await asyncio.wait(
                [reservation.task for reservation in reservations], timeout=self._policy.timeout
            )
        except asyncio.CancelledError:
            self._release(reservations)
            raise
        outcomes = [reservation.outcome for reservation in reservations]
        kinds = dict.fromkeys(outcome.kind for outcome in outcomes if isinstance(outcome, TableError))
        for kind in kinds:
            self._policy.on_error(kind)
        if error := self._error(reservations, now):
            release = self._release(reservations)
            if not pending and "timeout" not in kinds:
                # Released before the client gets the error: it may retry at once with a smaller request.
                await asyncio.shield(release)
            raise error

    def _release(self, reservations: Sequence[LimitReservation]) -> asyncio.Task[None]:
        return self._background.start(_settle_all(reservations, _RELEASE, self._policy.on_error))

    def _error(self, reservations: Sequence[LimitReservation], now: datetime) -> APIError | None:
        for reservation in reservations:
            if error := reservation.error(now):
                return error
        failed = any(isinstance(reservation.outcome, TableError) for reservation in reservations)
        return _limits_unavailable() if failed and self._policy.on_failure == "closed" else None


async def _settle_all(reservations: Iterable[LimitReservation], amounts: Amounts, on_error: OnError) -> None:
    await asyncio.gather(*(reservation.settle(amounts, on_error) for reservation in reservations))


def _limits_unavailable() -> APIError:
    return APIError(
        503,
        "The gateway cannot count this API key's requests right now and rejects requests that it cannot count. "
        "Try again later. The gateway's operator finds the reason in its metrics.",
        type="service_unavailable_error",
        code="limits_unavailable",
        headers={"retry-after": "1"},
    )
