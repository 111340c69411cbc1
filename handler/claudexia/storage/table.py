"""Table: the few things the gateway asks of a database, so that memory and DynamoDB can both do them.

An item is found by two strings, a `partition` and a `sort` key, and holds plain attributes. `expires` is the
moment, in seconds since 1970, from which an item counts as gone; the database may take its time to remove it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Value = str | int | bool | bytes | frozenset[str]
Item = Mapping[str, Value]
EXPIRES = "expires"


class TableError(Exception):
    """The table could not be asked; `kind` says why: missing, denied, throttled, timeout or failed."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the table could not be asked: {kind}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ItemKey:
    partition: str
    sort: str


@dataclass(frozen=True, slots=True)
class Change:
    """What an update does: adds to numbers (absent is 0), puts strings into sets or takes them out, sets."""

    add: Mapping[str, int] = field(default_factory=dict)
    include: Mapping[str, str] = field(default_factory=dict)
    exclude: Mapping[str, str] = field(default_factory=dict)
    assign: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """When an update is made: each number of `at_most` is absent or not above, each set of `holding` has it.

    `present` asks for an item that is there, or that is not.
    """

    at_most: Mapping[str, int] = field(default_factory=dict)
    holding: Mapping[str, str] = field(default_factory=dict)
    present: bool | None = None


ALWAYS = Condition()


class Table(Protocol):
    """Every method raises TableError where the table cannot be asked."""

    async def get(self, key: ItemKey) -> Item | None: ...

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        """Those of `keys` that are there."""

    async def put(self, key: ItemKey, item: Item, condition: Condition = ALWAYS) -> bool:
        """Replaces the whole item; False where the condition does not hold."""

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        """One atomic step; makes the item where there is none. False where the condition does not hold."""

    async def delete(self, key: ItemKey) -> None: ...

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        """All items of `partition` with their sort keys from `first` to `last`, in order."""
