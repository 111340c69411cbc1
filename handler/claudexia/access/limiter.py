"""Limiter: enforces the limits of a key. It reserves before a request runs and settles after it.

A request of a key without limits makes no DynamoDB requests. With all five limits, a streamed request makes 5
concurrent writes before the upstream call, which also return what its headers need, and 4 concurrent writes
at its end. That is about $5.63 per million requests, at $0.625 per million write units (us-east-1, on demand).
With requests per minute only, it makes 1 write, $0.63. A rejected request releases what it reserved, with as
many writes as a settlement. Once a process knows that a key has used up its requests per minute, it writes that
counter first: before the body is translated, and before the others. A request that is rejected for its content
is counted there too. The item of a counter grows by some 30 bytes per running request; every further KB costs a
further unit per write.

The writes are no transaction: it would cost twice as much, and simultaneous transactions of a key would cancel
each other. Each counter is exact by itself, since its condition and its change are one write.

What a key can exceed its limits by is stated in claudexia.generation.billing.

A request that one limit rejects holds its reservations of the other limits until it has released them. If
several limits are reached at the same time, fewer requests may pass than the limits allow, but never more.

The clock of the reserving process selects the window. If clocks differ, simultaneous requests count in two
windows, and neither exceeds its limit.

Source: https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
    Window,
    WindowCounter,
    choices_error,
    limit_error,
    minute,
    overspent_error,
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
_REQUEST_LIMITS = tuple(limit for limit in COUNTED_LIMITS if limit.unit == "requests")
_UNLIMITED = 2**53
_MAX_COUNTS = 10_000  # keys


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


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request may use, all of its `choices` together.

    `tokens` of input and output and `micros` of cost are estimated maxima. `expected_tokens` is what has to be
    left in the minute if `tokens` are not; None: `tokens`. Streams are counted if it is `streamed`.
    """

    tokens: int = 0
    micros: int = 0
    streamed: bool = False
    choices: int = 1
    expected_tokens: int | None = None

    def amount(self, unit: Unit) -> int:
        return {"tokens": self.tokens, "micros": self.micros}.get(unit, self.choices)

    def reservation(self, limit: CountedLimit, value: int, counted: int, lease_seconds: int) -> Reservation:
        """The reservation in the counter of `limit`, beside `counted` that are reserved already."""
        amount = self.amount(limit.unit) - counted
        expected = amount if self.expected_tokens is None else self.expected_tokens
        return limit.reservation(amount, expected, value, lease_seconds)


_ONE_REQUEST = Demand()


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
        self.limit = limit
        self._counter = counter
        self._reservation = reservation
        self._extensions: list[Lease] = []
        self.outcome: Lease | CounterState | TableError = TableError("timeout")
        self.task = background.start(self._reserve(now))

    async def settle(self, amounts: Amounts, on_error: OnError) -> None:
        """Replaces the reservation by the amount of its unit. A unit without an amount stays as reserved."""
        await self.task
        actual = amounts.get(self.limit.unit, self._reservation.amount)
        if isinstance(self.outcome, Lease):
            replaced = [(self.outcome, actual), *((lease, 0) for lease in self._extensions)]
            for lease, amount in replaced:
                try:
                    await self._counter.settle(lease, amount)
                except TableError as error:  # the lease expires
                    on_error(error.kind)
        elif isinstance(self.outcome, TableError) and self.outcome.kind in _UNCERTAIN:
            with suppress(TableError):  # the first failure is reported already
                await self._counter.settle_uncertain(actual)

    async def extend(self, now: datetime, on_error: OnError) -> APIError | None:
        """Reserves the amount once more, since the request needs more than that.

        Returns the 429 if the counter is over its limit of money. Tokens are always reserved, which makes later
        requests wait.
        """
        if not isinstance(self.outcome, Lease) or not self.outcome.entry:
            return None
        amount, limit = self._reservation.amount, self._reservation.limit
        most = limit + amount if self.limit.unit == "micros" else _UNLIMITED
        try:
            extension = await self._counter.reserve(replace(self._reservation, minimum=amount, limit=most), now)
        except TableError as error:
            on_error(error.kind)
            return None
        if isinstance(extension, CounterState):
            return overspent_error(self.limit, limit, self._counter.window, now)
        self._extensions.append(extension)
        return None

    def error(self, now: datetime) -> APIError | None:
        """The 429 if the limit is reached."""
        if not isinstance(self.outcome, CounterState):
            return None
        return limit_error(self.limit, self._reservation, self._counter.window, self.outcome, now)

    @property
    def in_headers(self) -> bool:
        return self.limit.unit in _UNITS_IN_HEADERS and isinstance(self.outcome, Lease)

    @property
    def total(self) -> int:
        """The counter's total after the reservation."""
        return self.outcome.total if isinstance(self.outcome, Lease) else 0

    def headers(self, now: datetime) -> dict[str, str]:
        reset_seconds = max(1, ceil(self._counter.window.ends - now.timestamp()))
        return ratelimit_headers(self.limit.unit, self._reservation.limit, self.total, reset_seconds)

    async def _reserve(self, now: datetime) -> None:
        try:
            self.outcome = await self._counter.reserve(self._reservation, now)
        except TableError as error:
            self.outcome = error


class _RequestCounts:
    """The requests of each key in the current minute, as far as this process knows.

    A count may be too low, because other processes count too, and too high, because rejected requests release
    what they reserved. It only decides when the table is read.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def add(self, key_id: str, window: Window) -> int:
        """Counts one more request and returns the count."""
        label, count = self._counts.get(key_id, (window.label, 0))
        return self.set(key_id, window, count + 1 if label == window.label else 1)

    def set(self, key_id: str, window: Window, count: int) -> int:
        self._counts[key_id] = window.label, count
        self._counts.move_to_end(key_id)
        if len(self._counts) > _MAX_COUNTS:
            self._counts.popitem(last=False)
        return count


class Admission:
    """What one request has reserved. It must be settled when the request ends, however it ends."""

    def __init__(self, limiter: "Limiter", key_id: str, limits: Limits) -> None:
        self._limiter = limiter
        self._key_id = key_id
        self._limits = limits
        self._reservations: list[LimitReservation] = []
        self._extending: asyncio.Task[None] | None = None
        self._settlement: asyncio.Task[None] | None = None

    async def check_requests(self) -> None:
        """Reserves the request in the counter of requests per minute if that limit may be reached.

        Call it before any work for the request. If this process knows of fewer requests in this minute than the
        limit allows, it makes no call to the table: reserve() counts the request together with the rest.

        Raises APIError: 429 if the limit is reached, 503 as in reserve().
        """
        limit = self._limits.requests_per_minute
        if limit is None:
            return
        now = self._limiter.now()
        if self._limiter.request_counts.add(self._key_id, minute(now)) > limit:
            await self._reserve(_ONE_REQUEST, _REQUEST_LIMITS, now)

    async def count_request(self) -> None:
        """Counts a request that fails before reserve(), unless it is counted already. Raises as reserve()."""
        if self._limits.requests_per_minute is not None and not self._reservations:
            await self._reserve(_ONE_REQUEST, _REQUEST_LIMITS, self._limiter.now())

    async def reserve(self, demand: Demand) -> None:
        """Raises APIError: 429 if a limit is reached, 503 if the table fails and the policy is "closed"."""
        await self._reserve(demand, COUNTED_LIMITS, self._limiter.now())

    async def extend(self) -> None:
        """Reserves the tokens and the money of reserve() once more. A slow table is not waited for.

        Raises APIError 429 `insufficient_quota` if the key is over its money limit. So the reservations of a
        key never exceed its money limit by more than one reservation.
        """
        errors: list[APIError] = []

        async def work(previous: asyncio.Task[None] | None) -> None:
            if previous:
                await asyncio.wait([previous])
            now, on_error = self._limiter.now(), self._limiter.policy.on_error
            metered = [each for each in self._reservations if each.limit.unit in ("tokens", "micros")]
            found = await asyncio.gather(*(each.extend(now, on_error) for each in metered))
            errors.extend(error for error in found if error)

        self._extending = self._limiter.background.start(work(self._extending))
        await asyncio.wait([self._extending], timeout=self._limiter.policy.timeout)
        if errors:
            raise errors[0]

    async def settle(self, tokens: int, micros: int) -> None:
        """Replaces the reserved amounts by the used ones. Only the first call has an effect.

        The settlement continues if the caller is cancelled. Table failures are not raised.
        """
        if not self._reservations:
            return
        if self._settlement is None:
            self._settlement = self._settle({"tokens": tokens, "micros": micros, "streams": 0})
        await asyncio.shield(self._settlement)

    def headers(self) -> dict[str, str]:
        """The `x-ratelimit-*` headers of the key's limits, as the reservation found them."""
        shown = {each.limit.unit: each for each in self._reservations if each.in_headers}
        now = self._limiter.now()
        if "requests" in shown:
            self._limiter.request_counts.set(self._key_id, minute(now), shown["requests"].total)
        return {name: value for each in shown.values() for name, value in each.headers(now).items()}

    async def _reserve(self, demand: Demand, counted: Sequence[CountedLimit], now: datetime) -> None:
        limiter, early = self._limiter, len(self._reservations)
        values = [
            (limit, value)
            for limit in counted
            if (value := limit.value_of(self._limits)) is not None
            and (demand.streamed or limit.unit != "streams")
        ]
        for limit, value in values:
            if limit.unit in ("requests", "streams") and demand.choices > max(value, 1):
                raise choices_error(limit, value, demand.choices)
        for limit, value in values:
            already = early if limit.unit == "requests" else 0
            if limit.unit == "requests" and demand.choices == already:
                continue
            self._reservations.append(
                LimitReservation(
                    limit,
                    WindowCounter(limiter.table, self._key_id, limit.counter_name, limit.window_at(now)),
                    demand.reservation(limit, value, already, limiter.lease_seconds),
                    now,
                    limiter.background,
                )
            )
        if len(self._reservations) > early:
            await self._wait(self._reservations[early:], now)

    async def _wait(self, reservations: Sequence[LimitReservation], now: datetime) -> None:
        policy = self._limiter.policy
        try:
            _, pending = await asyncio.wait([each.task for each in reservations], timeout=policy.timeout)
        except asyncio.CancelledError:
            self._release()
            raise
        outcomes = [each.outcome for each in reservations]
        kinds = dict.fromkeys(outcome.kind for outcome in outcomes if isinstance(outcome, TableError))
        for kind in kinds:
            policy.on_error(kind)
        if error := self._error(reservations, now):
            release = self._release()
            if not pending and "timeout" not in kinds:
                # Released before the client gets the error: it may retry at once with a smaller request.
                await asyncio.shield(release)
            raise error

    def _release(self) -> asyncio.Task[None]:
        self._settlement = self._settle(_RELEASE)
        return self._settlement

    def _settle(self, amounts: Amounts) -> asyncio.Task[None]:
        async def work() -> None:
            if self._extending:
                await asyncio.wait([self._extending])
            on_error = self._limiter.policy.on_error
            await asyncio.gather(*(each.settle(amounts, on_error) for each in self._reservations))

        return self._limiter.background.start(work())

    def _error(self, reservations: Sequence[LimitReservation], now: datetime) -> APIError | None:
        for reservation in reservations:
            if error := reservation.error(now):
                return error
        failed = any(isinstance(reservation.outcome, TableError) for reservation in reservations)
        return _limits_unavailable() if failed and self._limiter.policy.on_failure == "closed" else None


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
        self.table = table
        self.now = now
        self.policy = policy
        self.lease_seconds = lease_seconds
        self.background = Background()
        self.request_counts = _RequestCounts()

    def open(self, key_id: str, limits: Limits) -> Admission:
        """An admission that has reserved nothing yet."""
        return Admission(self, key_id, limits)

    async def admit(
        self, key_id: str, limits: Limits, *, tokens: int, micros: int, streamed: bool
    ) -> Admission:
        """Reserves the estimated maximum of a request with one choice. Raises as Admission.reserve()."""
        admission = self.open(key_id, limits)
        await admission.reserve(Demand(tokens, micros, streamed))
        return admission

    async def drain(self) -> None:
        """Waits for running settlements, including those of cancelled and rejected requests."""
        await self.background.drain()


def _limits_unavailable() -> APIError:
    return APIError(
        503,
        "The gateway cannot count this API key's requests right now and rejects requests that it cannot count. "
        "Try again later. The gateway's operator finds the reason in its metrics.",
        type="service_unavailable_error",
        code="limits_unavailable",
        headers={"retry-after": "1"},
    )
