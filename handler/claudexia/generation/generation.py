"""Generation: Claude's answer to one request, as one sequence of events.

A turn that Claude paused is resumed, and one without the tool call that the client demands is continued by a
second request. If the upstream refuses the thinking that the request replays, the request is sent once more
without it. A request for several choices has one Generation per choice.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, Protocol, cast

from claudexia.errors import APIError, upstream_error
from claudexia.generation.concurrency import gather_or_cancel
from claudexia.settings import HostName
from claudexia.translate.report import SELECTED, Report
from claudexia.translate.request.forced_call import ForcedCall, refuses_schema
from claudexia.translate.request.prompt_cache import estimate_tokens
from claudexia.translate.request.thinking import ANSWER_TOKENS, MIN_BUDGET
from claudexia.translate.request.thinking_replay import REFUSED_THINKING, without_refused
from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.event_shape import SHAPE_ERRORS, malformed, valid_usage
from claudexia.translate.response.forced_call import CallEvents
from claudexia.translate.response.usage import add_usage
from claudexia.translate.types.anthropic import (
    Message,
    MessageCreateParams,
    MessageParam,
    MessageStreamEvent,
    Usage,
)
from claudexia.upstream import FailedAttempts, HostClient, MessageStream

# Claude pauses a turn after ten rounds of its server tools.
# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
_MAX_RESUMPTIONS = 8


class Answer(Protocol):
    """What billing reads of an answer: its host, the tokens used so far, and whether it is complete."""

    @property
    def host(self) -> HostName: ...

    @property
    def usage(self) -> Usage: ...

    @property
    def finished(self) -> bool: ...


class GenerationRequest(NamedTuple):
    """What to send and where; `now` is when the client's request came, `failed` as for HostClient.open().

    `on_events` gets the events of each network read before the next read, and `on_continuation` each further
    request for the same answer, with the output tokens that it may add. What they raise ends the answer.
    `forced_call` is the call that the client demands of a model that takes no forced choice.
    """

    host: HostClient
    params: MessageCreateParams
    now: datetime
    failed: FailedAttempts
    on_events: Callable[[Sequence[MessageStreamEvent]], Awaitable[None]] | None = None
    on_continuation: Callable[[MessageCreateParams, int], Awaitable[None]] | None = None
    forced_call: ForcedCall | None = None

    async def open(self) -> MessageStream:
        return await self.host.open(self.params, self.now, self.failed)

    def can_pause(self) -> bool:
        """Claude pauses only turns with server tools."""
        return any("input_schema" not in tool for tool in self.params.get("tools", ()))

    def resumed_with(self, content: Sequence[object], used: int) -> "GenerationRequest | None":
        """The request that resumes a paused turn with `content`, the assistant's so far, of `used` tokens.

        max_tokens limits the whole turn. None if what is left of it does not even hold the smallest thinking
        budget, or is nothing.
        """
        left, thinking = self.params["max_tokens"] - used, self.params.get("thinking")
        budget = thinking.get("budget_tokens") if thinking else None
        if left < 1 or (budget and left <= MIN_BUDGET):
            return None
        message = cast("MessageParam", {"role": "assistant", "content": content})
        messages = [*self.params["messages"], message]
        params: MessageCreateParams = {**self.params, "max_tokens": left, "messages": messages}
        if thinking and budget:
            answer = min(ANSWER_TOKENS, self.params["max_tokens"] - budget)  # which the first request left
            params["thinking"] = {**thinking, "budget_tokens": min(budget, max(MIN_BUDGET, left - answer))}
        return self._replace(params=params)

    def with_selected_call(self, forced_call: ForcedCall) -> "GenerationRequest":
        """The second request for the call that the answer to this one lacks."""
        params = forced_call.second_request(self.params)
        return self._replace(params=params, forced_call=replace(forced_call, schema=None, format=SELECTED))


class Generation:
    """An answer that has started: the first event of `stream` has arrived. Call aclose() in any case."""

    def __init__(self, request: GenerationRequest, stream: MessageStream) -> None:
        self._request = request
        self._stream = stream
        forced_call = request.forced_call
        self._accumulator = MessageAccumulator(resumable=request.can_pause(), must_call=forced_call is not None)
        self._calls = CallEvents(forced_call.format) if forced_call and forced_call.format else None
        self._second_request = False  # for a call that the first answer lacks
        self._stopped = False  # the current message is complete, or has failed with `_failure`
        self._failure: APIError | None = None
        self._unanswered: MessageCreateParams | None = None  # the further request that waits for its answer

    @property
    def stream(self) -> MessageStream:
        return self._stream

    @property
    def host(self) -> HostName:
        return self._stream.host

    @property
    def message(self) -> Message:
        """The whole answer, once events() has ended."""
        return self._accumulator.message

    @property
    def finished(self) -> bool:
        return self._accumulator.finished

    @property
    def usage(self) -> Usage:
        """Tokens used so far, also if the events were not read to the end, or not at all.

        The input of a further request that Claude is working on is estimated.
        """
        accumulator = self._accumulator
        usage = accumulator.usage if accumulator.started else valid_usage(self._stream.message)
        if self._unanswered is None:
            return usage
        return add_usage(usage, {"input_tokens": estimate_tokens(self._unanswered)})

    async def events(self, index: int = 0) -> AsyncGenerator[tuple[int, Sequence[MessageStreamEvent]], None]:
        """Reads the answer to its end: yields `index` and the events for an encoder, one list per network read.

        The last list ends with message_stop, unless the upstream's stream ends before: then the caller raises
        cut_short(), after it has read the other choices. Raises APIError if the upstream reports an error or
        sends a malformed event; all events before it have been yielded by then.
        """
        resumptions = 0
        reads, events = aiter(self._stream), self._stream.opening
        while True:
            if accumulated := self._accumulate(events):
                yield index, accumulated
            if self._stopped:
                if self._failure:
                    raise self._failure
                request = None
                if self._accumulator.paused:
                    request = self._resumed() if resumptions < _MAX_RESUMPTIONS else None
                    resumptions += 1
                    if request is None:
                        yield index, self._accumulator.end_turn()
                await self._stream.finish()
                if self._accumulator.finished:
                    return
                await self._continue_with(request or self._request_for_call())
                reads, events = aiter(self._stream), self._stream.opening
                continue
            if self._request.on_events:
                await self._request.on_events(events)
            try:
                events = await anext(reads)
            except StopAsyncIteration:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _accumulate(self, events: Sequence[MessageStreamEvent]) -> list[MessageStreamEvent]:
        """The events for the encoder, up to the first failure, which is kept in `_failure`."""
        accumulated: list[MessageStreamEvent] = []
        feed_delta, append = self._accumulator.feed_delta, accumulated.append
        try:
            for event in self._with_calls(events) if self._calls else events:
                if event["type"] == "content_block_delta":  # first, since most events are deltas
                    append(feed_delta(event))
                    continue
                if event["type"] == "error":
                    raise self._stream.error(event)
                accumulated += self._accumulator.feed(event)
                if event["type"] == "message_stop":  # what follows is not part of the message
                    self._stopped = True
                    break
        except SHAPE_ERRORS:
            self._stopped, self._failure = True, malformed("an event of the wrong shape")
        except APIError as error:
            self._stopped, self._failure = True, error
        return accumulated

    def _with_calls(self, events: Sequence[MessageStreamEvent]) -> Iterator[MessageStreamEvent]:
        """The events, with the constrained text as tool calls."""
        for event in events:
            if self._calls and event["type"] != "error":
                yield from self._calls.feed(event)
            else:
                yield event

    def _resumed(self) -> GenerationRequest | None:
        used = self._accumulator.usage.get("output_tokens") or 0
        return self._request.resumed_with(self._accumulator.resume_content, used)

    async def _continue_with(self, request: GenerationRequest) -> None:
        """Opens the stream of the request that continues the turn."""
        await self._stream.aclose()
        self._stopped = False
        if request.on_continuation:  # a resumption writes what the first request left of its max_tokens
            output = 0 if self._accumulator.paused else request.params["max_tokens"]
            await request.on_continuation(request.params, output)
        self._unanswered = request.params
        try:  # on the same host: only the one that paused the turn knows its server tools' results
            self._stream = await request.open()
        except APIError:
            self._unanswered = None
            raise
        self._unanswered = None

    def _request_for_call(self) -> GenerationRequest:
        """Raises APIError 502 if it has been sent already."""
        forced_call = self._request.forced_call
        if not forced_call or self._second_request:
            raise upstream_error("Claude did not call the tool that the request demands, asked twice.")
        self._second_request, self._calls = True, CallEvents(SELECTED)
        return self._request.with_selected_call(forced_call)


def cut_short() -> APIError:
    """The error for an answer whose stream ended before its message_stop."""
    return upstream_error("The upstream broke off in the middle of its answer.")


async def start_generation(request: GenerationRequest, report: Report) -> Generation:
    """Raises APIError. Warns in `report` if the host refused replayed thinking, which was then left out."""
    try:
        return Generation(request, await request.open())
    except APIError as error:
        if request.forced_call and request.forced_call.schema and refuses_schema(error):
            request = request.with_selected_call(request.forced_call)
            return Generation(request, await request.open())
        stripped = without_refused(request.params, error)
        if stripped is None:
            raise
    report.at(REFUSED_THINKING.param).warn(REFUSED_THINKING.reason)
    request = request._replace(params=stripped)
    return Generation(request, await request.open())


async def start_generations(
    start: Callable[[], Awaitable[Generation]], count: int, started: list[Generation]
) -> None:
    """Calls `start` `count` times concurrently and appends each Generation to `started` as it starts.

    The caller closes them, also after a failure. Raises the APIError of the first that does not start.
    """

    async def append() -> None:
        started.append(await start())

    await gather_or_cancel([append() for _ in range(count)])


async def close_generations(generations: Sequence[Generation]) -> None:
    if len(generations) == 1:
        await generations[0].aclose()
        return
    async with AsyncExitStack() as stack:  # closes each of them, even if closing another one fails
        for generation in generations:
            stack.push_async_callback(generation.aclose)


def total_usage(answers: Iterable[Answer]) -> Usage:
    return add_usage(*(answer.usage for answer in answers))
