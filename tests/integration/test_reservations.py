"""What is reserved of a money limit: a whole message, a fallback's answer, further requests for one answer."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from claudexia.access.ledger import totals
from claudexia.access.limits import Limits
from tests.helpers.apis import CHAT, MESSAGES, Api, each_api
from tests.helpers.deployment import Deployment, deployment
from tests.helpers.serving import (
    WHOLE_JSON,
    Reply,
    Upstream,
    error_body,
    let_servers_go_on,
    message_body,
    sse,
    text_events,
)
from tests.helpers.waiting import PATIENCE

OVERLOADED = Reply([error_body("overloaded_error", "x")], 529)
SHORT = Reply([sse(*text_events())])
FALLBACK: Any = {"model_fallbacks": {"claude-haiku-5-5": "claude-opus-4-8"}, "upstream_retry": False}


def post(deployed: Deployment, secret: str, api: Api = CHAT, **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(deployed.url + api.path, json={**api.body, **fields}, headers=headers, timeout=PATIENCE)


@contextmanager
def running(upstream: Upstream, requests: int, send: Any, answer: threading.Event) -> Iterator[Any]:
    """`send` in a thread, when `requests` have reached the upstream. The last one is answered at the end."""
    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(send)
        try:
            while len(upstream.bodies) < requests and not response.done():
                let_servers_go_on()
            yield response
        finally:
            answer.set()


@pytest.mark.parametrize(("streamed", "reserved"), [(False, 100_000), (True, 4096)], ids=["whole", "streamed"])
def test_a_whole_message_reserves_all_of_its_max_tokens(streamed: bool, reserved: int) -> None:
    """Its length is known at its end only, however short the answers of late were."""
    answer = threading.Event()
    upstream = Upstream(SHORT, Reply([answer, message_body()], headers=WHOLE_JSON))
    if streamed:
        upstream = Upstream(SHORT, Reply([answer, sse(*text_events())]))
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10**7, tokens_per_minute=10**6))
        assert post(deployed, secret, MESSAGES, stream=True).status_code == 200
        fields = {"max_tokens": 100_000, "stream": streamed}
        with running(upstream, 2, lambda: post(deployed, secret, MESSAGES, **fields), answer):
            counters = deployed.counters()
        assert 5 * reserved < counters["usd"] < 5 * reserved + 100
        assert reserved < counters["tokens"] < reserved + 50
        assert not deployed.leases()


@each_api
@pytest.mark.parametrize("streamed", [True, False])
def test_a_fallback_is_reserved_at_its_own_price(api: Api, streamed: bool) -> None:
    """128,000 tokens are $3.20 of the fallback and 6 cents of the requested model."""
    answer = threading.Event()
    whole = api is MESSAGES and not streamed
    reply = Reply([answer, message_body()], headers=WHOLE_JSON) if whole else Reply([answer, *SHORT.pieces])
    upstream = Upstream(OVERLOADED, reply)
    fields = {"model": "claude-haiku-5-5", "stream": streamed}
    if api is MESSAGES:
        fields["max_tokens"] = 128_000
    with deployment(upstream, **FALLBACK) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10**7, requests_per_minute=9))
        with running(upstream, 2, lambda: post(deployed, secret, api, **fields), answer) as response:
            counters, leases = deployed.counters(), deployed.leases()
        assert 3_200_000 < counters["usd"] < 3_201_000
        assert (counters["requests"], len(leases)) == (1, 1)
        assert response.result().status_code == 200
        assert deployed.counters() == {"usd": 7 * 5 + 2 * 25, "requests": 1}
        assert not deployed.leases()


@each_api
def test_no_fallback_answers_that_the_budget_has_no_room_for(api: Api) -> None:
    answer = threading.Event()
    reply = Reply([answer, *SHORT.pieces])
    upstream = Upstream(reply, OVERLOADED)
    with deployment(upstream, **FALLBACK) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10**6))
        other = {"model": "claude-haiku-5-5", "stream": True}
        if api is MESSAGES:
            other["max_tokens"] = 128_000
        with running(upstream, 1, lambda: post(deployed, secret, CHAT, model="claude-haiku-5-5"), answer):
            refused = post(deployed, secret, api, **other)
            assert refused.status_code in (503, 529)
            assert [body["model"] for body in upstream.bodies] == ["claude-haiku-5-5"] * 2
        assert not deployed.leases()


PAUSED = text_events("one", "pause_turn")
SEARCH: dict[str, Any] = {"web_search_options": {}}


FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
FORCED: dict[str, Any] = {"model": "claude-opus-5-5", "tools": [FUNCTION], "tool_choice": "required"}
LONG: dict[str, Any] = {"messages": [{"role": "user", "content": "x" * 20_000}]}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_input_of_each_resumption_is_reserved(streamed: bool) -> None:
    """Its output is part of the turn's max_tokens."""
    answer = threading.Event()
    upstream = Upstream(Reply([sse(*PAUSED)]), Reply([sse(*PAUSED)]), Reply([answer, *SHORT.pieces]))
    fields = {**SEARCH, **LONG, "max_tokens": 1000, "stream": streamed}
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10**7, tokens_per_minute=10**5))
        with running(upstream, 3, lambda: post(deployed, secret, **fields), answer):
            counters = deployed.counters()
        assert len(upstream.bodies) == 3
        assert 3 * 5000 + 1000 < counters["tokens"] < 3 * 5100 + 1000
        assert 3 * 6250 + 5000 < counters["usd"] < 3 * 6400 + 5000
        assert not deployed.leases()
        assert deployed.counters()["tokens"] == totals(deployed.usage()).tokens == 3 * 7 + 2 * 1 + 2


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_second_request_for_a_forced_call_is_reserved(streamed: bool) -> None:
    answer = threading.Event()
    upstream = Upstream(SHORT, Reply([answer, *SHORT.pieces]))
    fields = {**FORCED, "max_tokens": 3000, "stream": streamed}
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=Limits(tokens_per_minute=10**5))
        with running(upstream, 2, lambda: post(deployed, secret, **fields), answer):
            counters = deployed.counters()
        assert 2 * 3000 < counters["tokens"] < 2 * 3300
        assert not deployed.leases()


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_answer_whose_further_requests_exceed_the_budget_ends(streamed: bool) -> None:
    """Each has an input of 6,250 micro-dollars. The first resumption overruns by one reservation."""
    upstream = Upstream(Reply([sse(*PAUSED)]))
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10_000))
        response = post(deployed, secret, **SEARCH, **LONG, max_tokens=100, stream=streamed)
    assert "insufficient_quota" in response.text
    assert len(upstream.bodies) == 2
    assert not deployed.leases()


def test_text_counts_by_its_bytes() -> None:
    """400 Chinese characters are at least 300 tokens, not 100: the stream ends at the fourteenth thousand."""
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "漢" * 400}}
    begin, block, *_ = text_events()
    pieces: list[Any] = [sse(begin, block), 50]
    for _ in range(64):
        pieces += [sse(delta), 50]
    with deployment(Upstream(SHORT, Reply(pieces))) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=30_000))
        assert post(deployed, secret).status_code == 200
        response = post(deployed, secret, stream=True)
        assert "insufficient_quota" in response.text
        assert response.text.count("漢") < 13_000
        usage = totals(deployed.usage())
        assert usage.output_tokens - 2 == response.text.count("漢") * 3 // 4


HUGE = (
    json.dumps({**CHAT.body, "model": "claude-opus-9"})[:-1].encode() + b', "max_tokens": ' + b"9" * 4300 + b"}"
)


@pytest.mark.parametrize("limits", [Limits(tokens_per_minute=50_000), Limits(usd_per_day_micros=10**6)])
def test_a_number_of_4300_digits_is_reserved_as_all_that_is_left(limits: Limits) -> None:
    """No model is known that could refuse it. With the input, the sum has 4301 digits."""
    with deployment() as deployed:
        headers = {"authorization": f"Bearer {deployed.key(limits=limits)}"}
        responses = [
            httpx.post(deployed.url + CHAT.path, content=HUGE, headers=headers, timeout=PATIENCE)
            for _ in range(2)
        ]
        assert {response.status_code for response in responses} <= {200, 429}
        assert responses[0].status_code == 200
        assert all(len(response.text) < 1000 for response in responses)


TURNS = [
    # The key's limit, the request's fields, the max_tokens and thinking budgets of the requests.
    pytest.param(500, {}, [500, 300, 100], [None] * 3, id="the key's limit"),
    pytest.param(None, {"max_tokens": 401}, [401, 201, 1], [None] * 3, id="the client's limit"),
    pytest.param(None, {"max_tokens": 400}, [400, 200], [None] * 2, id="nothing left"),
    pytest.param(
        None,
        {"max_tokens": 1600, "thinking": {"type": "enabled", "budget_tokens": 1300}},
        [1600, 1400, 1200],
        [1300, 1100, 1024],
        id="a thinking budget",
    ),
    pytest.param(
        None,
        {"max_tokens": 2300, "thinking": {"type": "enabled", "budget_tokens": 1150}},
        [2300, 2100, 1900, 1700, 1500, 1300, 1100],
        [1150, 1076, *[1024] * 5],
        id="a thinking budget beside which an answer fits",
    ),
]


@pytest.mark.parametrize(("limit", "fields", "sent", "budgets"), TURNS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_max_tokens_limits_a_whole_turn(
    limit: int | None, fields: dict[str, Any], sent: list[int], budgets: list[int | None], streamed: bool
) -> None:
    """Claude pauses after 200 tokens, in each of its messages."""
    *events, delta, stop = PAUSED
    upstream = Upstream(Reply([sse(*events, {**delta, "usage": {"output_tokens": 200}}, stop)]))
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=Limits(max_tokens=limit))
        response = post(deployed, secret, **SEARCH, **fields, stream=streamed)
    assert response.status_code == 200
    assert '"finish_reason":"length"' in response.text
    assert [body["max_tokens"] for body in upstream.bodies] == sent
    assert [body.get("thinking", {}).get("budget_tokens") for body in upstream.bodies] == budgets
