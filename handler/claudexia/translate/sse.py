"""Server-sent events, bytes to values and back.

Decoding follows https://html.spec.whatwg.org/multipage/server-sent-events.html as far as JSON data needs it:
all line endings; comments and other fields are skipped, and `event:` is ignored since Anthropic repeats it as
the data's `type`. One difference: at the end of the stream, an event does not need its blank line.
"""

from pydantic_core import from_json, to_json

from claudexia.errors import APIError, upstream_error
from claudexia.translate.types.anthropic import MessageStreamEvent

DONE = b"data: [DONE]\n\n"


class EventDecoder:
    """feed() takes bytes split at any position; close() ends the stream. Both return events.

    The cost is linear in the bytes: an event that is not complete is kept in pieces until its end comes.
    """

    def __init__(self, max_bytes: int = 32 * 2**20) -> None:
        """`max_bytes` bounds one event."""
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._failure: APIError | None = None

    def feed(self, data: bytes) -> list[MessageStreamEvent]:
        """The events completed by `data`.

        Raises APIError 502 for an event that is not JSON or too large, once the events before it are returned.
        """
        if self._failure:
            raise self._failure
        seam = self._pieces[-1][-1:] + data if self._pieces else data
        if b"\n\n" not in seam and b"\r" not in seam:  # no end of an event
            return self._keep(data, [])
        text = _with_line_feeds(b"".join(self._pieces) + data)
        *blocks, rest = text.split(b"\n\n")
        self._pieces, self._size = [], 0
        return self._keep(rest, self._decoded(blocks))

    def close(self) -> list[MessageStreamEvent]:
        if self._failure:
            raise self._failure
        blocks, self._pieces, self._size = [b"".join(self._pieces)], [], 0
        return self._keep(b"", self._decoded(blocks))

    def _keep(self, data: bytes, events: list[MessageStreamEvent]) -> list[MessageStreamEvent]:
        """Keeps `data`, the beginning of an event, and returns `events`, those before it."""
        if data:
            self._pieces.append(data)
            self._size += len(data)
        if self._size > self._max_bytes:
            self._failure = upstream_error(
                f"The upstream sent an event of more than {self._max_bytes >> 20} MB."
            )
            self._pieces = []
        if self._failure and not events:
            raise self._failure
        return events

    def _decoded(self, blocks: list[bytes]) -> list[MessageStreamEvent]:
        events: list[MessageStreamEvent] = []
        for block in blocks:
            data = _data(block)
            if not data:
                continue
            try:
                event = from_json(data)
            except ValueError:
                self._failure = upstream_error("The upstream sent an event that is not JSON.")
                break
            if isinstance(event, dict) and "type" in event:
                events.append(event)  # type: ignore[arg-type]  # readers skip unknown types
        return events


def _with_line_feeds(text: bytes) -> bytes:
    """All line endings as line feeds. A carriage return at the end is kept: it may be half of a line ending."""
    if b"\r" not in text:
        return text
    held = b"\r" if text.endswith(b"\r") else b""
    return text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held


def _data(block: bytes) -> bytes:
    before, _, data = block.partition(b"\ndata:")
    if data and b"\n" not in data and not before.startswith(b"data:"):  # how the API writes every event
        return data
    return b"\n".join(line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:"))


def encode(chunk: object) -> bytes:
    return b"data: %b\n\n" % to_json(chunk)


def comment(text: str) -> bytes:
    """A line that clients skip; it shows clients and proxies that the stream is alive."""
    return b": %b\n\n" % text.encode()
