"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's API, relayed with the gateway's keys and limits.

    key -> read body -> check requests per minute -> model, max_tokens -> admit -> send -> relay the bytes

The request's bytes are sent as they came, but for the model id, and the response's bytes are relayed as they
come, but for Unicode's line ends, which are escaped. Fields, events and betas that the gateway does not know
work for that reason. A host that lacks what the request needs is skipped. Only where there are several hosts,
thinking that one of them refuses is left out.

Source: https://platform.claude.com/docs/en/api/messages and
https://code.claude.com/docs/en/llm-gateway-protocol
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import from_json, to_json

from claudexia.access.keys import Key, permit_model
from claudexia.access.limits import bounded_max_tokens
from claudexia.api.completions import before_deadline, recorded_usage
from claudexia.api.event_stream import EventStreamResponse
from claudexia.api.http import COUNT_TOKENS, MESSAGES, has_flag, read_body, request_deadline, warnings_header
from claudexia.errors import APIError, invalid_request
from claudexia.generation.billing import Billing, RequestUsage
from claudexia.generation.concurrency import in_thread_if_large
from claudexia.generation.fallbacks import start_with_fallbacks
from claudexia.generation.relay import Relay, RelayStreamer
from claudexia.models import find_model
from claudexia.observability.record import RequestRecord, field_names, record_of
from claudexia.settings import Settings
from claudexia.translate.report import FieldWarning
from claudexia.translate.request.host_limits import missing_feature
from claudexia.translate.request.thinking_replay import REFUSED_THINKING, without_refused
from claudexia.translate.types.anthropic import MessageCreateParams
from claudexia.upstream import HostClient, RawRequest, SkipHostError, Upstream

_FORWARDED = ("anthropic-version", "anthropic-beta")
# What the gateway reads to enforce the limits of a key: it must not differ from what the upstream reads.
_ENFORCED = (b'"model"', b'"max_tokens"', b'"stream"')
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_CACHE_CONTROL = b'"cache_control":{"type":"ephemeral"},'


class _Context(NamedTuple):
    """One request and what belongs to it from the start. `deadline` is in the event loop's time."""

    request: Request
    key: Key
    now: datetime
    usage: RequestUsage
    record: RequestRecord
    deadline: float | None

    @property
    def strict(self) -> bool:
        return has_flag(self.request.headers, "strict")


class _ModelRequest(NamedTuple):
    """A request for one model, and what is reported of it."""

    raw: RawRequest
    warnings: Sequence[FieldWarning]

    @property
    def model_id(self) -> str:
        return self.raw.model

    def warned(self, *warnings: FieldWarning | None) -> "_ModelRequest":
        return self._replace(warnings=[*self.warnings, *filter(None, warnings)])

    def without_refused(self, error: APIError) -> "_ModelRequest | None":
        """The request for a second attempt, if `error` refuses thinking that it has."""
        stripped = without_refused(self.raw.params, error)
        if stripped is None:
            return None
        raw = self.raw._replace(params=stripped, body=to_json(stripped))
        return self._replace(raw=raw).warned(REFUSED_THINKING)


class MessagesHandler:
    """Handles the requests of the Messages API. `now` returns the time with its zone."""

    def __init__(
        self, settings: Settings, upstream: Upstream, billing: Billing, now: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._billing = billing
        self._now = now

    async def create(self, request: Request, key: Key, path: str) -> Response:
        """The response to a request for `path`, MESSAGES or COUNT_TOKENS.

        Raises APIError for everything that fails before the response starts.
        """
        record, now = record_of(request.scope), self._now()
        deadline = request_deadline(request.scope)
        async with recorded_usage(self._billing, key, record, now) as usage:
            context = _Context(request, key, now, usage, record, deadline)
            body = await read_body(request, self._settings.max_body)
            usage.body_size = len(body)
            await usage.check_requests()
            params = await in_thread_if_large(len(body), _parsed, body)
            raw = self._raw_request(body, params, path, context)
            async with before_deadline(request, deadline):
                return await self._respond(raw, context)

    def _raw_request(self, body: bytes, params: dict[str, object], path: str, context: _Context) -> RawRequest:
        """Raises APIError for a request that this gateway or this key does not allow."""
        key, headers = context.key, context.request.headers
        model = find_model(_model_name(params), self._settings.model_aliases)
        permit_model(key, _model_name(params), model.id)
        if path == MESSAGES and key.limits.max_tokens is not None:
            bounded_max_tokens(key.limits, _max_tokens(params), key.limits.max_tokens)
        forwarded = {name: ",".join(headers.getlist(name)) for name in _FORWARDED if name in headers}
        return RawRequest(path, body, params, model.id, forwarded)

    async def _respond(self, raw: RawRequest, context: _Context) -> Response:
        usage = context.usage
        if raw.path == COUNT_TOKENS:
            await usage.count(raw.model)
            request = _ModelRequest(raw, [])
        else:
            request = self._with_cache_control(raw, context)
            request = request.warned(usage.check_price(raw.model))
            await _admit(raw, usage)
        relays: list[Relay] = []
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_close, relays)
            request = await self._start(request, context, relays)
            relay, record = relays[0], context.record
            record.warnings = field_names(warning.param for warning in request.warnings)
            record.set_upstream(relay.response.headers)
            headers = {
                "request-id": record.request_id,
                **relay.response.headers,
                **record.attempt_headers(),
                **_native_limits(usage.limit_headers(), context.now),
                **warnings_header(request.warnings),
            }
            if not relay.response.is_stream:
                return await _whole(relay, headers, context)
            response = self._streamed(relay, headers, context)
            stack.pop_all()  # the response closes the relay
            return response

    async def _start(self, request: _ModelRequest, context: _Context, relays: list[Relay]) -> _ModelRequest:
        """Appends the answer that has started, and returns the request that was sent for it."""
        sent: list[_ModelRequest] = []

        async def start(request: _ModelRequest) -> None:
            relay, as_sent = await self._first(request, context)
            relays.append(relay)
            sent.append(as_sent)

        async def fallback(name: str, warning: FieldWarning) -> _ModelRequest | None:
            if context.strict:
                return None
            model = find_model(name, self._settings.model_aliases)
            permit_model(context.key, name, model.id)
            price_warning = context.usage.check_price(model.id)
            following = _ModelRequest(request.raw._replace(model=model.id), request.warnings)
            await _admit(following.raw, context.usage)
            return following.warned(warning, price_warning)

        counts_tokens = request.raw.path == COUNT_TOKENS
        fallbacks = {} if counts_tokens else self._settings.model_fallbacks
        started = await start_with_fallbacks(request, start, fallback, fallbacks)
        context.record.model = started.model_id
        context.usage.answers = relays
        return sent[0]

    async def _first(self, request: _ModelRequest, context: _Context) -> tuple[Relay, _ModelRequest]:
        """The answer of the first host that can answer, and the request that was sent to it."""
        raw, model = request.raw, find_model(request.model_id, {})
        hosts = self._upstream.hosts(request.model_id)
        able = [host for host in hosts if not missing_feature(raw.params, host.adapted(model).host)]
        names = [host.name for host in able or hosts[:1]]  # the error of the first one tells why

        async def attempt(host: HostClient) -> tuple[Relay, _ModelRequest]:
            if host.name not in names:
                raise SkipHostError(_not_taken(host))
            try:
                return await _relay(host, request, context), request
            except APIError as error:
                if len(hosts) == 1 or context.strict:
                    raise
                stripped = request.without_refused(error)
                if stripped is None:
                    raise
            return await _relay(host, stripped, context), stripped

        return await self._upstream.start(request.model_id, attempt, context.record.failed_upstreams)

    def _streamed(self, relay: Relay, headers: Mapping[str, str], context: _Context) -> EventStreamResponse:
        streamer = RelayStreamer(relay, context.usage, context.record)
        return EventStreamResponse(
            streamer.frames(),
            streamer,
            {**headers, **context.usage.cost_headers()},
            keepalive=self._settings.keepalive,
            deadline=context.deadline,
        )

    def _with_cache_control(self, raw: RawRequest, context: _Context) -> _ModelRequest:
        """`raw` with an automatic cache breakpoint if the settings ask for it and the client set none."""
        if (
            not self._settings.messages_prompt_caching
            or has_flag(context.request.headers, "cache", "off")
            or b'"cache_control"' in raw.body
        ):
            return _ModelRequest(raw, [])
        body = raw.body.replace(b"{", b"{" + _CACHE_CONTROL, 1)
        raw = raw._replace(body=body, params={"cache_control": {"type": "ephemeral"}, **raw.params})
        warning = FieldWarning("cache_control", "the request had none, so an automatic one was added")
        return _ModelRequest(raw, [warning])


async def _relay(host: HostClient, request: _ModelRequest, context: _Context) -> Relay:
    """The answer of `host`, which has started. Raises APIError."""
    usage = context.usage
    response = await host.send(request.raw, context.record.failed_upstreams)
    on_events = usage.on_events if usage.limited else None
    relay = Relay(response, on_events, counts_tokens=request.raw.path == COUNT_TOKENS)
    try:
        await relay.start()
    except BaseException:
        await relay.aclose()
        raise
    return relay


def _not_taken(host: HostClient) -> APIError:
    return invalid_request(f"The host {host.name} does not take this request.", None)


async def _close(relays: list[Relay]) -> None:
    for relay in relays:
        await relay.aclose()


async def _whole(relay: Relay, headers: Mapping[str, str], context: _Context) -> Response:
    context.record.mark_first_token()
    context.record.end()
    await context.usage.close()
    headers = {**headers, **context.usage.cost_headers()}
    return Response(relay.body, headers=headers, media_type="application/json")


async def _admit(raw: RawRequest, usage: RequestUsage) -> None:
    """Every request of this API has a max_tokens. So in a stream it is the most that an answer may have, as the
    model's is in a chat completion without one, and no sign of a long answer. The length of a whole answer is
    only known at its end, so all of its max_tokens are reserved.
    """
    max_tokens = _max_tokens(raw.params)
    params = cast("MessageCreateParams", {**raw.params, "model": raw.model, "max_tokens": max_tokens})
    streamed = raw.params.get("stream") is True
    await usage.admit(params, 1, streamed=streamed, requested_max_tokens=None if streamed else max_tokens)


def _parsed(body: bytes) -> dict[str, object]:
    try:
        params: object = from_json(body, allow_inf_nan=False)
        repeated = _has_repeated_field(body)
    except ValueError as error:
        raise invalid_request(f"The request body is not valid JSON: {error}", None) from None
    if not isinstance(params, dict):
        raise invalid_request("The request body is not a JSON object.", None)
    if repeated:
        raise invalid_request("The request body has a field twice.", None)
    if not isinstance(params.get("stream"), bool | None):
        raise invalid_request(_field_error("stream", params["stream"], "boolean"), "stream")
    return params


def _has_repeated_field(body: bytes) -> bool:
    """Whether the object has a field twice. JSON parsers differ in which of them they read."""
    if all(body.count(name) < 2 for name in _ENFORCED) and not _ESCAPED_LETTER.search(body):
        return False
    outermost: list[tuple[str, object]] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        outermost[:] = pairs  # the outermost object is complete last

    json.loads(body, object_pairs_hook=note)
    return len(dict(outermost)) < len(outermost)


def _model_name(params: Mapping[str, object]) -> str:
    name = params.get("model")
    if not isinstance(name, str):
        raise invalid_request(_field_error("model", name, "string"), "model")
    return name


def _max_tokens(params: Mapping[str, object]) -> int:
    max_tokens = params.get("max_tokens")
    if type(max_tokens) is not int:
        raise invalid_request(_field_error("max_tokens", max_tokens, "integer"), "max_tokens")
    return max(0, max_tokens)


def _field_error(name: str, value: object, kind: str) -> str:
    return f"{name}: Field required" if value is None else f"{name}: Input should be a valid {kind}"


def _native_limits(headers: Mapping[str, str], now: datetime) -> dict[str, str]:
    """`x-ratelimit-*` headers under Anthropic's names, with the time of a reset in place of its distance."""
    native: dict[str, str] = {}
    for name, value in headers.items():
        figure, unit = name.removeprefix("x-ratelimit-").split("-")
        native[f"anthropic-ratelimit-{unit}-{figure}"] = _time(value, now) if figure == "reset" else value
    return native


def _time(seconds: str, now: datetime) -> str:
    """`now` and `seconds`, such as `12s`, as the API writes a time."""
    return f"{now + timedelta(seconds=int(seconds.removesuffix('s'))):%Y-%m-%dT%H:%M:%SZ}"
