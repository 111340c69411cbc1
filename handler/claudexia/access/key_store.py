"""TableKeyStore: creates, lists, updates, rotates and revokes keys in the table.

A key has one item per secret, found by the secret's SHA-256; the secret itself is not stored. Besides the
attributes of Key, an item has `generation`, the number of the secret among the key's secrets; `replaced`, the
time until which a replaced secret works; and `expires`, the time when the table may delete an ended secret.
Times are in seconds since 1970. 0 means none, since an update can assign an attribute but not remove it.
"""

import re
import secrets
from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict, Unpack

from pydantic_core import from_json, to_json

from claudexia.access.keys import Key, digest, new_secret
from claudexia.access.limits import Limits
from claudexia.settings import KEY_PREFIX
from claudexia.storage.table import (
    EXPIRES,
    AttributeValue,
    Change,
    Condition,
    Item,
    ItemKey,
    Table,
    int_of,
    text_of,
)

KEYS_PARTITION = "KEYS"
# Attribute names.
_GENERATION = "generation"
_REPLACED = "replaced"
_VALID_UNTIL = "valid_until"  # not the table's `expires`: an expired key stays readable for its error message
_EDITABLE = ("owner", "note", _VALID_UNTIL, "models", "limits")

_ABSENT, _PRESENT = Condition(exists=False), Condition(exists=True)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")  # valid in an HTTP header
# How long an ended secret is kept, so that its use is answered with the reason.
_ENDED_KEPT = timedelta(days=400)


class KeyStoreError(Exception):
    """The operation is not possible in the present state of the keys. The message is a sentence for people."""


class KeyAttributes(TypedDict, total=False):
    """The optional attributes of a new key, as in Key."""

    owner: str
    note: str
    expires: datetime | None
    models: Sequence[str]
    limits: Limits


def item_key(digest: str) -> ItemKey:
    return ItemKey(KEYS_PARTITION, digest)


def _to_item(key: Key) -> dict[str, AttributeValue]:
    limits = {name: most for name, most in asdict(key.limits).items() if most is not None}
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "note": key.note,
        "created": _to_seconds(key.created),
        _VALID_UNTIL: _to_seconds(key.expires) if key.expires else 0,
        "disabled": key.disabled,
        "last4": key.last4,
        "models": to_json(key.models).decode(),
        "limits": to_json(limits).decode(),
    }


def _from_item(item: Item) -> Key:
    """The key as its secret in `item` opens it. A replaced secret may expire before the key."""
    ends = [end for name in (_VALID_UNTIL, _REPLACED) if (end := int_of(item, name))]
    limits = from_json(text_of(item, "limits"))
    return Key(
        id=text_of(item, "id"),
        name=text_of(item, "name"),
        owner=text_of(item, "owner"),
        note=text_of(item, "note"),
        created=_from_seconds(int_of(item, "created")),
        expires=_from_seconds(min(ends)) if ends else None,
        disabled=bool(item.get("disabled")),
        last4=text_of(item, "last4"),
        models=tuple(from_json(text_of(item, "models"))),
        # Another version of the gateway may have stored other limits.
        limits=Limits(**{known.name: limits.get(known.name) for known in fields(Limits)}),
    )


@dataclass(frozen=True, slots=True)
class _Secret:
    """The item of one secret, with its SHA-256 and its key."""

    digest: str
    item: Item
    key: Key

    @property
    def is_current(self) -> bool:
        """Whether the secret has not been replaced."""
        return not int_of(self.item, _REPLACED)

    @property
    def order(self) -> tuple[int, str]:
        """Sort key: creation, and for simultaneous secrets an order that is the same for all readers."""
        return int_of(self.item, _GENERATION), self.digest


class TableKeyStore:
    """`now` returns an aware datetime. Every method raises TableError.

    A `name` argument is the name or the id of a key, except in create(). The Table protocol has no
    transactions. Operations that can conflict write first, then read, and undo their write after a conflict.
    """

    checksummed = True

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    async def find(self, digest: str) -> Key | None:
        """The key whose secret has this SHA-256. Makes one read."""
        item = await self._table.get(item_key(digest))
        return _from_item(item) if item is not None else None

    async def list(self) -> Sequence[Key]:
        """All keys, ordered by name, including keys revoked in the last 400 days, which are `disabled`."""
        current = [secret for secret in await self._secrets() if secret.is_current]
        keys = {secret.key.id: secret.key for secret in sorted(current, key=lambda secret: secret.order)}
        return sorted(keys.values(), key=lambda key: (key.name, key.created))

    async def get(self, name: str) -> Key:
        """The key; a revoked one if no other key has the name. Raises KeyStoreError if there is none."""
        matches = [key for key in await self.list() if name in (key.name, key.id)]
        if not matches:
            raise KeyStoreError(f"There is no key named {name!r}.")
        return max(matches, key=lambda key: (not key.disabled, key.name == name, key.created))

    async def create(self, name: str, **attributes: Unpack[KeyAttributes]) -> tuple[Key, str]:
        """The key and its secret, which cannot be read again. Raises KeyStoreError if the name is not free."""
        if not _NAME.fullmatch(name) or name.startswith(KEY_PREFIX):  # names are public, secrets are not
            raise KeyStoreError(
                f"{name!r} is not a valid key name; use up to 64 letters, digits and any of . _ - @."
            )
        taken = KeyStoreError(f"There is a key named {name!r} already; choose another name, or revoke it.")
        if any(name in (key.name, key.id) for key in await self._active()):
            raise taken
        key = Key(
            id=_new_id(),
            name=name,
            owner=attributes.get("owner", ""),
            note=attributes.get("note", ""),
            created=self._now(),
            expires=attributes.get("expires"),
            models=tuple(attributes.get("models", ())),
            limits=attributes.get("limits", Limits()),
        )
        key, secret = await self._issue(key, 1)
        # Of simultaneous calls with one name, at most one succeeds, and possibly none.
        if sum(other.name == name for other in await self._active()) > 1:
            await self._table.delete(item_key(digest(secret)))
            raise taken
        return key, secret

    async def update(self, name: str, edit: Callable[[Key], Key]) -> Key:
        """Stores owner, note, expiry, models and limits of the edited key. Raises KeyStoreError."""
        key = await self._active_key(name)
        before, after = _to_item(key), _to_item(edit(key))
        changed = {column: after[column] for column in _EDITABLE if after[column] != before[column]}
        if changed:
            for secret in await self._secrets(key.id):
                await self._assign(secret, changed)
        return await self.get(key.id)

    async def revoke(self, name: str) -> Key:
        """Disables the key with all its secrets, permanently. Raises KeyStoreError."""
        key = await self._active_key(name)
        ended: dict[str, AttributeValue] = {"disabled": True, EXPIRES: _to_seconds(self._now() + _ENDED_KEPT)}
        # Repeated until none is left: a simultaneous rotate() may add a secret.
        while valid := [secret for secret in await self._secrets(key.id) if not secret.key.disabled]:
            for secret in valid:
                await self._assign(secret, ended)
        return replace(key, disabled=True)

    async def rotate(self, name: str, grace: timedelta = timedelta()) -> tuple[Key, str]:
        """Creates a new secret; earlier ones keep working for `grace`. Raises KeyStoreError."""
        key = await self._active_key(name)
        generation = 1 + max(int_of(secret.item, _GENERATION) for secret in await self._secrets(key.id))
        key, new = await self._issue(key, generation)
        stored = await self._secrets(key.id)
        if any(secret.key.disabled for secret in stored):
            await self._table.delete(item_key(digest(new)))
            raise _revoked(name)
        until = self._now() + grace
        ended: dict[str, AttributeValue] = {
            _REPLACED: _to_seconds(until),
            EXPIRES: _to_seconds(until + _ENDED_KEPT),
        }
        for secret in stored:
            if secret.is_current and secret.order < (generation, digest(new)):
                await self._assign(secret, ended)
        return key, new

    async def _active(self) -> Sequence[Key]:
        return [key for key in await self.list() if not key.disabled]

    async def _active_key(self, name: str) -> Key:
        key = await self.get(name)
        if key.disabled:
            raise _revoked(name)
        return key

    async def _secrets(self, key_id: str = "") -> Sequence[_Secret]:
        """All secrets, or those of one key."""
        rows = await self._table.query(KEYS_PARTITION)
        found = [_Secret(digest, item, _from_item(item)) for digest, item in rows]
        return [secret for secret in found if key_id in ("", secret.key.id)]

    async def _issue(self, key: Key, generation: int) -> tuple[Key, str]:
        """Stores a new secret. Returns the key as the secret opens it, and the secret."""
        while True:
            secret = new_secret()
            item = {**_to_item(replace(key, last4=secret[-4:])), _GENERATION: generation, _REPLACED: 0}
            if await self._table.put(item_key(digest(secret)), item, _ABSENT):
                return _from_item(item), secret

    async def _assign(self, secret: _Secret, values: dict[str, AttributeValue]) -> None:
        """Assigns attributes of the item. A deleted item stays deleted."""
        await self._table.update(item_key(secret.digest), Change(assign=values), _PRESENT)


def _revoked(name: str) -> KeyStoreError:
    return KeyStoreError(f"The key {name!r} has been revoked; create a new one.")


def _new_id() -> str:
    """12 base 32 characters, 60 random bits."""
    return b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def _to_seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _from_seconds(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
