"""Ledger: usage and cost of all requests, as totals per day, key and model.

Each request makes one update, however it ends. An item holds numbers and names, never content.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from datetime import UTC, date, datetime, timedelta

from claudexia.observability.record import Outcome
from claudexia.storage.table import EXPIRES, Change, Item, ItemKey, OnError, Table, TableError, int_of, text_of

_KEPT = timedelta(days=400)  # a year, and the month to compare with
# A client that disconnects is no error.
_ERRORS: frozenset[Outcome] = frozenset({"error", "deadline", "refused"})
_MAX_MODEL_LENGTH = 100  # clients can send any model name, and a sort key has at most 1024 bytes


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """The usage of one request. `at` is an aware datetime.

    Tokens are counted as in Anthropic's API: `input_tokens` excludes tokens read from and written to the cache,
    `output_tokens` includes thinking. `cost_micros` is in micro-dollars; None for a model without a price.
    `failed_attempts` counts calls of hosts in vain. On hosts other than Anthropic's API, `model` ends
    in `@` and the host.
    """

    at: datetime
    key_id: str
    key_name: str
    model: str
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    thinking_tokens: int
    cost_micros: int | None
    outcome: Outcome
    failed_attempts: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over requests. `unpriced` counts the requests of unknown cost, which `cost_micros` excludes,
    `failed_attempts` the calls of hosts in vain.
    """

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cost_micros: int = 0
    unpriced: int = 0
    failed_attempts: int = 0

    @property
    def tokens(self) -> int:
        """All tokens. Thinking is part of `output_tokens`."""
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class DayUsage:
    """The usage of one model by one key on one day, in UTC."""

    day: date
    key_id: str
    key_name: str
    model: str
    totals: Totals


class Ledger:
    """`on_error` is called with TableError.kind if a request cannot be recorded."""

    def __init__(self, table: Table, on_error: OnError) -> None:
        self._table = table
        self._on_error = on_error

    async def record(self, record: UsageRecord) -> None:
        """Adds the request to its totals. Does not raise TableError: the client has its response already."""
        at = record.at.astimezone(UTC)
        model = record.model[:_MAX_MODEL_LENGTH]
        day = at.date().isoformat()
        key = ItemKey(_partition(day[:7]), f"{day}#{record.key_id}#{model}")
        sums = _totals_of(record)
        counts = {name: number for name in _NAMES if (number := getattr(sums, name))}
        names = {"key_id": record.key_id, "key_name": record.key_name, "model": model}
        expires = int((at + _KEPT).timestamp())
        try:
            await self._table.update(key, Change(add=counts, assign={**names, EXPIRES: expires}))
        except TableError as error:
            self._on_error(error.kind)

    async def month(self, year_month: str, key_id: str | None = None) -> list[DayUsage]:
        """The usage in a month like "2026-11", by day, of all keys or of `key_id`. Raises TableError."""
        items = await self._table.query(_partition(year_month))
        days = [_day_usage(sort, item) for sort, item in items]
        return [day for day in days if key_id in (None, day.key_id)]


def totals(days: Iterable[DayUsage]) -> Totals:
    return sum((day.totals for day in days), Totals())


def _partition(year_month: str) -> str:
    return f"USAGE#{year_month}"


def _totals_of(record: UsageRecord) -> Totals:
    return Totals(
        requests=1,
        errors=int(record.outcome in _ERRORS),
        input_tokens=record.input_tokens,
        cached_tokens=record.cached_tokens,
        cache_write_tokens=record.cache_write_tokens,
        output_tokens=record.output_tokens,
        thinking_tokens=record.thinking_tokens,
        cost_micros=record.cost_micros or 0,
        unpriced=int(record.cost_micros is None),
        failed_attempts=record.failed_attempts,
    )


def _day_usage(sort: str, item: Item) -> DayUsage:
    return DayUsage(
        day=date.fromisoformat(sort[:10]),
        key_id=text_of(item, "key_id"),
        key_name=text_of(item, "key_name"),
        model=text_of(item, "model"),
        totals=Totals(**{name: int_of(item, name) for name in _NAMES}),
    )


_NAMES = tuple(field.name for field in fields(Totals))
