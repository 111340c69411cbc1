"""Thoughts: what Claude answered when it called tools, kept for clients who drop its thinking.

In a tool loop Claude wants its signed thinking back, byte for byte, and OpenAI's clients know no field for it.
What they all return is the calls' ids, so an answer is kept under one of those, for a day, and for the key
that asked for it only.

Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from pydantic_core import from_json, to_json

from claudexia.storage.table import EXPIRES, Item, ItemKey, Table, TableError
from claudexia.translate.request.thinking_replay import replay_key
from claudexia.translate.response.accumulator import replay_content
from claudexia.translate.types.anthropic import Message

Blocks = Sequence[Mapping[str, object]]

KEPT = timedelta(days=1)
_MAX_BYTES = 64 * 1024 * 1024


class ThinkingStore(Protocol):
    """Answers by the key that asked, `owner`, and by `turn`, which stands for one answer with tool calls."""

    async def remember(self, owner: str, turn: str, content: Blocks, now: datetime) -> None: ...

    async def recall(self, owner: str, turns: Sequence[str], now: datetime) -> dict[str, Blocks]:
        """Those of `turns` that are still known, as they were."""

    async def forget(self, owner: str, turns: Sequence[str]) -> None: ...


class MemoryThinkingStore:
    """One process's; the longest unused go first once they are `max_bytes` together."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], tuple[datetime, bytes]] = OrderedDict()

    async def remember(self, owner: str, turn: str, content: Blocks, now: datetime) -> None:
        self._drop((owner, turn))
        data = to_json(content)
        self._kept[owner, turn] = (now + KEPT, data)
        self._bytes += len(data)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    async def recall(self, owner: str, turns: Sequence[str], now: datetime) -> dict[str, Blocks]:
        found: dict[str, Blocks] = {}
        for turn in turns:
            expires, data = self._kept.get((owner, turn), (now, b""))
            if expires > now:
                self._kept.move_to_end((owner, turn))
                found[turn] = from_json(data)
            else:
                self._drop((owner, turn))
        return found

    async def forget(self, owner: str, turns: Sequence[str]) -> None:
        for turn in turns:
            self._drop((owner, turn))

    def _drop(self, key: tuple[str, str]) -> None:
        _, data = self._kept.pop(key, (None, b""))
        self._bytes -= len(data)


# --- claudexia.access.table_thoughts
# TableThinkingStore: thoughts in the table, which every process of the gateway shares.
#
# Thoughts improve an answer and are not needed for one, so a table that fails costs a request nothing but them.

# An item has at most 400 KB, its keys included.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
_MAX_ITEM = 380 * 1024
_MAX_NEAR = 16 * 1024 * 1024
_CONTENT = "content"


class TableThinkingStore:
    """`failed` is told what could not be kept or found: a kind of TableError, `too_large` or `unreadable`."""

    def __init__(self, table: Table, failed: Callable[[str], None], max_bytes: int = _MAX_NEAR) -> None:
        self._table = table
        self._failed = failed
        # The next request of a tool loop often meets the same process.
        self._near = MemoryThinkingStore(max_bytes)

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


# --- claudexia.memory
# RequestThinking: the answers that one caller's clients may have to be reminded of, thinking and all.


class RequestThinking:
    """One request's view of `thoughts`, bound to the key that asks: `owner` is that key's id."""

    def __init__(self, thoughts: ThinkingStore, owner: str, now: datetime) -> None:
        self._thoughts = thoughts
        self._owner = owner
        self._now = now
        self._recalled: list[str] = []

    async def recall(self, turns: Sequence[str]) -> dict[str, Blocks]:
        """Those of `turns` that are known, as they were answered."""
        if not turns:
            return {}
        found = await self._thoughts.recall(self._owner, turns, self._now)
        self._recalled = list(found)
        return found

    async def forget(self) -> None:
        """What was recalled was refused, and would be refused first with every request to come."""
        await self._thoughts.forget(self._owner, self._recalled)

    async def keep(self, message: Message) -> None:
        if turn := replay_key(message):
            await self._thoughts.remember(self._owner, turn, replay_content(message), self._now)
