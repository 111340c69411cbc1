"""A usage record for tests of the ledger."""

from datetime import UTC, datetime

from claudexia.access.ledger import UsageRecord

RECORD = UsageRecord(
    at=datetime(2026, 11, 22, 12, tzinfo=UTC),
    key_id="AAAABBBBCCCC",
    key_name="alice",
    model="claude-sonnet-5-5",
    input_tokens=10,
    cached_tokens=200,
    cache_write_tokens=30,
    output_tokens=40,
    thinking_tokens=5,
    cost_micros=1234,
    outcome="ok",
)
