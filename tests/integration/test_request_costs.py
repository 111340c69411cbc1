"""What a request costs the gateway, from its bytes to those of the answer, for all APIs: it is linear in the size of
the body, and at most about 20 times what json.loads takes.

The tests count executed lines of Python and calls into C, which are the same on every machine. Work inside a C call
is not counted: the sizes of its results are checked instead, and `tests.benchmarks` measures its time.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import pytest

from tests.helpers.in_process import InProcessGateway, in_process_gateway
from tests.helpers.large_requests import LARGE_REQUESTS, LargeRequest, json_tokens
from tests.helpers.steps import count_steps

# One unit is about a kilobyte.
UNITS = (8, 32)
# The cost per byte may grow by this factor from one to the other; quadratic work tends to a factor of four.
GROWTH, ROUNDING = 1.2, 0.02
# json.loads takes 25 to 60 ns for a token of JSON, or for about 400 bytes of one string; the gateway takes 50 to 60 ns
# for a step, with the work inside of C calls that belongs to it. So a step for each token is about as long as
# json.loads, and this many steps are the limit of 20 times as long. tests.benchmarks measures the times.
STEPS_PER_TOKEN, BYTES_PER_TOKEN = 20, 400
# Kinds of requests that are above it, and their own limits, which may only become smaller.
ABOVE_LIMIT: Mapping[str, int] = {
    "/chat/completions: system-after-assistant": 24,
    "/chat/completions: named-speakers": 28,
    "/chat/completions: refusals": 27,
    "/chat/completions: breakpoints-of-two-lifetimes": 23,
    "/chat/completions: breakpoints-at-the-end": 25,
    "/chat/completions: thinking-with-openai-breakpoints": 26,
    "/chat/completions: turns-with-one-id": 33,
    "/chat/completions: turns-with-function-call": 54,
    "/chat/completions: turns-with-call-blocks": 35,
    "/chat/completions: failed-results-of-one-call": 27,
    "/chat/completions: failed-results-after-an-image": 26,
    "/chat/completions: function-calls": 63,
    "/chat/completions: tools": 21,
    "/chat/completions: flat-tools": 37,
    "/chat/completions: anthropic-tools": 25,
    "/chat/completions: strict-tools-without-parameters": 33,
    "/chat/completions: tools-in-the-form-of-responses": 61,
    "/chat/completions: forced-choice-of-tools": 67,
    "/chat/completions: tools-before-an-invalid-one": 78,
    "/chat/completions: custom-tools": 41,
    "/chat/completions: server-tools": 45,
    "/chat/completions: tools-with-unions": 82,
    "/chat/completions: strict-tools": 22,
    "/chat/completions: large-object-at-many-references": 31,
    "/chat/completions: all-of-90-deep": 23,
    "/chat/completions: any-of-90-deep": 23,
    "/chat/completions: objects-of-one-of": 33,
    "/chat/completions: options-of-a-union": 71,
    "/chat/completions: tuple-of-arrays": 59,
    "/chat/completions: short-patterns": 49,
    "/chat/completions: patterns-of-groups": 30,
    "/chat/completions: long-property-names": 48,
    "/chat/completions: long-patterns": 29,
    "/chat/completions: objects-in-objects": 47,
    "/chat/completions: one-of-in-many-properties": 31,
    "/chat/completions: chains-of-references": 51,
    "/chat/completions: large-strict-tools": 54,
    "/chat/completions: forced-strict-tools": 67,
    "/chat/completions: strict-tools-with-references": 154,
    "/chat/completions: strict-tools-and-a-format": 54,
    "/chat/completions: files-as-images": 44,
    "/responses: user-messages": 27,
    "/responses: user-and-assistant": 47,
    "/responses: user-and-system": 28,
    "/responses: assistant-messages": 22,
    "/responses: empty-messages": 57,
    "/responses: extra-field-in-each-item": 26,
    "/responses: breakpoint-on-each-item": 32,
    "/responses: openai-breakpoint-on-each-item": 31,
    "/responses: refusal-parts": 21,
    "/responses: messages-of-one-part": 24,
    "/responses: image-parts": 22,
    "/responses: file-parts": 31,
    "/responses: breakpoint-on-each-part": 24,
    "/responses: redacted-reasoning": 22,
    "/responses: damaged-reasoning": 22,
    "/responses: undecodable-reasoning": 22,
    "/responses: calls-with-one-id": 37,
    "/responses: calls-with-numbered-ids": 37,
    "/responses: calls-with-invalid-ids": 37,
    "/responses: outputs-in-reverse": 37,
    "/responses: turns-with-one-id": 56,
    "/responses: calls-in-a-namespace": 58,
    "/responses: custom-calls": 68,
    "/responses: unknown-includes": 26,
    "/responses: functions": 48,
    "/responses: strict-functions": 27,
    "/responses: custom-tools": 52,
    "/responses: anthropic-tools": 34,
    "/responses: server-tools": 36,
    "/responses: web-search-tools": 103,
    "/responses: a-namespace": 53,
    "/responses: a-long-description-of-a-namespace": 51,
    "/responses: namespaces": 26,
    "/responses: callers-and-deferred-tools": 30,
    "/responses: allowed-tools": 30,
}


class Cost(NamedTuple):
    """Of one request: steps above those of an invalid one, bytes and tokens of JSON."""

    steps: int
    size: int
    tokens: int


@pytest.fixture(scope="module")
def gateway() -> Iterator[InProcessGateway]:
    with in_process_gateway() as opened:
        yield opened


def cost_of(request: LargeRequest, units: int, gateway: InProcessGateway) -> Cost:
    def steps(body: bytes) -> int:
        request.send(gateway, body)  # so that lazy imports are not counted
        return count_steps(partial(request.send, gateway, body))

    body = request.generator(units)
    return Cost(steps(body) - steps(b"{}"), len(body), json_tokens(body))


@pytest.mark.parametrize("name", LARGE_REQUESTS)
def test_the_work_for_a_request_is_linear_and_bounded(name: str, gateway: InProcessGateway) -> None:
    small, large = (cost_of(LARGE_REQUESTS[name], units, gateway) for units in UNITS)
    assert large.steps / large.size < GROWTH * small.steps / small.size + ROUNDING
    assert steps_per_token(small, large) < ABOVE_LIMIT.get(name, STEPS_PER_TOKEN)


def steps_per_token(small: Cost, large: Cost) -> float:
    """Of what the larger request has more."""
    tokens = large.tokens - small.tokens + (large.size - small.size) / BYTES_PER_TOKEN
    return (large.steps - small.steps) / tokens


@pytest.mark.parametrize("name", LARGE_REQUESTS)
def test_no_request_is_a_500_or_grows(name: str, gateway: InProcessGateway) -> None:
    request = LARGE_REQUESTS[name]
    body = request.generator(64)
    # The upstream answers with a text, never with the call that a forced choice demands.
    is_forced = ": forced-" in name
    assert request.send(gateway, body) in ((502,) if is_forced else (200, 400, 404))
    # The union at the top of a tool's schema goes into its description as well, references into a copy, and the
    # tools to choose from into the schema of the answer.
    assert len(gateway.sent) < (8 if is_forced else 4) * len(body) + 50_000
