"""ThinkingStore: keeps assistant turns with tool calls, for clients that drop the thinking in them.

In a tool loop, Claude requires its signed thinking back, byte for byte. Clients of OpenAI's API have no field
for it, but most of them return the ids of the tool calls, and all of them the calls. So the content of a turn
is found by one of these ids and by a digest of the calls (its replay keys), for one day, and for each
API key on its own.

Thinking improves the next response but is not required for it. If the table fails, requests work without it.

Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from pydantic_core import from_json, to_json

from claudexia.storage.table import EXPIRES, Item, ItemKey, OnError, Table, TableError, int_of
from claudexia.translate.request.thinking_replay import replay_keys, signed_by, signers
from claudexia.translate.response.accumulator import replay_content
from claudexia.translate.types.anthropic import Message

Blocks = Sequence[Mapping[str, object]]

_KEPT = timedelta(days=1)
_MAX_BYTES = 64 * 1024 * 1024
_MAX_CACHE_BYTES = 16 * 1024 * 1024
# An item has at most 400 KB, including its keys.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
_MAX_ITEM_BYTES = 380 * 1024
_CONTENT, _SAME_AS = "content", "same_as"  # attribute names


class ThinkingStore(Protocol):
    """Content blocks by API key id and replay key."""

    async def save(self, key_id: str, replay_keys: Sequence[str], content: Blocks, now: datetime) -> None: ...

    async def load(self, key_id: str, replay_keys: Sequence[str], now: datetime) -> dict[str, Blocks]:
        """Returns the unchanged content for those of `replay_keys` that are stored."""

    async def delete(self, key_id: str, replay_keys: Sequence[str]) -> None: ...


class MemoryThinkingStore:
    """Keeps content in this process. Above `max_bytes`, the least recently used content is deleted first."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # (key id, replay key) -> (expiry, JSON of the content)
        self._entries: OrderedDict[tuple[str, str], tuple[datetime, bytes]] = OrderedDict()

    async def save(self, key_id: str, replay_keys: Sequence[str], content: Blocks, now: datetime) -> None:
        data = to_json(content)
        for each in replay_keys:
            self._delete_entry((key_id, each))
            self._entries[key_id, each] = (now + _KEPT, data)
            self._bytes += len(data)
        while self._bytes > self._max_bytes:
            self._delete_entry(next(iter(self._entries)))

    async def load(self, key_id: str, replay_keys: Sequence[str], now: datetime) -> dict[str, Blocks]:
        found: dict[str, Blocks] = {}
        for each in replay_keys:
            expires, data = self._entries.get((key_id, each), (now, b""))
            if expires > now:
                self._entries.move_to_end((key_id, each))
                found[each] = from_json(data)
            else:
                self._delete_entry((key_id, each))
        return found

    async def delete(self, key_id: str, replay_keys: Sequence[str]) -> None:
        for each in replay_keys:
            self._delete_entry((key_id, each))

    def _delete_entry(self, key: tuple[str, str]) -> None:
        _, data = self._entries.pop(key, (None, b""))
        self._bytes -= len(data)


class TableThinkingStore:
    """Keeps content in the table, which all processes share, behind a cache in this process.

    `on_error` is called with TableError.kind, with `too_large` if content does not fit into an item, and with
    `unreadable` if an item cannot be decoded.
    """

    def __init__(self, table: Table, on_error: OnError, max_cache_bytes: int = _MAX_CACHE_BYTES) -> None:
        self._table = table
        self._on_error = on_error
        # The next request of a tool loop often reaches the same process.
        self._cache = MemoryThinkingStore(max_cache_bytes)

    async def save(self, key_id: str, replay_keys: Sequence[str], content: Blocks, now: datetime) -> None:
        """The content is written once, under the first key; the others refer to it."""
        await self._cache.save(key_id, replay_keys, content, now)
        data = zlib.compress(to_json(content))
        if len(data) > _MAX_ITEM_BYTES:
            self._on_error("too_large")
            return
        expires = int((now + _KEPT).timestamp())
        first, *others = replay_keys
        items: dict[str, Item] = {each: {_SAME_AS: first, EXPIRES: expires} for each in others}
        items[first] = {_CONTENT: data, EXPIRES: expires}
        try:
            await asyncio.gather(*(
                self._table.put(_item_key(key_id, each), item) for each, item in items.items()
            ))  # fmt: skip
        except TableError as error:
            self._on_error(error.kind)

    async def load(self, key_id: str, replay_keys: Sequence[str], now: datetime) -> dict[str, Blocks]:
        found = await self._cache.load(key_id, replay_keys, now)
        missing = [each for each in replay_keys if each not in found]
        if not missing:
            return found
        try:
            items = await self._read(key_id, missing)
        except TableError as error:
            self._on_error(error.kind)
            return found
        for each, item in items.items():
            content = self._decode(item)
            if content is not None:
                found[each] = content
                await self._cache.save(key_id, [each], content, _saved_at(item, now))
        return found

    async def _read(self, key_id: str, replay_keys: Sequence[str]) -> dict[str, Item]:
        """The items with the content of `replay_keys`."""
        items = await self._table.get_many([_item_key(key_id, each) for each in replay_keys])
        found = {key.sort: item for key, item in items.items()}
        targets = {each: str(item[_SAME_AS]) for each, item in found.items() if _SAME_AS in item}
        if unread := {*targets.values()} - found.keys():
            more = await self._table.get_many([_item_key(key_id, each) for each in unread])
            found |= {key.sort: item for key, item in more.items()}
        contents = {each: found.get(targets.get(each, each)) for each in replay_keys}
        return {each: item for each, item in contents.items() if item is not None}

    async def delete(self, key_id: str, replay_keys: Sequence[str]) -> None:
        await self._cache.delete(key_id, replay_keys)
        try:
            await asyncio.gather(*(self._table.delete(_item_key(key_id, each)) for each in replay_keys))
        except TableError as error:
            self._on_error(error.kind)

    def _decode(self, item: Item) -> Blocks | None:
        data = item.get(_CONTENT)
        try:
            content: Blocks = from_json(zlib.decompress(data if isinstance(data, bytes) else b""))
        except (zlib.error, ValueError):
            self._on_error("unreadable")
            return None
        return content


def _item_key(key_id: str, replay_key: str) -> ItemKey:
    return ItemKey(f"THOUGHT#{key_id}", replay_key)


def _saved_at(item: Item, now: datetime) -> datetime:
    """When the item was saved. The cache counts from then, so that loading does not extend the day."""
    expires = int_of(item, EXPIRES)
    return datetime.fromtimestamp(expires, now.tzinfo) - _KEPT if expires else now


class CallerThinking:
    """The thinking store as one request uses it: with the API key id and the time of the request."""

    def __init__(self, store: ThinkingStore, key_id: str, now: datetime) -> None:
        self._store = store
        self._key_id = key_id
        self._now = now
        self._loaded: dict[str, Blocks] = {}

    async def load(self, replay_keys: Sequence[str]) -> dict[str, Blocks]:
        """Returns the unchanged content for those of `replay_keys` that are stored."""
        if not replay_keys:
            return {}
        found = await self._store.load(self._key_id, replay_keys, self._now)
        self._loaded = found
        return found

    async def delete_refused(self, host: str) -> None:
        """Deletes what load() returned and `host` was sent: `host` would refuse it in later requests too."""
        sent = [key for key, content in self._loaded.items() if signers(content) <= {host}]
        await self._store.delete(self._key_id, sent)

    async def save(self, message: Message, host: str) -> None:
        """Stores the content of the message of `host`, if it has tool calls, under each of its keys."""
        content = signed_by(host, replay_content(message))
        keys = replay_keys(content)
        if keys:
            await self._store.save(self._key_id, keys, content, self._now)
