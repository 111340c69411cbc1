"""Memory: the answers that one caller's clients may have to be reminded of, thinking and all."""

from collections.abc import Sequence
from datetime import datetime

from claudexia.access.thoughts import Blocks, ThoughtStore
from claudexia.translate import replayable, turn_key
from claudexia.translate.anthropic import Message


class Memory:
    """One request's view of `thoughts`, bound to the key that asks: `owner` is that key's id."""

    def __init__(self, thoughts: ThoughtStore, owner: str, now: datetime) -> None:
        self._thoughts = thoughts
        self._owner = owner
        self._now = now
        self._recalled: list[str] = []

    async def recall(self, turns: Sequence[str]) -> dict[str, Blocks]:
        """Those of `turns` that are known, as they were answered."""
        if not turns:
            return {}
        found = await self._thoughts.recall(self._owner, turns, self._now)
        self._recalled = list(found)
        return found

    async def forget(self) -> None:
        """What was recalled was refused, and would be refused first with every request to come."""
        await self._thoughts.forget(self._owner, self._recalled)

    async def keep(self, message: Message) -> None:
        if turn := turn_key(message):
            await self._thoughts.remember(self._owner, turn, replayable(message), self._now)
