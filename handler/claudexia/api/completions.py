"""CompletionHandler: one completion from the request's bytes to the response, for every API of completions.

key -> read body -> check requests per minute -> API.read -> translate for a host -> admit -> start generations
    -> API.body, or API.encoder's frames

If the host cannot answer, the request is translated for the next one; if the model cannot, for its fallback.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
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
from claudexia.generation.concurrency import in_thread_if_large
from claudexia.generation.fallbacks import start_with_fallbacks
from claudexia.generation.generation import (
    Generation,
    GenerationRequest,
    close_generations,
    start_generation,
    start_generations,
)
from claudexia.generation.streaming import (
    CompletionStreamer,
    Encoder,
    collect_messages,
    deadline_exceeded,
)
from claudexia.models import ClaudeModel, find_model
from claudexia.observability.record import RequestRecord, field_names, record_of
from claudexia.settings import HostName, Settings
from claudexia.translate.report import FieldWarning, Report, ResponseOptions
from claudexia.translate.request.build import MessageRequest, Origin, replay_keys, to_message_params
from claudexia.translate.request.parse import with_existing_param
from claudexia.translate.request.surrogates import replace_unpaired_surrogates
from claudexia.translate.request.thinking_replay import StoredAnswers
from claudexia.translate.types.anthropic import Message, MessageCreateParams
from claudexia.translate.types.params import CompletionCreateParams
from claudexia.upstream import HostClient, SkipHostError, Upstream

# From this version of the Messages API on, no model takes temperature, top_p or top_k.
_VERSION_WITHOUT_SAMPLING = "2026-10-21"


class Caller(NamedTuple):
    """Who makes a request, and when."""

    key_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request of any API, as it is translated. An API may add what its response needs.

    origin  the client's body, unless it is `params`
    size    bytes of JSON that `params` were made from, if they are more than the body
    """

    params: CompletionCreateParams
    origin: Origin | None = None
    size: int = 0


class ResponseContext(NamedTuple):
    """What a response needs beside its messages.

    `created` is in seconds since the epoch, `options` has one item per message.
    """

    created: int
    options: Sequence[ResponseOptions]
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

    async def save(self, message: Message, context: ResponseContext) -> FieldWarning | None:
        """Called with a complete message before its response ends. Returns a warning if it is not saved."""


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


class _Translation(NamedTuple):
    """A request as one host gets it. `retry_report` has the warning of a retry without replayed thinking."""

    request: MessageRequest
    retry_report: Report


@dataclass(slots=True)
class _ModelRequest:
    """A request for one model, translated for each host that is tried.

    `stored_answers` and `caching` are as for to_message_params(), which adds its warnings to `extra_warnings`.
    """

    context: _RequestContext
    request: CompletionRequest
    model: ClaudeModel
    stored_answers: StoredAnswers
    caching: bool
    extra_warnings: Sequence[FieldWarning]
    _translations: dict[HostName, _Translation] = field(default_factory=dict, init=False)
    _save_warnings: list[FieldWarning] = field(default_factory=list, init=False)

    @property
    def model_id(self) -> str:
        return self.model.id

    @property
    def choices(self) -> int:
        return self.request.params.n or 1

    @property
    def strict(self) -> bool:
        return has_flag(self.context.request.headers, "strict")

    def translated(self, hosts: Sequence[HostClient]) -> MessageRequest:
        """The request for the first of `hosts` that takes it.

        Raises the APIError of the first one if none does.
        """
        errors: list[APIError] = []
        for host in hosts:
            try:
                return self.for_host(host).request
            except APIError as error:
                errors.append(error)
        raise errors[0]

    def for_host(self, host: HostClient) -> _Translation:
        """Raises APIError 400 for what Claude cannot do, or not on this host."""
        if host.name not in self._translations:
            self._translations[host.name] = _Translation(self._translate(host), Report(self.strict))
        return self._translations[host.name]

    def of(self, generation: Generation) -> _Translation:
        """The translation that `generation` answers."""
        return self._translations[generation.host]

    def warnings(self, generations: Sequence[Generation]) -> list[FieldWarning]:
        """Those of all translations that are answered, each once."""
        found: dict[FieldWarning, None] = {}
        for request, retry_report in map(self.of, generations):
            found |= dict.fromkeys((*request.warnings, *retry_report.warnings))
        return [*found, *self.extra_warnings, *self._save_warnings]

    def response_context(self, generations: Sequence[Generation]) -> ResponseContext:
        params = self.request.params
        return ResponseContext(
            created=int(self.context.now.timestamp()),
            options=[self.of(generation).request.options for generation in generations],
            include_usage=bool(params.stream_options and params.stream_options.include_usage),
            request=self.request,
            caller=self.context.caller,
        )

    async def keep(self, generation: Generation) -> None:
        """Stores what later requests may need of a complete answer."""
        context, message = self.context, generation.message
        if self.of(generation).request.stores_thinking:
            await context.thinking.save(message, generation.host)
        if warning := await context.api.save(message, self.response_context([generation])):
            self._save_warnings.append(warning)
            context.record.warnings += field_names([warning.param])

    def _translate(self, host: HostClient) -> MessageRequest:
        translated = to_message_params(
            self.request.params,
            host.adapted(self.model),
            strict=self.strict,
            caching=self.caching,
            stored_answers=self.stored_answers,
            today=self.context.now.date(),
            origin=self.request.origin,
        )
        if has_flag(self.context.request.headers, "thinking-blocks"):
            options = replace(translated.options, thinking_blocks=True)
            translated = replace(translated, options=options)
        return translated


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
        size = context.usage.body_size = len(body)
        await context.usage.check_requests()
        report = Report(has_flag(context.request.headers, "strict"))
        body = await in_thread_if_large(size, replace_unpaired_surrogates, body, report)
        async with before_deadline(context.request, context.deadline):
            request = await context.api.read(body, context.caller, report)
            size = context.usage.body_size = max(size, request.size)
            if request.origin is None:
                request = replace(request, origin=Origin(request.params, report))
            self._check_choices(request.params.n or 1)
            try:
                model_request = await self._model_request(request, context)
                params = await self._sent_params(model_request)
            except APIError as error:
                raise await in_thread_if_large(size, with_existing_param, error, body) from None
            await _admit(model_request, params)
            return await self._respond(model_request)

    async def _model_request(
        self, request: CompletionRequest, context: _RequestContext, *warnings: FieldWarning, fallback: str = ""
    ) -> _ModelRequest:
        """`fallback` replaces the requested model."""
        params, headers = request.params, context.request.headers
        model = self._model(request, context.key, fallback)
        price_warning = context.usage.check_price(model.id)
        keys = await in_thread_if_large(context.usage.body_size, replay_keys, params, model)
        return _ModelRequest(
            context,
            request,
            model,
            await context.thinking.load(keys),
            caching=self._settings.prompt_caching and not has_flag(headers, "cache", "off"),
            # The price's is no error in strict mode: the request is sent unchanged.
            extra_warnings=[*filter(None, [price_warning]), *warnings],
        )

    async def _sent_params(self, request: _ModelRequest) -> MessageCreateParams:
        """What the first host that takes the request gets. Raises APIError."""
        hosts = self._upstream.hosts(request.model_id)
        translated = await in_thread_if_large(request.context.usage.body_size, request.translated, hosts)
        return translated.params

    async def _respond(self, request: _ModelRequest) -> Response:
        context, generations = request.context, list[Generation]()
        usage = context.usage
        usage.answers = generations

        async def start(request: _ModelRequest) -> None:
            await self._start(request, generations)

        async def fallback(name: str, warning: FieldWarning) -> _ModelRequest | None:
            if generations or request.strict:  # an answer that has started is billed
                return None
            following = await self._model_request(request.request, context, warning, fallback=name)
            await _admit(following, await self._sent_params(following))
            return following

        async with AsyncExitStack() as stack:
            stack.push_async_callback(close_generations, generations)
            started = await start_with_fallbacks(request, start, fallback, self._settings.model_fallbacks)
            context.record.model = started.model_id
            headers = {**await self._headers(started, generations), **usage.limit_headers()}
            if not request.request.params.stream:
                return await self._whole(started, generations, headers)
            response = self._streamed(started, generations, headers)
            stack.pop_all()  # the response closes the generations
            return response

    async def _start(self, request: _ModelRequest, generations: list[Generation]) -> None:
        """Starts the answers, each on the first host that takes the request and can answer."""
        context = request.context
        failed = context.record.failed_upstreams
        usage = context.usage
        on_events, on_continuation = (usage.on_events, usage.on_continuation) if usage.limited else (None, None)

        async def attempt(host: HostClient) -> Generation:
            try:
                translated, report = request.for_host(host)
            except APIError as error:
                raise SkipHostError(error) from None
            return await start_generation(
                GenerationRequest(
                    host,
                    translated.params,
                    context.now,
                    failed,
                    on_events,
                    on_continuation,
                    translated.forced_call,
                ),
                report,
            )

        async def start() -> Generation:
            return await self._upstream.start(request.model_id, attempt, failed)

        await start_generations(start, request.choices, generations)

    async def _whole(
        self, request: _ModelRequest, generations: Sequence[Generation], headers: Mapping[str, str]
    ) -> Response:
        context = request.context
        context.record.mark_first_token()
        messages = await collect_messages(generations, request.keep)
        response_context = request.response_context(generations)
        body = context.api.body(messages, response_context, context.usage.shown_cost())
        context.record.end()
        await context.usage.close()
        warnings = warnings_header(request.warnings(generations))  # those of saving are new
        headers = {**headers, **warnings, **context.usage.cost_headers()}
        return Response(body, headers=headers, media_type="application/json")

    def _streamed(
        self, request: _ModelRequest, generations: Sequence[Generation], headers: Mapping[str, str]
    ) -> EventStreamResponse:
        context = request.context
        messages = [generation.stream.message for generation in generations]
        encoder = context.api.encoder(messages, request.response_context(generations))
        streamer = CompletionStreamer(generations, encoder, request.keep, context.usage, context.record)
        return EventStreamResponse(
            streamer.frames(),
            streamer,
            {**headers, **context.usage.cost_headers()},
            keepalive=self._settings.keepalive,
            deadline=context.deadline,
        )

    async def _headers(self, request: _ModelRequest, generations: Sequence[Generation]) -> dict[str, str]:
        context = request.context
        for host in {each.host for each in generations if request.of(each).retry_report.warnings}:
            await context.thinking.delete_refused(host)
        warnings = request.warnings(generations)
        context.record.warnings = field_names(warning.param for warning in warnings)
        headers = generations[0].stream.headers
        context.record.set_upstream(headers)
        return {**headers, **context.record.attempt_headers(), **warnings_header(warnings)}

    def _model(self, request: CompletionRequest, key: Key, fallback: str) -> ClaudeModel:
        """The requested model, or `fallback`, restricted to what this deployment and this key allow.

        Raises APIError.
        """
        params, origin = request.params, request.origin
        name = fallback or params.model
        model = find_model(name, self._settings.model_aliases)
        permit_model(key, name, model.id)
        if self._settings.anthropic_version >= _VERSION_WITHOUT_SAMPLING:
            model = replace(model, sampling=False)
        key_limit = key.limits.max_tokens
        if key_limit is None:
            return model
        param = origin.report.at("max_tokens").param if origin else "max_tokens"
        bounded_max_tokens(key.limits, _requested_max_tokens(params), key_limit, param)
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


async def _admit(request: _ModelRequest, sent: MessageCreateParams) -> None:
    params = request.request.params
    await request.context.usage.admit(
        sent,
        request.choices,
        streamed=bool(params.stream),
        requested_max_tokens=_requested_max_tokens(params),
    )


def _requested_max_tokens(params: CompletionCreateParams) -> int | None:
    return params.max_completion_tokens or params.max_tokens
