"""One completion, from the request's bytes to the response."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import to_json

from claudexia.access.keys import Key
from claudexia.access.thoughts import ThoughtStore
from claudexia.answers import Answer, begin_answers, close
from claudexia.deadline import deadline_of, out_of_time
from claudexia.event_stream import EventStreamResponse, while_connected
from claudexia.settings import Settings
from claudexia.telling import Keep, Telling, fold
from claudexia.translate import (
    APIError,
    ChatCompletionStream,
    MessageRequest,
    find_model,
    parse_params,
    replayable,
    to_chat_completion,
    to_message_params,
    turn_key,
    turns_to_recall,
)
from claudexia.translate.anthropic import Message
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.errors import invalid_request
from claudexia.translate.fields import Report, Warned
from claudexia.translate.models import Model
from claudexia.translate.openai import ChatCompletion, ChatCompletionChunk
from claudexia.translate.response import to_completion_id
from claudexia.translate.sse import encode
from claudexia.translate.text_completion import to_chat_body, to_text_chunk, to_text_completion
from claudexia.upstream import Upstream

_OUT_OF_TIME = encode(out_of_time().body())
# From this version on, no model takes temperature, top_p or top_k.
_VERSION_WITHOUT_SAMPLING = "2026-10-21"
_HEADER_LIMIT = 4000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A way to ask: `parse` reads a body, `whole` and `chunk` give the answer's parts their shape; None is told
    to nobody.
    """

    parse: Callable[[bytes], CompletionCreateParams]
    whole: Callable[[ChatCompletion], object]
    chunk: Callable[[ChatCompletionChunk], object]


CHAT = Endpoint(parse_params, lambda completion: completion, lambda chunk: chunk)
TEXT = Endpoint(lambda body: parse_params(to_chat_body(body)), to_text_completion, to_text_chunk)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, understood. `refused` hears of recalled thinking that the upstream does not take."""

    endpoint: Endpoint
    params: CompletionCreateParams
    translated: MessageRequest
    recalled: Sequence[str]
    refused: Report
    key: Key
    now: datetime


class Completions:
    """What answers POST requests for completions. `now` gives the time with its zone."""

    def __init__(
        self, settings: Settings, upstream: Upstream, thoughts: ThoughtStore, now: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._thoughts = thoughts
        self._now = now

    async def create(self, request: Request, key: Key, endpoint: Endpoint = CHAT) -> Response:
        """Raises APIError for everything that fails before the answer begins."""
        deadline = deadline_of(request.scope)
        params = endpoint.parse(await _read_body(request, self._settings.max_body))
        self._refuse_too_many(params.n or 1)
        try:
            async with asyncio.timeout_at(deadline), while_connected(request.receive):
                asked = await self._understood(params, request.headers, key, endpoint)
                return await self._answer(asked, deadline)
        except TimeoutError:
            raise out_of_time() from None

    async def _understood(
        self, params: CompletionCreateParams, headers: Mapping[str, str], key: Key, endpoint: Endpoint
    ) -> _Asked:
        now, model = self._now(), self._model(params.model)
        strict = headers.get("x-claudexia-strict", "").lower() == "true"
        turns = turns_to_recall(params, model)
        recalled = await self._thoughts.recall(key.name, turns, now) if turns else {}
        translated = to_message_params(
            params,
            model,
            strict=strict,
            caching=self._settings.prompt_caching and headers.get("x-claudexia-cache", "").lower() != "off",
            recalled=recalled,
            today=now.date(),
        )
        if headers.get("x-claudexia-thinking-blocks", "").lower() == "true":
            reading = replace(translated.reading, thinking_blocks=True)
            translated = replace(translated, reading=reading)
        return _Asked(endpoint, params, translated, list(recalled), Report(strict), key, now)

    async def _answer(self, asked: _Asked, deadline: float | None) -> Response:
        params, reading = asked.params, asked.translated.reading
        answers = await begin_answers(
            self._upstream, asked.translated.params, params.n or 1, asked.now, asked.refused
        )
        headers = await self._headers(asked, answers)
        created, keep = int(asked.now.timestamp()), self._keep(asked)
        if not params.stream:
            try:
                messages = await fold(answers, keep)
            finally:
                await close(answers)
            completion = to_chat_completion(messages, created=created, reading=reading)
            body = to_json(asked.endpoint.whole(completion))
            return Response(body, headers=headers, media_type="application/json")
        include_usage = bool(params.stream_options and params.stream_options.include_usage)
        common = to_completion_id(answers[0].stream.message)
        streams = [
            ChatCompletionStream(
                created=created, include_usage=include_usage, reading=reading, index=index, id=common
            )
            for index in range(len(answers))
        ]
        telling = Telling(answers, streams, asked.endpoint.chunk, include_usage, keep)
        return EventStreamResponse(
            telling.frames(),
            telling,
            headers,
            keepalive=self._settings.keepalive,
            deadline=deadline,
            last_words=_OUT_OF_TIME,
        )

    async def _headers(self, asked: _Asked, answers: Sequence[Answer]) -> dict[str, str]:
        warnings = [*asked.translated.warnings, *asked.refused.warnings]
        if asked.refused.warnings:
            # Or every request to come would be refused first.
            await self._thoughts.forget(asked.key.name, asked.recalled)
        return {**answers[0].stream.headers, **_warnings_header(warnings)}

    def _keep(self, asked: _Asked) -> Keep | None:
        """What remembers an answer that calls tools, if it may hold thinking."""
        if not asked.translated.thinks or "tools" not in asked.translated.params:
            return None

        async def keep(message: Message) -> None:
            if turn := turn_key(message):
                await self._thoughts.remember(asked.key.name, turn, replayable(message), asked.now)

        return keep

    def _model(self, name: str) -> Model:
        model = find_model(name, self._settings.model_aliases)
        if self._settings.anthropic_version >= _VERSION_WITHOUT_SAMPLING:
            return replace(model, sampling=False)
        return model

    def _refuse_too_many(self, choices: int) -> None:
        limit = self._settings.max_choices
        if choices > limit:
            raise invalid_request(
                f"Invalid 'n': integer above maximum value. Expected a value <= {limit}, but got {choices} "
                "instead. Each choice is a request of its own; the gateway's setting MAX_CHOICES bounds them.",
                "n",
                "integer_above_max_value",
            )


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


def _warnings_header(warnings: Sequence[Warned]) -> Mapping[str, str]:
    """Names what was left out or changed, as far as a header may carry it."""
    if not warnings:
        return {}
    told = "; ".join(f"{warning.param[:100]}: {warning.why}" for warning in warnings)
    plain = "".join(char if " " <= char <= "~" else "?" for char in told)
    return {"x-claudexia-warnings": plain if len(plain) <= _HEADER_LIMIT else f"{plain[:_HEADER_LIMIT]}..."}
