"""RequestUsage: what one request costs its key, from its admission by limits to its line in the ledger.

What a request reserves of its key's tokens per minute and money is its estimated input and, for each choice,

    the client's max_tokens                           if the client set it
    the largest answers of late, at least 4096        if this process knows answers of this key and model
    the most that the model may write                 otherwise, so that no other request fits beside one whose
                                                      answer could take all that is left

A whole answer of the Messages API is not seen before its end, so it reserves all of its max_tokens. A request
for another model, the fallback, replaces the reservation by its own before it is sent. Each further request for
one answer is reserved too.

If an answer grows beyond its reservation, the same amount is reserved again, which holds further requests back.
Once the key is over its money limit, the answer ends with the error `insufficient_quota`. So the largest
possible overrun of a money limit is one reservation: at most the cost of one request with its max_tokens. Added
to that, for each running request, is what only Claude's usage shows: input above its estimate, the text of one
network read, and thinking that Claude does not show and that is longer than the answers of late.

Tokens per minute are overrun by at most one request, too, as long as answers are no longer than those of late.
A running answer is not ended for them: all that the running ones are longer than reserved is added.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from starlette.requests import ClientDisconnect

from claudexia.access.keys import Key
from claudexia.access.ledger import Ledger, UsageRecord
from claudexia.access.limiter import Background, Demand, Limiter
from claudexia.access.limits import MICROS, Limits
from claudexia.access.output_estimates import MIN_ESTIMATE, OutputEstimates
from claudexia.access.prices import Prices
from claudexia.errors import INTERNAL_ERROR, APIError
from claudexia.generation.concurrency import in_thread_if_large
from claudexia.generation.generation import Answer, total_usage
from claudexia.observability.record import Outcome, RequestRecord
from claudexia.settings import UnpricedModels
from claudexia.translate.report import FieldWarning
from claudexia.translate.request.prompt_cache import estimate_tokens
from claudexia.translate.response.usage import add_usage
from claudexia.translate.tokens import BYTES_PER_TOKEN, utf8_length
from claudexia.translate.types.anthropic import MessageCreateParams, MessageStreamEvent, Usage

_NO_MODEL = "unknown"
_NOTHING = Demand()
# More output tokens than any model has. A client's max_tokens may have thousands of digits.
_MAX_OUTPUT = 10_000_000
# How a request ended that Claude may be working on: its input is paid, although no usage has arrived.
_WITHOUT_USAGE: frozenset[Outcome] = frozenset({"abandoned", "deadline"})
# Seconds that a response waits until its usage is recorded. A table takes milliseconds. A failing table is not
# waited for: at the deadline, one second is left for the last frame.
_CLOSE_TIMEOUT = 0.5


class Billing:
    """What the billing of all requests shares. `closing` are the requests whose usage is being recorded."""

    def __init__(
        self,
        limiter: Limiter,
        ledger: Ledger,
        prices: Prices,
        shows_cost: bool = False,
        unpriced_models: UnpricedModels = "dearest",
    ) -> None:
        self.limiter = limiter
        self.ledger = ledger
        self.prices = prices
        self.shows_cost = shows_cost
        self.unpriced_models = unpriced_models
        self.output_estimates = OutputEstimates()
        self.closing = Background()

    async def settled(self) -> None:
        """Waits until the usage of ended requests is recorded: Lambda freezes the process between requests."""
        await self.closing.drain()
        await self.limiter.drain()


class RequestUsage:
    """The usage and cost of one request.

    answers    those of the request, as they start
    body_size  bytes of the request's body, as far as it has been read, and of what it continues
    """

    def __init__(self, billing: Billing, key: Key, record: RequestRecord, now: datetime) -> None:
        self.answers: Sequence[Answer] = ()
        self.body_size = 0
        self._billing = billing
        self._key = key
        self._record = record
        self._now = now
        limits = key.limits
        self._admission = billing.limiter.open(key.id, limits)
        self._has_budget = (limits.usd_per_day_micros, limits.usd_per_month_micros) != (None, None)
        self._is_metered = self._has_budget or limits.tokens_per_minute is not None
        self._sent: MessageCreateParams | None = None
        self._limited_by_client = False
        self._reserved = _NOTHING  # at first
        # Output tokens that are reserved, and by how many they grow; 0 if they are all that can be written.
        self._reserved_output = self._extension = 0
        self._text_bytes = 0  # of the answers so far
        self._closing: asyncio.Task[None] | None = None

    async def check_requests(self) -> None:
        """Raises APIError 429 if the key is known to have used up its requests per minute."""
        try:
            await self._admission.check_requests()
        except APIError as error:
            self._record_limit(error)
            raise

    def check_price(self, model_id: str) -> FieldWarning | None:
        """How a model without a price counts for a key with a money limit; None if neither is the case.

        Raises APIError 403 if the deployment refuses such requests.
        """
        if not self._has_budget or self._billing.prices.is_known(model_id):
            return None
        if self._billing.unpriced_models == "refuse":
            raise APIError(
                403,
                f"The price of {model_id} is not known, and this API key has a money limit. The gateway's "
                "operator can set the price with PRICES.",
                param="model",
                code="unpriced_model",
            )
        reason = "its price is not known, so it counts at the highest known price in this API key's money limit"
        return FieldWarning("model", reason)

    async def admit(
        self, params: MessageCreateParams, choices: int, *, streamed: bool, requested_max_tokens: int | None
    ) -> None:
        """Reserves what the request may need. `requested_max_tokens` is the client's own limit.

        Call it again before a request for another model: its reservation takes the place of the first one.
        Raises APIError 429 if the key has reached one of its limits.
        """
        record, max_tokens = self._record, min(params["max_tokens"], _MAX_OUTPUT)
        record.model, record.choices, record.streamed = params["model"], choices, streamed
        self._limited_by_client = requested_max_tokens is not None
        tokens = await in_thread_if_large(self.body_size, estimate_tokens, params) if self._is_metered else 0
        estimate = self._billing.output_estimates.get(self._key.id, params["model"])
        output = expected = max_tokens
        self._reserved_output = self._extension = 0
        if not self._limited_by_client:
            expected = min(max_tokens, MIN_ESTIMATE)
            output = max_tokens if estimate is None else min(max_tokens, estimate)
        if output < max_tokens:
            self._reserved_output = self._extension = output * choices
        micros = self._micros(params["model"], tokens, output)
        self._reserved = Demand(
            tokens=(tokens + output) * choices,
            micros=micros * choices,
            streamed=streamed,
            choices=choices,
            expected_tokens=(tokens + min(expected, output)) * choices,
        )
        try:
            await self._admission.replace(self._reserved)
        except APIError as error:
            self._record_limit(error)
            raise
        self._sent = params

    def _micros(self, model: str, tokens: int, output: int) -> int:
        if not self._has_budget:
            return 0
        return self._billing.prices.estimate(model, tokens, output, dearest=True)

    async def count(self, model_id: str) -> None:
        """Counts a request that generates nothing. Raises APIError 429 as admit()."""
        self._record.model = model_id
        try:
            await self._admission.count_request()
        except APIError as error:
            self._record_limit(error)
            raise

    async def on_continuation(self, params: MessageCreateParams, output: int) -> None:
        """Reserves for a further request, `params`, for one of the answers, which may add `output` tokens to
        what the first one may write. Raises as on_events().
        """
        if self._is_metered:
            if self._extension:
                output = min(output, self._extension // self._record.choices)
                self._reserved_output += output
            tokens = await in_thread_if_large(self.body_size, estimate_tokens, params)
            await self._extend(tokens + output, self._micros(params["model"], tokens, output))

    async def on_events(self, events: Sequence[MessageStreamEvent]) -> None:
        """Extends the reservation if the answers grow beyond it. Call it for each network read.

        Raises APIError 429 `insufficient_quota` if the key is over its money limit.
        """
        if not (self._extension and self._is_metered):
            return
        for event in events:
            if event["type"] == "content_block_delta":
                delta = event["delta"]
                text = delta.get("text") or delta.get("partial_json") or delta.get("thinking")
                self._text_bytes += utf8_length(text) if isinstance(text, str) else 0
        while self._text_bytes // BYTES_PER_TOKEN > self._reserved_output:
            self._reserved_output += self._extension
            await self._extend(self._reserved.tokens, self._reserved.micros)

    async def _extend(self, tokens: int, micros: int) -> None:
        try:
            await self._admission.extend(tokens, micros)
        except APIError as error:
            self._record_limit(error)
            raise

    @property
    def limited(self) -> bool:
        return self._key.limits != Limits()

    def limit_headers(self) -> Mapping[str, str]:
        """`x-ratelimit-*` for the key's own limits."""
        return self._admission.headers()

    def total(self) -> Usage:
        """Tokens used so far, by all answers of the request."""
        return total_usage(self.answers)

    def shown_cost(self) -> float | None:
        """The cost so far in US dollars; None if it has no price or the operator does not show costs."""
        micros = self._cost_micros({}) if self._billing.shows_cost else None
        return None if micros is None else micros / MICROS

    def cost_headers(self) -> dict[str, str]:
        """The key's name and, after close(), the cost in US dollars; {} if costs are not shown."""
        if not self._billing.shows_cost:
            return {}
        micros = self._record.cost_micros
        cost = {} if micros is None else {"x-claudexia-cost": f"{micros / MICROS:.6f}"}
        return {"x-claudexia-key": quote(self._key.name), **cost}

    async def fail(self, error: BaseException) -> BaseException:
        """Records `error`, with which the request failed before its response, and closes.

        Returns the error for the client. An invalid request counts as a request too, as at OpenAI; if the key
        has used up its requests per minute, that is the error.
        """
        if isinstance(error, APIError) and 400 <= error.status < 500 and error.status != 429:
            try:
                await self._admission.count_request()
            except APIError as limit_error:
                self._record_limit(limit_error)
                error = limit_error
        if isinstance(error, APIError):
            error.headers = {**error.headers, **self._record.attempt_headers()}
            self._record.set_upstream(error.headers)
            self._record.fail(error)
        elif isinstance(error, Exception) and not isinstance(error, ClientDisconnect):
            self._record.fail(INTERNAL_ERROR)
        await self.close()
        return error

    async def close(self) -> None:
        """Records the usage and releases the reservations. Call it however the request ends.

        Only the first call has an effect, and it completes even if its caller is cancelled. If the table is
        slow, close() returns early; Billing.settled() waits for the rest.
        """
        if self._closing is None:
            self._closing = self._billing.closing.start(self._close())
        await asyncio.wait([self._closing], timeout=_CLOSE_TIMEOUT)

    def _record_limit(self, error: APIError) -> None:
        if error.status == 429:  # with another status, the limits could not be read
            self._record.limited = error.code

    def _cost_micros(self, without_usage: Usage, *, dearest: bool = False) -> int | None:
        """Micro-dollars of all answers, each at its host's prices, and of `without_usage`; None for a model
        without a price, unless it counts as the dearest.
        """
        model, prices = self._record.model or _NO_MODEL, self._billing.prices
        by_host: dict[str | None, Usage] = {None: without_usage} if without_usage else {}
        for answer in self.answers:
            by_host[answer.host] = add_usage(by_host.get(answer.host, {}), answer.usage)
        costs = [prices.cost(model, usage, host, dearest=dearest) for host, usage in by_host.items() if usage]
        return None if None in costs else sum(cost or 0 for cost in costs)

    def _input_without_usage(self) -> Usage:
        """The estimated input of the choices that Claude was working on when the client disconnected."""
        choices = self._record.choices - len(self.answers)
        if self._sent is None or choices < 1 or self._record.outcome not in _WITHOUT_USAGE:
            return {}
        return {"input_tokens": estimate_tokens(self._sent) * choices}

    def _learn(self) -> None:
        """Takes account of the answers in the estimate for the next requests of this key and model."""
        estimates, model = self._billing.output_estimates, self._record.model or _NO_MODEL
        for answer in self.answers:
            tokens = answer.usage.get("output_tokens") or 0
            complete = answer.finished and not self._limited_by_client
            estimates.add(self._key.id, model, tokens, complete=complete)

    async def _close(self) -> None:
        without_usage, record = self._input_without_usage(), self._record
        usage = add_usage(self.total(), without_usage)
        record.cost_micros = self._cost_micros(without_usage)
        record.input_tokens = usage.get("input_tokens") or 0
        record.cached_tokens = usage.get("cache_read_input_tokens") or 0
        record.cache_write_tokens = usage.get("cache_creation_input_tokens") or 0
        record.output_tokens = usage.get("output_tokens") or 0
        record.thinking_tokens = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
        if self._is_metered:
            self._learn()
        if self.limited:
            micros = self._cost_micros(without_usage, dearest=True) or 0
            await asyncio.gather(self._billing.ledger.record(self._usage_record()), self._settle(micros))
        else:  # saves a task
            await self._billing.ledger.record(self._usage_record())

    async def _settle(self, micros: int) -> None:
        record = self._record
        tokens = record.input_tokens + record.cached_tokens + record.cache_write_tokens + record.output_tokens
        await self._admission.settle(tokens, micros)

    def _usage_record(self) -> UsageRecord:
        record = self._record
        return UsageRecord(
            at=self._now,
            key_id=self._key.id,
            key_name=self._key.name,
            model=_ledger_model(record),
            failed_attempts=len(record.failed_upstreams),
            input_tokens=record.input_tokens,
            cached_tokens=record.cached_tokens,
            cache_write_tokens=record.cache_write_tokens,
            output_tokens=record.output_tokens,
            thinking_tokens=record.thinking_tokens,
            cost_micros=record.cost_micros,
            outcome=record.outcome,
        )


def _ledger_model(record: RequestRecord) -> str:
    """The model, and after `@` the host if it is not Anthropic's API: their bills are separate."""
    model = record.model or _NO_MODEL
    return model if record.upstream in (None, "anthropic") else f"{model}@{record.upstream}"
