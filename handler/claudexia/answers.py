"""Answer: what Claude says to one request, as one run of events.

A request whose replayed thinking the upstream refuses is asked once more without it, and a turn that Claude
paused is taken up again.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import cast

from claudexia.together import gathered
from claudexia.translate import APIError, ContinuedTurn, refuses_thinking, without_thinking
from claudexia.translate.anthropic import MessageStreamEvent
from claudexia.translate.anthropic_params import MessageCreateParams, MessageParam
from claudexia.upstream import MessageStream, Upstream

# Claude pauses after ten rounds of its server tools.
# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#pause-turn
_MOST_RESUMPTIONS = 8


class Answer:
    """An answer that has begun. Iterate for its events, one list per read; aclose() it in any case.

    `thoughtless` says that the upstream refused the thinking of earlier turns and answered without it.
    """

    def __init__(self, upstream: Upstream, params: MessageCreateParams, now: datetime) -> None:
        self.thoughtless = False
        self._upstream = upstream
        self._params = params
        self._now = now
        self._stream: MessageStream | None = None

    async def begin(self) -> None:
        """Raises APIError for everything that goes wrong before the first event."""
        try:
            await self._ask(self._params)
        except APIError as error:
            plain = without_thinking(self._params)
            if not refuses_thinking(error) or plain == self._params:
                raise
            self.thoughtless = True
            await self._ask(plain)

    @property
    def stream(self) -> MessageStream:
        assert self._stream, "begin() first"
        return self._stream

    async def __aiter__(self) -> AsyncIterator[Sequence[MessageStreamEvent]]:
        if not self._may_pause:
            async for events in self.stream:
                yield events
            return
        turn = ContinuedTurn()
        for resumptions in range(_MOST_RESUMPTIONS + 1):
            if resumptions:
                await self._resume(turn)
            async for events in self.stream:
                yield [part for event in events for part in turn.feed(event)]
            if not turn.paused:
                return
        yield turn.give_up()

    async def aclose(self) -> None:
        if self._stream:
            await self._stream.aclose()

    @property
    def _may_pause(self) -> bool:
        """Only a turn with the API's own tools is ever paused."""
        return any("input_schema" not in tool for tool in self._params.get("tools", ()))

    async def _resume(self, turn: ContinuedTurn) -> None:
        await self.aclose()
        said = cast("MessageParam", {"role": "assistant", "content": turn.content})
        messages = [*self._params["messages"], said]
        self._stream = await self._upstream.open({**self._params, "messages": messages}, self._now)

    async def _ask(self, params: MessageCreateParams) -> None:
        self._params = params
        self._stream = await self._upstream.open(params, self._now)


async def begin_answers(
    upstream: Upstream, params: MessageCreateParams, count: int, now: datetime
) -> list[Answer]:
    """`count` answers to the same request, asked for at once. Raises APIError where one does not begin."""
    answers = [Answer(upstream, params, now) for _ in range(count)]
    try:
        await gathered([answer.begin() for answer in answers])
    except BaseException:
        await close(answers)
        raise
    return answers


async def close(answers: Sequence[Answer]) -> None:
    for answer in answers:
        await answer.aclose()
