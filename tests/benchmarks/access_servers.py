"""The processes with keys in a table: a fake DynamoDB, gateways that use it, and gateways with a table in memory."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from claudexia.access.key_store import KEYS_PARTITION, TableKeyStore, item_key
from claudexia.access.limits import Limits
from claudexia.storage.table import Item, Table
from tests.benchmarks.processes import Server, Servers, server
from tests.helpers.tables import table_at

_NAME, _REGION = "benchmark", "eu-central-1"
_UNREACHED = 1_000_000_000  # no request is refused
LIMITS = {
    "no limits": Limits(),
    "five limits": Limits(
        requests_per_minute=_UNREACHED,
        tokens_per_minute=_UNREACHED,
        concurrent_streams=_UNREACHED,
        usd_per_day_micros=_UNREACHED,
        usd_per_month_micros=_UNREACHED,
    ),
}


@dataclass(frozen=True)
class AccessServers:
    """`secrets` has a key for each of LIMITS, by name. `gateways` has one process per kind of table and key, because a
    process gets faster with the number of requests. `environ` makes a new process use the table on DynamoDB.
    """

    gateways: Mapping[tuple[str, str], Server]
    environ: Mapping[str, str]
    secrets: Mapping[str, str]


@asynccontextmanager
async def running_with_keys(servers: Servers) -> AsyncIterator[AccessServers]:
    """Runs in addition to `servers`, with the same upstream, and ends on exit."""
    upstream, core = servers.upstream.url, servers.core
    other_core = servers.other_core
    with server("fake_table", other_core, "0") as fake, server("fake_table", other_core, "0.003") as slow:
        secrets: Mapping[str, str] = {}
        keys: list[tuple[str, Item]] = []
        for each in (fake, slow):
            table = open_table(each.url)
            secrets = secrets or await create_keys(table)
            for digest, item in keys:
                await table.put(item_key(digest), item)
            keys = await table.query(KEYS_PARTITION)
        environ = _environ(fake.url)
        places = {
            "memory": {"BENCHMARK_KEYS": json.dumps(keys)},
            "DynamoDB": environ,
            "DynamoDB after 3 ms": _environ(slow.url),
        }
        with ExitStack() as stack:
            gateways = {
                (place, limits): stack.enter_context(server("gateway", core, upstream, **more))
                for place, more in places.items()
                for limits in LIMITS
            }
            yield AccessServers(gateways, environ, secrets)


def _environ(url: str) -> Mapping[str, str]:
    """The environment of a gateway with its table and its upstream's key in AWS."""
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_ENDPOINT_URL": url,
        "BENCHMARK_SECRET": "upstream",
        "CLAUDEXIA_TABLE": _NAME,
    }


def _now() -> datetime:
    return datetime.now(UTC)


def open_table(endpoint: str) -> Table:
    return table_at(endpoint, _now, name=_NAME)


async def create_keys(table: Table) -> Mapping[str, str]:
    store = TableKeyStore(table, _now)
    keys = {
        limits_name: await store.create(limits_name.replace(" ", "-"), limits=limits)
        for limits_name, limits in LIMITS.items()
    }
    return {limits_name: secret for limits_name, (_, secret) in keys.items()}
