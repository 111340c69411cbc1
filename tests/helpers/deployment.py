"""A gateway with a table of its own, over real sockets, as its operator and its clients see it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from openai import OpenAI

from claudexia.access.key_store import TableKeyStore
from claudexia.access.ledger import DayUsage, Ledger, totals
from claudexia.access.limits import Limits
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import Item, Table
from tests.helpers.serving import Upstream, gateway
from tests.helpers.tables import Clock, FaultyTable

ASKED: dict[str, Any] = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Deployment:
    """`table` is what the gateway asks, and fails when it is told to; `kept` is what is in it."""

    url: str
    clock: Clock
    table: FaultyTable
    kept: Table

    def key(self, name: str = "me", **facts: Any) -> str:
        given = {"owner": "", "note": "", "expires": None, "models": (), "limits": Limits(), **facts}
        return asyncio.run(self.keys.create(name, **given))[1]

    @property
    def keys(self) -> TableKeyStore:
        return TableKeyStore(self.kept, self.clock)

    def client(self, secret: str) -> OpenAI:
        return OpenAI(base_url=self.url, api_key=secret, max_retries=0)

    def usage(self) -> list[DayUsage]:
        return asyncio.run(Ledger(self.kept, on_error=lambda kind: None).month("2026-11"))

    def counted(self) -> tuple[int, int, int, int]:
        """Requests, errors, input and output tokens of all keys."""
        sums = totals(self.usage())
        return sums.requests, sums.errors, sums.input_tokens, sums.output_tokens

    def meters(self, name: str = "me") -> dict[str, Item]:
        """By limit, what a key has claimed of it, and holds."""
        key = asyncio.run(self.keys.get(name))
        found = asyncio.run(self.kept.query(f"METER#{key.id}"))
        return {sort.partition("#")[0]: item for sort, item in found}


@contextmanager
def deployment(upstream: Any = None, kept: Table | None = None, **settings: Any) -> Iterator[Deployment]:
    clock = Clock()
    kept = kept or MemoryTable(clock)
    table = FaultyTable(kept)
    with gateway(upstream or Upstream(), table=table, now=clock, api_keys={}, **settings) as url:
        yield Deployment(url, clock, table, kept)
