"""ResponseStore: keeps the responses of the Responses API, with their input, for the key that made them.

A client continues a stored response by its id, reads it again, or deletes it. A response is compressed, and
split over several items of the table if it is larger than one can be. If the table fails, or the response is
larger than MAX_BYTES, it is not stored: the client has its response, and later the id is not found.

Source: https://platform.openai.com/docs/guides/conversation-state
"""

import asyncio
import re
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from claudexia.errors import APIError
from claudexia.storage.table import EXPIRES, Item, ItemKey, OnError, Table, TableError, int_of

# Compressed. The table charges its writes by the kB.
MAX_BYTES = 4 * 1024 * 1024
_MAX_MEMORY = 64 * 1024 * 1024
# An item has at most 400 KB, including its keys.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
_PART_BYTES = 380 * 1024
# Bytes. The compression of more takes the event loop milliseconds; in a thread, other requests go on meanwhile.
_LARGE = 64 * 1024
_DATA, _PARTS = "data", "parts"  # attribute names
# Clients send ids of their own. With "#", or longer than a table's key, one could not be looked up safely.
_ID = re.compile(r"resp_[A-Za-z0-9_.:-]{1,200}")


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A whole response, and the items of the conversation that it answers.

    `size` is the bytes of both as JSON, if they were loaded.
    """

    response: Mapping[str, Any]
    input: Sequence[Mapping[str, Any]]
    size: int = field(default=0, compare=False)


class ResponseStore(Protocol):
    """Responses by API key id and response id."""

    async def save(self, key_id: str, stored: StoredResponse, now: datetime) -> bool:
        """Whether the response is stored now."""

    async def load(self, key_id: str, response_id: str, now: datetime) -> StoredResponse | None:
        """Raises APIError 503 if the table fails."""

    async def delete(self, key_id: str, response_id: str) -> None:
        """Raises APIError 503 if the table fails."""


class MemoryResponseStore:
    """Keeps responses in this process. Above `max_bytes`, the least recently used one is deleted first.

    `on_error` is called with `too_large` if a response is larger than MAX_BYTES.
    """

    def __init__(self, kept: timedelta, on_error: OnError, max_bytes: int = _MAX_MEMORY) -> None:
        self._kept = kept
        self._on_error = on_error
        self._max_bytes = max_bytes
        self._bytes = 0
        # (key id, response id) -> (expiry, compressed JSON)
        self._entries: OrderedDict[tuple[str, str], tuple[datetime, bytes]] = OrderedDict()

    async def save(self, key_id: str, stored: StoredResponse, now: datetime) -> bool:
        data = await _encode(stored)
        if len(data) > MAX_BYTES:
            self._on_error("too_large")
            return False
        await self.delete(key_id, stored.response["id"])
        self._entries[key_id, stored.response["id"]] = (now + self._kept, data)
        self._bytes += len(data)
        while self._bytes > self._max_bytes:
            await self.delete(*next(iter(self._entries)))
        return True

    async def load(self, key_id: str, response_id: str, now: datetime) -> StoredResponse | None:
        expires, data = self._entries.get((key_id, response_id), (now, b""))
        if expires <= now:
            await self.delete(key_id, response_id)
            return None
        self._entries.move_to_end((key_id, response_id))
        return await _decode(data)

    async def delete(self, key_id: str, response_id: str) -> None:
        _, data = self._entries.pop((key_id, response_id), (None, b""))
        self._bytes -= len(data)


class TableResponseStore:
    """Keeps responses in the table.

    `on_error` is called with TableError.kind if a response is not stored because the table failed, with
    `too_large` if it is larger than MAX_BYTES, with `bad_id` if its id cannot be looked up, and with
    `unreadable` if a part of one is missing or damaged.
    """

    def __init__(self, table: Table, kept: timedelta, on_error: OnError) -> None:
        self._table = table
        self._kept = kept
        self._on_error = on_error

    async def save(self, key_id: str, stored: StoredResponse, now: datetime) -> bool:
        """The first part is written last: without it, no other is looked for."""
        data = await _encode(stored)
        if len(data) > MAX_BYTES:
            self._on_error("too_large")
            return False
        if not _ID.fullmatch(stored.response["id"]):
            self._on_error("bad_id")
            return False
        partition = _partition(key_id, stored.response["id"])
        expires = int((now + self._kept).timestamp())
        parts = [data[start : start + _PART_BYTES] for start in range(0, len(data), _PART_BYTES)]
        first: Item = {_DATA: parts[0], _PARTS: len(parts), EXPIRES: expires}
        try:
            await asyncio.gather(*(
                self._table.put(_part_key(partition, number), {_DATA: part, EXPIRES: expires})
                for number, part in enumerate(parts[1:], 1)
            ))  # fmt: skip
            await self._table.put(_part_key(partition, 0), first)
        except TableError as error:
            self._on_error(error.kind)
            return False
        return True

    async def load(self, key_id: str, response_id: str, now: datetime) -> StoredResponse | None:
        if not _ID.fullmatch(response_id):
            return None
        partition = _partition(key_id, response_id)
        try:
            first = await self._table.get(_part_key(partition, 0))
            keys = [_part_key(partition, number) for number in range(1, _count(first))]
            others = await self._table.get_many(keys) if keys else {}
        except TableError as error:
            raise self._unavailable(error) from None
        if first is None:
            return None
        pieces = [item.get(_DATA) for item in (first, *(others.get(key, {}) for key in keys))]
        stored = await _decode(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
        if stored is None:
            self._on_error("unreadable")
        return stored

    async def delete(self, key_id: str, response_id: str) -> None:
        """The first part is deleted last, so that a delete that failed can be repeated."""
        partition = _partition(key_id, response_id)
        try:
            count = _count(await self._table.get(_part_key(partition, 0)))
            numbers = range(1, count)
            await asyncio.gather(*(self._table.delete(_part_key(partition, number)) for number in numbers))
            await self._table.delete(_part_key(partition, 0))
        except TableError as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: TableError) -> APIError:
        self._on_error(error.kind)
        return APIError(
            503,
            "The gateway cannot reach its stored responses at the moment. Try again, or send the whole "
            "conversation in 'input'.",
            type="server_error",
            code="service_unavailable",
        )


def _count(first: Item | None) -> int:
    return int_of(first, _PARTS) if first else 0


async def _encode(stored: StoredResponse) -> bytes:
    text = to_json({"response": stored.response, "input": stored.input})
    return zlib.compress(text) if len(text) < _LARGE else await asyncio.to_thread(zlib.compress, text)


async def _decode(data: bytes) -> StoredResponse | None:
    """None if `data` is damaged."""
    return _decoded(data) if len(data) < _LARGE else await asyncio.to_thread(_decoded, data)


def _decoded(data: bytes) -> StoredResponse | None:
    try:
        text = zlib.decompress(data)
        return StoredResponse(**from_json(text), size=len(text))
    except (zlib.error, ValueError, TypeError):
        return None


def _partition(key_id: str, response_id: str) -> str:
    return f"RESPONSE#{key_id}#{response_id}"


def _part_key(partition: str, number: int) -> ItemKey:
    return ItemKey(partition, f"{number:03}")
