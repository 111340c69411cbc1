"""The gateway, as a process to be measured.

KEY is its only one, unless CLAUDEXIA_TABLE names the DynamoDB table that has them, or BENCHMARK_KEYS holds
what a table in memory is to begin with: JSON, pairs of a sort key and an item. BENCHMARK_SECRET names the secret
with the upstream's key.
"""

import asyncio
import json
import os
from datetime import UTC, datetime

from fastapi import FastAPI

from claudexia.access.key_store import item_key
from claudexia.app import create_app
from claudexia.settings import Settings
from claudexia.storage.memory import MemoryTable
from tests.benchmarks.serving import serve

KEY = "sk_cdx_benchmark"


def _gateway(upstream: str) -> FastAPI:
    name, kept = os.environ.get("CLAUDEXIA_TABLE", ""), os.environ.get("BENCHMARK_KEYS", "")
    secret = os.environ.get("BENCHMARK_SECRET", "")
    settings = Settings(
        anthropic_base_url=upstream,
        anthropic_api_key="" if secret else "x",
        anthropic_api_key_secret=secret,
        api_keys={} if name or kept else {"benchmark": KEY},
        table=name,
        limits_on_failure="closed",  # or what was not counted would be measured as counted
    )
    return create_app(settings, table=asyncio.run(_in_memory(kept)) if kept else None)


async def _in_memory(kept: str) -> MemoryTable:
    table = MemoryTable(lambda: datetime.now(UTC))
    for digest, item in json.loads(kept):
        await table.put(item_key(digest), item)
    return table


if __name__ == "__main__":
    serve(_gateway)
