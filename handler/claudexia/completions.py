"""One chat completion, from the request's bytes to the response.

A streamed and a whole answer share every step but the last: the same upstream stream becomes chunks, or is
folded into a Message that becomes one ChatCompletion.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import to_json

from claudexia.deadline import deadline_of, out_of_time
from claudexia.edge import BUG
from claudexia.event_stream import EventStreamResponse, while_connected
from claudexia.settings import Settings
from claudexia.telemetry import log_bug
from claudexia.translate import (
    APIError,
    ChatCompletionStream,
    MessageAccumulator,
    MessageRequest,
    find_model,
    parse_params,
    to_chat_completion,
    to_message_params,
)
from claudexia.translate.anthropic import Message, MessageStreamEvent
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.errors import upstream_failed
from claudexia.translate.fields import Warned
from claudexia.translate.models import Model
from claudexia.translate.reading import Reading
from claudexia.translate.sse import DONE, comment, encode
from claudexia.upstream import MessageStream, Upstream

_PING = comment("ping")
_OUT_OF_TIME = encode(out_of_time().body())
# From this version on, no model takes temperature, top_p or top_k.
_VERSION_WITHOUT_SAMPLING = "2026-10-21"
_HEADER_LIMIT = 4000


class Completions:
    """The gateway's one endpoint. `now` gives the time with its zone."""

    def __init__(self, settings: Settings, upstream: Upstream, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._upstream = upstream
        self._now = now

    async def create(self, request: Request) -> Response:
        """Raises APIError for everything that fails before the answer begins."""
        deadline = deadline_of(request.scope)
        params = parse_params(await _read_body(request, self._settings.max_body))
        strict = request.headers.get("x-claudexia-strict", "").lower() == "true"
        translated = to_message_params(params, self._model(params.model), strict=strict)
        try:
            async with asyncio.timeout_at(deadline), while_connected(request.receive):
                return await self._answer(params, translated, deadline)
        except TimeoutError:
            raise out_of_time() from None

    async def _answer(
        self, params: CompletionCreateParams, translated: MessageRequest, deadline: float | None
    ) -> Response:
        now = self._now()
        created, reading = int(now.timestamp()), Reading(original_name=translated.original_name)
        stream = await self._upstream.open(translated.params, now)
        headers = {**stream.headers, **_warnings_header(translated.warnings)}
        if not params.stream:
            completion = to_chat_completion([await _fold(stream)], created=created, reading=reading)
            return Response(to_json(completion), headers=headers, media_type="application/json")
        options = params.stream_options
        include_usage = bool(options and options.include_usage)
        chunks = ChatCompletionStream(created=created, include_usage=include_usage, reading=reading)
        return EventStreamResponse(
            _frames(stream, chunks, include_usage),
            stream,
            headers,
            keepalive=self._settings.keepalive,
            deadline=deadline,
            last_words=_OUT_OF_TIME,
        )

    def _model(self, name: str) -> Model:
        model = find_model(name, self._settings.model_aliases)
        if self._settings.anthropic_version >= _VERSION_WITHOUT_SAMPLING:
            return replace(model, sampling=False)
        return model


async def _read_body(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise APIError(
                413, f"The request is larger than {limit // 2**20} MB, the limit.", code="request_too_large"
            )
        parts.append(part)
    return b"".join(parts)


async def _fold(stream: MessageStream) -> Message:
    accumulator = MessageAccumulator()
    try:
        async for events in stream:
            for event in events:
                if event["type"] == "error":
                    raise stream.error(event)
                accumulator.feed(event)
                if accumulator.finished:
                    await stream.finish()
                    return accumulator.message
    finally:
        await stream.aclose()
    raise _cut_short()


async def _frames(
    stream: MessageStream, chunks: ChatCompletionStream, include_usage: bool
) -> AsyncGenerator[bytes, None]:
    """The answer as server-sent events, one piece per read; after a failure an error, and no [DONE]."""
    try:
        async for events in stream:
            parts: list[bytes] = []
            try:
                _relay(events, stream, chunks, parts)
                if chunks.finished and include_usage:
                    parts.append(encode(chunks.usage_chunk(chunks.usage)))
                if chunks.finished:
                    parts.append(DONE)
            finally:  # what came before a failure goes out before it is told
                if parts:
                    yield b"".join(parts)
            if chunks.finished:
                await stream.finish()
                return
        raise _cut_short()
    except APIError as error:
        yield encode(error.body())
    except Exception as error:
        log_bug(error)
        yield encode(BUG.body())


def _relay(
    events: Sequence[MessageStreamEvent],
    stream: MessageStream,
    chunks: ChatCompletionStream,
    parts: list[bytes],
) -> None:
    for event in events:
        if event["type"] == "ping":
            parts.append(_PING)
        elif event["type"] == "error":
            raise stream.error(event)
        else:
            parts.extend(encode(chunk) for chunk in chunks.feed(event))
        if chunks.finished:
            return


def _cut_short() -> APIError:
    return upstream_failed("The upstream broke off in the middle of its answer.")


def _warnings_header(warnings: Sequence[Warned]) -> Mapping[str, str]:
    """Names what was left out or changed, as far as a header may carry it."""
    if not warnings:
        return {}
    told = "; ".join(f"{warning.param[:100]}: {warning.why}" for warning in warnings)
    plain = "".join(char if " " <= char <= "~" else "?" for char in told)
    return {"x-claudexia-warnings": plain if len(plain) <= _HEADER_LIMIT else f"{plain[:_HEADER_LIMIT]}..."}
