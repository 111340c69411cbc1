"""Server-sent events, bytes to values and back.

Decoding follows https://html.spec.whatwg.org/multipage/server-sent-events.html as far as JSON data needs it:
all line endings; comments and other fields are skipped, and `event:` is ignored since Anthropic repeats it as
the data's `type`. One difference: at the end of the stream, an event does not need its blank line.
"""

from pydantic_core import from_json, to_json

from claudexia.errors import upstream_error
from claudexia.translate.types.anthropic import MessageStreamEvent

DONE = b"data: [DONE]\n\n"


class EventDecoder:
    """feed() takes bytes split at any position; close() ends the stream. Both return events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[MessageStreamEvent]:
        """The events completed by `data`. Raises APIError 502 for an event that is not JSON."""
        *blocks, self._rest = self._lines(data).split(b"\n\n")
        return _decoded(blocks)

    def close(self) -> list[MessageStreamEvent]:
        blocks, self._rest = [self._rest], b""
        return _decoded(blocks)

    def _lines(self, data: bytes) -> bytes:
        text = self._rest + data
        if b"\r" not in text:
            return text
        # A carriage return at the end may be half of a line ending.
        held = b"\r" if text.endswith(b"\r") else b""
        return text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held


def _decoded(blocks: list[bytes]) -> list[MessageStreamEvent]:
    events: list[MessageStreamEvent] = []
    for block in blocks:
        data = _data(block)
        if not data:
            continue
        try:
            event = from_json(data)
        except ValueError:
            raise upstream_error("The upstream sent an event that is not JSON.") from None
        if isinstance(event, dict) and "type" in event:
            events.append(event)  # type: ignore[arg-type]  # readers skip unknown types
    return events


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
