"""Ledger: what every request used and cost, as daily totals of each key and model.

One update per request, whatever became of it. An item holds numbers and names, never content.
"""

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from datetime import UTC, date, datetime, timedelta

from claudexia.observability.record import Outcome
from claudexia.storage.table import EXPIRES, Change, Item, ItemKey, Table, TableError

KEPT = timedelta(days=400)  # a year and the month that is compared with it
# A client who leaves has not met an error.
_ERRORS: frozenset[Outcome] = frozenset({"error", "deadline", "refused"})
_MODEL_LENGTH = 100  # clients may ask for any name, and a sort key ends at 1024 bytes


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One request. Tokens are counted as Anthropic does: `input_tokens` leaves out the cache, `output_tokens`
    includes thinking. `cost_micros` is None where the model has no price. `at` has its zone.

    `outcome`: "abandoned" by the client, cut off at the function's "deadline", "refused" before it began.
    Timings and the like are for whoever logs a request; the ledger holds sums only.
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
    first_token_ms: int | None
    duration_ms: int
    outcome: Outcome
    error_code: str | None
    streamed: bool
    choices: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over requests; `unpriced` counts those whose cost is not known, and not in `cost_micros`."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cost_micros: int = 0
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """All of them once: thinking is part of the output."""
        return self.input_tokens + self.cached_tokens + self.cache_write_tokens + self.output_tokens

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class DayUsage:
    """What one key used of one model on one day, in UTC."""

    day: date
    key_id: str
    key_name: str
    model: str
    totals: Totals


class Ledger:
    """`failed` is told why a request could not be recorded: a TableError's `kind`."""

    def __init__(self, table: Table, failed: Callable[[str], None]) -> None:
        self._table = table
        self._failed = failed

    async def record(self, record: UsageRecord) -> None:
        """Never raises for the table's sake: the answer is the client's already."""
        at = record.at.astimezone(UTC)
        model = record.model[:_MODEL_LENGTH]
        day = at.date().isoformat()
        key = ItemKey(_partition(day[:7]), f"{day}#{record.key_id}#{model}")
        sums = _totals_of(record)
        counts = {name: number for name in _NAMES if (number := getattr(sums, name))}
        names = {"key_id": record.key_id, "key_name": record.key_name, "model": model}
        expires = int((at + KEPT).timestamp())
        try:
            await self._table.update(key, Change(add=counts, assign={**names, EXPIRES: expires}))
        except TableError as error:
            self._failed(error.kind)

    async def month(self, year_month: str, key_id: str | None = None) -> list[DayUsage]:
        """The days of a month like "2026-11", in order; of one key where that is asked. Raises TableError."""
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
    )


def _day_usage(sort: str, item: Item) -> DayUsage:
    sums = Totals(**{name: int(item.get(name, 0)) for name in _NAMES})  # type: ignore[arg-type]  # ADD makes numbers
    return DayUsage(
        date.fromisoformat(sort[:10]), str(item["key_id"]), str(item["key_name"]), str(item["model"]), sums
    )


_NAMES = tuple(field.name for field in fields(Totals))
