"""RequestUsage: what one request costs its key, from its admission by limits to its line in the ledger."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from starlette.requests import ClientDisconnect

from claudexia.access.keys import Key
from claudexia.access.ledger import Ledger, UsageRecord
from claudexia.access.limiter import Admission, Background, Limiter
from claudexia.access.limits import MICROS, Limits
from claudexia.access.prices import Prices
from claudexia.errors import INTERNAL_ERROR, APIError
from claudexia.generation.generation import Generation, total_usage
from claudexia.observability.record import RequestRecord
from claudexia.translate.request.prompt_cache import estimate_tokens
from claudexia.translate.types.anthropic import MessageCreateParams, Usage

_NO_MODEL = "unknown"
# Output tokens reserved if the client set no limit. Reserving the model's maximum would block all other
# requests.
_DEFAULT_RESERVATION = 4096
# Seconds that a response waits until its usage is recorded. A table takes milliseconds. A failing table is not
# waited for: at the deadline, one second is left for the last frame.
_CLOSE_TIMEOUT = 0.5


class Billing:
    """What the billing of all requests shares. `closing` are the requests whose usage is being recorded."""

    def __init__(self, limiter: Limiter, ledger: Ledger, prices: Prices, shows_cost: bool = False) -> None:
        self.limiter = limiter
        self.ledger = ledger
        self.prices = prices
        self.shows_cost = shows_cost
        self.closing = Background()

    async def settled(self) -> None:
        """Waits until the usage of ended requests is recorded: Lambda freezes the process between requests."""
        await self.closing.drain()
        await self.limiter.drain()


class RequestUsage:
    """The usage and cost of one request. `generations` are those of the request, as they start."""

    def __init__(self, billing: Billing, key: Key, record: RequestRecord, now: datetime) -> None:
        self.generations: Sequence[Generation] = ()
        self._billing = billing
        self._key = key
        self._record = record
        self._now = now
        self._admission: Admission | None = None
        self._closing: asyncio.Task[None] | None = None

    async def admit(
        self, params: MessageCreateParams, choices: int, *, streamed: bool, requested_max_tokens: int | None
    ) -> None:
        """Reserves what the request may need. `requested_max_tokens` is the client's own limit.

        Raises APIError 429 if the key has reached one of its limits.
        """
        limits, record = self._key.limits, self._record
        record.model, record.choices, record.streamed = params["model"], choices, streamed
        is_metered = limits.tokens_per_minute or limits.usd_per_day_micros or limits.usd_per_month_micros
        tokens = estimate_tokens(params) if is_metered else 0
        max_tokens = params["max_tokens"]
        output = max_tokens if requested_max_tokens else min(max_tokens, _DEFAULT_RESERVATION)
        micros = self._billing.prices.estimate(params["model"], tokens, output) if is_metered else 0
        try:
            self._admission = await self._billing.limiter.admit(
                self._key.id,
                limits,
                tokens=(tokens + output) * choices,
                micros=micros * choices,
                streamed=streamed,
            )
        except APIError as error:
            if error.status == 429:  # with another status, the limits could not be read
                record.limited = error.code
            raise

    @property
    def limited(self) -> bool:
        return self._key.limits != Limits()

    async def limit_headers(self) -> Mapping[str, str]:
        """`x-ratelimit-*` for the key's own limits. It reads the table, so run it while the upstream works."""
        return await self._admission.headers() if self._admission else {}

    def total(self) -> Usage:
        """Tokens used so far, by all generations of the request."""
        return total_usage(self.generations)

    def shown_cost(self) -> float | None:
        """The cost so far in US dollars; None if it has no price or the operator does not show costs."""
        micros = self._cost_micros(self.total()) if self._billing.shows_cost else None
        return None if micros is None else micros / MICROS

    def cost_headers(self) -> dict[str, str]:
        """The key's name and, after close(), the cost in US dollars; {} if costs are not shown."""
        if not self._billing.shows_cost:
            return {}
        micros = self._record.cost_micros
        cost = {} if micros is None else {"x-claudexia-cost": f"{micros / MICROS:.6f}"}
        return {"x-claudexia-key": quote(self._key.name), **cost}

    async def fail(self, error: BaseException) -> None:
        """Records `error`, with which the request failed before its response, and closes."""
        if isinstance(error, APIError):
            self._record.fail(error)
        elif isinstance(error, Exception) and not isinstance(error, ClientDisconnect):
            self._record.fail(INTERNAL_ERROR)
        await self.close()

    async def close(self) -> None:
        """Records the usage and releases the reservations. Call it however the request ends.

        Only the first call has an effect, and it completes even if its caller is cancelled. If the table is
        slow, close() returns early; Billing.settled() waits for the rest.
        """
        if self._closing is None:
            self._closing = self._billing.closing.start(self._close())
        await asyncio.wait([self._closing], timeout=_CLOSE_TIMEOUT)

    def _cost_micros(self, usage: Usage) -> int | None:
        """Micro-dollars; None for a model without a price."""
        return self._billing.prices.cost(self._record.model or _NO_MODEL, usage) if usage else 0

    async def _close(self) -> None:
        usage, record = self.total(), self._record
        record.cost_micros = self._cost_micros(usage)
        record.input_tokens = usage.get("input_tokens") or 0
        record.cached_tokens = usage.get("cache_read_input_tokens") or 0
        record.cache_write_tokens = usage.get("cache_creation_input_tokens") or 0
        record.output_tokens = usage.get("output_tokens") or 0
        record.thinking_tokens = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
        if self._admission and self.limited:
            await asyncio.gather(
                self._billing.ledger.record(self._usage_record()), self._settle(self._admission)
            )
        else:  # saves a task
            await self._billing.ledger.record(self._usage_record())

    async def _settle(self, admission: Admission) -> None:
        record = self._record
        tokens = record.input_tokens + record.cached_tokens + record.cache_write_tokens + record.output_tokens
        await admission.settle(tokens, record.cost_micros or 0)

    def _usage_record(self) -> UsageRecord:
        record = self._record
        return UsageRecord(
            at=self._now,
            key_id=self._key.id,
            key_name=self._key.name,
            model=record.model or _NO_MODEL,
            input_tokens=record.input_tokens,
            cached_tokens=record.cached_tokens,
            cache_write_tokens=record.cache_write_tokens,
            output_tokens=record.output_tokens,
            thinking_tokens=record.thinking_tokens,
            cost_micros=record.cost_micros,
            outcome=record.outcome,
        )
