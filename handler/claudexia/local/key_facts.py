"""A key as people and scripts read it."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal

from claudexia.access.keys import Key

HEADERS = ("NAME", "ID", "STATE", "LAST 4", "OWNER", "CREATED", "EXPIRES", "MODELS", "LIMITS")

# How a limit reads: 60 requests/minute.
_LIMITS = {
    "requests_per_minute": "{} requests/minute",
    "tokens_per_minute": "{} tokens/minute",
    "concurrent_streams": "{} streams",
    "usd_per_day_micros": "${}/day",
    "usd_per_month_micros": "${}/month",
    "max_tokens": "{} max_tokens",
}


def as_json(key: Key, now: datetime) -> dict[str, object]:
    """Every fact under its own name; moments as ISO 8601."""
    moments = {"created": key.created.isoformat(), "expires": key.expires.isoformat() if key.expires else None}
    return {**asdict(key), **moments, "state": _state(key, now)}


def as_cells(key: Key, now: datetime) -> list[str]:
    """One row under HEADERS."""
    return [
        key.name,
        key.id,
        _state(key, now),
        key.last4,
        key.owner or "-",
        f"{key.created:%Y-%m-%d}",
        f"{key.expires:%Y-%m-%d}" if key.expires else "never",
        ",".join(key.models) or "all",
        _limits(key) or "none",
    ]


def as_lines(key: Key, now: datetime) -> list[tuple[str, str]]:
    """Every fact with its name."""
    return [
        ("name", key.name),
        ("id", key.id),
        ("state", _state(key, now)),
        ("last four", key.last4),
        ("owner", key.owner or "-"),
        ("note", key.note or "-"),
        ("created", f"{key.created:%Y-%m-%d %H:%M} UTC"),
        ("expires", f"{key.expires:%Y-%m-%d %H:%M} UTC" if key.expires else "never"),
        ("models", ", ".join(key.models) or "all"),
        ("limits", _limits(key) or "none"),
    ]


def _state(key: Key, now: datetime) -> str:
    if key.disabled:
        return "revoked"
    return "expired" if key.expires and key.expires <= now else "active"


def _limits(key: Key) -> str:
    limits = asdict(key.limits)
    return ", ".join(
        text.format(_dollars(limits[name]) if name.endswith("_micros") else limits[name])
        for name, text in _LIMITS.items()
        if limits[name] is not None
    )


def _dollars(micros: int) -> str:
    """Without zeros that say nothing: 5, 0.5."""
    return f"{(Decimal(micros) / 1_000_000).normalize():f}"
