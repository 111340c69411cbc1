"""Keys, limits, cost and usage as a client sees them, over real sockets, with a table in memory."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from openai import AuthenticationError, BadRequestError, PermissionDeniedError, RateLimitError

from claudexia.access.ledger import totals
from claudexia.access.limits import Limits
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.deployment import REQUEST, deployment
from tests.helpers.serving import Reply, Upstream, sse, start, text_events
from tests.helpers.waiting import PATIENCE


def test_a_key_from_the_table() -> None:
    with deployment() as deployed:
        secret = deployed.key()
        assert (
            deployed.client(secret).chat.completions.create(**REQUEST).choices[0].message.content
            == "Hello there"
        )
        mistyped = secret[:-8] + ("x" if secret[-8] != "x" else "y") + secret[-7:]
        for wrong, used in ((mistyped, "mistyped"), ("sk_cdx_never", "Incorrect")):
            with pytest.raises(AuthenticationError, match=used):
                deployed.client(wrong).chat.completions.create(**REQUEST)


def test_a_revoked_key_is_refused_within_a_minute_and_an_expired_one_at_once() -> None:
    with deployment() as deployed:
        revoked = deployed.key("revoked")
        expiring = deployed.key("expiring", expires=deployed.clock.time + timedelta(seconds=30))
        for secret in (revoked, expiring):
            deployed.client(secret).models.list()
        asyncio.run(deployed.keys.revoke("revoked"))
        deployed.clock.advance(seconds=31)
        with pytest.raises(AuthenticationError, match="expired"):
            deployed.client(expiring).models.list()
        deployed.clock.advance(seconds=30)
        with pytest.raises(AuthenticationError, match="revoked"):
            deployed.client(revoked).models.list()


def test_a_key_is_limited_to_its_models_and_max_tokens() -> None:
    upstream = Upstream()
    with deployment(upstream) as deployed:
        client = deployed.client(deployed.key(models=("claude-haiku-*",), limits=Limits(max_tokens=500)))
        with pytest.raises(PermissionDeniedError):
            client.chat.completions.create(**{**REQUEST, "model": "claude-opus-5-5"})
        with pytest.raises(BadRequestError) as caught:
            client.chat.completions.create(max_tokens=501, **REQUEST)
        assert caught.value.param == "max_tokens"
        client.chat.completions.create(**REQUEST)
    assert [body["max_tokens"] for body in upstream.bodies] == [500]


def test_requests_per_minute() -> None:
    with deployment() as deployed:
        client = deployed.client(deployed.key(limits=Limits(requests_per_minute=2)))
        raw = client.chat.completions.with_raw_response.create(**REQUEST)
        assert raw.headers["x-ratelimit-limit-requests"] == "2"
        assert raw.headers["x-ratelimit-remaining-requests"] == "1"
        client.chat.completions.create(**REQUEST)
        with pytest.raises(RateLimitError) as caught:
            client.chat.completions.create(**REQUEST)
        assert caught.value.code == "rate_limit_exceeded"
        assert 0 < int(caught.value.response.headers["retry-after"]) <= 60
        deployed.clock.advance(minutes=1)
        client.chat.completions.create(**REQUEST)


def test_100_of_200_concurrent_requests_pass() -> None:
    with deployment() as deployed, ThreadPoolExecutor(20) as threads, httpx.Client(timeout=PATIENCE) as client:
        headers = {"authorization": f"Bearer {deployed.key(limits=Limits(requests_per_minute=100))}"}
        url = f"{deployed.url}/chat/completions"
        statuses = list(
            threads.map(lambda _: client.post(url, json=REQUEST, headers=headers).status_code, range(200))
        )
        assert sorted(set(statuses)) == [200, 429]
        assert statuses.count(200) == 100
        used = totals(deployed.usage())
        assert (used.requests, used.errors, used.output_tokens) == (200, 100, 200)


def test_tokens_per_minute_reserve_max_tokens_or_the_estimate() -> None:
    """Not the model's maximum output, which would refuse every request after the first."""
    with deployment() as deployed:
        client = deployed.client(deployed.key(limits=Limits(tokens_per_minute=5000)))
        for used in (9, 18):
            raw = client.chat.completions.with_raw_response.create(**REQUEST)
            assert 0 <= int(raw.headers["x-ratelimit-remaining-tokens"]) <= 5000 - 4096 - used + 9
        with pytest.raises(RateLimitError, match="tokens per minute"):
            client.chat.completions.create(max_tokens=5000, **REQUEST)
        client.chat.completions.create(max_tokens=4000, **REQUEST)


def test_cost_and_dollar_limit() -> None:
    """Haiku 4.5 costs $1 (input) and $5 (output) per million tokens: 7 and 2 tokens cost 17 microdollars."""
    with deployment(shows_cost=True) as deployed:
        client = deployed.client(deployed.key("zoe@home", limits=Limits(usd_per_day_micros=20)))
        raw = client.chat.completions.with_raw_response.create(max_tokens=1, **REQUEST)
        assert raw.headers["x-claudexia-cost"] == "0.000017"
        assert raw.headers["x-claudexia-key"] == "zoe%40home"
        assert json.loads(raw.text)["usage"]["cost"] == 0.000017
        client.chat.completions.create(max_tokens=1, **REQUEST)
        with pytest.raises(RateLimitError) as caught:
            client.chat.completions.create(max_tokens=1, **REQUEST)
        assert caught.value.code == "insufficient_quota"
        assert caught.value.response.headers["x-should-retry"] == "false"
        deployed.clock.advance(days=1)
        options: Any = {"include_usage": True}
        *_, last = client.chat.completions.create(max_tokens=1, stream=True, stream_options=options, **REQUEST)
        assert last.usage
        assert (last.usage.model_extra or {})["cost"] == 0.000017


def disconnect(url: str, headers: dict[str, str]) -> None:
    with httpx.stream(
        "POST", url, json={**REQUEST, "stream": True}, headers=headers, timeout=PATIENCE
    ) as response:
        next(response.iter_lines())


def send_request(url: str, headers: dict[str, str], **more: Any) -> None:
    httpx.post(url, json={**REQUEST, **more}, headers=headers, timeout=PATIENCE)


HANGS_HALFWAY = Reply([sse(*text_events("one two three four five six seven eight")[:-3])], then="hang")
OUTCOMES: list[Any] = [
    pytest.param(Reply([sse(*text_events())]), send_request, (1, 0, 7, 2), id="buffered"),
    pytest.param(Reply([sse(*text_events())]), lambda u, h: send_request(u, h, stream=True), (1, 0, 7, 2), id="streamed"),
    pytest.param(Reply([sse(*text_events())]), lambda u, h: send_request(u, h, n=2), (1, 0, 14, 4), id="two choices"),
    pytest.param(Reply([sse(*text_events()[:4])]), lambda u, h: send_request(u, h, stream=True), (1, 1, 7, 1), id="cut off"),
    pytest.param(Reply([b"no"], 500), send_request, (1, 1, 0, 0), id="upstream failed"),
    pytest.param(Reply(), lambda u, h: send_request(u, h, temperature=9), (1, 1, 0, 0), id="bad request"),
    pytest.param(HANGS_HALFWAY, disconnect, (1, 0, 7, 9), id="the client left"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "action", "expected"), OUTCOMES)
def test_every_request_is_in_the_ledger_once(
    reply: Reply, action: Callable[[str, dict[str, str]], None], expected: tuple[int, int, int, int]
) -> None:
    upstream = Upstream(reply)
    with deployment(upstream) as deployed:
        action(f"{deployed.url}/chat/completions", {"authorization": f"Bearer {deployed.key()}"})
        if reply.then == "hang":
            assert upstream.disconnected.wait(PATIENCE)
    used = totals(deployed.usage())
    assert (used.requests, used.errors, used.input_tokens, used.output_tokens) == expected


def test_the_ledger_counts_cache_tokens() -> None:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 10,
        "output_tokens": 1,
    }
    events = [{"type": "message_start", "message": {**start(), "usage": usage}}, *text_events()[1:]]
    with deployment(Upstream(Reply([sse(*events)]))) as deployed:
        deployed.client(deployed.key()).chat.completions.create(**REQUEST)
        used = totals(deployed.usage())
    assert (used.input_tokens, used.cached_tokens, used.cache_write_tokens) == (1, 100, 10)
    assert used.cost_micros == 34  # 1 + 10 + 12.5 + 10, rounded once


def test_thinking_is_restored_from_the_table() -> None:
    from tests.integration.test_thinking_loop import run_tool_loop, thinking_sent  # noqa: PLC0415 - the same loop

    upstream = FakeAnthropic(bound=True)
    with deployment(upstream) as deployed:
        run_tool_loop([deployed.client(deployed.key())], "weather [rounds=3]", model="claude-sonnet-5-5")
    assert [bool(turn) for turn in thinking_sent(upstream.bodies[-1])] == [True] * 3


def test_the_model_list_has_the_keys_models_only() -> None:
    with deployment(model_aliases={"gpt-4o": "claude-haiku-4-5", "o3": "claude-opus-5-5"}) as deployed:
        client = deployed.client(deployed.key(models=("claude-haiku-*",)))
        listed = {model.id for model in client.models.list()}
        assert {"claude-haiku-4-5", "gpt-4o"} <= listed
        assert not {name for name in listed if name == "o3" or "opus" in name or "sonnet" in name}
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
        with pytest.raises(PermissionDeniedError, match="claude-haiku-"):
            client.models.retrieve("claude-opus-5-5")
        all_models = {model.id for model in deployed.client(deployed.key("all")).models.list()}
        assert listed < all_models


def test_a_model_without_a_price_counts_tokens_and_is_reported() -> None:
    with deployment(shows_cost=True) as deployed:
        request = {**REQUEST, "model": "claude-fable-6"}
        raw = deployed.client(deployed.key()).chat.completions.with_raw_response.create(**request)
        assert "x-claudexia-cost" not in raw.headers
        assert "cost" not in json.loads(raw.text)["usage"]
        assert deployed.ledger_counts() == (1, 0, 7, 2)
        (day,) = deployed.usage()
        assert (day.totals.unpriced, day.totals.cost_micros) == (1, 0)


def test_the_gateways_role_allows_its_table_calls() -> None:
    """Keys, limits, usage, and thinking that is stored, read, refused and deleted, from two processes."""
    from tests.integration.test_thinking_loop import TOOLS, run_tool_loop  # noqa: PLC0415 - the same loop
    from tests.unit.test_template import ALWAYS_ALLOWED  # noqa: PLC0415 - it translates the whole stack

    upstream = FakeAnthropic(bound=True)
    with deployment(upstream) as one, deployment(upstream, one.stored) as other:
        secret = one.key(limits=Limits(requests_per_minute=50, concurrent_streams=1))
        clients = [each.client(secret) for each in (one, other)]
        messages = run_tool_loop(clients, "weather [rounds=2]", model="claude-sonnet-5-5")
        messages[0]["content"] = "weather [rounds=2], please"  # so the signature of the thinking is not valid
        edited_request: Any = {"model": "claude-sonnet-5-5", "messages": messages[:-1], "tools": TOOLS}
        clients[0].chat.completions.create(**edited_request)
        called = {*one.table.calls, *other.table.calls}
    names = {"get": "GetItem", "get_many": "BatchGetItem", "put": "PutItem", "update": "UpdateItem", "delete": "DeleteItem", "query": "Query"}  # fmt: skip
    assert {f"dynamodb:{names[method]}" for method in called} == {
        action for action, _ in ALWAYS_ALLOWED if action.startswith("dynamodb:")
    }
