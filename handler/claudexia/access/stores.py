"""open_stores(): who may call, what they may, and what is remembered for them; on a table or in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from claudexia.access.key_store import TableKeyStore
from claudexia.access.keys import CachedKeyStore, KeyStore, MemoryKeyStore
from claudexia.access.ledger import Ledger
from claudexia.access.limiter import Limiter
from claudexia.access.thinking_store import MemoryThinkingStore, TableThinkingStore, ThinkingStore
from claudexia.settings import Settings
from claudexia.storage.dynamodb import DynamoTable
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import Table


@dataclass(frozen=True, slots=True)
class Stores:
    keys: KeyStore
    thoughts: ThinkingStore
    limiter: Limiter
    ledger: Ledger


def open_stores(
    settings: Settings, given: Table | None, now: Callable[[], datetime], failed: Callable[[str], None]
) -> Stores:
    """On `given`, else on the table of the settings, else in memory; nothing is asked yet.

    `failed` is told the kind of each TableError that comes up.
    """
    shared = given or (DynamoTable(settings.table, now) if settings.table else None)
    table: Table = shared or MemoryTable(now)
    keys: KeyStore = MemoryKeyStore(settings.api_keys)
    if shared and not settings.api_keys:
        kept = TableKeyStore(shared, now)
        keys = CachedKeyStore(kept, now, on_failure=settings.keys_on_failure, failed=failed)
    return Stores(
        keys,
        TableThinkingStore(shared, failed) if shared else MemoryThinkingStore(),
        Limiter(table, now, settings.limits_on_failure, failed),
        Ledger(table, failed),
    )
