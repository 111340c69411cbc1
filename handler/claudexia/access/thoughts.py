"""Thoughts: what Claude answered when it called tools, kept for clients who drop its thinking.

In a tool loop Claude wants its signed thinking back, byte for byte, and OpenAI's clients know no field for it.
What they all return is the calls' ids, so an answer is kept under one of those, for a day, and for the key
that asked for it only.

Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from pydantic_core import from_json, to_json

Blocks = Sequence[Mapping[str, object]]

KEPT = timedelta(days=1)
_MAX_BYTES = 64 * 1024 * 1024


class ThoughtStore(Protocol):
    """Answers by the key that asked, `owner`, and by `turn`, which stands for one answer with tool calls."""

    async def remember(self, owner: str, turn: str, content: Blocks, now: datetime) -> None: ...

    async def recall(self, owner: str, turns: Sequence[str], now: datetime) -> dict[str, Blocks]:
        """Those of `turns` that are still known, as they were."""

    async def forget(self, owner: str, turns: Sequence[str]) -> None: ...


class MemoryThoughtStore:
    """One process's; the longest unused go first once they are `max_bytes` together."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], tuple[datetime, bytes]] = OrderedDict()

    async def remember(self, owner: str, turn: str, content: Blocks, now: datetime) -> None:
        self._drop((owner, turn))
        data = to_json(content)
        self._kept[owner, turn] = (now + KEPT, data)
        self._bytes += len(data)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    async def recall(self, owner: str, turns: Sequence[str], now: datetime) -> dict[str, Blocks]:
        found: dict[str, Blocks] = {}
        for turn in turns:
            expires, data = self._kept.get((owner, turn), (now, b""))
            if expires > now:
                self._kept.move_to_end((owner, turn))
                found[turn] = from_json(data)
            else:
                self._drop((owner, turn))
        return found

    async def forget(self, owner: str, turns: Sequence[str]) -> None:
        for turn in turns:
            self._drop((owner, turn))

    def _drop(self, key: tuple[str, str]) -> None:
        _, data = self._kept.pop(key, (None, b""))
        self._bytes -= len(data)
