"""Relay: an answer of the Messages API whose bytes go to the client unchanged, but for Unicode's line ends.

A second reader of the same bytes counts the tokens, as for a Generation. What it does not understand is
relayed all the same: the client may.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress

from pydantic_core import from_json

from claudexia.errors import APIError, upstream_error
from claudexia.generation.billing import RequestUsage
from claudexia.generation.generation import cut_short
from claudexia.generation.streaming import recorded_deadline, recorded_failure
from claudexia.json_text import with_line_ends_escaped
from claudexia.observability.record import RequestRecord
from claudexia.settings import HostName
from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.event_shape import valid_usage
from claudexia.translate.sse import EventDecoder, WholeEvents, named_event
from claudexia.translate.types.anthropic import MessageStreamEvent, Usage
from claudexia.upstream import RawResponse

# What the second reader raises for an event that it cannot read.
_UNREADABLE = (APIError, KeyError, TypeError, AttributeError, ValueError)


class Relay:
    """One RawResponse on its way to the client. start() comes first; call aclose() in any case.

    `on_events` gets the events of each network read that can be read here, before the next one. What it raises
    ends the answer.
    `failure` is the error that the upstream reported in its stream, and `body` a response that is no stream.
    """

    def __init__(
        self,
        response: RawResponse,
        on_events: Callable[[Sequence[MessageStreamEvent]], Awaitable[None]] | None = None,
    ) -> None:
        self.finished = False
        self.failure: APIError | None = None
        self.body = b""
        self._response = response
        self._on_events = on_events
        self._reads = aiter(response)
        self._decoder = EventDecoder()
        self._accumulator = MessageAccumulator()
        self._whole_events = WholeEvents()
        self._first: MessageStreamEvent | None = None  # but for pings
        self._opening: tuple[bytes, Sequence[MessageStreamEvent]] = (b"", ())
        self._usage: Usage = {}  # of a response that is no stream

    @property
    def response(self) -> RawResponse:
        return self._response

    @property
    def host(self) -> HostName:
        return self._response.host

    @property
    def usage(self) -> Usage:
        """Tokens used so far."""
        return self._accumulator.usage if self._response.is_stream else self._usage

    async def start(self) -> None:
        """Waits for the first event, or for the whole body of a response that is no stream.

        Raises APIError if there is no event or the first one is an error: it keeps its HTTP status that way.
        """
        if not self._response.is_stream:
            self.body = with_line_ends_escaped(await self._response.read())
            self._usage, self.finished = _usage_in(self.body), True
            return
        opening, read = list[bytes](), list[MessageStreamEvent]()
        while self._first is None:
            try:
                data, events = await self._next()
            except StopAsyncIteration:
                raise upstream_error("The upstream answered with no events.") from None
            opening.append(data)
            read += events
        self._opening = (b"".join(opening), read)
        if self._first["type"] == "error":
            raise self._response.error(self._first)

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The bytes of whole events, as they arrive. Raises APIError if the answer breaks off."""
        data, events = self._opening
        while True:
            if frame := self._whole_events.feed(data):
                yield with_line_ends_escaped(frame)
            if self._ended:
                break
            if self._on_events:
                await self._on_events(events)
            try:
                data, events = await self._next()
            except StopAsyncIteration:
                break
        if not self._ended:
            self._read(self._decoder.close())  # the last event may lack its blank line
            if not self._ended:
                raise cut_short()
        rest = await self._response.finish() if self.finished else b""
        if last := self._whole_events.feed(rest) + self._whole_events.rest():
            yield with_line_ends_escaped(last)

    async def aclose(self) -> None:
        await self._response.aclose()

    async def _next(self) -> tuple[bytes, Sequence[MessageStreamEvent]]:
        data = await anext(self._reads)
        return data, self._read(self._decoder.feed(data))

    @property
    def _ended(self) -> bool:
        return self.finished or self.failure is not None

    def _read(self, events: Sequence[MessageStreamEvent]) -> Sequence[MessageStreamEvent]:
        """Counts `events`, and returns those that could be read."""
        read: list[MessageStreamEvent] = []
        for event in events:
            with suppress(*_UNREADABLE):
                self._accumulator.feed(event)
                read.append(event)
            if self._first is None and event["type"] != "ping":
                self._first = event
            if event["type"] == "message_stop":
                self.finished = True
            elif event["type"] == "error":
                self.failure = self._response.error(event)
        return read


_PING = named_event({"type": "ping"})


class RelayStreamer:
    """A streamed response of the Messages API. aclose() closes the relay and records the usage."""

    def __init__(self, relay: Relay, usage: RequestUsage, record: RequestRecord) -> None:
        self._relay = relay
        self._usage = usage
        self._record = record

    async def aclose(self) -> None:
        try:
            await self._relay.aclose()
        finally:
            await self._usage.close()

    def deadline_frame(self) -> bytes:
        """The last frame of a response that is incomplete at its deadline."""
        return self._error_frame(recorded_deadline(self._record))

    def keep_alive_frame(self) -> bytes:
        return _PING

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The upstream's events. After a failure that the upstream did not report, the last one is an error."""
        try:
            async for frame in self._relay.frames():
                self._record.mark_first_token()
                yield frame
                if self._relay.finished:
                    self._record.end()
            if self._relay.failure:
                self._record.fail(self._relay.failure)
        except Exception as error:
            yield self._error_frame(recorded_failure(error, self._record))

    def _error_frame(self, error: APIError) -> bytes:
        return named_event({**error.anthropic_body(self._record.request_id)})


def _usage_in(body: bytes) -> Usage:
    try:
        return valid_usage(from_json(body))
    except ValueError:
        raise upstream_error("The upstream's answer is not JSON.") from None
