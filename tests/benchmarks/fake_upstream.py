"""A stand-in for the Messages API that answers at once, so that only the relays' own work is left to measure.

One HTTP chunk per event as the API sends them. The question says how many deltas it wants, since a gateway may
raise max_tokens. The whole answer is one write, but for PAUSING: there the first delta comes alone, as it does in
life, and the rest a little later. `processes.py` runs it.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache

from tests.benchmarks.answering import Answering, serve

MODEL = "claude-sonnet-5-5"
PAUSING = "claude-haiku-5-5"

_PAUSE = 0.004  # seconds, long enough for a relay to have passed the first delta on

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
    """The text of each delta; numbered, so that none can be lost, doubled or moved unseen."""
    return [f" {_WORDS[n % len(_WORDS)]}#{n}" for n in range(count)]


@cache
def _response(count: int) -> tuple[bytes, bytes]:
    """The answer up to and with its first delta, and the rest."""
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
    message: dict[str, object] = {
        "model": MODEL,
        "id": "msg_01LxUY9mF2Vb7tQhN5cR8sKd",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    yield _event({"type": "message_start", "message": message})
    block = {"type": "text", "text": ""}
    yield _event({"type": "content_block_start", "index": 0, "content_block": block})
    yield _event({"type": "ping"})
    for n, text in enumerate(words(count)):
        delta = {"type": "text_delta", "text": text}
        yield _event({"type": "content_block_delta", "index": 0, "delta": delta}, padding=n * 7 % 16)
    yield _event({"type": "content_block_stop", "index": 0})
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _event({"type": "message_delta", "delta": ending, "usage": {**usage, "output_tokens": count}})
    yield _event({"type": "message_stop"})


def _event(data: Mapping[str, object], padding: int = 5) -> bytes:
    """The API pads its events with blanks before the last brace, to hide the length of what they say."""
    compact = json.dumps(data, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {compact[:-1]}{' ' * padding}}}\n\n".encode()


class _Connection(Answering):
    def answer(self, head: bytes, body: bytes) -> None:
        asked = json.loads(body)
        deltas = _DELTAS.search(body)
        if not deltas:
            raise ValueError("nobody said how many deltas")
        opening, rest = _response(int(deltas[1]))
        if asked["model"] == PAUSING:
            self.transport.write(opening)
            asyncio.get_running_loop().call_later(_PAUSE, self.transport.write, rest)
        else:
            self.transport.write(opening + rest)


if __name__ == "__main__":
    asyncio.run(serve(_Connection, int(sys.argv[1])))
