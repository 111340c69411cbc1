"""Damages of upstream event streams. A harmless one leaves the answer as it is."""

import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.campaign.bodies import MARK
from tests.campaign.damage import damage_bytes, damage_value, dumped, node, paths, some_value
from tests.campaign.gateway import EVENT_STREAM, HeaderPairs, UpstreamReply
from tests.helpers.recorded_answers import events, text

Json = Any


def framed(event: Json) -> bytes:
    """An event as Anthropic writes it; bytes as they are."""
    if isinstance(event, bytes):
        return event
    kind = event.get("type") if isinstance(event, dict) else None
    name = kind if isinstance(kind, str) and kind.isprintable() and kind.isascii() else "x"
    return b"event: %b\ndata: %b\n\n" % (name.encode(), dumped(event))


@dataclass
class Draft:
    """An upstream response while it is damaged. `events` holds values and, for junk, bytes."""

    events: list[Json]
    status: int = 200
    headers: HeaderPairs = EVENT_STREAM
    breaks: bool = False
    at_bytes: list[Callable[[bytes], bytes]] = field(default_factory=list)


Damage = Callable[[Draft, Random], None]


def _at(draft: Draft, random: Random) -> int:
    return random.randrange(len(draft.events) or 1)


def _values(draft: Draft) -> list[Json]:
    return [event for event in draft.events if isinstance(event, dict)]


def _drop(draft: Draft, random: Random) -> None:
    at = _at(draft, random)
    del draft.events[at : at + random.choice((1, 1, 1, 2, 3))]


def _double(draft: Draft, random: Random) -> None:
    at = _at(draft, random)
    draft.events[at:at] = draft.events[at : at + random.choice((1, 1, 2, 4))]


def _swap(draft: Draft, random: Random) -> None:
    one, other = _at(draft, random), _at(draft, random)
    if draft.events:
        draft.events[one], draft.events[other] = draft.events[other], draft.events[one]


def _end_early(draft: Draft, random: Random) -> None:
    del draft.events[_at(draft, random) :]
    draft.breaks = random.random() < 0.5


def _spoil_event(draft: Draft, random: Random) -> None:
    if values := _values(draft):
        damage_value(random.choice(values), random)


def _spoil_key(draft: Draft, random: Random) -> None:
    """A wrong value for, or no, key that matters."""
    names = (
        "index",
        "type",
        "delta",
        "content_block",
        "message",
        "usage",
        "id",
        "name",
        "text",
        "partial_json",
        "stop_reason",
        "model",
        "content",
        "input",
        "thinking",
        "signature",
        "citation",
        "url",
        "title",
        "stop_details",
        "input_tokens",
        "output_tokens",
        "output_tokens_details",
    )
    name = random.choice(names)
    places = [(event, path) for event in _values(draft) for path in paths(event) if path[-1] == name]
    if places:
        event, path = random.choice(places)
        parent = node(event, path[:-1])
        if random.random() < 0.25:
            del parent[name]
        else:
            parent[name] = some_value(random)


def _wrong_index(draft: Draft, random: Random) -> None:
    if indexed := [event for event in _values(draft) if "index" in event]:
        random.choice(indexed)["index"] = random.choice(
            (-1, 0, 1, 2, 7, 10**30, 0.0, 1.5, "0", None, True, [], {})
        )


def _stop_reason(draft: Draft, random: Random) -> None:
    for event in _values(draft):
        if event.get("type") == "message_delta" and isinstance(event.get("delta"), dict):
            reasons: Sequence[Json] = (
                "tool_use",
                "pause_turn",
                "refusal",
                "end_turn",
                "max_tokens",
                "none_at_all",
                None,
                "",
                1,
                [],
                {},
                True,
            )
            event["delta"]["stop_reason"] = random.choice(reasons)


def _usage(draft: Draft, random: Random) -> None:
    wrong: Sequence[Json] = (None, "7", -5, 1.5, True, [], {}, {"a": 1}, 10**40, some_value(random))
    for event in _values(draft):
        place = event.get("message") if event.get("type") == "message_start" else event
        if isinstance(place, dict) and isinstance(place.get("usage"), dict) and random.random() < 0.6:
            name = random.choice(
                (
                    "input_tokens",
                    "output_tokens",
                    "cache_read_input_tokens",
                    "output_tokens_details",
                    "cache_creation",
                    "server_tool_use",
                )
            )
            place["usage"][name] = deepcopy(random.choice(wrong))
        elif isinstance(place, dict) and "usage" in place and random.random() < 0.2:
            place["usage"] = deepcopy(random.choice(wrong))


def _error_event(draft: Draft, random: Random) -> None:
    kinds: Sequence[Json] = (
        "overloaded_error",
        "api_error",
        "invalid_request_error",
        "rate_limit_error",
        "new_error",
        None,
        7,
        {},
    )
    error: Json = random.choice(
        ({"type": random.choice(kinds), "message": MARK}, {"type": "api_error"}, None, "x", [], {"message": {}})
    )
    draft.events.insert(_at(draft, random), {"type": "error", "error": error})


def _restart(draft: Draft, random: Random) -> None:
    draft.events.insert(_at(draft, random), json.loads(dumped(events(text("Again"))[0])))


def _junk_event(draft: Draft, random: Random) -> None:
    junk: Sequence[Json] = (
        b"data: {\n\n", b"data: 7\n\n", b"data: [1]\n\n", b"data: null\n\n", b"data: {}\n\n", b'data: {"type": 7}\n\n', b'data: {"type": null}\n\n',
        b'data: "message_stop"\n\n', b"data: [DONE]\n\n", b"data:\n\n", b"\xff\xfe\n\n", b"<html>\n\n", b"data: " + b"[" * 5000 + b"\n\n",
        b"data: " + b'{"a":' * 900 + b"1" + b"}" * 900 + b"\n\n", b"data: NaN\n\n", b'data: {"type": {"a": 1}}\n\n', b'data: {"type": []}\n\n',
        {"type": "content_block_delta"}, {"type": "content_block_start"}, {"type": "message_delta"}, {"type": "message_start"},
        {"type": "content_block_start", "index": 9, "content_block": {"type": "tool_use"}}, {"type": "message_stop"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 7}},
        {"type": "content_block_delta", "index": 0, "delta": None}, {"type": "content_block_start", "index": 0, "content_block": None},
    )  # fmt: skip
    draft.events.insert(_at(draft, random), random.choice(junk))


def _bytes(draft: Draft, random: Random) -> None:
    seed = random.random()
    draft.at_bytes.append(lambda data: damage_bytes(data, Random(seed)))  # noqa: S311  # reproducible on purpose


def _carriage_returns(draft: Draft, random: Random) -> None:
    """Allowed but not used by servers; the end of the last line is ambiguous until more data arrives."""
    draft.at_bytes.append(lambda data: data.replace(b"\n", b"\r"))


def _no_event_stream(draft: Draft, random: Random) -> None:
    page = b"<!doctype html><html><body>" + MARK.encode() + b"</body></html>"
    error = dumped({"type": "error", "error": {"type": "api_error", "message": MARK}})
    odd = dumped(
        {
            "error": random.choice(
                (None, "x", [], {"type": [], "message": {}}, {"type": "api_error", "message": "a" * 9000})
            )
        }
    )
    draft.status = random.choice(
        (
            200,
            204,
            201,
            206,
            301,
            302,
            304,
            307,
            400,
            401,
            403,
            404,
            408,
            413,
            418,
            429,
            500,
            502,
            503,
            529,
            599,
        )
    )
    draft.events = [
        random.choice(
            (page, error, odd, b"", b"\x1f\x8b\x08", b"[]", b"null", b"7", b"[" * 5000, b"\xff", page * 400)
        )
    ]
    if random.random() < 0.3:
        draft.events = list(map(framed, events(text("Hello"))))
    kind = random.choice((b"text/html", b"application/json", b"", b"\xff"))
    draft.headers = ((b"content-type", kind), (b"location", b"https://a.example/"), (b"request-id", b"req_x"))


def _headers(draft: Draft, random: Random) -> None:
    odd = (
        (b"request-id", b"r" * 70_000), (b"request-id", b"\xff\xfe"), (b"request-id", b""), (b"request-id", MARK.encode() + b" x"),
        (b"anthropic-ratelimit-requests-limit", b"9" * 9000), (b"anthropic-ratelimit-tokens-reset", b"no time"),
        (b"anthropic-ratelimit-tokens-reset", b"9999-12-31T23:59:59Z"), (b"anthropic-ratelimit-requests-reset", b"0001-01-01T00:00:00+14:00"),
        (b"anthropic-ratelimit-requests-remaining", b"\x80"), (b"retry-after", b"nan"), (b"retry-after", b"1e999"), (b"retry-after", b"x" * 9000),
        (b"transfer-encoding", b"x"), (b"content-length", b"5"), (b"set-cookie", b"a=b"),
    )  # fmt: skip
    draft.headers = (*draft.headers, *random.sample(odd, random.choice((1, 1, 2, 4))))


def _encoding(draft: Draft, random: Random) -> None:
    draft.headers = (
        *draft.headers,
        (b"content-encoding", random.choice((b"gzip", b"deflate", b"br", b"zstd", b"x"))),
    )


FATAL: tuple[Damage, ...] = (
    _drop, _drop, _drop, _double, _swap, _end_early, _spoil_event, _spoil_event, _spoil_key, _spoil_key, _spoil_key, _wrong_index,
    _stop_reason, _usage, _error_event, _restart, _junk_event, _bytes, _no_event_stream, _encoding, _carriage_returns,
)  # fmt: skip


def _pings(draft: Draft, random: Random) -> None:
    draft.events.insert(_at(draft, random), {"type": "ping"})


def _unknown(draft: Draft, random: Random) -> None:
    new: Sequence[Json] = (
        {"type": "a_new_event", "index": 0, "delta": {"type": "text_delta", "text": "x"}}, {"type": "a_new_event"}, b": comment\n\n",
        b"event: x\nid: 1\nretry: 5\n\n", b"data\n\n", {"type": "content_block_delta", "index": 0, "delta": {"type": "a_new_delta"}},
    )  # fmt: skip
    if len(draft.events) > 2:
        draft.events.insert(2, random.choice(new))  # after the first block has begun


def _extra(draft: Draft, random: Random) -> None:
    extra = (b"data: {\n\n", b"junk", {"type": "message_stop"}, {"type": "error", "error": {"type": "api_error", "message": "x"}}, {"type": "ping"}, b"\n" * 100, events(text("a"))[1])  # fmt: skip
    draft.events.append(random.choice(extra))


def _line_endings(draft: Draft, random: Random) -> None:
    draft.at_bytes.append(lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def _more_keys(draft: Draft, random: Random) -> None:
    for event in _values(draft):
        event["a_new_key"] = random.choice((None, True, -7, 1.5, "x", [1], {"type": "text"}))


def _break_after(draft: Draft, random: Random) -> None:
    draft.breaks = True


HARMLESS: tuple[Damage, ...] = (_pings, _unknown, _extra, _line_endings, _more_keys, _headers, _break_after)

# Damages after which no other one is applied.
LAST: tuple[Damage, ...] = (_extra, _break_after)


def damaged_reply(draft: Draft, random: Random) -> UpstreamReply:
    data = b"".join(map(framed, draft.events))
    for damage in draft.at_bytes:
        data = damage(data)
    return UpstreamReply(split(data, random), draft.status, draft.headers, draft.breaks)


def split(data: bytes, random: Random) -> tuple[bytes, ...]:
    """In one piece, by event, or at any byte."""
    how = random.random()
    if how < 0.3:
        return (data,)
    if how < 0.6:
        return tuple(part for part in re.split(rb"(?<=\n\n)", data) if part)
    endings = sorted(random.sample(range(len(data) + 1), min(len(data), random.choice((1, 3, 20)))))
    return tuple(data[start:end] for start, end in zip([0, *endings], [*endings, len(data)], strict=True))
