"""One completion, from the request's bytes to the response."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import to_json

from claudexia.access.keys import Key, permit_model
from claudexia.access.limits import bounded_max_tokens
from claudexia.access.thinking_store import CallerThinking, ThinkingStore
from claudexia.api.event_stream import EventStreamResponse, while_connected
from claudexia.api.text_completions import to_chat_body, to_text_chunk, to_text_completion
from claudexia.errors import APIError, invalid_request
from claudexia.generation.billing import Billing, RequestUsage
from claudexia.generation.concurrency import both
from claudexia.generation.generation import Answer, close, start_generations
from claudexia.generation.streaming import CompletionStreamer, deadline_of, fold, out_of_time
from claudexia.models import ClaudeModel, find_model
from claudexia.observability.record import RequestRecord, field_names, record_of
from claudexia.settings import Settings
from claudexia.translate.report import FieldWarning, Report
from claudexia.translate.request.build import MessageRequest, replay_keys, to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.response.completion import to_chat_completion, to_completion_id
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.response.usage import add_usage
from claudexia.translate.types.openai import ChatCompletion, ChatCompletionChunk
from claudexia.translate.types.params import CompletionCreateParams
from claudexia.upstream.anthropic import Upstream

# --- claudexia.wire
# What comes in and goes out around a completion: the request's body and wishes, the response's warnings.

_HEADER_LIMIT = 4000


async def read_body(request: Request, limit: int) -> bytes:
    """Raises APIError 413 beyond `limit` bytes."""
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


def asks(headers: Mapping[str, str], wish: str, value: str = "true") -> bool:
    """Whether the header `x-claudexia-<wish>` says `value`."""
    return headers.get(f"x-claudexia-{wish}", "").lower() == value


def warnings_header(warnings: Sequence[FieldWarning]) -> Mapping[str, str]:
    """Names what was left out or changed, as far as a header may carry it."""
    if not warnings:
        return {}
    told = "; ".join(f"{warning.param[:100]}: {warning.reason}" for warning in warnings)
    plain = "".join(char if " " <= char <= "~" else "?" for char in told)
    return {"x-claudexia-warnings": plain if len(plain) <= _HEADER_LIMIT else f"{plain[:_HEADER_LIMIT]}..."}


# --- claudexia.endpoint
# Endpoint: what one way to ask makes of a request's body, and of the answer's parts.


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A way to ask: `parse` reads a body, `whole` and `chunk` give the answer's parts their shape; a chunk that
    is None is told to nobody.
    """

    parse: Callable[[bytes], CompletionCreateParams]
    whole: Callable[[ChatCompletion], object]
    chunk: Callable[[ChatCompletionChunk], object]


CHAT = Endpoint(parse_params, lambda completion: completion, lambda chunk: chunk)
TEXT = Endpoint(lambda body: parse_params(to_chat_body(body)), to_text_completion, to_text_chunk)

# From this version on, no model takes temperature, top_p or top_k.
_VERSION_WITHOUT_SAMPLING = "2026-10-21"


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who asks, when, and where that is written down. `deadline` is in the loop's time."""

    key: Key
    now: datetime
    account: RequestUsage
    memory: CallerThinking
    record: RequestRecord
    deadline: float | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, understood. `refused` hears of recalled thinking that the upstream does not take."""

    endpoint: Endpoint
    params: CompletionCreateParams
    translated: MessageRequest
    refused: Report
    caller: _Caller

    @property
    def created(self) -> int:
        return int(self.caller.now.timestamp())


class Completions:
    """What answers requests for completions. `now` gives the time with its zone."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        thoughts: ThinkingStore,
        books: Billing,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._upstream = upstream
        self._thoughts = thoughts
        self._books = books
        self._now = now

    async def create(self, request: Request, key: Key, endpoint: Endpoint = CHAT) -> Response:
        """Raises APIError for everything that fails before the answer begins."""
        record, now = record_of(request.scope), self._now()
        record.key, record.key_id = key.name, key.id
        account = RequestUsage(self._books, key, record, now)
        memory = CallerThinking(self._thoughts, key.id, now)
        caller = _Caller(key, now, account, memory, record, deadline_of(request.scope))
        try:
            return await self._created(request, caller, endpoint)
        except BaseException as error:
            await account.fail(error)
            raise

    async def _created(self, request: Request, caller: _Caller, endpoint: Endpoint) -> Response:
        params = endpoint.parse(await read_body(request, self._settings.max_body))
        self._refuse_too_many(params.n or 1)
        try:
            async with asyncio.timeout_at(caller.deadline), while_connected(request.receive):
                asked = await self._understood(params, request.headers, caller, endpoint)
                return await self._answer(asked)
        except TimeoutError:
            caller.record.outcome = "deadline"
            raise out_of_time() from None

    async def _understood(
        self, params: CompletionCreateParams, headers: Mapping[str, str], caller: _Caller, endpoint: Endpoint
    ) -> _Asked:
        model, strict = self._model(params, caller.key), asks(headers, "strict")
        translated = to_message_params(
            params,
            model,
            strict=strict,
            caching=self._settings.prompt_caching and not asks(headers, "cache", "off"),
            stored_answers=await caller.memory.load(replay_keys(params, model)),
            today=caller.now.date(),
        )
        if asks(headers, "thinking-blocks"):
            options = replace(translated.options, thinking_blocks=True)
            translated = replace(translated, options=options)
        return _Asked(endpoint, params, translated, Report(strict), caller)

    async def _answer(self, asked: _Asked) -> Response:
        params, account = asked.params, asked.caller.account
        sent, choices = asked.translated.params, params.n or 1
        asked_limit = params.max_completion_tokens or params.max_tokens
        await account.open(sent, choices, streamed=bool(params.stream), asked_limit=asked_limit)
        answers: list[Answer] = []
        async with AsyncExitStack() as unfinished:
            unfinished.push_async_callback(_give_up, answers, account)
            beginning = start_generations(
                self._upstream, sent, choices, asked.caller.now, answers, asked.refused
            )
            limits: Mapping[str, str] = {}
            if account.limited:
                _, limits = await both(beginning, account.headers())
            else:  # which needs no second task
                await beginning
            headers = {**await self._headers(asked, answers), **limits}
            if not params.stream:
                return await self._whole(asked, answers, headers)
            response = self._streamed(asked, answers, headers)
            unfinished.pop_all()
            return response

    async def _whole(self, asked: _Asked, answers: Sequence[Answer], headers: Mapping[str, str]) -> Response:
        account, record, translated = asked.caller.account, asked.caller.record, asked.translated
        record.mark_first_token()
        messages = await fold(answers, asked.caller.memory.save if translated.stores_thinking else None)
        account.usage = add_usage(*(message["usage"] for message in messages))
        completion = to_chat_completion(messages, created=asked.created, options=translated.options)
        account.show_cost(completion["usage"])
        body = to_json(asked.endpoint.whole(completion))
        record.end()
        await account.close()
        return Response(body, headers={**headers, **account.shown()}, media_type="application/json")

    def _streamed(
        self, asked: _Asked, answers: Sequence[Answer], headers: Mapping[str, str]
    ) -> EventStreamResponse:
        caller, translated, options = asked.caller, asked.translated, asked.params.stream_options
        include_usage = bool(options and options.include_usage)
        common = to_completion_id(answers[0].stream.message)
        streams = [
            ChatCompletionStream(
                created=asked.created,
                include_usage=include_usage,
                options=translated.options,
                index=index,
                id=common,
            )
            for index in range(len(answers))
        ]
        keep = caller.memory.save if translated.stores_thinking else None
        telling = CompletionStreamer(
            answers, streams, asked.endpoint.chunk, include_usage, keep, caller.account, caller.record
        )
        return EventStreamResponse(
            telling.frames(),
            telling,
            {**headers, **caller.account.shown()},
            keepalive=self._settings.keepalive,
            deadline=caller.deadline,
            last_words=telling.late,
        )

    async def _headers(self, asked: _Asked, answers: Sequence[Answer]) -> dict[str, str]:
        warnings = [*asked.translated.warnings, *asked.refused.warnings]
        if asked.refused.warnings:
            await asked.caller.memory.delete_loaded()
        asked.caller.record.warnings = field_names(warning.param for warning in warnings)
        return {**answers[0].stream.headers, **warnings_header(warnings)}

    def _model(self, params: CompletionCreateParams, key: Key) -> ClaudeModel:
        """What the asked model takes, as far as this deployment and this key let it. Raises APIError."""
        model = find_model(params.model, self._settings.model_aliases)
        permit_model(key, params.model, model.id)
        if self._settings.anthropic_version >= _VERSION_WITHOUT_SAMPLING:
            model = replace(model, sampling=False)
        most = key.limits.max_tokens
        if most is None:
            return model
        bounded_max_tokens(key.limits, params.max_completion_tokens or params.max_tokens, most)
        return replace(
            model,
            max_output_tokens=min(most, model.max_output_tokens or most),
            default_max_tokens=min(most, model.default_max_tokens),
        )

    def _refuse_too_many(self, choices: int) -> None:
        limit = self._settings.max_choices
        if choices > limit:
            raise invalid_request(
                f"Invalid 'n': integer above maximum value. Expected a value <= {limit}, but got {choices} "
                "instead. Each choice is a request of its own; the gateway's setting MAX_CHOICES bounds them.",
                "n",
                "integer_above_max_value",
            )


async def _give_up(answers: Sequence[Answer], account: RequestUsage) -> None:
    """What was used of answers that nobody gets is paid for all the same."""
    account.usage = add_usage(*(answer.spent for answer in answers))
    await close(answers)
