"""Conversions of single values, as the field rows name them."""

import re
from collections.abc import Callable
from hashlib import sha256

Warn = Callable[[str], None]

# Anthropic asks for an opaque id without personal data and refuses what looks like an address or a number.
_PERSONAL = re.compile(r"@|^\+?[\d\s().-]{7,}$")


def at_most(limit: float) -> Callable[[float, Warn], float]:
    def convert(value: float, warn: Warn) -> float:
        if value > limit:
            warn(f"lowered from {value:g} to {limit:g}, Claude's highest")
        return min(value, limit)

    return convert


def stop_sequences(value: str | list[str], warn: Warn) -> list[str] | None:
    """The API refuses sequences of nothing but whitespace, so those cannot be honoured."""
    given = [value] if isinstance(value, str) else value
    usable = [sequence for sequence in given if sequence.strip()]
    if len(usable) < len(given):
        warn("Claude takes no stop sequence that is only whitespace, so it is left out")
    return usable or None


def user_id(value: str, warn: Warn) -> str | None:
    if not value.strip():
        return None
    return sha256(value.encode()).hexdigest() if _PERSONAL.search(value) or len(value) > 256 else value
