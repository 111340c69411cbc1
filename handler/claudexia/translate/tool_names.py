"""ToolNames: the names of tools as Claude accepts them, there and back."""

import re
from collections.abc import Collection
from hashlib import sha256

_VALID_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OUTSIDE = re.compile(r"[^a-zA-Z0-9_-]")


def in_alphabet(text: str) -> str:
    """`text` in the letters that Claude takes for the names and ids of tools."""
    return _OUTSIDE.sub("_", text)


class ToolNames:
    """Names outside Claude's alphabet, or `reserved` for Claude's own tools, there and back.

    A name's replacement depends on nothing but the name.
    """

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self._reserved = reserved
        self._originals: dict[str, str] = {}

    def wire(self, name: str) -> str:
        if _VALID_NAME.fullmatch(name) and name not in self._reserved:
            return name
        digest = sha256(name.encode()).hexdigest()[:8]
        wire = f"{in_alphabet(name)[:55]}_{digest}"
        self._originals[wire] = name
        return wire

    def original(self, wire: str) -> str:
        return self._originals.get(wire, wire)
