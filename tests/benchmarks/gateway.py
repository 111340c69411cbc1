"""The gateway as a process for measurements.

KEY is its only key, unless CLAUDEXIA_TABLE names a DynamoDB table with keys, or BENCHMARK_KEYS has the initial items of
a table in memory: JSON, pairs of a sort key and an item. BENCHMARK_SECRET names the secret with the upstream's key.
BENCHMARK_METRICS enables metrics.
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
    name, items = os.environ.get("CLAUDEXIA_TABLE", ""), os.environ.get("BENCHMARK_KEYS", "")
    secret = os.environ.get("BENCHMARK_SECRET", "")
    settings = Settings(
        anthropic_base_url=upstream,
        anthropic_api_key="" if secret else "x",
        anthropic_api_key_secret=secret,
        api_keys={} if name or items else {"benchmark": KEY},
        table=name,
        metrics=bool(os.environ.get("BENCHMARK_METRICS")),
        limits_on_failure="closed",  # so that a failure to count is an error and not measured
    )
    return create_app(settings, table=asyncio.run(_in_memory(items)) if items else None)


async def _in_memory(items: str) -> MemoryTable:
    table = MemoryTable(lambda: datetime.now(UTC))
    for digest, item in json.loads(items):
        await table.put(item_key(digest), item)
    return table


if __name__ == "__main__":
    serve(_gateway)
