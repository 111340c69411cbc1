"""open_stores(): creates the keys, the stores, the limiter and the ledger, on a table or in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from claudexia.access.key_store import TableKeyStore
from claudexia.access.keys import CachedKeyStore, KeyStore, MemoryKeyStore
from claudexia.access.ledger import Ledger
from claudexia.access.limiter import Limiter, TableFailurePolicy
from claudexia.access.response_store import MemoryResponseStore, ResponseStore, TableResponseStore
from claudexia.access.thinking_store import MemoryThinkingStore, TableThinkingStore, ThinkingStore
from claudexia.aws.client import DYNAMODB, AWSClient
from claudexia.settings import Settings
from claudexia.storage.dynamodb import DynamoTable
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import OnError, Table


@dataclass(frozen=True, slots=True)
class Stores:
    """`responses` is None if the settings keep none, `aws` if no table in DynamoDB is used."""

    keys: KeyStore
    thinking: ThinkingStore
    responses: ResponseStore | None
    limiter: Limiter
    ledger: Ledger
    aws: AWSClient | None

    async def prepare(self) -> None:
        """Opens a connection to the table for the first request. Failures are left to that request."""
        if self.aws:
            await self.aws.prepare(DYNAMODB)


def open_stores(
    settings: Settings, table: Table | None, now: Callable[[], datetime], on_error: OnError
) -> Stores:
    """Uses `table`, else the DynamoDB table of the settings, else memory. Makes no request yet.

    `on_error` is called with the `kind` of each TableError that a store handles.
    """
    aws = AWSClient() if settings.table and not table else None
    shared = DynamoTable(settings.table, now, aws) if aws else table
    keys: KeyStore = MemoryKeyStore(settings.api_keys)
    if shared and not settings.api_keys:
        keys = CachedKeyStore(
            TableKeyStore(shared, now), now, on_failure=settings.keys_on_failure, on_error=on_error
        )
    counters: Table = shared or MemoryTable(now)
    return Stores(
        keys,
        TableThinkingStore(shared, on_error) if shared else MemoryThinkingStore(),
        _response_store(settings.responses_days, shared, on_error),
        Limiter(counters, now, TableFailurePolicy(settings.limits_on_failure, on_error)),
        Ledger(counters, on_error),
        aws,
    )


def _response_store(days: int, table: Table | None, on_error: OnError) -> ResponseStore | None:
    if not days:
        return None
    kept = timedelta(days=days)
    return TableResponseStore(table, kept, on_error) if table else MemoryResponseStore(kept, on_error)
