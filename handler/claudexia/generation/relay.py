"""Relay: an answer of the Messages API whose bytes go to the client unchanged, but for Unicode's line ends.

A second reader of the same bytes counts the tokens and finds what contradicts the protocol, as for a
Generation. An event that does is not relayed: the answer ends with an error. Events, blocks, deltas and fields
that the gateway does not know are relayed, since the client may know them.
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
from claudexia.translate.response.event_shape import SHAPE_ERRORS, check_whole, is_error, malformed
from claudexia.translate.sse import EVENTS, EventDecoder, WholeEvents, before_event, named_event
from claudexia.translate.types.anthropic import MessageStreamEvent, Usage
from claudexia.upstream import RawResponse


class Relay:
    """One RawResponse on its way to the client. start() comes first; call aclose() in any case.

    `on_events` gets the events of each network read, before the next one. What it raises ends the answer. With
    `counts_tokens`, the response is that of count_tokens.
    `failure` is the error that the upstream reported in its stream, and `body` a response that is no stream.
    """

    def __init__(
        self,
        response: RawResponse,
        on_events: Callable[[Sequence[MessageStreamEvent]], Awaitable[None]] | None = None,
        *,
        counts_tokens: bool = False,
    ) -> None:
        self.finished = False
        self.failure: APIError | None = None
        self.body = b""
        self._response = response
        self._on_events = on_events
        self._counts_tokens = counts_tokens
        self._reads = aiter(response)
        self._decoder = EventDecoder(named=True)
        self._accumulator = MessageAccumulator(new_calls=True)
        self._whole_events = WholeEvents()
        self._opening: tuple[bytes, Sequence[MessageStreamEvent]] = (b"", ())
        self._broken: APIError | None = None  # what is wrong with the event that is not relayed

    @property
    def response(self) -> RawResponse:
        return self._response

    @property
    def host(self) -> HostName:
        return self._response.host

    @property
    def usage(self) -> Usage:
        """Tokens used so far."""
        return self._accumulator.usage

    async def start(self) -> None:
        """Waits for the message's start, or for the whole body of a response that is no stream.

        Raises APIError if something else comes first, or if the body is damaged: so it keeps its HTTP status.
        """
        if not self._response.is_stream:
            body = await self._response.read()
            self._read_whole(body)
            self.body, self.finished = with_line_ends_escaped(body), True
            return
        opening, read = list[bytes](), list[MessageStreamEvent]()
        while True:
            try:
                data, events = self._read(await anext(self._reads))
            except StopAsyncIteration:
                raise upstream_error("The upstream answered with no events.") from None
            opening.append(data)
            read += events
            if self._accumulator.started:
                self._opening = (b"".join(opening), read)
                return
            if error := self.failure or self._broken:
                raise error

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The bytes of whole events, as they arrive. Raises APIError if the answer is damaged or breaks off."""
        frame, events = self._opening
        while True:
            if frame:
                yield with_line_ends_escaped(frame)
            if self._broken:
                raise self._broken
            if self._ended:
                break
            if self._on_events:
                await self._on_events(events)
            try:
                frame, events = self._read(await anext(self._reads))
            except StopAsyncIteration:
                break
        if self.finished:  # what follows may be an event of the future
            frame, _ = self._read(await self._response.finish())
        elif not self.failure:
            frame = self._read_rest()  # the last event may lack its blank line
        else:
            return
        if frame:
            yield with_line_ends_escaped(frame)

    async def aclose(self) -> None:
        await self._response.aclose()

    @property
    def _ended(self) -> bool:
        return self.finished or self.failure is not None

    def _read(self, data: bytes) -> tuple[bytes, Sequence[MessageStreamEvent]]:
        """The events that `data` completes, up to the first that is not relayed: their bytes, and they."""
        frame = self._whole_events.feed(data)
        events: Sequence[MessageStreamEvent] = ()
        with suppress(APIError):  # `failure` below
            events = self._decoder.feed(data)
        read = self._accumulated(events)
        damage = self._decoder.failure
        if damage and not self._ended:
            self._broken = self._broken or damage
        return (before_event(frame, len(read)) if damage or len(read) < len(events) else frame), read

    def _read_rest(self) -> bytes:
        """The last event, if it ends the answer. Raises APIError otherwise."""
        self._accumulated(self._decoder.close())
        if self._broken:
            raise self._broken
        if not self._ended:
            raise cut_short()
        return self._whole_events.rest()

    def _accumulated(self, events: Sequence[MessageStreamEvent]) -> Sequence[MessageStreamEvent]:
        """Those of `events` that are relayed."""
        read: list[MessageStreamEvent] = []
        try:
            for event in events:
                is_known = event["type"] in EVENTS
                if self._ended and is_known:
                    break  # not part of the answer
                if (
                    is_known
                    and not self._accumulator.started
                    and event["type"] not in ("message_start", "error")
                ):
                    raise upstream_error("The upstream's answer did not begin with a message.")
                self._accumulator.feed(event)
                if event["type"] == "message_stop":
                    self.finished = True
                elif event["type"] == "error":
                    failure = self._response.error(event)
                    if not is_error(event.get("error")):
                        raise failure
                    self.failure = failure
                read.append(event)
        except SHAPE_ERRORS:
            self._broken = malformed("an event of the wrong shape")
        except APIError as error:
            self._broken = error
        return read

    def _read_whole(self, body: bytes) -> None:
        """Raises APIError if `body` is damaged."""
        try:
            value = from_json(body, allow_inf_nan=False)
        except ValueError:
            raise upstream_error("The upstream's answer is not JSON.") from None
        if not self._counts_tokens:
            self._accumulator.feed({"type": "message_start", "message": check_whole(value)})
            self._accumulator.feed({"type": "message_stop"})
        elif not isinstance(value, dict) or type(count := value.get("input_tokens")) is not int or count < 0:
            raise upstream_error("The upstream's answer has no token count.")


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
