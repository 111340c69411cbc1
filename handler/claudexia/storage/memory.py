"""MemoryTable: a table in this process, for one machine and for tests."""

from collections.abc import Callable, Sequence
from datetime import datetime

from claudexia.storage.table import ALWAYS, EXPIRES, Change, Condition, Item, ItemKey, Value


class MemoryTable:
    """`now` gives the time with its zone. Nothing here waits, so every step is atomic."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._items: dict[ItemKey, dict[str, Value]] = {}
        self._swept = 0.0

    async def get(self, key: ItemKey) -> Item | None:
        item = self._items.get(key)
        return dict(item) if item and self._lasts(item) else None

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        found = {key: await self.get(key) for key in keys}
        return {key: item for key, item in found.items() if item is not None}

    async def put(self, key: ItemKey, item: Item, condition: Condition = ALWAYS) -> bool:
        if not self._holds(key, condition):
            return False
        self._sweep()
        self._items[key] = dict(item)
        return True

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        if not self._holds(key, condition):
            return False
        self._sweep()
        item = self._items.setdefault(key, {})
        for name, number in change.add.items():
            item[name] = _number(item.get(name)) + number
        for name, member in change.include.items():
            item[name] = _members(item.get(name)) | {member}
        for name, member in change.exclude.items():
            item[name] = _members(item.get(name)) - {member}
            if not item[name]:  # DynamoDB has no empty set
                del item[name]
        item.update(change.assign)
        return True

    async def delete(self, key: ItemKey) -> None:
        self._items.pop(key, None)

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        return sorted(
            (
                (key.sort, dict(item))
                for key, item in self._items.items()
                if key.partition == partition and first <= key.sort <= last and self._lasts(item)
            ),
            key=lambda found: found[0],
        )

    def _holds(self, key: ItemKey, condition: Condition) -> bool:
        item = self._items.get(key)
        if condition.present is not None and condition.present is not (item is not None):
            return False
        known = item or {}
        return all(
            _number(known.get(name)) <= most for name, most in condition.at_most.items() if name in known
        ) and all(member in _members(known.get(name)) for name, member in condition.holding.items())

    def _lasts(self, item: Item) -> bool:
        return EXPIRES not in item or _number(item[EXPIRES]) > self._now().timestamp()

    def _sweep(self) -> None:
        """Once a minute, what DynamoDB's time to live would remove."""
        now = self._now().timestamp()
        if now - self._swept >= 60:
            self._swept = now
            self._items = {key: item for key, item in self._items.items() if self._lasts(item)}


def _number(value: Value | None) -> int:
    return value if isinstance(value, int) else 0


def _members(value: Value | None) -> frozenset[str]:
    return value if isinstance(value, frozenset) else frozenset()
