"""Limiter: enforces the limits of a key. It reserves before a request runs and settles after it.

A request of a key without limits makes no DynamoDB requests. With all five limits, a streamed request makes
one write before the upstream call, which also returns what its headers need, and one at its end. That is about
$1.25 per million requests, at $0.625 per million write units (us-east-1, on demand). With requests per minute
only, it makes the first write, $0.63. A rejected request makes one write. Once a process knows that a key has
used up its requests per minute, it makes a write for that limit alone, before the body is translated. A
request that is rejected for its content is counted there too.

Both writes change the same item, which claudexia.access.counters describes. With 15 running requests it has 1
KB, with 200 it has 8 KB, and each KB costs one unit per write. DynamoDB executes 1,000 units per second on an
item: 500 short requests per second of one key, or 350 running requests that take ten seconds each.

What a key can exceed its limits by is stated in claudexia.generation.billing.

The clock of the reserving process selects the window. If clocks differ, simultaneous requests count in two
windows, and neither exceeds its limit.

Source: https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from claudexia.access.counters import Amounts, KeyCounters
from claudexia.access.limits import (
    COUNTED_LIMITS,
    CountedLimit,
    Limits,
    Refusal,
    Reservation,
    Unit,
    Window,
    choices_error,
    limit_error,
    minute,
    ratelimit_headers,
    spent_error,
    too_many_at_once_error,
)
from claudexia.errors import APIError
from claudexia.settings import OnFailure
from claudexia.storage.table import Item, OnError, Table, TableError, int_of

_NOTHING_USED: Amounts = {"requests": 0, "tokens": 0, "usd": 0, "streams": 0}
_UNITS_IN_HEADERS: tuple[Unit, ...] = ("requests", "tokens")
_REQUEST_LIMITS = tuple(limit for limit in COUNTED_LIMITS if limit.unit == "requests")
_UNLIMITED = 2**53
_MAX_COUNTS = 10_000  # keys


@dataclass(frozen=True, slots=True)
class TableFailurePolicy:
    """What happens if the table fails while a request is admitted.

    "open" admits the request without limits, "closed" rejects it. A response after more than `timeout` seconds
    is a failure too. If the table throttles, the request is rejected in any case: a key's own requests, many
    at once, could throttle its item and escape its limits. `on_error` is called with each TableError.kind.
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
        return {"tokens": self.tokens, "usd": self.micros}.get(unit, self.choices)

    def reservation(self, limit: CountedLimit, value: int, counted: int, at: datetime) -> Reservation:
        """The reservation in the counter of `limit`, beside `counted` that are reserved already."""
        amount = self.amount(limit.unit) - counted
        expected = amount if self.expected_tokens is None else self.expected_tokens
        return limit.reservation(amount, expected, value, at)


_ONE_REQUEST = Demand()


class _Attempt:
    """An attempt to make `reservations` in the windows of `at`. `outcome` is its result so far.

    It is never cancelled: its write is executed anyway, and only its lease can release it.
    """

    def __init__(self, reservations: Sequence[Reservation], at: datetime) -> None:
        self.reservations = reservations
        self.at = at
        self.outcome: Item | Refusal | TableError = TableError("timeout")

    async def make(self, counters: KeyCounters, now: datetime) -> None:
        try:
            self.outcome = await counters.reserve(self.reservations, self.at, now)
        except TableError as error:
            self.outcome = error

    @property
    def counters(self) -> Item | None:
        """The counters after the reservation; None if it has not been made."""
        return None if isinstance(self.outcome, Refusal | TableError) else self.outcome


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
        self._counters = limiter.counters(key_id)
        self._attempts: list[_Attempt] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._settlement: asyncio.Task[None] | None = None

    async def check_requests(self) -> None:
        """Reserves the request in the counter of requests per minute if that limit may be reached.

        Call it before any work for the request. If this process knows of fewer requests in this minute than the
        limit allows, it makes no call to the table: reserve() counts the request together with the rest.

        Raises APIError: 429 if the limit is reached, or as in reserve().
        """
        limit = self._limits.requests_per_minute
        if limit is None:
            return
        if self._limiter.request_counts.add(self._key_id, minute(self._limiter.now())) > limit:
            await self._reserve(_ONE_REQUEST, _REQUEST_LIMITS)

    async def count_request(self) -> None:
        """Counts a request that fails before reserve(), unless it is counted already. Raises as reserve()."""
        if self._limits.requests_per_minute is not None and not self._attempts:
            await self._reserve(_ONE_REQUEST, _REQUEST_LIMITS)

    async def reserve(self, demand: Demand) -> None:
        """Raises APIError: 429 if a limit is reached or the table throttles, 503 if it fails otherwise and the
        policy is "closed".
        """
        await self._reserve(demand, COUNTED_LIMITS)

    async def replace(self, demand: Demand) -> None:
        """Releases what is reserved and reserves `demand` in its place. Raises as reserve()."""
        if self._attempts:
            await asyncio.shield(self._release())
            self._counters = self._limiter.counters(self._key_id)
            self._attempts, self._tasks, self._settlement = [], [], None
        await self.reserve(demand)

    async def extend(self, tokens: int, micros: int) -> None:
        """Reserves more `tokens` and `micros` for a running request. A slow table is not waited for.

        Raises APIError 429 `insufficient_quota` if the key is over its money limit. So the reservations of a
        key never exceed its money limit by more than one reservation.
        """
        reserved = self._attempts[-1] if self._attempts else None
        if reserved is None or reserved.counters is None:
            return
        amounts = {"tokens": tokens, "usd": micros}
        more = [
            _more(each, amount) for each in reserved.reservations if (amount := amounts.get(each.limit.unit, 0))
        ]
        if more:
            extension = _Attempt(more, reserved.at)
            await self._make(extension)
            if isinstance(extension.outcome, Refusal):
                raise spent_error(extension.outcome.reservation, self._limiter.now())

    async def settle(self, tokens: int, micros: int) -> None:
        """Replaces the reserved amounts by the used ones. Only the first call has an effect.

        The settlement continues if the caller is cancelled. Table failures are not raised.
        """
        if not self._attempts:
            return
        if self._settlement is None:
            self._settlement = self._settle({"tokens": tokens, "usd": micros, "streams": 0})
        await asyncio.shield(self._settlement)

    def headers(self) -> dict[str, str]:
        """The `x-ratelimit-*` headers of the key's limits, as the reservation found them."""
        headers: dict[str, str] = {}
        now = self._limiter.now()
        for reservation, counters in self._reserved():
            total = int_of(counters, reservation.counter)
            if reservation.limit.unit in _UNITS_IN_HEADERS:
                headers |= ratelimit_headers(reservation, total, now)
            if reservation.limit.unit == "requests":
                self._limiter.request_counts.set(self._key_id, reservation.window, total)
        return headers

    def _reserved(self) -> Iterator[tuple[Reservation, Item]]:
        """The reservations, each with the counters after it."""
        for attempt in self._attempts:
            if attempt.counters is not None:
                yield from ((reservation, attempt.counters) for reservation in attempt.reservations)

    async def _reserve(self, demand: Demand, counted: Sequence[CountedLimit]) -> None:
        values = [
            (limit, value)
            for limit in counted
            if (value := limit.value_of(self._limits)) is not None
            and (demand.streamed or limit.unit != "streams")
        ]
        for limit, value in values:
            if limit.unit in ("requests", "streams") and demand.choices > max(value, 1):
                raise choices_error(limit, value, demand.choices)
        early = len(self._attempts)  # one request, if any
        now = self._limiter.now()
        reservations = [
            demand.reservation(limit, value, early if limit.unit == "requests" else 0, now)
            for limit, value in values
            if limit.unit != "requests" or demand.choices > early
        ]
        if reservations:
            await self._admit(_Attempt(reservations, now))

    async def _admit(self, attempt: _Attempt) -> None:
        self._attempts.append(attempt)
        try:
            await self._make(attempt)
        except asyncio.CancelledError:
            self._release()
            raise
        if error := self._error(attempt):
            release = self._release()
            if not (isinstance(attempt.outcome, TableError) and attempt.outcome.kind == "timeout"):
                # Released before the client gets the error: it may retry at once with a smaller request.
                await asyncio.shield(release)
            raise error

    async def _make(self, attempt: _Attempt) -> None:
        limiter = self._limiter
        task = limiter.background.start(attempt.make(self._counters, limiter.now()))
        self._tasks.append(task)
        await asyncio.wait([task], timeout=limiter.policy.timeout)
        if isinstance(attempt.outcome, TableError):
            limiter.policy.on_error(attempt.outcome.kind)

    def _release(self) -> asyncio.Task[None]:
        self._settlement = self._settle(_NOTHING_USED)
        return self._settlement

    def _settle(self, used: Amounts) -> asyncio.Task[None]:
        async def work() -> None:
            await asyncio.wait(self._tasks)
            try:
                await self._counters.settle(used, self._limiter.now())
            except TableError as error:  # the leases expire
                if any(self._reserved()):  # else the failure of the reservation is reported already
                    self._limiter.policy.on_error(error.kind)

        return self._limiter.background.start(work())

    def _error(self, attempt: _Attempt) -> APIError | None:
        if isinstance(attempt.outcome, Refusal):
            return limit_error(attempt.outcome, self._limiter.now())
        if not isinstance(attempt.outcome, TableError):
            return None
        if attempt.outcome.kind == "throttled":
            return too_many_at_once_error()
        return _limits_unavailable() if self._limiter.policy.on_failure == "closed" else None


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

    def counters(self, key_id: str) -> KeyCounters:
        return KeyCounters(self.table, key_id, self.lease_seconds)

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


def _more(reservation: Reservation, amount: int) -> Reservation:
    """The reservation of `amount` for a running request. Tokens are always reserved, which makes later requests
    wait.
    """
    overrun = amount if reservation.limit.unit == "usd" else _UNLIMITED
    return replace(reservation, amount=amount, minimum=amount, overrun=overrun)


def _limits_unavailable() -> APIError:
    return APIError(
        503,
        "The gateway cannot count this API key's requests right now and rejects requests that it cannot count. "
        "Try again later. The gateway's operator finds the reason in its metrics.",
        type="service_unavailable_error",
        code="limits_unavailable",
        headers={"retry-after": "1"},
    )
