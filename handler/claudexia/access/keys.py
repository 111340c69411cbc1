"""API keys: who calls, until when, with which models. Only the SHA-256 of a secret is looked for."""

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
from typing import Literal, Protocol
from zlib import crc32

from claudexia.access.limits import Limits
from claudexia.errors import APIError
from claudexia.settings import KEY_PREFIX
from claudexia.storage.table import TableError

# --- claudexia.access.key_format
# The text of a key: `sk_cdx_`, 256 random bits, and a checksum.
#
# A scanner for leaked secrets finds keys with the pattern `sk_cdx_[0-9A-Za-z]{49}`. The checksum then tells a key
# from what only looks like one, and from a key that was mistyped, without asking anybody, as in GitHub's tokens.
#
# Source: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/

_ALPHABET = digits + ascii_uppercase + ascii_lowercase
_RANDOM = 43  # digits of base 62 that hold 256 bits
_CHECKSUM = 6  # and 32 bits
_FORMAT = re.compile(rf"{KEY_PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")


def new_secret() -> str:
    unsigned = KEY_PREFIX + _base62(secrets.randbits(256), _RANDOM)
    return unsigned + _checksum(unsigned)


def is_formatted(secret: str) -> bool:
    """Whether `secret` looks like one of new_secret(), its checksum aside."""
    return _FORMAT.fullmatch(secret) is not None


def checksum_holds(secret: str) -> bool:
    """Whether `secret` is formatted, and its last six characters are the CRC-32 of all before them."""
    return is_formatted(secret) and hmac.compare_digest(_checksum(secret[:-_CHECKSUM]), secret[-_CHECKSUM:])


def digest(secret: str) -> str:
    """The SHA-256 by which a key is kept and found, in hexadecimal."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(text: str) -> str:
    return _base62(crc32(text.encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    places: list[str] = []
    for _ in range(width):
        number, place = divmod(number, len(_ALPHABET))
        places.append(_ALPHABET[place])
    return "".join(reversed(places))


_CHALLENGE = {"www-authenticate": "Bearer"}
_EVER = datetime.min.replace(tzinfo=UTC)

_ABSENT = (
    "You didn't provide an API key. Send it in an Authorization header with Bearer auth "
    "(Authorization: Bearer sk_cdx_...)."
)
_INCORRECT = "Incorrect API key provided. Keys of this gateway begin with sk_cdx_."
_MISTYPED = "This API key was mistyped: its last six characters do not fit those before them."
_REVOKED = "This API key has been revoked."
_EXPIRED = "This API key has expired."


@dataclass(frozen=True, slots=True)
class Key:
    """Who calls. Everything here may be logged or shown, unlike the secret, which is not kept.

    `id` stays when the secret is replaced, `name`, `owner` and `note` are for people. `models` are patterns,
    as of a shell, of the models it may ask; none is all.
    """

    id: str
    name: str
    owner: str = ""
    note: str = ""
    created: datetime = _EVER
    expires: datetime | None = None
    disabled: bool = False
    last4: str = ""
    models: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


class KeyStore(Protocol):
    @property
    def checksummed(self) -> bool:
        """Whether all its secrets were made here, so that a mistyped one need not be looked for."""

    async def find(self, digest: str) -> Key | None:
        """The key whose secret has the SHA-256 `digest`, in hexadecimal."""


class MemoryKeyStore:
    """Keys from settings: name -> secret, a text of the operator's choosing after sk_cdx_."""

    checksummed = False

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._keys = [(digest(secret), Key(name, name, last4=secret[-4:])) for name, secret in secrets.items()]

    async def find(self, digest: str) -> Key | None:
        found = None
        for known, key in self._keys:  # all of them: which one matches must not show in the time
            if hmac.compare_digest(known, digest):
                found = key
        return found


async def authenticate(headers: Mapping[str, str], store: KeyStore, now: datetime) -> Key:
    """The caller's key, from `authorization: Bearer` or `api-key`. Raises APIError 401 without a valid one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    secret = token.strip() if scheme.lower() == "bearer" else headers.get("api-key", "")
    if not secret:
        raise _unauthorized(_ABSENT)
    whole = checksum_holds(secret)
    key = await store.find(digest(secret)) if whole or not store.checksummed else None
    if key is None:
        raise _unauthorized(_MISTYPED if is_formatted(secret) and not whole else _INCORRECT)
    if key.disabled:
        raise _unauthorized(_REVOKED)
    if key.expires and key.expires <= now:
        raise _unauthorized(_EXPIRED)
    return key


def may_use(key: Key, *names: str) -> bool:
    """Whether one of `names`, which mean the same model, is among the models that `key` may ask."""
    patterns = [pattern.lower() for pattern in key.models]
    return not patterns or any(fnmatchcase(name.lower(), pattern) for name in names for pattern in patterns)


def permit_model(key: Key, asked_name: str, model_id: str) -> None:
    """A model is permitted by the name it was asked by, or by its id. Raises APIError 403, as OpenAI does."""
    if not may_use(key, asked_name.strip(), model_id):
        raise APIError(
            403,
            f"You are not allowed to sample from this model. This API key is for: {', '.join(key.models)}.",
            param="model",
        )


def _unauthorized(message: str) -> APIError:
    return APIError(401, message, code="invalid_api_key", headers=_CHALLENGE)


# --- claudexia.access.cached_keys
# CachedKeyStore: a key is looked up once a minute in each process, and revoked everywhere within one.

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
