"""moto's DynamoDB with atomic conditional writes, which moto does not guarantee between threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from claudexia.storage.dynamodb import DynamoTable
from claudexia.storage.table import Table
from tests.helpers.tables import NAME, REGION, Now, create_table, memory_table


class SerialClient:
    """`client` with a lock around each call."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            with self._lock:
                return getattr(self._client, method)(**arguments)

        return call


@contextmanager
def atomic_dynamo_table(now: Now) -> Iterator[Table]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name=REGION)
        create_table(client)
        yield DynamoTable(NAME, now, lambda: SerialClient(client))


# Like `tables`, for tests with concurrent writes.
atomic_tables = pytest.mark.parametrize(
    "open_table", [pytest.param(memory_table, id="memory"), pytest.param(atomic_dynamo_table, id="dynamodb")]
)
