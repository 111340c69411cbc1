"""The processes with keys in a table: a fake DynamoDB, gateways that use it, and gateways with a table in memory."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import boto3

from claudexia.access.key_store import KEYS_PARTITION, TableKeyStore
from claudexia.access.limits import Limits
from claudexia.storage.dynamodb import DynamoTable, make_client
from claudexia.storage.table import Table
from tests.benchmarks.processes import Server, Servers, server

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
    session = boto3.Session("testing", "testing", region_name=_REGION)
    return DynamoTable(_NAME, _now, lambda: make_client(session, endpoint, timeout=30))


async def _create_keys(table: Table) -> Mapping[str, str]:
    store = TableKeyStore(table, _now)
    keys = {
        limits_name: await store.create(limits_name.replace(" ", "-"), limits=limits)
        for limits_name, limits in LIMITS.items()
    }
    return {limits_name: secret for limits_name, (_, secret) in keys.items()}
