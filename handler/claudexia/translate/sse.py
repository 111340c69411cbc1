"""Server-sent events, bytes to values and back.

Decoding follows https://html.spec.whatwg.org/multipage/server-sent-events.html as far as JSON data needs it:
all line endings; comments and other fields are skipped, and `event:` is not needed since Anthropic repeats it
as the data's `type`. One difference: at the end of the stream, an event does not need its blank line.
"""

import re
from collections.abc import Mapping
from itertools import pairwise

from pydantic_core import from_json

from claudexia.errors import APIError, upstream_error
from claudexia.json_text import dump
from claudexia.translate.types.anthropic import MessageStreamEvent

DONE = b"data: [DONE]\n\n"
# The types of the events that every answer consists of, and its failure.
EVENTS = (
    "error", "message_start", "content_block_start", "content_block_delta", "content_block_stop",
    "message_delta", "message_stop",
)  # fmt: skip
# Bytes. The largest request is as large, and no answer has more.
MAX_EVENT = 32 * 2**20
# The end of a line and an empty line, which end an event; the second is also the end of CR LF CR LF. How many
# bytes have to follow: a carriage return at the end of the data may be half of a line ending.
_BLANK_LINES = ((b"\n\n", 0), (b"\n\r\n", 0), (b"\r\r", 1))
_LONGEST_BLANK = 2  # bytes of a blank line before its last one
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")


class EventDecoder:
    """feed() takes bytes split at any position; close() ends the stream. Both return events.

    The work is linear in the bytes, however they are split. An event has at most MAX_EVENT bytes.

    With `named`, the name (`event:`) and the type of each of EVENTS have to be the same: Anthropic's SDKs read
    the name, and skip an event without one or with an unknown one, such as another server's ping.
    """

    def __init__(self, *, named: bool = False) -> None:
        self._named = named
        # The pieces of an event without its end, and their size; no piece is empty.
        self._pieces: list[bytes] = []
        self._size = 0
        # A carriage return at the end of the data may be half of a line ending.
        self._held = b""
        self._failure: APIError | None = None

    @property
    def failure(self) -> APIError | None:
        """What the next feed() or close() raises."""
        return self._failure

    def feed(self, data: bytes) -> list[MessageStreamEvent]:
        """The events completed by `data`.

        Raises APIError 502 for an event that is too large, not JSON or without a type, once the events before
        it are returned.
        """
        if self._failure:
            raise self._failure
        if self._held or b"\r" in data:
            data = self._lines(data)
        if self._pieces:  # an event that began in an earlier read
            if b"\n\n" not in data and not (data[:1] == b"\n" and self._pieces[-1][-1:] == b"\n"):
                return self._keep(data, [])
            data = b"".join([*self._pieces, data])
            self._pieces, self._size = [], 0
        *blocks, rest = data.split(b"\n\n")
        events = self._decoded(blocks)
        return self._keep(rest, events) if rest or self._failure else events

    def close(self) -> list[MessageStreamEvent]:
        if self._failure:
            raise self._failure
        rest = b"".join(self._pieces)
        self._pieces, self._size, self._held = [], 0, b""
        return self._keep(b"", self._decoded([rest]))

    def _keep(self, data: bytes, events: list[MessageStreamEvent]) -> list[MessageStreamEvent]:
        """Keeps `data`, the beginning of an event, and returns `events`, the ones before it."""
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._size > MAX_EVENT:
            self._failure, self._pieces = self._failure or _too_large(), []
        if self._failure and not events:
            raise self._failure
        return events

    def _lines(self, data: bytes) -> bytes:
        """`data`, and what was held before it, with line feeds as line endings."""
        text = self._held + data
        self._held = b"\r" if text.endswith(b"\r") else b""
        return text.removesuffix(self._held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _decoded(self, blocks: list[bytes]) -> list[MessageStreamEvent]:
        """The events of `blocks`, up to the first failure, which is kept in `_failure`."""
        events: list[MessageStreamEvent] = []
        for block in blocks:
            if len(block) > MAX_EVENT:
                self._failure = _too_large()
                break
            # How the API writes every event: two lines, the second one with the data.
            before, _, data = block.partition(b"\ndata:")
            if not data or b"\n" in data or before.startswith(b"data:"):
                data = _data(block)
                if not data:
                    continue
            try:
                event = from_json(data, allow_inf_nan=False)
            except ValueError:
                self._failure = upstream_error("The upstream sent an event that is not JSON.")
                break
            if not isinstance(event, dict) or "type" not in event:
                if _name(block) not in ("", *EVENTS):
                    continue  # an event of the future; SDKs skip it by its name
                self._failure = upstream_error("The upstream sent an event without a type.")
                break
            if self._named and not _is_named(event["type"], before, block):
                self._failure = upstream_error("The upstream sent an event whose name is not its type.")
                break
            events.append(event)  # type: ignore[arg-type]  # readers skip unknown types
        return events


class WholeEvents:
    """Holds back the beginning of an event until its end arrives, and changes no byte.

    What feed() returns ends between two events, so that another event can follow it.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._tail = b""  # the last bytes of what is held back, where the end of an event may begin

    def feed(self, data: bytes) -> bytes:
        """What was held back and `data`, up to the end of the last whole event; may be empty."""
        if not self._held and data.endswith(b"\n\n"):  # how the API's events arrive
            return data
        text = self._tail + data
        end = max(_end_of_last(blank, text, len(text) - following) for blank, following in _BLANK_LINES)
        if not end:
            self._held.append(data)
            self._tail = text[-_LONGEST_BLANK:]
            return b""
        cut = end - len(self._tail)
        whole, rest = b"".join([*self._held, data[:cut]]), data[cut:]
        self._held, self._tail = [rest] if rest else [], rest[-_LONGEST_BLANK:]
        return whole

    def rest(self) -> bytes:
        """What is still held back."""
        return b"".join(self._held)


def _end_of_last(blank: bytes, text: bytes, end: int) -> int:
    """The position after the last `blank` in `text[:end]`; 0 if there is none."""
    found = text.rfind(blank, 0, max(0, end))
    return found + len(blank) if found >= 0 else 0


def before_event(data: bytes, number: int) -> bytes:
    """`data`, whole events, up to the one that an EventDecoder cannot decode or returns as its event `number`,
    counted from 0.
    """
    ends = [0, *(found.end() for found in _EVENT_END.finditer(data))]
    for start, end in pairwise(ends):
        decoder = EventDecoder()
        try:
            number -= len(decoder.feed(data[start:end]) + decoder.close())
        except APIError:
            number = -1
        if number < 0:
            return data[:start]
    return data


def _is_named(kind: object, before: bytes, block: bytes) -> bool:
    """Whether an event that an answer consists of has its type for a name, and any other event none of theirs.

    `before` is the line before the data, if `block` has two.
    """
    if isinstance(kind, str) and before == b"event: " + kind.encode():
        return True
    name = _name(block)
    return name == kind or (name not in EVENTS and kind not in EVENTS)


def _name(block: bytes) -> str:
    """The name of an event; empty without one."""
    names = [line[6:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"event:")]
    return names[-1].decode(errors="replace") if names else ""


def _too_large() -> APIError:
    return upstream_error(f"The upstream sent an event larger than {MAX_EVENT // 2**20} MB.")


def _data(block: bytes) -> bytes:
    """The data of an event with any lines."""
    return b"\n".join(line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:"))


def encode(chunk: object) -> bytes:
    """One event. There is no function for a comment: some clients take one for the end of the stream."""
    return b"data: %b\n\n" % dump(chunk)


def named_event(event: Mapping[str, object]) -> bytes:
    """An event as Anthropic writes it: its type is repeated in a line before the data."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), dump(event))
