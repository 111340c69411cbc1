"""WholeEvents changes no byte, and what it returns ends between two events.

A carriage return at the end may be half of a line ending, so it ends no event.
"""

import pytest

from claudexia.translate.sse import EventDecoder, WholeEvents

EVENTS = 'event: a\ndata: {"type": "a", "text": "x\\n\\ny"}\n\n: comment\n\ndata: {"type":\ndata: "é"}\n\n'
STREAMS = {
    "LF": EVENTS,
    "CRLF": EVENTS.replace("\n", "\r\n"),
    "CR": EVENTS.replace("\n", "\r"),
    "more empty lines": EVENTS.replace("\n\n", "\n\n\n"),
    "the beginning of an event at the end": f'{EVENTS}data: {{"type"',
}
HELD = {
    STREAMS["CR"]: 'data: {"type":\rdata: "é"}'.encode(),
    STREAMS["the beginning of an event at the end"]: b'data: {"type"',
}


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_pieces_of_any_size(stream: str, step: int) -> None:
    data = stream.encode()
    events = WholeEvents()
    returned = [events.feed(data[start : start + step]) for start in range(0, len(data), step)]
    assert b"".join(returned) + events.rest() == data
    assert events.rest().strip() == HELD.get(stream, b"")
    for count in range(len(returned)):
        so_far = b"".join(returned[:count])
        assert not so_far or so_far.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))
        decoder = EventDecoder()
        decoder.feed(so_far)
        decoder.close()  # raises for a part of an event
