"""API keys: format, authentication, permitted models, and the cache of keys that were looked up.

A key's secret is `sk_cdx_`, 256 random bits and a checksum. Scanners for leaked secrets can find it with the
pattern `sk_cdx_[0-9A-Za-z]{49}`. The checksum distinguishes keys from similar text and detects typing errors
without a look-up, as in GitHub's tokens. Keys are stored and looked up by the SHA-256 of the secret.

Source: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
"""

import asyncio
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Protocol
from zlib import crc32

from claudexia.access.limits import Limits
from claudexia.errors import APIError
from claudexia.settings import KEY_PREFIX, OnFailure
from claudexia.storage.table import OnError, TableError

_ALPHABET = digits + ascii_uppercase + ascii_lowercase
_RANDOM = 43  # base 62 digits for 256 bits
_CHECKSUM = 6  # base 62 digits for 32 bits
_FORMAT = re.compile(rf"{KEY_PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")

_CHALLENGE = {"www-authenticate": "Bearer"}
_UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)

_ABSENT = (
    "You didn't provide an API key. Send it in an Authorization header with Bearer auth "
    "(Authorization: Bearer sk_cdx_...)."
)
_INCORRECT = "Incorrect API key provided. Keys of this gateway begin with sk_cdx_."
_MISTYPED = "This API key is mistyped: its checksum, the last six characters, does not match."
_REVOKED = "This API key has been revoked."
_EXPIRED = "This API key has expired."

_UNKNOWN_LIFETIME = timedelta(seconds=5)  # short, so that a new key works soon
_RETRY_INTERVAL = timedelta(seconds=5)  # between reads of one key while the table fails
_MAX_STALENESS = timedelta(hours=1)
_MAX_ENTRIES = 10_000


def new_secret() -> str:
    unsigned = KEY_PREFIX + _base62(secrets.randbits(256), _RANDOM)
    return unsigned + _checksum(unsigned)


def is_formatted(secret: str) -> bool:
    """Whether `secret` has the format of new_secret(). The checksum is not verified."""
    return _FORMAT.fullmatch(secret) is not None


def checksum_holds(secret: str) -> bool:
    """Whether `secret` has the format and its last six characters are the CRC-32 of those before."""
    return is_formatted(secret) and hmac.compare_digest(_checksum(secret[:-_CHECKSUM]), secret[-_CHECKSUM:])


def digest(secret: str) -> str:
    """The SHA-256 of a secret, in hexadecimal."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(text: str) -> str:
    return _base62(crc32(text.encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    places: list[str] = []
    for _ in range(width):
        number, place = divmod(number, len(_ALPHABET))
        places.append(_ALPHABET[place])
    return "".join(reversed(places))


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret, so everything in it may be logged and shown.

    `id` stays the same when the secret is replaced. `name`, `owner` and `note` are for people. `last4` are the
    last characters of the secret. `models` are shell patterns of the permitted models; empty permits all.
    """

    id: str
    name: str
    owner: str = ""
    note: str = ""
    created: datetime = _UNKNOWN_TIME
    expires: datetime | None = None
    disabled: bool = False
    last4: str = ""
    models: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


class KeyStore(Protocol):
    @property
    def checksummed(self) -> bool:
        """Whether all its secrets have a valid checksum, so that others need no look-up."""

    async def find(self, digest: str) -> Key | None:
        """The key whose secret has the SHA-256 `digest`, in hexadecimal. Raises TableError or APIError 503."""


class MemoryKeyStore:
    """Keys from the settings, by name. The operator chooses the secrets, which start with sk_cdx_."""

    checksummed = False

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._keys = [(digest(secret), Key(name, name, last4=secret[-4:])) for name, secret in secrets.items()]

    async def find(self, digest: str) -> Key | None:
        found = None
        for known, key in self._keys:  # no early exit: the response time must not depend on the position
            if hmac.compare_digest(known, digest):
                found = key
        return found


async def authenticate(headers: Mapping[str, str], store: KeyStore, now: datetime) -> Key:
    """The caller's key, from `authorization: Bearer`, `x-api-key` or `api-key`.

    Raises APIError 401 if it is not valid.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        secret = token.strip()
    else:
        secret = headers.get("x-api-key") or headers.get("api-key", "")
    if not secret:
        raise _unauthorized(_ABSENT)
    intact = checksum_holds(secret)
    key = await store.find(digest(secret)) if intact or not store.checksummed else None
    if key is None:
        raise _unauthorized(_MISTYPED if is_formatted(secret) and not intact else _INCORRECT)
    if key.disabled:
        raise _unauthorized(_REVOKED)
    if key.expires and key.expires <= now:
        raise _unauthorized(_EXPIRED)
    return key


def may_use(key: Key, *names: str) -> bool:
    """Whether `key` permits one of `names`, which are names of the same model."""
    patterns = [pattern.lower() for pattern in key.models]
    return not patterns or any(fnmatchcase(name.lower(), pattern) for name in names for pattern in patterns)


def permit_model(key: Key, requested_name: str, model_id: str) -> None:
    """Raises APIError 403, as OpenAI does, unless `key` permits the model by its requested name or its id."""
    if not may_use(key, requested_name.strip(), model_id):
        raise APIError(
            403,
            f"You are not allowed to sample from this model. This API key permits: {', '.join(key.models)}.",
            param="model",
        )


def _unauthorized(message: str) -> APIError:
    return APIError(401, message, code="invalid_api_key", headers=_CHALLENGE)


@dataclass(frozen=True, slots=True)
class _CacheEntry:
    """The result of a look-up at `read`, used without another look-up until `fresh_until`."""

    key: Key | None
    read: datetime
    fresh_until: datetime


class CachedKeyStore:
    """Caches the keys of `store` for `seconds`, so a revoked key works for that long at most.

    `now` returns an aware datetime. If the table fails, "closed" rejects every key that has to be looked up;
    "open" accepts keys that this process read within the last hour. `on_error` is called with TableError.kind.
    """

    def __init__(
        self,
        store: KeyStore,
        now: Callable[[], datetime],
        *,
        seconds: float = 60,
        on_failure: OnFailure = "closed",
        on_error: OnError,
    ) -> None:
        self._store = store
        self._now = now
        self._lifetime = timedelta(seconds=seconds)
        self._max_staleness = _MAX_STALENESS if on_failure == "open" else timedelta()
        self._on_error = on_error
        # Two caches, so that wrong keys in any number do not displace valid ones.
        self._known: OrderedDict[str, _CacheEntry] = OrderedDict()
        self._unknown: OrderedDict[str, _CacheEntry] = OrderedDict()
        self._reads: dict[str, asyncio.Task[Key | TableError | None]] = {}

    @property
    def checksummed(self) -> bool:
        return self._store.checksummed

    async def find(self, digest: str) -> Key | None:
        """Raises APIError 503 if the table fails and no usable cache entry exists."""
        entry = self._known.get(digest) or self._unknown.get(digest)
        if entry and self._now() < entry.fresh_until:
            self._cache_of(entry).move_to_end(digest)
            return entry.key
        found = await self._read_shared(digest)
        if not isinstance(found, TableError):
            return found
        if entry and entry.key and self._now() < entry.read + self._max_staleness:
            self._put(digest, replace(entry, fresh_until=self._now() + _RETRY_INTERVAL))
            return entry.key
        raise _keys_unavailable() from found

    async def _read_shared(self, digest: str) -> Key | TableError | None:
        """One read for all concurrent callers. It continues if one of them is cancelled."""
        task = self._reads.get(digest)
        if task is None or task.done():
            task = self._reads[digest] = asyncio.create_task(self._read(digest))
        return await asyncio.shield(task)

    async def _read(self, digest: str) -> Key | TableError | None:
        now = self._now()  # before the read: a change during it must not extend the lifetime
        try:
            key = await self._store.find(digest)
        except TableError as error:
            self._on_error(error.kind)
            return error
        finally:
            self._reads.pop(digest, None)
        self._put(digest, _CacheEntry(key, now, now + (self._lifetime if key else _UNKNOWN_LIFETIME)))
        return key

    def _put(self, digest: str, entry: _CacheEntry) -> None:
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        cache = self._cache_of(entry)
        cache[digest] = entry
        if len(cache) > _MAX_ENTRIES:
            cache.popitem(last=False)

    def _cache_of(self, entry: _CacheEntry) -> OrderedDict[str, _CacheEntry]:
        return self._known if entry.key else self._unknown


def _keys_unavailable() -> APIError:
    return APIError(
        503,
        "The gateway cannot look up API keys right now. Your key may be valid; try again in a moment. "
        "The gateway's operator finds the reason in its logs and metrics.",
        type="service_unavailable_error",
        code="service_unavailable",
        headers={"retry-after": "1"},
    )
