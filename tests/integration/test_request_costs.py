"""What a request costs the gateway, from its bytes to those of the answer, for all APIs: it is linear in the size of
the body, and at most about 20 times what json.loads takes.

The tests count executed lines of Python and calls into C, which are the same on every machine. Work inside a C call
is not counted: the sizes of its results are checked instead, and `tests.benchmarks` measures its time.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import pytest

from tests.helpers.in_process import InProcessGateway, in_process_gateway
from tests.helpers.large_requests import LARGE_REQUESTS, LargeRequest, json_tokens
from tests.helpers.steps import count_steps

# One unit is about a kilobyte.
UNITS = (8, 16, 32)
# The cost per byte may grow by this factor when the size doubles; quadratic work tends to a factor of two.
GROWTH, ROUNDING = 1.12, 0.02
# json.loads takes 25 to 60 ns for a token of JSON, or for about 400 bytes of one string; the gateway takes 50 to 60 ns
# for a step, with the work inside of C calls that belongs to it. So a step for each token is about as long as
# json.loads, and this many steps are the limit of 20 times as long. tests.benchmarks measures the times.
STEPS_PER_TOKEN, BYTES_PER_TOKEN = 20, 400
# Kinds of requests that are above it, and their own limits, which may only become smaller.
ABOVE_LIMIT: Mapping[str, int] = {
    "/chat/completions: user-system-assistant": 28,
    "/chat/completions: system-before-results": 27,
    "/chat/completions: short-messages": 29,
    "/chat/completions: extra-field-in-each-message": 25,
    "/chat/completions: breakpoint-on-each-message": 25,
    "/chat/completions: breakpoints-of-two-lifetimes": 28,
    "/chat/completions: signed-thinking-with-breakpoints": 38,
    "/chat/completions: blank-parts-after-thinking": 27,
    "/chat/completions: turns-with-one-id": 41,
    "/chat/completions: tools": 34,
    "/chat/completions: strict-tools": 26,
    "/chat/completions: large-object-at-many-references": 31,
    "/chat/completions: all-of-90-deep": 23,
    "/chat/completions: any-of-90-deep": 23,
    "/chat/completions: objects-of-one-of": 44,
    "/chat/completions: all-of-50-deep": 54,
    "/chat/completions: enum-of-numbers": 27,
    "/chat/completions: described-properties": 48,
    "/chat/completions: options-of-a-union": 91,
    "/chat/completions: long-text-in-many-places": 38,
    "/chat/completions: long-property-names": 59,
    "/chat/completions: many-definitions": 67,
    "/completions: a-response-format": 53,
    "/responses: user-messages": 29,
    "/responses: user-and-assistant": 50,
    "/responses: user-and-system": 33,
    "/responses: assistant-messages": 25,
    "/responses: empty-messages": 69,
    "/responses: extra-field-in-each-item": 29,
    "/responses: breakpoint-on-each-item": 39,
    "/responses: openai-breakpoint-on-each-item": 36,
    "/responses: refusal-parts": 24,
    "/responses: messages-of-one-part": 26,
    "/responses: image-parts": 22,
    "/responses: file-parts": 31,
    "/responses: breakpoint-on-each-part": 27,
    "/responses: redacted-reasoning": 23,
    "/responses: damaged-reasoning": 25,
    "/responses: undecodable-reasoning": 25,
    "/responses: calls-with-one-id": 39,
    "/responses: calls-with-numbered-ids": 39,
    "/responses: calls-with-invalid-ids": 40,
    "/responses: outputs-in-reverse": 39,
    "/responses: turns-with-one-id": 64,
    "/responses: calls-in-a-namespace": 67,
    "/responses: custom-calls": 79,
    "/responses: breakpoint-on-each-output-part": 25,
    "/responses: items-without-a-translation": 22,
    "/responses: unknown-includes": 27,
    "/responses: unpaired-surrogates": 30,
    "/responses: functions": 65,
    "/responses: functions-with-parameters": 21,
    "/responses: strict-functions": 30,
    "/responses: custom-tools": 60,
    "/responses: anthropic-tools": 41,
    "/responses: server-tools": 38,
    "/responses: web-search-tools": 112,
    "/responses: a-namespace": 70,
    "/responses: a-long-description-of-a-namespace": 68,
    "/responses: namespaces": 33,
    "/responses: callers-and-deferred-tools": 39,
    "/responses: allowed-tools": 39,
    "/responses: a-large-format": 53,
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
    costs = [cost_of(LARGE_REQUESTS[name], units, gateway) for units in UNITS]
    per_byte = [cost.steps / cost.size for cost in costs]
    assert all(larger < GROWTH * smaller + ROUNDING for smaller, larger in pairwise(per_byte)), per_byte
    assert steps_per_token(costs[0], costs[-1]) < ABOVE_LIMIT.get(name, STEPS_PER_TOKEN)


def steps_per_token(small: Cost, large: Cost) -> float:
    """Of what the larger request has more."""
    tokens = large.tokens - small.tokens + (large.size - small.size) / BYTES_PER_TOKEN
    return (large.steps - small.steps) / tokens


@pytest.mark.parametrize("name", LARGE_REQUESTS)
def test_no_request_is_a_500_or_grows(name: str, gateway: InProcessGateway) -> None:
    request = LARGE_REQUESTS[name]
    body = request.generator(64)
    assert request.send(gateway, body) in (200, 400, 404)
    # The union at the top of a tool's schema goes into its description as well, and references into a copy.
    assert len(gateway.sent) < 4 * len(body) + 50_000
