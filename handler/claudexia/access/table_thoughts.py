"""TableThoughtStore: thoughts in the table, which every process of the gateway shares.

Thoughts improve an answer and are not needed for one, so a table that fails costs a request nothing but them.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pydantic_core import from_json, to_json

from claudexia.access.table import EXPIRES, Item, ItemKey, Table, TableError
from claudexia.access.thoughts import KEPT, Blocks, MemoryThoughtStore

# An item has at most 400 KB, its keys included.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
_MAX_ITEM = 380 * 1024
_MAX_NEAR = 16 * 1024 * 1024
_CONTENT = "content"


class TableThoughtStore:
    """`failed` is told what could not be kept or found: a kind of TableError, `too_large` or `unreadable`."""

    def __init__(self, table: Table, failed: Callable[[str], None], max_bytes: int = _MAX_NEAR) -> None:
        self._table = table
        self._failed = failed
        # The next request of a tool loop often meets the same process.
        self._near = MemoryThoughtStore(max_bytes)

    async def remember(self, owner: str, turn: str, content: Blocks, now: datetime) -> None:
        await self._near.remember(owner, turn, content, now)
        data = zlib.compress(to_json(content))
        if len(data) > _MAX_ITEM:
            self._failed("too_large")
            return
        item: Item = {_CONTENT: data, EXPIRES: int((now + KEPT).timestamp())}
        try:
            await self._table.put(_item_key(owner, turn), item)
        except TableError as error:
            self._failed(error.kind)

    async def recall(self, owner: str, turns: Sequence[str], now: datetime) -> dict[str, Blocks]:
        found = await self._near.recall(owner, turns, now)
        missing = [turn for turn in turns if turn not in found]
        if not missing:
            return found
        try:
            items = await self._table.get_many([_item_key(owner, turn) for turn in missing])
        except TableError as error:
            self._failed(error.kind)
            return found
        for key, item in items.items():
            content = self._content(item)
            if content is not None:
                found[key.sort] = content
                await self._near.remember(owner, key.sort, content, _kept_since(item, now))
        return found

    async def forget(self, owner: str, turns: Sequence[str]) -> None:
        await self._near.forget(owner, turns)
        try:
            await asyncio.gather(*(self._table.delete(_item_key(owner, turn)) for turn in turns))
        except TableError as error:
            self._failed(error.kind)

    def _content(self, item: Item) -> Blocks | None:
        data = item.get(_CONTENT)
        try:
            content: Sequence[Mapping[str, object]] = from_json(
                zlib.decompress(data if isinstance(data, bytes) else b"")
            )
        except (zlib.error, ValueError):
            self._failed("unreadable")
            return None
        return content


def _item_key(owner: str, turn: str) -> ItemKey:
    return ItemKey(f"THOUGHT#{owner}", turn)


def _kept_since(item: Item, now: datetime) -> datetime:
    """When the answer was given, so that it is not kept for longer because it was asked for."""
    expires = item.get(EXPIRES)
    return datetime.fromtimestamp(expires, now.tzinfo) - KEPT if isinstance(expires, int) else now
