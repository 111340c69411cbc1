"""Meter: how much of one limit is taken in one window of time, exact however many processes count.

It is one item of the table: the number `claimed`, and the set `holds`, which says what of it is only reserved.
To reserve is one conditional write, to settle another. A hold is written "<expiry>-<amount>-<random>", the
expiry in seconds since 1970: where a process died before it settled, whoever finds no room later releases it.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from claudexia.access.table import EXPIRES, Change, Condition, ItemKey, Table

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


class Meter:
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
