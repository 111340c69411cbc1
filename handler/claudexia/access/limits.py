"""Limits of one key, the counters behind them, and the 429 errors and headers that report them.

A WindowCounter is one table item. Its number `claimed` is the use of one limit in one window, settled and
reserved. Its set `holds` lists the leases, which are the reservations that are not settled yet. Reserving is
one conditional write and settling is another, so the count is exact with any number of processes. A lease is
stored as "<expiry>-<amount>-<random>", with the expiry in seconds since 1970. If a process dies before it
settles a lease, a later reservation that finds no room releases the lease after its expiry.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from typing import Literal

from claudexia.errors import NO_RETRY, APIError, invalid_request, shorten
from claudexia.storage.table import EXPIRES, Change, Condition, Item, ItemKey, Table, int_of, members_of

MICROS = 1_000_000  # micro-dollars in a US dollar
# Seconds until a retry, if the limit frees up when a running request ends: that time is not known.
_RETRY_SECONDS = 2

_CLAIMED, _HOLDS = "claimed", "holds"  # attribute names
# Seconds that the item of a window is kept after its end: reservations of the last second are settled later.
_KEPT_SECONDS = 86_400
_MAX_ATTEMPTS = 4
_MAX_RELEASES = 25  # expired leases that one attempt releases


@dataclass(frozen=True, slots=True)
class Window:
    """A time span with a counter of its own. `ends` is in seconds since 1970; labels sort by time."""

    label: str
    ends: int


def minute(now: datetime) -> Window:
    start = now.astimezone(UTC).replace(second=0, microsecond=0)
    return Window(f"{start:%Y-%m-%dT%H:%M}", int(start.timestamp()) + 60)


def day(now: datetime) -> Window:
    start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(f"{start:%Y-%m-%d}", int(start.timestamp()) + 86_400)


def month(now: datetime) -> Window:
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return Window(f"{start:%Y-%m}", int(following.timestamp()))


def unbounded(now: datetime) -> Window:
    """The only window of a counter of concurrent requests. Its label is always the same."""
    return Window("open", int(now.timestamp()))


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request to reserve `amount` in a counter with the maximum `limit`.

    If the amount does not fit and the counter has no leases, the remainder is reserved instead, provided that
    it is at least `minimum`. The reservation expires if it is not settled within `lease_seconds`; None: never.
    """

    amount: int
    minimum: int
    limit: int
    lease_seconds: int | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A reserved amount. `entry` is its member of the set `holds`; "" for a final reservation.

    `total` is the counter's total after the reservation, if the table has reported it.
    """

    amount: int
    entry: str = ""
    total: int = 0

    @property
    def expiry(self) -> int:
        """In seconds since 1970."""
        return int(self.entry.split("-")[0])


@dataclass(frozen=True, slots=True)
class CounterState:
    """`total` is settled and reserved; `leased` is the part of it that is reserved and not settled yet."""

    total: int = 0
    leased: int = 0


class WindowCounter:
    """The counter of one limit of one key in one window. Every method raises TableError."""

    def __init__(self, table: Table, key_id: str, name: str, window: Window) -> None:
        self._table = table
        self._key = ItemKey(f"METER#{key_id}", f"{name}#{window.label}")
        self._expires: Mapping[str, int] = {EXPIRES: window.ends + _KEPT_SECONDS}
        self.window = window
        self._attempted: Lease | None = None

    async def reserve(self, reservation: Reservation, now: datetime) -> Lease | CounterState:
        """Returns the lease, or the counter's state if there is no room."""
        state = CounterState()
        for _ in range(_MAX_ATTEMPTS):
            amount = min(reservation.amount, reservation.limit - state.total)
            if amount < reservation.minimum or (amount < reservation.amount and state.leased):
                break
            self._attempted = lease = _new_lease(amount, reservation.lease_seconds, now)
            included = {_HOLDS: lease.entry} if lease.entry else {}
            change = Change(add={_CLAIMED: amount}, include=included, assign=self._expires)
            room = Condition({_CLAIMED: reservation.limit - amount})
            result = await self._table.update_and_read(self._key, change, room)
            if result.applied:
                return replace(lease, total=int_of(result.item or {}, _CLAIMED))
            state = await self._release_expired(result.item, now)
        return state

    async def settle(self, lease: Lease, actual: int) -> None:
        """Replaces the reserved amount by `actual`, which may be larger."""
        if lease.entry:
            if await self._replace(lease, actual):
                return
            difference = actual  # the lease expired and was released
        else:
            difference = actual - lease.amount
        if difference:
            await self._table.update(self._key, Change({_CLAIMED: difference}, assign=self._expires))

    async def settle_uncertain(self, actual: int) -> None:
        """Settles a reservation whose write failed without a response and may have been executed."""
        if self._attempted and self._attempted.entry:
            await self._replace(self._attempted, actual)

    async def _release_expired(self, item: Item | None, now: datetime) -> CounterState:
        """Releases the expired leases of the counter's item and returns the state after that."""
        if item is None:
            # An expired item that the database still has fails the condition. A new expiry makes it readable.
            await self._table.update(self._key, Change(assign=self._expires))
            item = await self._table.get(self._key) or {}
        leases = [_parse_lease(entry) for entry in sorted(members_of(item, _HOLDS))]
        expired = [lease for lease in leases if lease.expiry <= now.timestamp()][:_MAX_RELEASES]
        # A lease is released once: for a second process the condition does not hold.
        await asyncio.gather(*(self._replace(lease, 0) for lease in expired))
        released = sum(lease.amount for lease in expired)
        leased = sum(lease.amount for lease in leases) - released
        return CounterState(int_of(item, _CLAIMED) - released, leased)

    async def _replace(self, lease: Lease, actual: int) -> bool:
        """Removes the lease and counts `actual`. Returns False if the counter does not have the lease."""
        change = Change({_CLAIMED: actual - lease.amount}, {}, {_HOLDS: lease.entry}, self._expires)
        return await self._table.update(self._key, change, Condition(contains={_HOLDS: lease.entry}))


def _new_lease(amount: int, lease_seconds: int | None, now: datetime) -> Lease:
    if lease_seconds is None:
        return Lease(amount)
    return Lease(amount, f"{int(now.timestamp()) + lease_seconds}-{amount}-{secrets.token_hex(4)}")


def _parse_lease(entry: str) -> Lease:
    return Lease(int(entry.split("-")[1]), entry)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one key; None means no limit. Money is in micro-dollars. Days and months are in UTC."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_streams: int | None = None
    usd_per_day_micros: int | None = None
    usd_per_month_micros: int | None = None
    max_tokens: int | None = None


Unit = Literal["requests", "tokens", "streams", "micros"]


@dataclass(frozen=True, slots=True)
class CountedLimit:
    """A kind of limit with a counter: `value_of` reads its value, `label` names it in error messages."""

    value_of: Callable[[Limits], int | None]
    unit: Unit
    window_at: Callable[[datetime], Window]
    label: str

    @property
    def counter_name(self) -> str:
        return "usd" if self.unit == "micros" else self.unit

    def reservation(self, amount: int, expected: int, limit: int, lease_seconds: int) -> Reservation:
        """The reservation for a request that may need `amount`, and probably needs `expected`.

        A high estimate alone never blocks a key. If `amount` is above the tokens left in the minute, the
        request reserves all of them, provided that `expected` or the whole limit is left and that no other
        request is running. If it is above the money left, the request reserves all of that, provided that no
        other request is running. So at most one request exceeds a limit, by the use beyond its reservation.
        Requests and streams are known numbers: all of them fit, or the request is rejected.
        """
        amount = max(amount, 1)  # a request without costs is rejected too, once the budget is spent
        minimum = {"micros": 1, "tokens": min(max(expected, 1), max(limit, 1))}.get(self.unit, amount)
        return Reservation(amount, minimum, limit, None if self.unit == "requests" else lease_seconds)


# Ordered by the time until the reset, longest first: the first exceeded limit is reported.
COUNTED_LIMITS = (
    CountedLimit(lambda limits: limits.usd_per_month_micros, "micros", month, "month"),
    CountedLimit(lambda limits: limits.usd_per_day_micros, "micros", day, "day"),
    CountedLimit(lambda limits: limits.tokens_per_minute, "tokens", minute, "tokens per minute"),
    CountedLimit(lambda limits: limits.requests_per_minute, "requests", minute, "requests per minute"),
    CountedLimit(lambda limits: limits.concurrent_streams, "streams", unbounded, "concurrent streams"),
)


def bounded_max_tokens(limits: Limits, requested: int | None, default: int) -> int:
    """The max_tokens to send. Raises APIError 400 if `requested` is above the limit of the key."""
    most = limits.max_tokens
    if most is None:
        return default if requested is None else requested
    if requested is None:
        return min(default, most)
    if requested > most:
        raise invalid_request(
            f"max_tokens is too large: {shorten(requested)}. "
            f"This API key allows at most {most} tokens per completion.",
            "max_tokens",
            "integer_above_max_value",
        )
    return requested


def limit_error(
    limit: CountedLimit, reservation: Reservation, window: Window, state: CounterState, now: datetime
) -> APIError:
    """The 429 for a `reservation` that does not fit into the counter of `window`."""
    most = reservation.limit
    reset_seconds = max(1, ceil(window.ends - now.timestamp()))
    if limit.unit == "streams":
        return _rate_limit_error(f"{most} {limit.label}. Wait until one of them has ended.", _RETRY_SECONDS)
    if limit.unit == "micros":
        budget = f"{_usd(most)} per {limit.label}"
        if state.total - state.leased < most:
            return _rate_limit_error(
                f"{budget}. Running requests have reserved the rest of it. Try again when they have ended.",
                _RETRY_SECONDS,
            )
        return _budget_error(budget, window, reset_seconds)
    use = f" {state.total} are used or reserved, and this request may need {reservation.amount}."
    return _rate_limit_error(
        f"{most} {limit.label}.{use if limit.unit == 'tokens' else ''} The limit resets in {reset_seconds} s.",
        reset_seconds,
        ratelimit_headers(limit.unit, most, state.total, reset_seconds),
    )


def choices_error(limit: CountedLimit, most: int, choices: int) -> APIError:
    """The 429 for a request with more choices than `most`, which no wait can make pass."""
    return _rate_limit_error(
        f"{most} {limit.label}, and each choice counts as one. 'n' is {choices}: use at most {most}.",
        headers=dict(NO_RETRY),
    )


def overspent_error(limit: CountedLimit, most: int, window: Window, now: datetime) -> APIError:
    """The 429 for a running request whose key is over its money limit by more than one reservation."""
    reset_seconds = max(1, ceil(window.ends - now.timestamp()))
    return _budget_error(f"{_usd(most)} per {limit.label}", window, reset_seconds)


def ratelimit_headers(unit: Unit, limit: int, total: int, reset_seconds: int) -> dict[str, str]:
    """The state of a limit as OpenAI's response headers.

    Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    """
    return {
        f"x-ratelimit-limit-{unit}": str(limit),
        f"x-ratelimit-remaining-{unit}": str(max(0, limit - total)),
        f"x-ratelimit-reset-{unit}": f"{reset_seconds}s",
    }


def _budget_error(budget: str, window: Window, reset_seconds: int) -> APIError:
    return APIError(
        429,
        f"This API key may spend {budget}, and has spent it. "
        f"The limit resets at {datetime.fromtimestamp(window.ends, UTC):%Y-%m-%d %H:%M} UTC.",
        type="insufficient_quota",
        code="insufficient_quota",
        headers={"retry-after": str(reset_seconds), **NO_RETRY},
    )


def _rate_limit_error(
    limit: str, retry_seconds: int | None = None, headers: dict[str, str] | None = None
) -> APIError:
    retry = {} if retry_seconds is None else {"retry-after": str(retry_seconds)}
    return APIError(
        429,
        f"Rate limit reached: this API key is limited to {limit}",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        headers={**retry, **(headers or {})},
    )


def _usd(micros: int) -> str:
    """Dollars with at least two decimals, and as many more as needed: $5.00, $0.000001."""
    dollars, rest = divmod(micros, MICROS)
    decimals = f"{rest:06}".rstrip("0")
    return f"${dollars:,}.{decimals:0<2}"
