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
from claudexia.access.thoughts import ThoughtStore
from claudexia.account import Account, Books
from claudexia.answers import Answer, begin_answers, close
from claudexia.deadline import deadline_of, out_of_time
from claudexia.endpoint import CHAT, Endpoint
from claudexia.event_stream import EventStreamResponse, while_connected
from claudexia.memory import Memory
from claudexia.records import RequestRecord, field_names, record_of
from claudexia.settings import Settings
from claudexia.telling import Telling, fold
from claudexia.together import both
from claudexia.translate import (
    ChatCompletionStream,
    MessageRequest,
    add_usage,
    find_model,
    to_chat_completion,
    to_message_params,
    turns_to_recall,
)
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.errors import invalid_request
from claudexia.translate.fields import Report
from claudexia.translate.models import Model
from claudexia.translate.response import to_completion_id
from claudexia.upstream import Upstream
from claudexia.wire import asks, read_body, warnings_header

# From this version on, no model takes temperature, top_p or top_k.
_VERSION_WITHOUT_SAMPLING = "2026-10-21"


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who asks, when, and where that is written down. `deadline` is in the loop's time."""

    key: Key
    now: datetime
    account: Account
    memory: Memory
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
        thoughts: ThoughtStore,
        books: Books,
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
        account, memory = Account(self._books, key, record, now), Memory(self._thoughts, key.id, now)
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
            recalled=await caller.memory.recall(turns_to_recall(params, model)),
            today=caller.now.date(),
        )
        if asks(headers, "thinking-blocks"):
            reading = replace(translated.reading, thinking_blocks=True)
            translated = replace(translated, reading=reading)
        return _Asked(endpoint, params, translated, Report(strict), caller)

    async def _answer(self, asked: _Asked) -> Response:
        params, account = asked.params, asked.caller.account
        sent, choices = asked.translated.params, params.n or 1
        asked_limit = params.max_completion_tokens or params.max_tokens
        await account.open(sent, choices, streamed=bool(params.stream), asked_limit=asked_limit)
        answers: list[Answer] = []
        async with AsyncExitStack() as unfinished:
            unfinished.push_async_callback(_give_up, answers, account)
            beginning = begin_answers(self._upstream, sent, choices, asked.caller.now, answers, asked.refused)
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
        messages = await fold(answers, asked.caller.memory.keep if translated.is_kept else None)
        account.usage = add_usage(*(message["usage"] for message in messages))
        completion = to_chat_completion(messages, created=asked.created, reading=translated.reading)
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
                reading=translated.reading,
                index=index,
                id=common,
            )
            for index in range(len(answers))
        ]
        keep = caller.memory.keep if translated.is_kept else None
        telling = Telling(
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
            await asked.caller.memory.forget()
        asked.caller.record.warnings = field_names(warning.param for warning in warnings)
        return {**answers[0].stream.headers, **warnings_header(warnings)}

    def _model(self, params: CompletionCreateParams, key: Key) -> Model:
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


async def _give_up(answers: Sequence[Answer], account: Account) -> None:
    """What was used of answers that nobody gets is paid for all the same."""
    account.usage = add_usage(*(answer.spent for answer in answers))
    await close(answers)
