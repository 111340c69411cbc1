"""The counters of one key, in one table item, and the reservations that a request makes in them.

The item has one number per counter, which is the use of one limit in one window, settled and reserved:
"usd#2026-11", "usd#2026-11-22", "tokens#2026-11-22T12:00", "requests#2026-11-22T12:00", "streams#open". A new
window is a new attribute. So nothing has to be reset, and if clocks differ, simultaneous requests count in two
windows. The set `holds` has one lease per running request, "<time>.<amounts>.<random>": the seconds since 1970,
which tell the windows, and the reserved amounts in the order of _LEASED, as hexadecimal numbers.

A request reserves with one conditional write for all limits and settles with another. So the counts are exact
with any number of processes, and a rejected request reserves nothing. Requests per minute are final and have no
lease. If a process dies before it settles a lease, a later request releases the lease after its expiry.

A settlement also removes the windows that ended some minutes ago; what is settled in one of them later has no
effect.

The first request of a key creates the item. Before 27 November 2026 each counter was an item. What was settled
there in the current windows is carried over; requests that run in such a version at that time are not counted.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from claudexia.access.limits import COUNTED_LIMITS, Refusal, Reservation, Unit, month
from claudexia.storage.table import (
    EXPIRES,
    Change,
    Condition,
    Item,
    ItemKey,
    Table,
    TableError,
    UpdateResult,
    int_of,
    members_of,
)

Amounts = Mapping[Unit, int]

_HOLDS = "holds"  # attribute name
_LEASED = tuple(limit for limit in COUNTED_LIMITS if limit.unit != "requests")
# TableError kinds after which a write may have been executed.
_UNCERTAIN = {"timeout", "failed"}
_KEPT = timedelta(minutes=2)  # how long the counter of a window is kept after its end
_KEPT_SECONDS = 86_400  # how long the item is kept after the month of its last use
_MAX_ENDED = 8  # counters of ended windows that a key without leases may have
_MAX_RELEASES = 50  # leases that one write releases
_MAX_WRITES = 8


@dataclass(frozen=True, slots=True)
class Lease:
    """What one write reserves: the amounts by counter. `entry` is its member of `holds`; "" if all is final."""

    amounts: Mapping[str, int]
    entry: str


class KeyCounters:
    """What one request reserves in the counters of its key. A lease expires after `lease_seconds`.

    Every method raises TableError.
    """

    def __init__(self, table: Table, key_id: str, lease_seconds: int) -> None:
        self._table = table
        self._partition = f"METER#{key_id}"
        self._key = ItemKey(self._partition, "counters")
        self._lease_seconds = lease_seconds
        self._leases: list[Lease] = []
        self._uncertain: list[Lease] = []  # the write may have been executed
        self._item: Item = {}  # after the latest reservation

    async def reserve(self, reservations: Sequence[Reservation], at: datetime, now: datetime) -> Item | Refusal:
        """Makes all reservations, whose windows are those of `at`, or none. Returns the counters after that."""
        item: Item = {}  # unknown: usually there is room
        for _ in range(_MAX_WRITES):
            if expired := self._expired(item, now):
                result = await self._release(expired, now)
            else:
                amounts = _fitting_amounts(reservations, item)
                if isinstance(amounts, Refusal):
                    return amounts
                result = await self._reserve(_new_lease(reservations, amounts, at), reservations, now)
                if result.applied:
                    self._item = result.item or {}
                    return self._item
            if result.item is None:
                await self._create(now)
            item = result.item or {}
        raise TableError("throttled")  # others changed the counters each time

    async def settle(self, used: Amounts, now: datetime) -> None:
        """Replaces what is reserved by what is used, which may be more. A unit that is not in `used` stays."""
        held = [lease for lease in (*self._leases, *self._uncertain) if lease.entry]
        expired, ended = self._expired(self._item, now), _ended(self._item, now)
        for _ in range(_MAX_WRITES):
            add = self._settlement(held, used)
            if not held and not add and len(ended) <= _MAX_ENDED:
                break
            entries = {_HOLDS: frozenset(lease.entry for lease in held)} if held else {}
            removed = [name for name in ended if name not in add]
            change = Change(add, exclude=entries, assign=_expiry(now), remove=removed)
            if await self._table.update(self._key, change, Condition(contains=entries)):
                break
            present = members_of(await self._table.get(self._key) or {}, _HOLDS)
            held = [lease for lease in held if lease.entry in present]
        if expired:
            await self._release(expired, now)

    def _settlement(self, held: Sequence[Lease], used: Amounts) -> dict[str, int]:
        """What to add to each counter. A lease that is not held any more has expired and was released, or its
        write was not executed.
        """
        add: dict[str, int] = {}
        for lease in (*self._leases, *held):
            add |= {name: used[unit] for name in lease.amounts if (unit := _unit_of(name)) in used}
        for lease in (*held, *(lease for lease in self._leases if not lease.entry)):
            for name in add.keys() & lease.amounts.keys():
                add[name] -= lease.amounts[name]
        return {name: amount for name, amount in add.items() if amount}

    async def _reserve(self, lease: Lease, reservations: Sequence[Reservation], now: datetime) -> UpdateResult:
        room = {each.counter: each.room(lease.amounts[each.counter]) for each in reservations}
        included = {_HOLDS: lease.entry} if lease.entry else {}
        change = Change(lease.amounts, included, assign=_expiry(now))
        try:
            result = await self._table.update_and_read(self._key, change, Condition(room, exists=True))
        except TableError as error:
            if error.kind in _UNCERTAIN and lease.entry:
                self._uncertain.append(lease)
            raise
        if result.applied:
            self._leases.append(lease)
        return result

    async def _release(self, expired: Sequence[str], now: datetime) -> UpdateResult:
        """A lease is released once: for a second process the condition does not hold."""
        add: Counter[str] = Counter()
        for entry in expired:
            add.subtract(_leased_amounts(entry))
        entries = {_HOLDS: frozenset(expired)}
        change = Change(add, exclude=entries, assign=_expiry(now))
        return await self._table.update_and_read(self._key, change, Condition(contains=entries))

    def _expired(self, item: Item, now: datetime) -> list[str]:
        first = f"{int(now.timestamp()) - self._lease_seconds + 1:x}"  # the first time that has not expired
        return sorted(entry for entry in members_of(item, _HOLDS) if entry < first)[:_MAX_RELEASES]

    async def _create(self, now: datetime) -> None:
        """Creates the item, unless another process does it first, with what earlier versions have settled."""
        names = [limit.counter(limit.window_at(now)) for limit in COUNTED_LIMITS]
        earlier = await self._table.get_many([ItemKey(self._partition, name) for name in names])
        settled = {key.sort: _settled(item) for key, item in earlier.items()}
        # An expired item that the database still has is replaced.
        absent = Condition({EXPIRES: int(now.timestamp())})
        await self._table.put(self._key, {**settled, **_expiry(now)}, absent)


def _fitting_amounts(reservations: Sequence[Reservation], item: Item) -> dict[str, int] | Refusal:
    """The amount to reserve in each counter of `item`, or the first reservation that does not fit."""
    leased: Counter[str] = Counter()
    for entry in members_of(item, _HOLDS):
        leased.update(_leased_amounts(entry))
    amounts: dict[str, int] = {}
    for reservation in reservations:
        name = reservation.counter
        total = int_of(item, name)
        amount = min(reservation.amount, reservation.room(total))
        if amount < reservation.minimum or (amount < reservation.amount and leased[name]):
            return Refusal(reservation, total, leased[name])
        amounts[name] = amount
    return amounts


def _new_lease(reservations: Sequence[Reservation], amounts: Mapping[str, int], at: datetime) -> Lease:
    by_limit = {each.limit.label: amounts[each.counter] for each in reservations}
    leased = [by_limit.get(limit.label, 0) for limit in _LEASED]
    if not any(leased):
        return Lease(amounts, "")
    numbers = (f"{number:x}" for number in (int(at.timestamp()), *leased))
    return Lease(amounts, ".".join((*numbers, secrets.token_urlsafe(4))))


def _leased_amounts(entry: str) -> dict[str, int]:
    """The amounts of a lease by counter."""
    time, *amounts, _ = entry.split(".")
    at = datetime.fromtimestamp(int(time, 16), UTC)
    return {
        limit.counter(limit.window_at(at)): int(amount, 16)
        for limit, amount in zip(_LEASED, amounts, strict=True)
        if amount != "0"
    }


def _unit_of(counter: str) -> Unit:
    return cast("Unit", counter.partition("#")[0])


def _ended(item: Item, now: datetime) -> list[str]:
    """The counters of the windows that have ended more than _KEPT ago."""
    start = f"{(now - _KEPT).astimezone(UTC):%Y-%m-%dT%H:%M}"
    labels = {name: name.partition("#")[2] for name in item}
    return [name for name, label in labels.items() if label and label < start[: len(label)]]


def _expiry(now: datetime) -> dict[str, int]:
    return {EXPIRES: month(now).ends + _KEPT_SECONDS}


def _settled(item: Item) -> int:
    """What a counter of an earlier version holds without its leases, "<expiry>-<amount>-<random>"."""
    return int_of(item, "claimed") - sum(int(entry.split("-")[1]) for entry in members_of(item, _HOLDS))
