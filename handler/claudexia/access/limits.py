"""Limits: how much one key may ask for, and what it is told when that is used up."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Literal

from claudexia.errors import NO_RETRY, APIError, invalid_request
from claudexia.storage.table import EXPIRES, Change, Condition, ItemKey, Table

# --- claudexia.access.meters
# WindowCounter: how much of one limit is taken in one window of time, exact however many processes count.
#
# It is one item of the table: the number `claimed`, and the set `holds`, which says what of it is only reserved.
# To reserve is one conditional write, to settle another. A hold is written "<expiry>-<amount>-<random>", the
# expiry in seconds since 1970: where a process died before it settled, whoever finds no room later releases it.
#
# Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html

CLAIMED, HOLDS = "claimed", "holds"
# How long a window's item stays after its end: a reservation of its last second is settled later.
_KEPT = 86_400
_TRIES = 4
_RELEASED_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Window:
    """A span that is counted by itself, until `ends`, in seconds since 1970. Its label sorts by time."""

    label: str
    ends: int


Period = Callable[[datetime], Window]


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


def always(now: datetime) -> Window:
    """For what is counted while it lasts."""
    return Window("open", int(now.timestamp()))


@dataclass(frozen=True, slots=True)
class Claim:
    """`amount` of `limit`, to be settled within `lasts` seconds; None counts it for good.

    Where it does not fit and nothing else is reserved, all that is left will do, from `least` on.
    """

    amount: int
    least: int
    limit: int
    lasts: int | None


@dataclass(frozen=True, slots=True)
class Hold:
    """What was claimed. `entry` is its member of `holds`, "" where it is counted for good."""

    amount: int
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter shows: `held` is the part of `claimed` that is reserved, and may still be given back."""

    claimed: int = 0
    held: int = 0


class WindowCounter:
    """Every method raises TableError where the table cannot be asked."""

    def __init__(self, table: Table, key_id: str, name: str, window: Window) -> None:
        self._table = table
        self._key = ItemKey(f"METER#{key_id}", f"{name}#{window.label}")
        self._expires: Mapping[str, int] = {EXPIRES: window.ends + _KEPT}
        self.window = window
        self._tried: Hold | None = None

    async def reserve(self, claim: Claim, now: datetime) -> Hold | Reading:
        """Without room: what the meter shows."""
        reading = Reading()
        for _ in range(_TRIES):
            amount = min(claim.amount, claim.limit - reading.claimed)
            if amount < claim.least or (amount < claim.amount and reading.held):
                break
            self._tried = hold = _new_hold(amount, claim.lasts, now)
            included = {HOLDS: hold.entry} if hold.entry else {}
            change = Change(add={CLAIMED: amount}, include=included, assign=self._expires)
            if await self._table.update(self._key, change, Condition({CLAIMED: claim.limit - amount})):
                return hold
            reading = await self._read_and_release(now)
        return reading

    async def settle(self, hold: Hold, actual: int) -> None:
        """`actual` was needed of what `hold` reserved; more than that is counted too."""
        if hold.entry:
            if await self._exchange(hold, actual):
                return
            added = actual  # it had expired, and was released
        else:
            added = actual - hold.amount
        if added:
            await self._table.update(self._key, Change({CLAIMED: added}, assign=self._expires))

    async def settle_doubtful(self, actual: int) -> None:
        """As settle(), for a reservation that failed: it may have taken place all the same, unheard."""
        if self._tried and self._tried.entry:
            await self._exchange(self._tried, actual)

    async def claimed(self) -> int:
        item = await self._table.get(self._key) or {}
        claimed = item.get(CLAIMED)
        return claimed if isinstance(claimed, int) else 0

    async def _read_and_release(self, now: datetime) -> Reading:
        """The meter, when the reservations that nobody settled in time are given back."""
        item = await self._table.get(self._key)
        if item is None:
            # Its time is over, but the database has not removed it yet and would go on refusing.
            await self._table.update(self._key, Change(assign=self._expires))
            item = await self._table.get(self._key) or {}
        claimed, entries = item.get(CLAIMED), item.get(HOLDS)
        holds = [_hold(entry) for entry in sorted(entries)] if isinstance(entries, frozenset) else []
        overdue = [hold for hold in holds if _expiry(hold) <= now.timestamp()][:_RELEASED_AT_ONCE]
        # Where another process was faster, the condition does not hold: each is released once.
        await asyncio.gather(*(self._exchange(hold, 0) for hold in overdue))
        released = sum(hold.amount for hold in overdue)
        held = sum(hold.amount for hold in holds) - released
        return Reading((claimed if isinstance(claimed, int) else 0) - released, held)

    async def _exchange(self, hold: Hold, actual: int) -> bool:
        """Counts `actual` for what was held; False where it is not held, or no longer."""
        change = Change({CLAIMED: actual - hold.amount}, {}, {HOLDS: hold.entry}, self._expires)
        return await self._table.update(self._key, change, Condition(holding={HOLDS: hold.entry}))


def _new_hold(amount: int, lasts: int | None, now: datetime) -> Hold:
    if lasts is None:
        return Hold(amount)
    return Hold(amount, f"{int(now.timestamp()) + lasts}-{amount}-{secrets.token_hex(4)}")


def _hold(entry: str) -> Hold:
    return Hold(int(entry.split("-")[1]), entry)


def _expiry(hold: Hold) -> int:
    return int(hold.entry.split("-")[0])


MICROS = 1_000_000  # in a US dollar
# Until a stream ends, or a running request tells what it cost, nobody knows how long that takes.
_WAIT = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit. Money is in micros, millionths of a US dollar; days and months are UTC's."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_streams: int | None = None
    usd_per_day_micros: int | None = None
    usd_per_month_micros: int | None = None
    max_tokens: int | None = None


Unit = Literal["requests", "tokens", "streams", "micros"]


@dataclass(frozen=True, slots=True)
class Metered:
    """A limit that is counted: where it is set, in what unit and period, and how it is called."""

    of: Callable[[Limits], int | None]
    unit: Unit
    period: Period
    name: str

    @property
    def meter(self) -> str:
        return "usd" if self.unit == "micros" else self.unit

    def claim(self, amount: int, limit: int, lasts: int) -> Claim:
        """What to reserve for a request that may need `amount`.

        An estimate alone shuts no key out. What is larger than a limit of tokens passes in a minute in which
        nothing else was asked. What is larger than the money left takes all of it, while no other request is
        running. So a limit is exceeded by one request at most, by what it needs beyond its reservation.
        """
        amount = max(amount, 1)  # even what costs nothing is refused where all is spent
        least = 1 if self.unit == "micros" else min(amount, max(limit, 1))
        return Claim(amount, least, limit, None if self.unit == "requests" else lasts)


# The one that takes longest to reset comes first: it is the one to be told of.
METERED = (
    Metered(lambda limits: limits.usd_per_month_micros, "micros", month, "month"),
    Metered(lambda limits: limits.usd_per_day_micros, "micros", day, "day"),
    Metered(lambda limits: limits.tokens_per_minute, "tokens", minute, "tokens per minute"),
    Metered(lambda limits: limits.requests_per_minute, "requests", minute, "requests per minute"),
    Metered(lambda limits: limits.concurrent_streams, "streams", always, "concurrent streams"),
)


def bounded_max_tokens(limits: Limits, asked: int | None, default: int) -> int:
    """What to send as max_tokens. Raises APIError 400 where more is `asked` than the key may have."""
    most = limits.max_tokens
    if most is None:
        return default if asked is None else asked
    if asked is None:
        return min(default, most)
    if asked > most:
        raise invalid_request(
            f"max_tokens is too large: {asked}. This API key may ask for at most {most} tokens in one answer.",
            "max_tokens",
            "integer_above_max_value",
        )
    return asked


def over_limit(metered: Metered, claim: Claim, window: Window, reading: Reading, now: datetime) -> APIError:
    """The 429 for `claim`, that found no room in `window`."""
    left = max(1, ceil(window.ends - now.timestamp()))
    if metered.unit == "streams":
        return _rate_limited(f"{claim.limit} {metered.name}. Wait until one of them has ended.", _WAIT)
    if metered.unit == "micros":
        return _over_budget(f"{_usd(claim.limit)} per {metered.name}", claim.limit, reading, window, left)
    need = f" {reading.claimed} are used or reserved, and this request may need {claim.amount}."
    told = need if metered.unit == "tokens" else ""
    headers = ratelimit_headers(metered.unit, claim.limit, reading.claimed, left)
    return _rate_limited(f"{claim.limit} {metered.name}.{told} The limit resets in {left} s.", left, headers)


def ratelimit_headers(unit: Unit, limit: int, claimed: int, resets: int) -> dict[str, str]:
    """A limit in the words of OpenAI's API; `resets` is in seconds.

    Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    """
    return {
        f"x-ratelimit-limit-{unit}": str(limit),
        f"x-ratelimit-remaining-{unit}": str(max(0, limit - claimed)),
        f"x-ratelimit-reset-{unit}": f"{resets}s",
    }


def _over_budget(budget: str, limit: int, reading: Reading, window: Window, left: int) -> APIError:
    if reading.claimed - reading.held < limit:
        return _rate_limited(
            f"{budget}. Too little of that is left while other requests are running. "
            "Try again when they have ended.",
            _WAIT,
        )
    return APIError(
        429,
        f"This API key may spend {budget}, and has spent it. "
        f"The limit resets at {datetime.fromtimestamp(window.ends, UTC):%Y-%m-%d %H:%M} UTC.",
        type="insufficient_quota",
        code="insufficient_quota",
        headers={"retry-after": str(left), **NO_RETRY},
    )


def _rate_limited(limit: str, wait: int, headers: dict[str, str] | None = None) -> APIError:
    return APIError(
        429,
        f"Rate limit reached: this API key is limited to {limit}",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"retry-after": str(wait), **(headers or {})},
    )


def _usd(micros: int) -> str:
    """At least the cents, and of less what there is."""
    dollars, rest = divmod(micros, MICROS)
    decimals = f"{rest:06}".rstrip("0")
    return f"${dollars:,}.{decimals:0<2}"
