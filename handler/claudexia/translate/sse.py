"""Server-sent events, bytes to values and back.

Decoding follows https://html.spec.whatwg.org/multipage/server-sent-events.html as far as one-line JSON data
needs it: any line ending, comments and other fields skipped, `event:` ignored since Anthropic repeats it as the
data's `type`. It differs in one point: an event at the very end counts without its blank line.
"""

from pydantic_core import from_json, to_json

from claudexia.errors import upstream_error
from claudexia.translate.types.anthropic import MessageStreamEvent

DONE = b"data: [DONE]\n\n"


class EventDecoder:
    """feed() bytes as they come, cut anywhere; close() when there are no more."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[MessageStreamEvent]:
        """The events that are complete now. Raises APIError 502 for data that is no JSON."""
        *blocks, self._rest = self._lines(data).split(b"\n\n")
        return _decoded(blocks)

    def close(self) -> list[MessageStreamEvent]:
        blocks, self._rest = [self._rest], b""
        return _decoded(blocks)

    def _lines(self, data: bytes) -> bytes:
        text = self._rest + data
        if b"\r" not in text:
            return text
        # A carriage return at the very end may be half of a line ending.
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
            events.append(event)  # type: ignore[arg-type]  # unknown types are skipped by those who read it
    return events


def _data(block: bytes) -> bytes:
    before, _, data = block.partition(b"\ndata:")
    if data and b"\n" not in data and not before.startswith(b"data:"):  # as the API writes every event
        return data
    return b"\n".join(line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:"))


def encode(chunk: object) -> bytes:
    return b"data: %b\n\n" % to_json(chunk)


def comment(text: str) -> bytes:
    """A line that every client skips; it tells proxies and clients that the stream is alive."""
    return b": %b\n\n" % text.encode()
