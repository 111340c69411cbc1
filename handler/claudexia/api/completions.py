"""CompletionHandler: one completion from the request's bytes to the response, for every API of completions.

key -> read body -> check requests per minute -> API.read -> translate -> admit -> start generations
    -> API.body, or API.encoder's frames
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, Protocol

from fastapi import Request
from fastapi.responses import Response

from claudexia.access.keys import Key, permit_model
from claudexia.access.limits import bounded_max_tokens
from claudexia.access.thinking_store import CallerThinking, ThinkingStore
from claudexia.api.event_stream import EventStreamResponse, while_connected
from claudexia.api.http import has_flag, read_body, request_deadline, warnings_header
from claudexia.errors import APIError, invalid_request
from claudexia.generation.billing import Billing, RequestUsage
from claudexia.generation.generation import (
    Generation,
    GenerationRequest,
    close_generations,
    start_generations,
)
from claudexia.generation.streaming import (
    CompletionStreamer,
    Encoder,
    collect_messages,
    deadline_exceeded,
)
from claudexia.models import ClaudeModel, find_model, undated
from claudexia.observability.record import RequestRecord, field_names, record_of
from claudexia.settings import Settings
from claudexia.translate.report import FieldWarning, Report, ResponseOptions
from claudexia.translate.request.build import MessageRequest, Origin, replay_keys, to_message_params
from claudexia.translate.request.parse import with_existing_param
from claudexia.translate.request.surrogates import replace_unpaired_surrogates
from claudexia.translate.types.anthropic import Message
from claudexia.translate.types.params import CompletionCreateParams
from claudexia.upstream import Upstream
from claudexia.upstream.errors import Fault, HostError

# From this version of the Messages API on, no model takes temperature, top_p or top_k.
_VERSION_WITHOUT_SAMPLING = "2026-10-21"
# When the setting MODEL_FALLBACKS applies.
_FALLBACK_REASONS: Mapping[Fault, str] = {
    "overloaded": "is overloaded",
    "no_model": "is not available",
}


class Caller(NamedTuple):
    """Who makes a request, and when."""

    key_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request of any API, as it is translated. An API may add what its response needs.

    origin  the client's body, unless it is `params`
    """

    params: CompletionCreateParams
    origin: Origin | None = None


class ResponseContext(NamedTuple):
    """What a response needs beside its messages. `created` is in seconds since the epoch."""

    created: int
    options: ResponseOptions
    include_usage: bool
    request: CompletionRequest
    caller: Caller


class CompletionAPI(Protocol):
    """One API of completions."""

    async def read(self, body: bytes, caller: Caller, report: Report) -> CompletionRequest:
        """Raises APIError 400 for a body that is not a request of this API."""

    def body(self, messages: Sequence[Message], context: ResponseContext, cost: float | None) -> bytes:
        """A whole response, one choice per message. `cost` is in US dollars, None if it is not shown."""

    def encoder(self, messages: Sequence[Message], context: ResponseContext) -> Encoder:
        """The encoder of one streamed response.

        `messages` are as they started: ids and models, one per choice.
        """

    async def save(self, message: Message, context: ResponseContext) -> None:
        """Called with a complete message before its response ends."""


class _RequestContext(NamedTuple):
    """One request and what belongs to it from the start. `deadline` is in the event loop's time."""

    request: Request
    api: CompletionAPI
    key: Key
    now: datetime
    usage: RequestUsage
    thinking: CallerThinking
    record: RequestRecord
    deadline: float | None

    @property
    def caller(self) -> Caller:
        return Caller(self.key.id, self.now)


class _TranslatedRequest(NamedTuple):
    """`retry_report` has the warning of a retry without the replayed thinking."""

    context: _RequestContext
    request: CompletionRequest
    message_request: MessageRequest
    retry_report: Report

    @property
    def params(self) -> CompletionCreateParams:
        return self.request.params

    @property
    def response_context(self) -> ResponseContext:
        stream_options = self.params.stream_options
        return ResponseContext(
            created=int(self.context.now.timestamp()),
            options=self.message_request.options,
            include_usage=bool(stream_options and stream_options.include_usage),
            request=self.request,
            caller=self.context.caller,
        )

    @property
    def requested_max_tokens(self) -> int | None:
        return _requested_max_tokens(self.params)

    async def keep(self, message: Message) -> None:
        """Stores what later requests may need of a complete message."""
        if self.message_request.stores_thinking:
            await self.context.thinking.save(message)
        await self.context.api.save(message, self.response_context)


@asynccontextmanager
async def recorded_usage(
    billing: Billing, key: Key, record: RequestRecord, now: datetime
) -> AsyncIterator[RequestUsage]:
    """The usage of one request of `key`. What fails within is recorded, and raised as the client sees it."""
    record.key, record.key_id = key.name, key.id
    usage = RequestUsage(billing, key, record, now)
    try:
        yield usage
    except BaseException as error:
        failure = await usage.fail(error)
        if failure is not error:
            raise failure from None
        raise


@asynccontextmanager
async def before_deadline(request: Request, deadline: float | None) -> AsyncIterator[None]:
    """Cancels its body at `deadline` and when the client disconnects.

    Raises APIError 504 or ClientDisconnect. Enter it after the request's body has been read.
    """
    try:
        async with asyncio.timeout_at(deadline), while_connected(request.receive):
            yield
    except TimeoutError:
        record_of(request.scope).outcome = "deadline"
        raise deadline_exceeded() from None


class CompletionHandler:
    """Handles the requests of all CompletionAPIs. `now` returns the time with its zone."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        thinking_store: ThinkingStore,
        billing: Billing,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._thinking_store = thinking_store
        self._billing = billing
        self._now = now

    async def create(self, request: Request, key: Key, api: CompletionAPI) -> Response:
        """Raises APIError for everything that fails before the response starts."""
        record, now = record_of(request.scope), self._now()
        thinking = CallerThinking(self._thinking_store, key.id, now)
        deadline = request_deadline(request.scope)
        async with recorded_usage(self._billing, key, record, now) as usage:
            return await self._handle(
                _RequestContext(request, api, key, now, usage, thinking, record, deadline)
            )

    async def _handle(self, context: _RequestContext) -> Response:
        body = await read_body(context.request, self._settings.max_body)
        await context.usage.check_requests()
        report = Report(has_flag(context.request.headers, "strict"))
        body = replace_unpaired_surrogates(body, report)
        async with before_deadline(context.request, context.deadline):
            request = await context.api.read(body, context.caller, report)
            if request.origin is None:
                request = replace(request, origin=Origin(request.params, report))
            self._check_choices(request.params.n or 1)
            try:
                translated = await self._translate(request, context)
            except APIError as error:
                raise with_existing_param(error, body) from None
            return await self._respond(translated)

    async def _translate(
        self, request: CompletionRequest, context: _RequestContext, fallback: str | None = None
    ) -> _TranslatedRequest:
        """`fallback` replaces the requested model."""
        headers, params = context.request.headers, request.params
        model, strict = self._model(request, context.key, fallback), has_flag(headers, "strict")
        price_warning = context.usage.check_price(model.id)
        message_request = to_message_params(
            params,
            model,
            strict=strict,
            caching=self._settings.prompt_caching and not has_flag(headers, "cache", "off"),
            stored_answers=await context.thinking.load(replay_keys(params, model)),
            today=context.now.date(),
            origin=request.origin,
        )
        if price_warning:  # no error in strict mode: the request is sent unchanged
            warnings = (*message_request.warnings, price_warning)
            message_request = replace(message_request, warnings=warnings)
        if has_flag(headers, "thinking-blocks"):
            options = replace(message_request.options, thinking_blocks=True)
            message_request = replace(message_request, options=options)
        return _TranslatedRequest(context, request, message_request, Report(strict))

    async def _respond(self, translated: _TranslatedRequest) -> Response:
        context, params, message_params = (
            translated.context,
            translated.params,
            translated.message_request.params,
        )
        usage, choices = context.usage, params.n or 1
        await usage.admit(
            message_params,
            choices,
            streamed=bool(params.stream),
            requested_max_tokens=translated.requested_max_tokens,
        )
        generations: list[Generation] = []
        usage.answers = generations
        async with AsyncExitStack() as stack:
            stack.push_async_callback(close_generations, generations)
            translated = await self._start(translated, generations)
            headers = {**await self._headers(translated, generations), **usage.limit_headers()}
            if not params.stream:
                return await self._whole(translated, generations, headers)
            response = self._streamed(translated, generations, headers)
            stack.pop_all()  # the response closes the generations
            return response

    async def _start(self, translated: _TranslatedRequest, generations: list[Generation]) -> _TranslatedRequest:
        """Starts the answers. Returns the request that was sent: that of a fallback model if the model cannot
        answer now. What was reserved for the first one stays reserved until the usage is settled.
        """
        context, failed = translated.context, set[str]()
        on_events = context.usage.on_events if context.usage.limited else None
        while True:
            params = translated.message_request.params
            forced_call = translated.message_request.forced_call
            request = GenerationRequest(self._upstream, params, context.now, on_events, forced_call)
            choices = translated.params.n or 1
            try:
                await start_generations(request, choices, translated.retry_report, generations)
            except HostError as error:
                failed.add(params["model"])
                following = await self._fallback(translated, error, failed)
                if generations or following is None:  # an answer that has started is billed
                    raise
                translated = following
            else:
                context.record.model = params["model"]
                return translated

    async def _fallback(
        self, translated: _TranslatedRequest, error: HostError, failed: Collection[str]
    ) -> _TranslatedRequest | None:
        """The request for the fallback model; None if there is none or the key may not use it."""
        model, context = translated.message_request.params["model"], translated.context
        fallback = self._settings.model_fallbacks.get(undated(model))
        if error.fault not in _FALLBACK_REASONS or not fallback or fallback in failed:
            return None
        try:
            following = await self._translate(translated.request, context, fallback)
        except APIError:
            return None
        if translated.retry_report.strict:
            return None
        warning = FieldWarning("model", f"{model} {_FALLBACK_REASONS[error.fault]}, so {fallback} answers")
        request = following.message_request
        return following._replace(message_request=replace(request, warnings=(*request.warnings, warning)))

    async def _whole(
        self, translated: _TranslatedRequest, generations: Sequence[Generation], headers: Mapping[str, str]
    ) -> Response:
        context = translated.context
        context.record.mark_first_token()
        messages = await collect_messages(generations, translated.keep)
        body = context.api.body(messages, translated.response_context, context.usage.shown_cost())
        context.record.end()
        await context.usage.close()
        headers = {**headers, **context.usage.cost_headers()}
        return Response(body, headers=headers, media_type="application/json")

    def _streamed(
        self, translated: _TranslatedRequest, generations: Sequence[Generation], headers: Mapping[str, str]
    ) -> EventStreamResponse:
        context = translated.context
        messages = [generation.stream.message for generation in generations]
        encoder = context.api.encoder(messages, translated.response_context)
        streamer = CompletionStreamer(generations, encoder, translated.keep, context.usage, context.record)
        return EventStreamResponse(
            streamer.frames(),
            streamer,
            {**headers, **context.usage.cost_headers()},
            keepalive=self._settings.keepalive,
            deadline=context.deadline,
        )

    async def _headers(
        self, translated: _TranslatedRequest, generations: Sequence[Generation]
    ) -> dict[str, str]:
        context, retry_warnings = translated.context, translated.retry_report.warnings
        if retry_warnings:
            await context.thinking.delete_loaded()
        warnings = [*translated.message_request.warnings, *retry_warnings]
        context.record.warnings = field_names(warning.param for warning in warnings)
        headers = generations[0].stream.headers
        context.record.set_upstream(headers)
        return {**headers, **warnings_header(warnings)}

    def _model(self, request: CompletionRequest, key: Key, fallback: str | None) -> ClaudeModel:
        """The requested model, or `fallback`, restricted to what this deployment and this key allow.

        Raises APIError.
        """
        params, origin = request.params, request.origin
        name = fallback or params.model
        model = find_model(name, self._settings.model_aliases)
        permit_model(key, name, model.id)
        if self._settings.anthropic_version >= _VERSION_WITHOUT_SAMPLING:
            model = replace(model, sampling=False)
        model = self._upstream.adapted(model)
        key_limit = key.limits.max_tokens
        if key_limit is None:
            return model
        field = origin.report.at("max_tokens").param if origin else "max_tokens"
        bounded_max_tokens(key.limits, _requested_max_tokens(params), key_limit, field)
        return replace(
            model,
            max_output_tokens=min(key_limit, model.max_output_tokens or key_limit),
            default_max_tokens=min(key_limit, model.default_max_tokens),
        )

    def _check_choices(self, choices: int) -> None:
        limit = self._settings.max_choices
        if choices > limit:
            raise invalid_request(
                f"Invalid 'n': integer above maximum value. Expected a value <= {limit}, but got {choices} "
                "instead. Each choice is a separate upstream request; the gateway's setting MAX_CHOICES limits "
                "them.",
                "n",
                "integer_above_max_value",
            )


def _requested_max_tokens(params: CompletionCreateParams) -> int | None:
    return params.max_completion_tokens or params.max_tokens
