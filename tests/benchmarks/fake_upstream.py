"""A fake Messages API that responds at once, so that a benchmark measures the work of the relays only.

One HTTP chunk per event, as from the API. The prompt names the number of deltas, since a gateway may raise
max_tokens. The response is one write, except for PAUSING and HOLDING: the first delta is sent alone and the rest later.
The events are built as in the echo; the head and the padding are the API's. `processes.py` runs it.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache

from claudexia_cli.echo.events import message_events
from tests.benchmarks.http_server import HTTPConnection, serve

MODEL = "claude-sonnet-5-5"
PAUSING = "claude-haiku-5-5"
HOLDING = "claude-opus-5-5"

HOLDING_SECONDS = 2.0  # long enough for many streams to start
# Long enough for a relay to send the first delta.
_PAUSES = {PAUSING: 0.004, HOLDING: HOLDING_SECONDS}  # seconds

_WORDS = [
    "Once",
    "upon",
    "a",
    "time",
    "there",
    "was",
    "a",
    "gateway",
    "that",
    "passed",
    "on",
    "every",
    "word",
    "it",
    "heard,",
    "in",
    "order",
    "and",
    "in",
    "full.",
]
_DELTAS = re.compile(rb"in (\d+) deltas")
_HEAD = "\r\n".join(
    (
        "HTTP/1.1 200 OK",
        "date: Sun, 22 Nov 2026 12:00:00 GMT",
        "content-type: text/event-stream; charset=utf-8",
        "transfer-encoding: chunked",
        "cache-control: no-cache",
        "anthropic-ratelimit-requests-limit: 4000",
        "anthropic-ratelimit-requests-remaining: 3999",
        "anthropic-ratelimit-requests-reset: 2026-11-22T12:00:01Z",
        "anthropic-ratelimit-tokens-limit: 480000",
        "anthropic-ratelimit-tokens-remaining: 479000",
        "anthropic-ratelimit-tokens-reset: 2026-11-22T12:00:01Z",
        "request-id: req_011CVPqK2mWb9cJ4yQx7Tn3S",
        "anthropic-organization-id: 7c0ad1f4-8f4e-4c31-9d3b-0d1f3f0e6a52",
    )
)


def words(count: int) -> list[str]:
    """The text of each delta, with its number: a lost, doubled or moved delta is detected."""
    return [f" {_WORDS[n % len(_WORDS)]}#{n}" for n in range(count)]


@cache
def _response(count: int) -> tuple[bytes, bytes]:
    """The response up to and including its first delta, and the rest."""
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in _events(count)]
    first = next(n for n, chunk in enumerate(chunks, start=1) if b"_delta" in chunk)
    return f"{_HEAD}\r\n\r\n".encode() + b"".join(chunks[:first]), b"".join(chunks[first:]) + b"0\r\n\r\n"


def _events(count: int) -> Iterator[bytes]:
    usage = {
        "input_tokens": 25,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 1,
        "service_tier": "standard",
    }
    pieces = words(count)
    message: dict[str, object] = {
        "model": MODEL,
        "id": "msg_01LxUY9mF2Vb7tQhN5cR8sKd",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "".join(pieces)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {**usage, "output_tokens": count},
    }
    # The first delta is event 3; its number decides the padding of a delta.
    for number, event in enumerate(message_events(message, usage, lambda _: pieces), start=-3):
        yield _event(event, padding=number * 7 % 16 if event["type"] == "content_block_delta" else 5)


def _event(data: Mapping[str, object], padding: int = 5) -> bytes:
    """`data` as the API frames it: with spaces before the last brace, which hide the length of the text."""
    compact = json.dumps(data, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {compact[:-1]}{' ' * padding}}}\n\n".encode()


class _Connection(HTTPConnection):
    def answer(self, head: bytes, body: bytes) -> None:
        request = json.loads(body)
        deltas = _DELTAS.search(body)
        if not deltas:
            raise ValueError("the prompt has no number of deltas")
        opening, rest = _response(int(deltas[1]))
        if pause := _PAUSES.get(request["model"]):
            self.transport.write(opening)
            asyncio.get_running_loop().call_later(pause, self.transport.write, rest)
        else:
            self.transport.write(opening + rest)


if __name__ == "__main__":
    asyncio.run(serve(_Connection, int(sys.argv[1])))
