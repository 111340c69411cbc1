"""The processes with keys in a table: a stand-in for DynamoDB, gateways on it, and some with the same in memory."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from claudexia.access.key_store import KEYS_PARTITION, TableKeyStore
from claudexia.access.limits import Limits
from claudexia.storage.table import Table
from tests.benchmarks.processes import Server, Servers, server
from tests.helpers.tables import table_at

_NAME, _REGION = "benchmark", "eu-central-1"
_PLENTY = 1_000_000_000  # nobody is to be refused
LIMITS = {
    "no limits": Limits(),
    "five limits": Limits(
        requests_per_minute=_PLENTY,
        tokens_per_minute=_PLENTY,
        concurrent_streams=_PLENTY,
        usd_per_day_micros=_PLENTY,
        usd_per_month_micros=_PLENTY,
    ),
}


@dataclass(frozen=True)
class AccessServers:
    """`secrets` has a key for each of LIMITS, by its name; `gateways` has one for each place of the table and each
    key, since who is asked more often is faster. `environ` lets a new one use the table on DynamoDB.
    """

    gateways: Mapping[tuple[str, str], Server]
    environ: Mapping[str, str]
    secrets: Mapping[str, str]


@asynccontextmanager
async def running_with_keys(servers: Servers) -> AsyncIterator[AccessServers]:
    """Beside `servers`, with the same upstream; ended on the way out."""
    upstream, core = servers.upstream.url, servers.core
    with server("fake_table", servers.other_core) as fake:
        table = _open_table(fake.url)
        secrets = await _create_keys(table)
        environ = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": _REGION,
            "AWS_ENDPOINT_URL_DYNAMODB": fake.url,
            "CLAUDEXIA_TABLE": _NAME,
        }
        in_memory = {"BENCHMARK_KEYS": json.dumps(await table.query(KEYS_PARTITION))}
        with ExitStack() as stack:
            gateways = {
                (place, limits): stack.enter_context(server("gateway", core, upstream, **more))
                for place, more in (("memory", in_memory), ("DynamoDB", environ))
                for limits in LIMITS
            }
            yield AccessServers(gateways, environ, secrets)


def _now() -> datetime:
    return datetime.now(UTC)


def _open_table(endpoint: str) -> Table:
    return table_at(endpoint, _now, name=_NAME)


async def _create_keys(table: Table) -> Mapping[str, str]:
    store = TableKeyStore(table, _now)
    made = {told: await store.create(told.replace(" ", "-"), limits=limits) for told, limits in LIMITS.items()}
    return {told: secret for told, (_, secret) in made.items()}
