"""A key as an item of the table, found by its secret's SHA-256, which is all that is kept of the secret.

Beside the key's own facts, an item has three: `generation`, which counts the key's secrets; `replaced`, until
when this secret works though there is a newer one; `expires`, when the table may forget one that is over.
Moments are seconds since 1970. 0 stands for none, since an update can set an attribute but not remove it.
"""

from dataclasses import asdict, fields
from datetime import UTC, datetime

from pydantic_core import from_json, to_json

from claudexia.access.keys import Key
from claudexia.access.limits import Limits
from claudexia.access.table import Item, ItemKey, Value

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
