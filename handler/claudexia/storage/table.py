"""Table: the database operations that the gateway uses, as a protocol with two implementations.

An item is identified by a partition key and a sort key, both strings, and holds flat attributes. The attribute
`expires` is a time in seconds since 1970. From that time on, reads treat the item as absent. The database may
delete it later, and until then conditions still see it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

AttributeValue = str | int | bool | bytes | frozenset[str]
Item = Mapping[str, AttributeValue]
EXPIRES = "expires"

# Called with the reason of a failure that is not raised: TableError.kind, or a reason of the caller's own.
OnError = Callable[[str], None]


class TableError(Exception):
    """A table operation failed. `kind` is one of missing, denied, throttled, timeout, failed."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"table operation failed: {kind}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ItemKey:
    partition: str
    sort: str


@dataclass(frozen=True, slots=True)
class Change:
    """The changes of one update, by attribute name.

    `add` adds to numbers; an absent number counts as 0. `include` adds a member to a set of strings, `exclude`
    removes members. `assign` sets values, `remove` removes attributes. No attribute is in two of them.
    """

    add: Mapping[str, int] = field(default_factory=dict)
    include: Mapping[str, str] = field(default_factory=dict)
    exclude: Mapping[str, frozenset[str]] = field(default_factory=dict)
    assign: Mapping[str, AttributeValue] = field(default_factory=dict)
    remove: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a write. All parts must hold.

    `at_most`: each number is absent or at most this value. `contains`: each set has these members. `exists`:
    the item exists (True), does not exist (False), or either (None).
    """

    at_most: Mapping[str, int] = field(default_factory=dict)
    contains: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exists: bool | None = None


ALWAYS = Condition()


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """`item` is the item after the update if it was `applied`, else the item that the condition rejects.

    None for an item that has expired.
    """

    applied: bool
    item: Item | None


class Table(Protocol):
    """Every method raises TableError if the operation fails."""

    async def get(self, key: ItemKey) -> Item | None: ...

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        """Returns the items that exist."""

    async def put(self, key: ItemKey, item: Item, condition: Condition = ALWAYS) -> bool:
        """Replaces the whole item. Returns False if the condition does not hold."""

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        """Applies `change` atomically; creates an absent item. Returns False if the condition does not hold."""

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        """As update(), and reads the item at the same time. Costs no more than update()."""

    async def delete(self, key: ItemKey) -> None: ...

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        """Returns (sort key, item) for the sort keys from `first` to `last`, both included, in order."""


def is_expired(item: Item, now: datetime) -> bool:
    return EXPIRES in item and int_of(item, EXPIRES) <= now.timestamp()


def int_of(item: Item, name: str) -> int:
    """The attribute `name`; 0 if it is absent or not a number."""
    value = item.get(name)
    return value if isinstance(value, int) else 0


def text_of(item: Item, name: str) -> str:
    """The attribute `name`; "" if it is absent or not a string."""
    value = item.get(name)
    return value if isinstance(value, str) else ""


def members_of(item: Item, name: str) -> frozenset[str]:
    """The attribute `name`; an empty set if it is absent or not a set."""
    value = item.get(name)
    return value if isinstance(value, frozenset) else frozenset()
