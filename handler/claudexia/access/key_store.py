"""TableKeyStore: keys in the table; made, listed, changed, revoked, and given a new secret."""

import re
import secrets
from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta

from pydantic_core import from_json, to_json

from claudexia.access.keys import Key, digest, new_secret
from claudexia.access.limits import Limits
from claudexia.settings import KEY_PREFIX
from claudexia.storage.table import EXPIRES, Change, Condition, Item, ItemKey, Table, Value

# --- claudexia.access.key_items
# A key as an item of the table, found by its secret's SHA-256, which is all that is kept of the secret.
#
# Beside the key's own facts, an item has three: `generation`, which counts the key's secrets; `replaced`, until
# when this secret works though there is a newer one; `expires`, when the table may forget one that is over.
# Moments are seconds since 1970. 0 stands for none, since an update can set an attribute but not remove it.

PARTITION = "KEYS"
GENERATION = "generation"
REPLACED = "replaced"
_EXPIRES = "valid_until"  # not the table's `expires`: a key that has expired is still known, and told so
EDITABLE = ("owner", "note", _EXPIRES, "models", "limits")


def item_key(digest: str) -> ItemKey:
    return ItemKey(PARTITION, digest)


def to_item(key: Key) -> dict[str, Value]:
    limits = {name: most for name, most in asdict(key.limits).items() if most is not None}
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "note": key.note,
        "created": to_seconds(key.created),
        _EXPIRES: to_seconds(key.expires) if key.expires else 0,
        "disabled": key.disabled,
        "last4": key.last4,
        "models": to_json(key.models).decode(),
        "limits": to_json(limits).decode(),
    }


def from_item(item: Item) -> Key:
    """The key as this item's secret opens it: a replaced secret may expire before the key."""
    ends = [end for name in (_EXPIRES, REPLACED) if (end := number(item, name))]
    limits = from_json(_text(item, "limits"))
    return Key(
        id=_text(item, "id"),
        name=_text(item, "name"),
        owner=_text(item, "owner"),
        note=_text(item, "note"),
        created=from_seconds(number(item, "created")),
        expires=from_seconds(min(ends)) if ends else None,
        disabled=bool(item.get("disabled")),
        last4=_text(item, "last4"),
        models=tuple(from_json(_text(item, "models"))),
        # Another version of the gateway may have known other limits.
        limits=Limits(**{known.name: limits.get(known.name) for known in fields(Limits)}),
    )


def to_seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def from_seconds(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def number(item: Item, name: str) -> int:
    value = item.get(name)
    return value if isinstance(value, int) else 0


def _text(item: Item, name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""


_ABSENT, _THERE = Condition(present=False), Condition(present=True)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")  # it has to fit into a header
# How long a secret that opens nothing any more is still told why.
_REMEMBERED = timedelta(days=400)


class KeyStoreError(Exception):
    """What was asked cannot be done to the keys as they are; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class _Secret:
    """One secret of a key, by its SHA-256, as the table has it."""

    digest: str
    item: Item
    key: Key

    @property
    def current(self) -> bool:
        return not number(self.item, REPLACED)

    @property
    def age(self) -> tuple[int, str]:
        """Later is larger, also of two that were made at once: an order that everybody agrees on."""
        return number(self.item, GENERATION), self.digest


class TableKeyStore:
    """`now` gives the time with its zone. Every method raises TableError where the table cannot be asked.

    A key is meant by its name, or by its id. The table has no transactions, so where two people could be in
    each other's way, each writes first and looks then.
    """

    checksummed = True

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    async def find(self, digest: str) -> Key | None:
        """One read."""
        item = await self._table.get(item_key(digest))
        return from_item(item) if item is not None else None

    async def list(self) -> Sequence[Key]:
        """Every key by name; those that were revoked in the last 400 days too, which are `disabled`."""
        newest = sorted((secret for secret in await self._secrets() if secret.current), key=lambda one: one.age)
        keys = {secret.key.id: secret.key for secret in newest}
        return sorted(keys.values(), key=lambda key: (key.name, key.created))

    async def get(self, name: str) -> Key:
        """A revoked key too, where no other has its name. Raises KeyStoreError."""
        meant = [key for key in await self.list() if name in (key.name, key.id)]
        if not meant:
            raise KeyStoreError(f"There is no key named {name!r}.")
        return max(meant, key=lambda key: (not key.disabled, key.name == name, key.created))

    async def create(
        self,
        name: str,
        *,
        owner: str = "",
        note: str = "",
        expires: datetime | None = None,
        models: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> tuple[Key, str]:
        """The key and its secret, which nobody can have again. Raises KeyStoreError where the name is taken."""
        if not _NAME.fullmatch(name) or name.startswith(KEY_PREFIX):  # a name is shown to everybody
            raise KeyStoreError(
                f"{name!r} is no name for a key; use up to 64 letters, digits and any of . _ - @."
            )
        taken = KeyStoreError(f"There is a key named {name!r} already; choose another name, or revoke it.")
        if any(name in (key.name, key.id) for key in await self._live()):
            raise taken
        key = Key(
            id=_new_id(),
            name=name,
            owner=owner,
            note=note,
            created=self._now(),
            expires=expires,
            models=tuple(models),
            limits=limits or Limits(),
        )
        key, secret = await self._issue(key, 1)
        if sum(other.name == name for other in await self._live()) > 1:  # both go back, rather than neither
            await self._table.delete(item_key(digest(secret)))
            raise taken
        return key, secret

    async def update(self, name: str, edit: Callable[[Key], Key]) -> Key:
        """What `edit` makes of owner, note, expires, models and limits. Raises KeyStoreError."""
        key = await self._live_key(name)
        before, after = to_item(key), to_item(edit(key))
        changed = {fact: after[fact] for fact in EDITABLE if after[fact] != before[fact]}
        if changed:
            for secret in await self._secrets(key.id):
                await self._assign(secret, changed)
        return await self.get(key.id)

    async def revoke(self, name: str) -> Key:
        """Ends the key with all its secrets, for ever. Raises KeyStoreError."""
        key = await self._live_key(name)
        ended: dict[str, Value] = {"disabled": True, EXPIRES: to_seconds(self._now() + _REMEMBERED)}
        # Again until there are none: it may be getting a new secret just now.
        while valid := [secret for secret in await self._secrets(key.id) if not secret.key.disabled]:
            for secret in valid:
                await self._assign(secret, ended)
        return replace(key, disabled=True)

    async def rotate(self, name: str, grace: timedelta = timedelta()) -> tuple[Key, str]:
        """A new secret for the key; earlier ones work for `grace` still. Raises KeyStoreError."""
        key = await self._live_key(name)
        generation = 1 + max(number(earlier.item, GENERATION) for earlier in await self._secrets(key.id))
        key, secret = await self._issue(key, generation)
        every = await self._secrets(key.id)
        if any(other.key.disabled for other in every):
            await self._table.delete(item_key(digest(secret)))
            raise _revoked(name)
        until = self._now() + grace
        ended: dict[str, Value] = {REPLACED: to_seconds(until), EXPIRES: to_seconds(until + _REMEMBERED)}
        for other in every:
            if other.current and other.age < (generation, digest(secret)):
                await self._assign(other, ended)
        return key, secret

    async def _live(self) -> Sequence[Key]:
        return [key for key in await self.list() if not key.disabled]

    async def _live_key(self, name: str) -> Key:
        key = await self.get(name)
        if key.disabled:
            raise _revoked(name)
        return key

    async def _secrets(self, key_id: str = "") -> Sequence[_Secret]:
        """All, or those of one key."""
        found = [_Secret(digest, item, from_item(item)) for digest, item in await self._table.query(PARTITION)]
        return [secret for secret in found if key_id in ("", secret.key.id)]

    async def _issue(self, key: Key, generation: int) -> tuple[Key, str]:
        secret = new_secret()
        item = {**to_item(replace(key, last4=secret[-4:])), GENERATION: generation, REPLACED: 0}
        await self._table.put(item_key(digest(secret)), item, _ABSENT)
        return from_item(item), secret

    async def _assign(self, secret: _Secret, facts: dict[str, Value]) -> None:
        await self._table.update(item_key(secret.digest), Change(assign=facts), _THERE)


def _revoked(name: str) -> KeyStoreError:
    return KeyStoreError(f"The key {name!r} has been revoked; create a new one.")


def _new_id() -> str:
    """12 letters of base 32: 60 bits."""
    return b32encode(secrets.token_bytes(8)).decode().lower()[:12]
