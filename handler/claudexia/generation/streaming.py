"""From Claude's events to what goes out: whole messages, or server-sent events as they come.

Choices of one request are read at once; where one of them fails, all have failed.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass

from starlette.types import Scope

from claudexia.errors import BUG, APIError, upstream_error
from claudexia.generation.billing import RequestUsage
from claudexia.generation.concurrency import gather_or_cancel, interleave
from claudexia.generation.generation import Answer, close
from claudexia.observability.log import log_bug
from claudexia.observability.record import RequestRecord
from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.response.usage import add_usage
from claudexia.translate.sse import DONE, comment, encode
from claudexia.translate.types.anthropic import Message, MessageStreamEvent
from claudexia.translate.types.openai import ChatCompletionChunk

# --- claudexia.deadline
# When an answer has to be over: Lambda ends an invocation that takes too long without a word to the client.

# What is kept for the last words: a second, but never more than a tenth of the time.
_RESERVE, _SHARE = 1.0, 0.1


def deadline_of(scope: Scope) -> float | None:
    """The event loop's time at which the answer has to end; None outside Lambda, where nobody stops it.

    Both Mangum and the streaming runtime put the invocation's context into the scope.
    """
    context = scope.get("aws.context")
    if context is None:
        return None
    left = float(context.get_remaining_time_in_millis()) / 1000
    return asyncio.get_running_loop().time() + left - min(_RESERVE, left * _SHARE)


def out_of_time() -> APIError:
    return APIError(
        504,
        "The answer was not complete when this deployment's time for one was over. Ask for fewer tokens, or "
        "let the gateway's operator raise the function's timeout.",
        type="server_error",
        code="timeout",
    )


_PING = comment("ping")

# Given each answer once it is whole, before the client learns that it is.
Keep = Callable[[Message], Coroutine[object, object, None]]


async def fold(answers: Sequence[Answer], keep: Keep | None) -> list[Message]:
    """Each answer as one Message. Raises APIError where one of them breaks off."""
    messages = await gather_or_cancel([_folded(answer) for answer in answers])
    if keep:
        await gather_or_cancel([keep(message) for message in messages])
    return messages


async def _folded(answer: Answer) -> Message:
    accumulator = MessageAccumulator()
    async for events in answer:
        for event in events:
            if event["type"] == "error":
                raise answer.stream.error(event)
            accumulator.feed(event)
            if accumulator.finished:
                await answer.stream.finish()
                return accumulator.message
    raise _cut_short()


@dataclass(frozen=True, slots=True)
class CompletionStreamer:
    """One streamed response. `streams` has a ChatCompletionStream for each of `answers`; `told` gives a chunk
    the shape the client asked for, None for one that it is not to see.
    """

    answers: Sequence[Answer]
    streams: Sequence[ChatCompletionStream]
    told: Callable[[ChatCompletionChunk], object]
    include_usage: bool
    keep: Keep | None
    account: RequestUsage
    record: RequestRecord

    async def aclose(self) -> None:
        """Also counts what the answers have used, be they whole or not."""
        try:
            await close(self.answers)
        finally:
            self.account.usage = add_usage(*(answer.spent for answer in self.answers))
            await self.account.close()

    def late(self) -> bytes:
        """The last words of an answer that is not whole when its time is over."""
        self.record.fail(out_of_time())
        self.record.outcome = "deadline"
        return encode(out_of_time().body())

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events, one piece per read; after a failure an error, and no [DONE]."""
        try:
            kept = [MessageAccumulator() for _ in self.answers if self.keep]
            async for index, events in interleave(self.answers):
                parts: list[bytes] = []
                try:
                    if kept:
                        await self._remember(kept[index], events)
                    self._relay(index, events, parts)
                finally:  # what came before a failure goes out before it is told
                    if parts:
                        self.record.mark_first_token()
                        yield b"".join(parts)
                if self.streams[index].finished and self._finished:
                    self.record.end()
                    if len(self.answers) == 1:  # of several, each was read to its end
                        await self.answers[0].stream.finish()
                    return
            raise _cut_short()
        except APIError as error:
            self.record.fail(error)
            yield encode(error.body())
        except Exception as error:
            log_bug(error)
            self.record.fail(BUG)
            yield encode(BUG.body())

    def _relay(self, index: int, events: Sequence[MessageStreamEvent], parts: list[bytes]) -> None:
        stream = self.streams[index]
        for event in events:
            if stream.finished:  # what follows a whole answer does not matter
                break
            if event["type"] == "ping":
                parts.append(_PING)
            elif event["type"] == "error":
                raise self.answers[index].stream.error(event)
            else:
                self._tell(stream.feed(event), parts)
        if stream.finished and self._finished:
            if self.include_usage:
                self._tell([self._usage_chunk()], parts)
            parts.append(DONE)

    def _usage_chunk(self) -> ChatCompletionChunk:
        self.account.usage = add_usage(*(stream.usage for stream in self.streams))
        chunk = self.streams[0].usage_chunk(self.account.usage)
        if usage := chunk.get("usage"):
            self.account.show_cost(usage)
        return chunk

    @property
    def _finished(self) -> bool:
        return all(stream.finished for stream in self.streams)

    def _tell(self, chunks: Sequence[ChatCompletionChunk], parts: list[bytes]) -> None:
        for chunk in chunks:
            told = self.told(chunk)
            if told is not None:
                parts.append(encode(told))

    async def _remember(self, kept: MessageAccumulator, events: Sequence[MessageStreamEvent]) -> None:
        for event in events:
            if kept.finished:
                return
            kept.feed(event)
            if event["type"] == "message_stop" and self.keep:
                await self.keep(kept.message)


def _cut_short() -> APIError:
    return upstream_error("The upstream broke off in the middle of its answer.")
