"""A gateway with its own table, over real sockets, with access for operators and for clients."""

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

REQUEST: dict[str, Any] = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Deployment:
    """`table` is the gateway's, with injectable faults; `stored` is the table behind it, without faults."""

    url: str
    clock: Clock
    table: FaultyTable
    stored: Table

    def key(self, name: str = "me", **fields: Any) -> str:
        given = {"owner": "", "note": "", "expires": None, "models": (), "limits": Limits(), **fields}
        return asyncio.run(self.keys.create(name, **given))[1]

    @property
    def keys(self) -> TableKeyStore:
        return TableKeyStore(self.stored, self.clock)

    def client(self, secret: str) -> OpenAI:
        return OpenAI(base_url=self.url, api_key=secret, max_retries=0)

    def usage(self) -> list[DayUsage]:
        return asyncio.run(Ledger(self.stored, on_error=lambda kind: None).month("2026-11"))

    def ledger_counts(self) -> tuple[int, int, int, int]:
        """Requests, errors, input and output tokens of all keys."""
        sums = totals(self.usage())
        return sums.requests, sums.errors, sums.input_tokens, sums.output_tokens

    def window_counters(self, name: str = "me") -> dict[str, Item]:
        """The items of the window counters of a key, by limit: `claimed`, and `holds` while requests run."""
        key = asyncio.run(self.keys.get(name))
        found = asyncio.run(self.stored.query(f"METER#{key.id}"))
        return {sort.partition("#")[0]: item for sort, item in found}


@contextmanager
def deployment(upstream: Any = None, stored: Table | None = None, **settings: Any) -> Iterator[Deployment]:
    clock = Clock()
    stored = stored or MemoryTable(clock)
    table = FaultyTable(stored)
    with gateway(upstream or Upstream(), table=table, now=clock, api_keys={}, **settings) as url:
        yield Deployment(url, clock, table, stored)
