"""open_stores(): creates the keys, the thinking store, the limiter and the ledger, on a table or in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from claudexia.access.key_store import TableKeyStore
from claudexia.access.keys import CachedKeyStore, KeyStore, MemoryKeyStore
from claudexia.access.ledger import Ledger
from claudexia.access.limiter import Limiter, TableFailurePolicy
from claudexia.access.thinking_store import MemoryThinkingStore, TableThinkingStore, ThinkingStore
from claudexia.aws.client import AWSClient
from claudexia.settings import Settings
from claudexia.storage.dynamodb import DynamoTable
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import OnError, Table


@dataclass(frozen=True, slots=True)
class Stores:
    keys: KeyStore
    thinking: ThinkingStore
    limiter: Limiter
    ledger: Ledger


def open_stores(
    settings: Settings, table: Table | None, now: Callable[[], datetime], on_error: OnError
) -> Stores:
    """Uses `table`, else the DynamoDB table of the settings, else memory. Makes no request yet.

    `on_error` is called with the `kind` of each TableError that a store handles.
    """
    shared = table or (DynamoTable(settings.table, now, AWSClient()) if settings.table else None)
    keys: KeyStore = MemoryKeyStore(settings.api_keys)
    if shared and not settings.api_keys:
        keys = CachedKeyStore(
            TableKeyStore(shared, now), now, on_failure=settings.keys_on_failure, on_error=on_error
        )
    counters: Table = shared or MemoryTable(now)
    return Stores(
        keys,
        TableThinkingStore(shared, on_error) if shared else MemoryThinkingStore(),
        Limiter(counters, now, TableFailurePolicy(settings.limits_on_failure, on_error)),
        Ledger(counters, on_error),
    )
