"""Answer: what Claude says to one request, as one run of events.

A request whose replayed thinking the upstream refuses is asked once more without it, and a turn that Claude
paused is taken up again.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import cast

from claudexia.errors import APIError
from claudexia.generation.billing import UsageMeter
from claudexia.generation.concurrency import gather_or_cancel
from claudexia.translate.report import Report
from claudexia.translate.request.thinking_replay import refuses_thinking, strip_thinking
from claudexia.translate.response.accumulator import ContinuedTurn
from claudexia.translate.types.anthropic import MessageCreateParams, MessageParam, MessageStreamEvent, Usage
from claudexia.upstream.anthropic import MessageStream, Upstream

# Claude pauses after ten rounds of its server tools.
# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
_MOST_RESUMPTIONS = 8


class Answer:
    """An answer that has begun. Iterate for its events, one list per read; aclose() it in any case."""

    def __init__(
        self, upstream: Upstream, params: MessageCreateParams, now: datetime, stream: MessageStream
    ) -> None:
        self.stream = stream
        self._spending = UsageMeter(stream.message)
        self._upstream = upstream
        self._params = params
        self._now = now

    def __aiter__(self) -> AsyncIterator[Sequence[MessageStreamEvent]]:
        return self._whole_turn() if self._may_pause else _Counted(aiter(self.stream), self._spending)

    async def _whole_turn(self) -> AsyncIterator[Sequence[MessageStreamEvent]]:
        turn = ContinuedTurn()
        for resumptions in range(_MOST_RESUMPTIONS + 1):
            if resumptions:
                await self._resume(turn)
            async for events in self.stream:
                self._spending.feed(events)
                yield [part for event in events for part in turn.feed(event)]
            if not turn.paused:
                return
        yield turn.give_up()

    @property
    def spent(self) -> Usage:
        """What it has used so far, also if it is not read to its end."""
        return self._spending.usage

    async def aclose(self) -> None:
        await self.stream.aclose()

    @property
    def _may_pause(self) -> bool:
        """Only a turn with the API's own tools is ever paused."""
        return any("input_schema" not in tool for tool in self._params.get("tools", ()))

    async def _resume(self, turn: ContinuedTurn) -> None:
        await self.aclose()
        said = cast("MessageParam", {"role": "assistant", "content": turn.content})
        messages = [*self._params["messages"], said]
        self.stream = await self._upstream.open({**self._params, "messages": messages}, self._now)


class _Counted:
    """No generator, as the readers of an answer leave it midway: asyncio would make a task to close it."""

    def __init__(self, reads: AsyncIterator[Sequence[MessageStreamEvent]], spending: UsageMeter) -> None:
        self._reads = reads
        self._spending = spending

    def __aiter__(self) -> "_Counted":
        return self

    async def __anext__(self) -> Sequence[MessageStreamEvent]:
        events = await anext(self._reads)
        self._spending.feed(events)
        return events


async def start_generations(
    upstream: Upstream,
    params: MessageCreateParams,
    count: int,
    now: datetime,
    answers: list[Answer],
    report: Report,
) -> None:
    """Asks `count` times at once, and puts each answer that begins into `answers`, whose owner closes them.

    Raises APIError where one does not begin. `report` is told of thinking that was refused and left out, and
    nothing else.
    """

    async def begin() -> None:
        answers.append(await _begun(upstream, params, now, report))

    await gather_or_cancel([begin() for _ in range(count)])


async def close(answers: Sequence[Answer]) -> None:
    async with AsyncExitStack() as closing:  # each of them, whatever becomes of the others
        for answer in answers:
            closing.push_async_callback(answer.aclose)


async def _begun(upstream: Upstream, params: MessageCreateParams, now: datetime, report: Report) -> Answer:
    try:
        return Answer(upstream, params, now, await upstream.open(params, now))
    except APIError as error:
        bare = strip_thinking(params)
        if bare == params or not refuses_thinking(error):
            raise
    report.at("messages").warn("Claude refused its earlier thinking here, so it was left out")
    return Answer(upstream, bare, now, await upstream.open(bare, now))
