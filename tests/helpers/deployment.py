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
from claudexia.storage.table import Table
from tests.helpers.serving import Upstream, gateway
from tests.helpers.tables import Clock, FaultyTable, key_counters

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

    def counters(self, name: str = "me") -> dict[str, int]:
        """The counters of a key by unit; "usd" is that of the day if it has one."""
        return {name.partition("#")[0]: count for name, count in sorted(self._counted(name)[0].items())}

    def leases(self, name: str = "me") -> frozenset[str]:
        """The reservations of a key that are not settled yet."""
        return self._counted(name)[1]

    def _counted(self, name: str) -> tuple[dict[str, int], frozenset[str]]:
        key = asyncio.run(self.keys.get(name))
        return asyncio.run(key_counters(self.stored, key.id))


@contextmanager
def deployment(upstream: Any = None, stored: Table | None = None, **settings: Any) -> Iterator[Deployment]:
    clock = Clock()
    stored = stored or MemoryTable(clock)
    table = FaultyTable(stored)
    with gateway(upstream or Upstream(), table=table, now=clock, api_keys={}, **settings) as url:
        yield Deployment(url, clock, table, stored)
