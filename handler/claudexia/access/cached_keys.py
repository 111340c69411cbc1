"""CachedKeyStore: a key is looked up once a minute in each process, and revoked everywhere within one."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from claudexia.access.keys import Key, KeyStore
from claudexia.access.table import TableError
from claudexia.translate import APIError

OnFailure = Literal["closed", "open"]

_UNKNOWN_LASTS = timedelta(seconds=5)  # a key that was just made is not refused for long
_RETRY_AFTER = timedelta(seconds=5)  # nor is a table that fails asked for every request
_TRUSTED = timedelta(hours=1)
_MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a store said at the time `read`, and until when it is not asked again."""

    key: Key | None
    read: datetime
    fresh_until: datetime


class CachedKeyStore:
    """The keys of `store`, asked again after `seconds`; `now` gives the time with its zone.

    While the table fails, "closed" lets nobody in; "open" lets in, for an hour, who was let in before by this
    process. `failed` is told of each failure: a kind of TableError.
    """

    def __init__(
        self,
        store: KeyStore,
        now: Callable[[], datetime],
        *,
        seconds: float = 60,
        on_failure: OnFailure = "closed",
        failed: Callable[[str], None],
    ) -> None:
        self._store = store
        self._now = now
        self._lasts = timedelta(seconds=seconds)
        self._trusted = _TRUSTED if on_failure == "open" else timedelta()
        self._failed = failed
        # Apart, so that no number of wrong keys drives out the right ones.
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, _Entry] = OrderedDict()
        self._reading: dict[str, asyncio.Task[Key | TableError | None]] = {}

    @property
    def checksummed(self) -> bool:
        return self._store.checksummed

    async def find(self, digest: str) -> Key | None:
        """Raises APIError 503 where the table fails and what is known does not do."""
        entry = self._known.get(digest) or self._unknown.get(digest)
        if entry and self._now() < entry.fresh_until:
            self._cache_of(entry).move_to_end(digest)
            return entry.key
        found = await self._read(digest)
        if not isinstance(found, TableError):
            return found
        if entry and entry.key and self._now() < entry.read + self._trusted:
            self._keep(digest, replace(entry, fresh_until=self._now() + _RETRY_AFTER))
            return entry.key
        raise _unavailable() from found

    async def _read(self, digest: str) -> Key | TableError | None:
        """One read for all who wait for it; it goes on when one of them leaves."""
        task = self._reading.get(digest)
        if task is None or task.done():
            task = self._reading[digest] = asyncio.create_task(self._ask(digest))
        return await asyncio.shield(task)

    async def _ask(self, digest: str) -> Key | TableError | None:
        now = self._now()  # before it is read: what changes meanwhile is not missed for longer
        try:
            key = await self._store.find(digest)
        except TableError as error:
            self._failed(error.kind)
            return error
        finally:
            self._reading.pop(digest, None)
        self._keep(digest, _Entry(key, now, now + (self._lasts if key else _UNKNOWN_LASTS)))
        return key

    def _keep(self, digest: str, entry: _Entry) -> None:
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        cache = self._cache_of(entry)
        cache[digest] = entry
        if len(cache) > _MAX_ENTRIES:
            cache.popitem(last=False)

    def _cache_of(self, entry: _Entry) -> OrderedDict[str, _Entry]:
        return self._known if entry.key else self._unknown


def _unavailable() -> APIError:
    return APIError(
        503,
        "The gateway cannot look up API keys right now. Yours may be fine; try again in a moment. "
        "The gateway's operator finds the reason in its logs and metrics.",
        type="service_unavailable_error",
        code="service_unavailable",
        headers={"retry-after": "1"},
    )
