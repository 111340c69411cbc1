"""RequestUsage: what one request costs its key, from the limits it has to pass to its line in the ledger."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from starlette.requests import ClientDisconnect

from claudexia.access.keys import Key
from claudexia.access.ledger import Ledger, UsageRecord
from claudexia.access.limiter import Admission, Background, Limiter
from claudexia.access.limits import MICROS, Limits
from claudexia.access.prices import Prices
from claudexia.errors import BUG, APIError
from claudexia.observability.record import RequestRecord
from claudexia.translate.request.prompt_cache import estimate_tokens
from claudexia.translate.response.usage import add_usage, merge_usage
from claudexia.translate.types.anthropic import Message, MessageCreateParams, MessageStreamEvent, Usage
from claudexia.translate.types.openai import CompletionUsage

_NO_MODEL = "unknown"
# Tokens reserved for an answer whose client set no limit: the model's own would shut all other requests out.
_EXPECTED = 4096
# Seconds that an answer waits to be counted. A table takes milliseconds, and one that fails is not waited for:
# at a deadline, a second is left for the last words.
_PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class Billing:
    """What all requests are counted with. `closing` are the accounts that are being closed."""

    limiter: Limiter
    ledger: Ledger
    prices: Prices
    shows_cost: bool = False
    closing: Background = field(default_factory=Background)

    async def settled(self) -> None:
        """Waits until what is over has been counted: Lambda freezes a process when its invocation has ended."""
        await self.closing.drain()
        await self.limiter.drain()


class RequestUsage:
    """One request's. `usage` is what it is known to have used so far; close() counts it."""

    def __init__(self, books: Billing, key: Key, record: RequestRecord, now: datetime) -> None:
        self.usage: Usage = {}
        self._books = books
        self._key = key
        self._record = record
        self._now = now
        self._admission: Admission | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(
        self, params: MessageCreateParams, choices: int, *, streamed: bool, asked_limit: int | None
    ) -> None:
        """`asked_limit` is the max_tokens that the client named. Raises APIError 429 where the key has used up
        one of its limits.
        """
        limits, record = self._key.limits, self._record
        record.model, record.choices, record.streamed = params["model"], choices, streamed
        counted = limits.tokens_per_minute or limits.usd_per_day_micros or limits.usd_per_month_micros
        tokens = estimate_tokens(params) if counted else 0
        most = params["max_tokens"] if asked_limit else min(params["max_tokens"], _EXPECTED)
        micros = self._books.prices.estimate(params["model"], tokens, most) if counted else 0
        try:
            self._admission = await self._books.limiter.admit(
                self._key.id,
                limits,
                tokens=(tokens + most) * choices,
                micros=micros * choices,
                streamed=streamed,
            )
        except APIError as error:
            if error.status == 429:  # else its limits could not be counted
                record.limited = error.code
            raise

    @property
    def limited(self) -> bool:
        return self._key.limits != Limits()

    async def headers(self) -> Mapping[str, str]:
        """`x-ratelimit-*` for the key's own limits. To be asked for while the upstream works."""
        return await self._admission.headers() if self._admission else {}

    def cost(self, usage: Usage) -> int | None:
        """Micro-dollars; None for a model without a price."""
        return self._books.prices.cost(self._record.model or _NO_MODEL, usage) if usage else 0

    def show_cost(self, told: CompletionUsage) -> None:
        """Adds what the usage so far costs, in US dollars, where the operator shows that."""
        micros = self.cost(self.usage) if self._books.shows_cost else None
        if micros is not None:
            told["cost"] = micros / MICROS

    def shown(self) -> dict[str, str]:
        """Headers with the key's name and, once that is known, the cost in US dollars."""
        if not self._books.shows_cost:
            return {}
        micros = self._record.cost_micros
        cost = {} if micros is None else {"x-claudexia-cost": f"{micros / MICROS:.6f}"}
        return {"x-claudexia-key": quote(self._key.name), **cost}

    async def fail(self, error: BaseException) -> None:
        """Closes the account of a request that was not answered for `error`."""
        if isinstance(error, APIError):
            self._record.fail(error)
        elif isinstance(error, Exception) and not isinstance(error, ClientDisconnect):
            self._record.fail(BUG)
        await self.close()

    async def close(self) -> None:
        """To be called whatever became of the request. The first call counts, and outlives its caller.

        Returns before all is counted where the table is slow; Billing.settled() waits for the rest.
        """
        if self._closing is None:
            self._closing = self._books.closing.start(self._close())
        await asyncio.wait([self._closing], timeout=_PATIENCE)

    async def _close(self) -> None:
        usage, record = self.usage, self._record
        record.cost_micros = self.cost(usage)
        record.input_tokens = usage.get("input_tokens") or 0
        record.cached_tokens = usage.get("cache_read_input_tokens") or 0
        record.cache_write_tokens = usage.get("cache_creation_input_tokens") or 0
        record.output_tokens = usage.get("output_tokens") or 0
        record.thinking_tokens = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
        if self._admission and self.limited:
            await asyncio.gather(self._books.ledger.record(self._line()), self._settle())
        else:  # which needs no second task
            await self._books.ledger.record(self._line())

    async def _settle(self) -> None:
        record = self._record
        if self._admission:
            tokens = (
                record.input_tokens + record.cached_tokens + record.cache_write_tokens + record.output_tokens
            )
            await self._admission.settle(tokens, record.cost_micros or 0)

    def _line(self) -> UsageRecord:
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


# --- claudexia.spending
# UsageMeter: what one answer has used so far, as far as its events have told.
#
# Nothing here raises, whatever the upstream sends: an answer that cannot be read has to be counted too.

_CHARACTERS_A_TOKEN = 4  # about, of English text


class UsageMeter:
    """feed() every event as the upstream sent it. `opening` is how the first message begins."""

    def __init__(self, opening: Message) -> None:
        self._earlier: Usage = {}  # of the messages before this one, where a turn was paused
        self._usage = _usage_of(opening)
        self._characters = 0  # that nobody has counted yet
        self._begun = False

    def feed(self, events: Sequence[MessageStreamEvent]) -> None:
        for event in events:
            if event["type"] == "content_block_delta":
                self._characters += _length(event.get("delta"))
            elif event["type"] == "message_start":
                if self._begun:
                    self._earlier, self._characters = self.usage, 0
                self._usage, self._begun = _usage_of(event.get("message")), True
            elif event["type"] == "message_delta":  # its count is the total
                self._usage, self._characters = merge_usage(self._usage, _usage_of(event)), 0

    @property
    def usage(self) -> Usage:
        """Of an answer that was cut off nobody tells, so its text is counted; to leave early is not free."""
        told = self._usage.get("output_tokens")
        written = self._characters // _CHARACTERS_A_TOKEN
        output = max(told, written) if isinstance(told, int) else written
        return add_usage(self._earlier, {**self._usage, "output_tokens": output})


def _usage_of(part: object) -> Usage:
    usage = part.get("usage") if isinstance(part, Mapping) else None
    return merge_usage({}, usage) if isinstance(usage, Mapping) else {}  # type: ignore[arg-type]  # it should be one


def _length(delta: object) -> int:
    if not isinstance(delta, dict):
        return 0
    text = delta.get("text") or delta.get("partial_json") or delta.get("thinking")
    return len(text) if isinstance(text, str) else 0
