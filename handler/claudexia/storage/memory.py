"""MemoryTable: the table in the memory of one process, for local use and tests."""

from collections.abc import Callable, Sequence
from datetime import datetime

from claudexia.storage.table import (
    ALWAYS,
    AttributeValue,
    Change,
    Condition,
    Item,
    ItemKey,
    UpdateResult,
    int_of,
    is_expired,
    members_of,
)

_CLEANUP_INTERVAL = 60  # seconds


class MemoryTable:
    """`now` returns an aware datetime. No method awaits anything, so every call is atomic."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._items: dict[ItemKey, dict[str, AttributeValue]] = {}
        self._last_cleanup = 0.0

    async def get(self, key: ItemKey) -> Item | None:
        item = self._items.get(key)
        return dict(item) if item and not is_expired(item, self._now()) else None

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        items = {key: await self.get(key) for key in keys}
        return {key: item for key, item in items.items() if item is not None}

    async def put(self, key: ItemKey, item: Item, condition: Condition = ALWAYS) -> bool:
        if not self._satisfies(key, condition):
            return False
        self._delete_expired()
        self._items[key] = dict(item)
        return True

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        if not self._satisfies(key, condition):
            return False
        self._delete_expired()
        item = self._items.setdefault(key, {})
        for name, number in change.add.items():
            item[name] = int_of(item, name) + number
        for name, member in change.include.items():
            item[name] = members_of(item, name) | {member}
        for name, members in change.exclude.items():
            item[name] = members_of(item, name) - members
            if not item[name]:  # as in DynamoDB, which has no empty sets
                del item[name]
        for name in change.remove:
            item.pop(name, None)
        item.update(change.assign)
        return True

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        return UpdateResult(await self.update(key, change, condition), await self.get(key))

    async def delete(self, key: ItemKey) -> None:
        self._items.pop(key, None)

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        now = self._now()
        return sorted(
            (
                (key.sort, dict(item))
                for key, item in self._items.items()
                if key.partition == partition and first <= key.sort <= last and not is_expired(item, now)
            ),
            key=lambda row: row[0],
        )

    def _satisfies(self, key: ItemKey, condition: Condition) -> bool:
        item = self._items.get(key)
        if condition.exists is not None and condition.exists is not (item is not None):
            return False
        known: Item = item or {}
        return all(
            int_of(known, name) <= most for name, most in condition.at_most.items() if name in known
        ) and all(members <= members_of(known, name) for name, members in condition.contains.items())

    def _delete_expired(self) -> None:
        """Deletes expired items, at most once per interval. DynamoDB does this with its time to live."""
        now = self._now()
        if now.timestamp() - self._last_cleanup >= _CLEANUP_INTERVAL:
            self._last_cleanup = now.timestamp()
            self._items = {key: item for key, item in self._items.items() if not is_expired(item, now)}
