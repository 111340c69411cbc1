"""Some thousands of damaged bodies and damaged upstream streams, with a fixed seed: see tests/campaign."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.campaign import streams
from tests.campaign.answers import MalformedResponseError, read
from tests.campaign.bodies import MARK, good_request
from tests.campaign.gateway import Gateway, Observation, Request, UpstreamReply, captured_output
from tests.campaign.judge import body_reply, judge_body, judge_stream, names_part
from tests.campaign.protocol import contradiction
from tests.campaign.reduce import Budget, reduce_request
from tests.campaign.run import Kind, Part, run_part
from tests.campaign.stream_damage import framed
from tests.helpers.recorded_answers import events, text

KINDS: dict[Kind, int] = {
    "body": 4000,
    "stream": 4000,
    "responses-body": 2000,
    "responses-stream": 2000,
    "messages-body": 1000,
    "messages-stream": 1000,
    "text-stream": 1000,
}
PARTS = [
    Part(kind, seed=1, first=first, last=first + 1000)
    for kind, count in KINDS.items()
    for first in range(0, count, 1000)
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.first}")
def test_no_rule_is_broken(part: Part) -> None:
    outcome = run_part(part)
    assert sum(outcome.counts.values()) == part.last - part.first
    assert {rule: failed.id for rule, failed in outcome.failed.items()} == {}


# --- tests of the judge itself ---


async def _observe(request: Request) -> Observation:
    with captured_output() as output:
        return await Gateway(output).send(request, body_reply)


def _violations(**changes: Any) -> list[str]:
    request = good_request("text")
    return list(judge_body(request, replace(asyncio.run(_observe(request)), **changes)))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"status": 500}, "status 500 for a body"),
        ({"status": 400, "body": b'{"error": {"message": "a"}}'}, "answer: the error object is incomplete"),
        ({"complete": False}, "answer: the response did not end"),
        ({"raised": KeyError("a")}, "the app raised KeyError"),
        ({"stderr": "Traceback\nKeyError: 'a'\n"}, "standard error: KeyError: a"),
        ({"stdout": f'{{"message": "{MARK}"}}'}, "the log quotes the request or the answer"),
        ({"stdout": "no json"}, "a line on standard output is not JSON"),
        ({"loop_errors": ["never retrieved: KeyError"]}, "event loop: never retrieved: KeyError"),
        ({"tasks_left": ["watch"]}, "a task is left: watch"),
        ({"usage": []}, "0 lines in the ledger"),
        ({"sent": [b"another"]}, "the answer is not the upstream's"),
        ({"headers": [(b"x-request-id", b"r" * 20_000)]}, "the response's headers have more than 12000 bytes"),
    ],
)  # fmt: skip
def test_violations_found_in_responses_to_bodies(changes: dict[str, Any], rule: str) -> None:
    assert _violations() == []
    assert rule in _violations(**changes)


LONG = "a" * 200
BODY = {
    "messages": [{"role": "user", "content": [{"type": "text"}]}],
    "a.b": {"c": 1},
    "": {"c": {"": 1}},
    "x": {LONG: 1},
}


@pytest.mark.parametrize(
    ("param", "found"),
    [
        ("messages[0].content[0].text", True), ("messages[0].role", True), ("model", True), ("a.b.c", True), (".c", True), (".c.", True),
        (f"x.{LONG}"[:199] + "…", True), (f"y.{LONG}"[:199] + "…", False), ("c", False), (".d.e", False),
        ("messages[1]", False), ("messages[0].content[0].text.value", False), ("tools", False), ("messages[0].user.content", False),
    ],
)  # fmt: skip
def test_names_part(param: str, found: bool) -> None:
    assert names_part(param, BODY) is found


TEXT: list[Any] = list(events(text("Hello")))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (TEXT, None),
        (TEXT[1:], "no message_start"),
        ([TEXT[0], *TEXT[2:]], "a delta of a block that has not begun"),
        ([*TEXT[:-2], TEXT[-1]], "no stop_reason"),
        (TEXT[:-1], "no message_stop"),
        ([*TEXT[:2], b"data: {\n\n", *TEXT[2:]], "an event that is not JSON"),
        ([*TEXT[:2], {"type": "error"}, *TEXT[2:]], "an error event"),
        (events(stop_reason="tool_use"), "stop_reason tool_use without a call"),
        ([TEXT[0], {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}}], "a call without an id or a name"),
    ],
)  # fmt: skip
def test_protocol_violations(parts: list[Any], reason: str | None) -> None:
    assert contradiction(UpstreamReply(tuple(map(framed, parts)))) == reason


def test_a_truncated_response_that_looks_like_success_is_found() -> None:
    case = streams.control("text")
    half = replace(case, expected=None, replies=(UpstreamReply(case.replies[0].pieces[:-2]),))
    seen = asyncio.run(_buffered_and_streamed(case))
    assert list(judge_stream(case, *seen)) == []
    assert set(judge_stream(half, *seen)) == {"looks like success: no message_stop"}


async def _buffered_and_streamed(case: streams.Case) -> list[Observation]:
    with captured_output() as output:
        gateway = Gateway(output)
        requests = [streams.request(case, stream) for stream in (False, True)]
        return [await gateway.send(request, lambda _, number: case.replies[0]) for request in requests]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'data: {"error": {"message": "a", "type": "b", "param": null, "code": null}}\n\ndata: [DONE]\n\n', "an error frame and [DONE]"),
        (b"data: {}\n\n", "neither [DONE] nor an error frame at the end"),
        (b"data: {}", "the stream is not made of frames"),
        (b"data: [DONE]\n\n", "no choices"),
    ],
)  # fmt: skip
def test_malformed_streams_to_the_client(body: bytes, error: str) -> None:
    with pytest.raises(MalformedResponseError) as caught:
        read(Observation(status=200, body=body, complete=True), streamed=True)
    assert str(caught.value) == error


def test_a_failing_case_is_reduced() -> None:
    async def fails(request: Request) -> bool:
        return b'"name": "weather"' in request.body

    smallest = asyncio.run(reduce_request(good_request("tools"), fails, Budget()))
    assert len(smallest.body) < 60
    assert b'"name": "weather"' in smallest.body
