"""From generations to the response: whole messages, or server-sent events as they arrive.

The choices of one request are read concurrently; the first failure ends the response.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Protocol

from claudexia.errors import INTERNAL_ERROR, APIError
from claudexia.generation.billing import RequestUsage
from claudexia.generation.concurrency import gather_or_cancel, merge
from claudexia.generation.generation import Generation, close_generations, cut_short
from claudexia.observability.log import log_bug
from claudexia.observability.record import RequestRecord
from claudexia.translate.types.anthropic import Message, MessageStreamEvent, Usage

# Stores what later requests may need of a complete answer.
Keep = Callable[[Generation], Coroutine[object, object, None]]


class Encoder(Protocol):
    """Encodes one streamed response in the format of one client API. Each response has its own encoder.

    The frames are those of feed() for the events of all choices and then end(), or error() after a failure.
    """

    def feed(self, index: int, event: MessageStreamEvent) -> bytes:
        """The frames for an event of choice `index`; may be empty. Raises APIError."""

    def end(self, usage: Usage, cost: float | None) -> bytes:
        """The last frames.

        `usage` is the sum over all choices, `cost` in US dollars, None if it is not shown.
        """

    def error(self, error: APIError) -> bytes:
        """The last frame of a response that failed."""

    def keep_alive(self) -> bytes:
        """A frame without content in the API's own shape, valid between any two others; b"" after the last one.

        It fills silence. A comment would not do: not every client can read one.
        """


async def collect_messages(generations: Sequence[Generation], keep: Keep) -> list[Message]:
    """The complete Message of each generation. Raises APIError if one of them fails."""
    messages = await gather_or_cancel([_collect(generation) for generation in generations])
    await gather_or_cancel([keep(generation) for generation in generations])
    return messages


async def _collect(generation: Generation) -> Message:
    async for _ in generation.events():
        pass
    if not generation.finished:
        raise cut_short()
    return generation.message


class CompletionStreamer:
    """One streamed response. aclose() closes the generations and records their usage."""

    def __init__(
        self,
        generations: Sequence[Generation],
        encoder: Encoder,
        keep: Keep,
        usage: RequestUsage,
        record: RequestRecord,
    ) -> None:
        self._generations = generations
        self._encoder = encoder
        self._keep = keep
        self._usage = usage
        self._record = record
        self._unfinished = len(generations)
        self._failed = False  # the error frame has been made

    async def aclose(self) -> None:
        try:
            await close_generations(self._generations)
        finally:
            await self._usage.close()

    def deadline_frame(self) -> bytes:
        """The last frame of a response that is incomplete at its deadline."""
        return self._error_frame(recorded_deadline(self._record))

    def keep_alive_frame(self) -> bytes:
        """A frame that fills silence; b"" if the response is complete or has failed."""
        return b"" if self._failed else self._encoder.keep_alive()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events, one item per network read. After a failure, the last one is an error."""
        try:
            sources = [generation.events(index) for index, generation in enumerate(self._generations)]
            async with aclosing(merge(sources)) as reads:
                async for index, events in reads:
                    if events[-1]["type"] == "message_stop":
                        await self._keep(self._generations[index])
                    frames: list[bytes] = []
                    try:
                        self._encode(index, events, frames)
                    finally:  # frames before a failure are sent before its error
                        if frames:
                            self._record.mark_first_token()
                            yield b"".join(frames)
                    if not self._unfinished:
                        self._record.end()
            if self._unfinished:
                raise cut_short()
        except Exception as error:
            yield self._error_frame(recorded_failure(error, self._record))

    def _encode(self, index: int, events: Sequence[MessageStreamEvent], frames: list[bytes]) -> None:
        """Appends to `frames`, so that the frames before a failure are kept."""
        feed, append = self._encoder.feed, frames.append
        for event in events:
            if frame := feed(index, event):
                append(frame)
        if events[-1]["type"] == "message_stop":
            self._unfinished -= 1
            if not self._unfinished:
                frames.append(self._encoder.end(self._usage.total(), self._usage.shown_cost()))

    def _error_frame(self, error: APIError) -> bytes:
        self._failed = True
        return self._encoder.error(error)


def recorded_failure(error: Exception, record: RequestRecord) -> APIError:
    """Records the failure of a started response. Returns the error for its last frame."""
    if not isinstance(error, APIError):
        log_bug(error)
        error = INTERNAL_ERROR
    record.fail(error)
    return error


def recorded_deadline(record: RequestRecord) -> APIError:
    """Records that a started response hit the deadline. Returns the error for its last frame."""
    error = deadline_exceeded()
    record.fail(error)
    record.outcome = "deadline"
    return error


def deadline_exceeded() -> APIError:
    return APIError(
        504,
        "The request hit this deployment's time limit before the answer was complete. Ask for fewer tokens, or "
        "ask the gateway's operator to raise the function's timeout.",
        type="server_error",
        code="timeout",
    )
