"""The two tables that the tests of the access layer run on, a table with injectable faults, and a clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from claudexia.aws.client import AWSClient
from claudexia.aws.credentials import Credentials, StaticCredentials
from claudexia.aws.transport import ConnectionPool
from claudexia.storage.dynamodb import DynamoTable
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import (
    ALWAYS,
    Change,
    Condition,
    Item,
    ItemKey,
    Table,
    TableError,
    UpdateResult,
    int_of,
    members_of,
)
from tests.fakes.aws import REGION, FakeAWS, fake_aws
from tests.helpers.waiting import PATIENCE

NAME = "claudexia-test"

Now = Callable[[], datetime]
OpenTable = Callable[[Now], AbstractContextManager[Table]]


@dataclass
class Clock:
    """A settable time. It starts 20 seconds past a minute."""

    time: datetime = datetime(2026, 11, 22, 12, 0, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **interval: float) -> None:
        self.time += timedelta(**interval)


async def key_counters(table: Table, key_id: str) -> tuple[dict[str, int], frozenset[str]]:
    """The counters of a key by name, as they are in the table, and its leases."""
    item = await table.get(ItemKey(f"METER#{key_id}", "counters")) or {}
    counters = {name: int_of(item, name) for name in item if "#" in name}
    return counters, members_of(item, "holds")


def create_table(client: Any, name: str = NAME) -> None:
    """Creates the template's table, without the settings that only a deployment needs."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )


@contextmanager
def memory_table(now: Now) -> Iterator[Table]:
    yield MemoryTable(now)


@contextmanager
def faulty_dynamodb() -> Iterator[tuple[FakeAWS, str]]:
    """A DynamoDB with the table NAME, and its URL."""
    with fake_aws() as (aws, url):
        create_table(boto3.client("dynamodb", region_name=REGION))
        yield aws, url


def table_at(url: str, now: Now, timeout: float = PATIENCE, name: str = NAME) -> DynamoTable:
    environ = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL_DYNAMODB": url}
    credentials = StaticCredentials(Credentials("testing", "testing"))
    return DynamoTable(name, now, AWSClient(environ, credentials, ConnectionPool(timeout)))


@contextmanager
def dynamo_table(now: Now) -> Iterator[Table]:
    with faulty_dynamodb() as (_, url):
        yield table_at(url, now)


# Runs a test on both tables: `open_table(now)` is a context manager.
tables = pytest.mark.parametrize(
    "open_table", [pytest.param(memory_table, id="memory"), pytest.param(dynamo_table, id="dynamodb")]
)
# The same for `requests` concurrent ones. moto copies the whole item at each write, so that the time grows with the
# square of their number; tests/slow/test_burst_on_dynamodb.py runs 200 on DynamoDB.
tables_and_requests = pytest.mark.parametrize(
    ("open_table", "requests"),
    [pytest.param(memory_table, 200, id="memory"), pytest.param(dynamo_table, 60, id="dynamodb")],
)


@dataclass
class FaultyTable:
    """Wraps `table` and injects faults.

    While `fault` is set, calls raise a TableError of that kind. Each call first waits `delay` seconds, or the seconds
    for its method in `slow`, and as long as `blocked` is true. `calls` counts calls by method, `running` those in progress.
    """

    table: Table
    fault: str = ""
    delay: float = 0.0
    slow: Mapping[str, float] = field(default_factory=dict)
    blocked: bool = False

    def __post_init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.running = 0

    async def get(self, key: ItemKey) -> Item | None:
        async with self._call("get"):
            return await self.table.get(key)

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        async with self._call("get_many"):
            return await self.table.get_many(keys)

    async def put(self, key: ItemKey, item: Item, condition: Condition = ALWAYS) -> bool:
        async with self._call("put"):
            return await self.table.put(key, item, condition)

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        async with self._call("update"):
            return await self.table.update(key, change, condition)

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        async with self._call("update"):
            return await self.table.update_and_read(key, change, condition)

    async def delete(self, key: ItemKey) -> None:
        async with self._call("delete"):
            await self.table.delete(key)

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        async with self._call("query"):
            return await self.table.query(partition, first, last)

    @asynccontextmanager
    async def _call(self, method: str) -> AsyncIterator[None]:
        self.running += 1
        try:
            await self._delay_and_fail(method)
            yield
        finally:
            self.running -= 1

    async def _delay_and_fail(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
        await asyncio.sleep(self.slow.get(method, self.delay))
        while self.blocked:  # polled, because any thread may reset it
            await asyncio.sleep(0.01)
        if self.fault:
            raise TableError(self.fault)
