"""Limits hold for concurrent requests, choices, disconnects and bad requests, over real sockets."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from claudexia.access.ledger import totals
from claudexia.access.limits import Limits
from tests.helpers.apis import CHAT, MESSAGES, RESPONSES, Api, each_api
from tests.helpers.deployment import REQUEST, Deployment, deployment
from tests.helpers.serving import Reply, Upstream, sse, text_events
from tests.helpers.waiting import PATIENCE

UNPRICED = ["claude-fable-6", "claude-mythos-6", "claude-3-opus-20240229", "claude-opus-4", "claude-opus-9"]
HAIKU_5_5 = "claude-haiku-5-5"


def post(deployed: Deployment, secret: str, body: Any = None, api: Api = CHAT, **fields: Any) -> httpx.Response:
    content = body if body is not None else json.dumps({**api.body, **fields})
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(deployed.url + api.path, content=content, headers=headers, timeout=PATIENCE)


def reply_with_tokens(tokens: int) -> Reply:
    """A short text with `tokens` output tokens in its usage, as with hidden thinking."""
    *events, delta, stop = text_events()
    return Reply([sse(*events, {**delta, "usage": {"output_tokens": tokens}}, stop)])


@each_api
@pytest.mark.parametrize("model", UNPRICED)
def test_a_model_without_a_price_spends_the_budget(model: str, api: Api) -> None:
    """64,000 tokens at the highest known price are $3.20."""
    with deployment(Upstream(reply_with_tokens(64_000))) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10_000))
        first = post(deployed, secret, api=api, model=model, stream=True)
        assert first.status_code == 200
        assert "model: its price is not known" in first.headers["x-claudexia-warnings"]
        assert "x-claudexia-cost" not in first.headers
        assert api.code_of(post(deployed, secret, api=api, model=model)) == "insufficient_quota"
        assert deployed.counters()["usd"] == 3_200_070
        assert totals(deployed.usage()).unpriced == 1


@each_api
@pytest.mark.parametrize("model", UNPRICED)
def test_a_model_without_a_price_can_be_refused(model: str, api: Api) -> None:
    upstream = Upstream()
    with deployment(upstream, unpriced_models="refuse") as deployed:
        budgets = {"day": Limits(usd_per_day_micros=10_000), "month": Limits(usd_per_month_micros=10_000)}
        for name, limits in budgets.items():
            response = post(deployed, deployed.key(name, limits=limits), api=api, model=model)
            assert (response.status_code, api.code_of(response)) == (403, "unpriced_model")
        assert upstream.bodies == []
        without = deployed.key("without", limits=Limits(requests_per_minute=5))
        assert post(deployed, without, api=api, model=model, stream=True).status_code == 200


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-5-5"])
def test_a_known_price_is_not_reported(model: str) -> None:
    with deployment(unpriced_models="refuse") as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10_000_000))
        assert "x-claudexia-warnings" not in post(deployed, secret, model=model).headers


CAPS: list[tuple[str, dict[str, Any], int | None]] = [
    ("claude-haiku-5-5", {}, 500),
    ("claude-sonnet-5-5", {}, 500),
    ("claude-sonnet-5-5", {"max_tokens": 100}, 100),
    ("claude-haiku-4-5", {"reasoning_effort": "high"}, 500),
    ("claude-opus-4-6", {"reasoning_effort": "high", "max_tokens": 100}, 100),
    ("claude-opus-5-5", {}, None),
    ("claude-fable-5-2", {"max_tokens": 100}, None),
]


@pytest.mark.parametrize(("model", "fields", "sent"), CAPS)
def test_max_tokens_is_capped_by_the_key(model: str, fields: dict[str, Any], sent: int | None) -> None:
    upstream = Upstream()
    with deployment(upstream) as deployed:
        response = post(deployed, deployed.key(limits=Limits(max_tokens=500)), model=model, **fields)
    if sent is None:
        assert (response.status_code, CHAT.code_of(response)) == (400, "max_tokens_too_small_for_thinking")
    assert [body["max_tokens"] for body in upstream.bodies] == ([] if sent is None else [sent])


# A limit, and the most of micro-dollars and of tokens that a burst may use: one answer more than the limit.
bursts = pytest.mark.parametrize(
    ("limits", "maximum"),
    [
        pytest.param(Limits(usd_per_day_micros=1_000_000), (1_000_000 + 320_017, 10**9), id="money"),
        pytest.param(Limits(tokens_per_minute=50_000), (10**9, 50_000 + 64_007), id="tokens"),
    ],
)


@bursts
@each_api
def test_concurrent_requests_stay_within_the_limit(limits: Limits, maximum: tuple[int, int], api: Api) -> None:
    with deployment(Upstream(reply_with_tokens(64_000)), limits_on_failure="closed") as deployed:
        assert_burst_stays_within(maximum, deployed, limits, 60, api)
        assert not deployed.leases()


def assert_burst_stays_within(
    maximum: tuple[int, int], deployed: Deployment, limits: Limits, requests: int, api: Api = CHAT
) -> None:
    """On a busy machine the table may be too slow for some of them, which are refused with 503 or 529."""
    secret = deployed.key(limits=limits)
    fields = {"max_tokens": 64_000, "stream": True} if api is MESSAGES else {}
    with ThreadPoolExecutor(50) as threads:
        statuses = list(
            threads.map(lambda _: post(deployed, secret, api=api, **fields).status_code, range(requests))
        )
    unavailable = 529 if api is MESSAGES else 503
    assert {*statuses} <= {200, 429, unavailable}
    assert {*statuses} & {429, unavailable}
    used = totals(deployed.usage())
    assert used.cost_micros <= maximum[0]
    assert used.tokens <= maximum[1]


BUDGET_ENDS = [
    pytest.param(CHAT, True, id="chat streamed"),
    pytest.param(CHAT, False, id="chat buffered"),
    pytest.param(MESSAGES, True, id="message streamed"),
    pytest.param(RESPONSES, True, id="response streamed"),
    pytest.param(RESPONSES, False, id="response buffered"),
]


@pytest.mark.parametrize(("api", "streamed"), BUDGET_ENDS)
def test_a_stream_stops_when_the_budget_is_spent(api: Api, streamed: bool) -> None:
    """After a short answer the gateway reserves 4096 tokens, about 2 cents. The next request has 3 cents left."""
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 4000}}
    start, block, *_ = text_events()
    pieces: list[Any] = [sse(start, block), 50]
    for _ in range(64):
        pieces += [sse(delta), 50]
    upstream = Upstream(Reply([sse(*text_events())]), Reply(pieces))
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=30_000))
        fields = {"max_tokens": 64_000, "stream": True} if api is MESSAGES else {"stream": streamed}
        assert post(deployed, secret, api=api, **fields).status_code == 200
        response = post(deployed, secret, api=api, **fields)
        if streamed:
            *_, last = (line for line in response.text.splitlines() if line.startswith("data: "))
            assert api.code_in(json.loads(last[6:])) == "insufficient_quota"
        else:
            assert (response.status_code, api.code_of(response)) == (429, "insufficient_quota")
        assert api.code_of(post(deployed, secret, api=api)) == "insufficient_quota"
    spent = deployed.counters()["usd"]
    assert 30_000 < spent <= 30_000 + 4096 * 5 + 64 * 1024 // 4 * 5  # plus one network read
    assert spent == totals(deployed.usage()).cost_micros
    assert not deployed.leases()


CHOICES = [
    ("requests", Limits(requests_per_minute=10), {"n": 8}, [200, 429]),
    ("requests of two and eight", Limits(requests_per_minute=10), {"n": 2}, [200, 200, 200, 200, 200, 429]),
    ("more than the limit", Limits(requests_per_minute=2), {"n": 8}, [429, 429]),
    ("streams more than the limit", Limits(concurrent_streams=7), {"n": 8, "stream": True}, [429, 429]),
    ("streams at the limit", Limits(concurrent_streams=8), {"n": 8, "stream": True}, [200, 200]),
    ("buffered responses are not streams", Limits(concurrent_streams=1), {"n": 8}, [200, 200]),
]


@pytest.mark.parametrize(
    ("limits", "fields", "statuses"), [pytest.param(*rest, id=name) for name, *rest in CHOICES]
)
def test_each_choice_counts_as_a_request(limits: Limits, fields: dict[str, Any], statuses: list[int]) -> None:
    upstream = Upstream()
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=limits)
        responses = [post(deployed, secret, **fields) for _ in statuses]
        assert [response.status_code for response in responses] == statuses
        assert len(upstream.bodies) == statuses.count(200) * fields["n"]
    counters = deployed.counters()
    assert counters.get("streams", 0) == 0
    if limits.requests_per_minute and counters:
        assert counters["requests"] == len(upstream.bodies)


def test_more_choices_than_the_limit_are_refused() -> None:
    with deployment() as deployed:
        response = post(deployed, deployed.key(limits=Limits(requests_per_minute=2)), n=8)
    assert "2 requests per minute, and each choice counts as one. 'n' is 8: use at most 2." in response.text
    assert response.headers["x-should-retry"] == "false"


BAD = {
    "no JSON": b"{",
    "no messages": json.dumps({"model": "claude-haiku-4-5"}).encode(),
    "a value out of range": json.dumps({**REQUEST, "temperature": 9}).encode(),
    "too many choices": json.dumps({**REQUEST, "n": 99}).encode(),
    "an unknown model": json.dumps({**REQUEST, "model": "gpt-4o"}).encode(),
    "a field that Claude cannot honour": json.dumps({**REQUEST, "modalities": ["audio"]}).encode(),
}


@each_api
@pytest.mark.parametrize("body", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("other_limits", [{}, {"tokens_per_minute": 10**6, "usd_per_day_micros": 10**7}])
def test_bad_requests_count_against_the_limit(body: bytes, other_limits: dict[str, int], api: Api) -> None:
    with deployment() as deployed:
        secret = deployed.key(limits=Limits(requests_per_minute=3, **other_limits))
        statuses = [post(deployed, secret, body, api).status_code for _ in range(3)]
        assert all(status in (400, 404) for status in statuses)
        assert [post(deployed, secret, each, api).status_code for each in (body, None)] == [429, 429]
        assert deployed.counters()["requests"] == 3


@each_api
def test_a_reached_limit_is_refused_before_the_body_is_parsed(api: Api) -> None:
    """In every process: the second one has no local state and reads the table."""
    with deployment() as one, deployment(None, one.stored) as other:
        secret = one.key(limits=Limits(requests_per_minute=2))
        assert [post(one, secret, api=api, stream=True).status_code for _ in range(2)] == [200, 200]
        for deployed in (one, other, one, other):
            assert post(deployed, secret, BAD["no JSON"], api).status_code == 429
        assert one.counters()["requests"] == 2


ROUND_TRIPS = [
    (Limits(requests_per_minute=9), {"update": 2}),
    (Limits(requests_per_minute=9, tokens_per_minute=10**6), {"update": 3}),
    (Limits(tokens_per_minute=10**6, usd_per_day_micros=10**7), {"update": 3}),
]


@each_api
@pytest.mark.parametrize(("limits", "calls"), ROUND_TRIPS)
def test_table_calls_of_a_request(limits: Limits, calls: dict[str, int], api: Api) -> None:
    """One update for the ledger, one at the start, and one at the end for all limits except requests."""
    with deployment() as deployed:
        secret = deployed.key(limits=limits)
        post(deployed, secret, api=api, stream=True)
        deployed.table.calls.clear()
        assert post(deployed, secret, api=api, stream=True).status_code == 200
        assert deployed.table.calls == calls
