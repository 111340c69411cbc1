"""Failover between hosts: what fails x where x on which host. Nothing is answered or billed twice."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest

from claudexia.access.ledger import Ledger
from claudexia.storage.memory import MemoryTable
from tests.fakes.hosts import ENVIRONMENT, FakeHost
from tests.helpers.hosts import hosts_gateway
from tests.helpers.serving import KEY, Reply, Upstream, error_body, sse, text_events

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MESSAGES: Any = [{"role": "user", "content": "hello"}]
AWS_ERROR = {"x-amzn-errortype": "ThrottlingException"}
HOSTS = ("anthropic", "aws", "bedrock")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def client_of(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)


def overloaded() -> dict[str, Any]:
    return {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


ANSWER = Reply([sse(*text_events("from the second"))])
# None: the host refuses connections.
BEFORE: Mapping[str, tuple[Reply | None, str]] = {
    "no connection": (None, "unreachable"),
    "500": (Reply([error_body("api_error", "m")], 500), "failed"),
    "502 of a load balancer": (Reply([b"<html>"], 502), "failed"),
    "529": (Reply([error_body("overloaded_error", "m")], 529), "overloaded"),
    "overloaded as the first event": (Reply([sse(overloaded())]), "overloaded"),
    "429 for a minute": (Reply([error_body("rate_limit_error", "m")], 429, {"retry-after": "60"}), "throttled"),
    "429 of AWS": (Reply([b'{"message": "Too many requests"}'], 429, AWS_ERROR), "throttled"),
    "no such model": (Reply([error_body("not_found_error", "model: x")], 404), "no_model"),
    "credential refused": (Reply([error_body("authentication_error", "m")], 401), "account"),
    "no credit left": (Reply([error_body("billing_error", "m")], 402), "account"),
}


@pytest.mark.parametrize("first", HOSTS)
@pytest.mark.parametrize("fault", BEFORE)
def test_the_next_host_answers_if_the_first_refused_before_its_first_event(fault: str, first: str) -> None:
    reply, reason = BEFORE[fault]
    second = next(name for name in HOSTS if name != first)
    failing = Upstream(reply) if reply else None
    answering = Upstream(ANSWER)
    with hosts_gateway({first: failing, second: answering}) as url, client_of(url) as client:
        answer = client.chat.completions.with_raw_response.create(model="claude-sonnet-5-5", messages=MESSAGES)
    assert answer.parse().choices[0].message.content == "from the second"
    assert answer.headers["x-claudexia-upstream"] == second
    assert answer.headers["x-claudexia-failed-upstreams"] == f"{first} {reason}"
    assert (len(failing.bodies) if failing else 1, len(answering.bodies)) == (1, 1)


NEVER: Mapping[str, tuple[Reply, int]] = {
    "invalid request": (Reply([error_body("invalid_request_error", "m")], 400), 400),
    "prompt too long": (Reply([error_body("invalid_request_error", "prompt is too long")], 400), 400),
    "too large": (Reply([error_body("request_too_large", "m")], 413), 413),
    "429 for a moment": (Reply([error_body("rate_limit_error", "m")], 429, {"retry-after": "2"}), 429),
    "broken off without an event": (Reply([], then="break"), 502),
    "ended without an event": (Reply([]), 502),
}


@pytest.mark.parametrize("first", HOSTS)
@pytest.mark.parametrize("fault", NEVER)
def test_no_other_host_is_called_for_the_callers_fault_or_what_may_be_billed(fault: str, first: str) -> None:
    reply, status = NEVER[fault]
    second = next(name for name in HOSTS if name != first)
    failing, answering = Upstream(reply), Upstream(ANSWER)
    with hosts_gateway({first: failing, second: answering}) as url, client_of(url) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="claude-sonnet-5-5", messages=MESSAGES)
        assert caught.value.status_code == status
        assert caught.value.response.headers["x-claudexia-upstream"] == first
    assert (len(failing.bodies), len(answering.bodies)) == (1, 0)


AFTER: Mapping[str, Reply] = {
    "an error event": Reply([sse(*text_events()[:4], overloaded())]),
    "broken off": Reply([sse(*text_events()[:4])], then="break"),
    "ended early": Reply([sse(*text_events()[:4])]),
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("first", HOSTS)
@pytest.mark.parametrize("fault", AFTER)
def test_no_other_host_is_called_after_the_first_event(fault: str, first: str, stream: bool) -> None:
    second = next(name for name in HOSTS if name != first)
    failing, answering = Upstream(AFTER[fault]), Upstream(ANSWER)
    with (
        hosts_gateway({first: failing, second: answering}) as url,
        client_of(url) as client,
        pytest.raises(openai.APIError),
    ):
        answer: Any = client.chat.completions.create(
            model="claude-sonnet-5-5", messages=MESSAGES, stream=stream
        )
        list(answer)
    assert (len(failing.bodies), len(answering.bodies)) == (1, 0)


def test_the_first_error_is_raised_if_all_hosts_fail() -> None:
    upstreams = {"aws": Upstream(Reply([b"{}"], 500)), "anthropic": Upstream(OVERLOADED)}
    with (
        hosts_gateway(upstreams) as url,
        client_of(url) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model="claude-sonnet-5-5", messages=MESSAGES)
    assert caught.value.status_code == 500
    headers = caught.value.response.headers
    assert headers["x-claudexia-failed-upstreams"] == "aws failed, anthropic overloaded"


def test_a_host_that_failed_is_left_alone_for_this_model_only() -> None:
    failing, answering = Upstream(Reply([b"{}"], 500)), Upstream(ANSWER)
    with hosts_gateway({"bedrock": failing, "anthropic": answering}) as url, client_of(url) as client:
        for model in ("claude-sonnet-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-sonnet-5-5"):
            client.chat.completions.create(model=model, messages=MESSAGES)
    models = [body["model"] for body in failing.bodies]
    assert models == ["global.anthropic.claude-sonnet-5-5", "global.anthropic.claude-haiku-5-5"]
    assert len(answering.bodies) == 4


def test_a_host_that_cannot_take_the_request_is_passed_over() -> None:
    failing, bedrock = Upstream(Reply([b"{}"], 500)), FakeHost("bedrock")
    image: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with hosts_gateway({"anthropic": failing, "bedrock": bedrock}) as url, client_of(url) as client:
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(
                model="claude-sonnet-5-5",
                messages=[{"role": "user", "content": [image]}],
            )
        client.chat.completions.create(model="claude-sonnet-5-5", messages=MESSAGES)
    assert len(bedrock.requests) == 1


FALLBACKS: Any = {"model_fallbacks": {"claude-opus-5-5": "claude-sonnet-5-5"}}
OVERLOADED = Reply([error_body("overloaded_error", "m")], 529)
RETIRED = Reply([error_body("not_found_error", "model: claude-opus-5-5")], 404)


@pytest.mark.parametrize("reply", [OVERLOADED, RETIRED], ids=["overloaded", "retired"])
def test_a_fallback_model_answers_translated_for_itself_and_is_reported(reply: Reply) -> None:
    upstream = Upstream(reply, ANSWER)
    with hosts_gateway({"anthropic": upstream}, shows_cost=True, **FALLBACKS) as url, client_of(url) as client:
        answer = client.chat.completions.with_raw_response.create(
            model="claude-opus-5-5", messages=MESSAGES, reasoning_effort="none"
        )
    assert [body["model"] for body in upstream.bodies] == ["claude-opus-5-5", "claude-sonnet-5-5"]
    assert "claude-sonnet-5-5 answers" in answer.headers["x-claudexia-warnings"]
    # 7 input tokens and 3 output tokens of Sonnet 5.5.
    assert float(answer.headers["x-claudexia-cost"]) == pytest.approx((7 * 2 + 3 * 10) / 1e6)


NO_FALLBACK: list[tuple[str, Reply, dict[str, Any]]] = [
    ("another failure", Reply([b"{}"], 500), {}),
    ("strict", OVERLOADED, {"extra_headers": {"x-claudexia-strict": "true"}}),
    ("another model", OVERLOADED, {"model": "claude-haiku-5-5"}),
]


@pytest.mark.parametrize(("name", "reply", "fields"), NO_FALLBACK, ids=[each[0] for each in NO_FALLBACK])
def test_no_fallback_model(name: str, reply: Reply, fields: dict[str, Any]) -> None:
    upstream = Upstream(reply, ANSWER)
    with (
        hosts_gateway({"anthropic": upstream}, **FALLBACKS) as url,
        client_of(url) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(**{"model": "claude-opus-5-5", "messages": MESSAGES, **fields})
    assert len(upstream.bodies) == 1


def test_an_overloaded_host_that_asks_for_a_moment_is_tried_once_more() -> None:
    moment = Reply([error_body("overloaded_error", "m")], 529, {"retry-after-ms": "10"})
    for retry, sent in ((True, 2), (False, 1)):
        upstream = Upstream(moment)
        with (
            hosts_gateway({"anthropic": upstream}, upstream_retry=retry) as url,
            client_of(url) as client,
            pytest.raises(openai.InternalServerError),
        ):
            client.chat.completions.create(model="claude-opus-5-5", messages=MESSAGES)
        assert len(upstream.bodies) == sent


def test_the_ledger_has_one_request_with_the_host_that_answered_at_its_price() -> None:
    table = MemoryTable(lambda: NOW)
    failing, answering = Upstream(Reply([b"{}"], 500)), Upstream(ANSWER)
    with (
        hosts_gateway(
            {"anthropic": failing, "bedrock": answering},
            table=table,
            now=lambda: NOW,
            aws={"inference_profile": "eu"},
        ) as url,
        client_of(url) as client,
    ):
        client.chat.completions.create(model="claude-sonnet-5-5", messages=MESSAGES)
    (day,) = asyncio.run(Ledger(table, pytest.fail).month("2026-11"))
    assert (day.model, day.totals.requests, day.totals.errors) == ("claude-sonnet-5-5@bedrock", 1, 0)
    assert day.totals.failed_attempts == 1
    assert day.totals.cost_micros == round((7 * 2 + 3 * 10) * 1.1)


def test_a_paused_turn_is_resumed_on_the_host_that_paused_it() -> None:
    paused = text_events("one", "pause_turn")
    first, second = Upstream(Reply([b"{}"], 500), ANSWER), Upstream(Reply([sse(*paused)]), ANSWER)
    body = {"model": "claude-sonnet-5-5", "messages": MESSAGES, "web_search_options": {}}
    with hosts_gateway({"anthropic": first, "aws": second}) as url:
        answer = httpx.post(f"{url}/chat/completions", json=body, headers={"api-key": KEY})
    assert answer.status_code == 200, json.dumps(answer.json())
    assert (len(first.bodies), len(second.bodies)) == (1, 2)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_the_messages_api_fails_over_too(stream: bool) -> None:
    failing, bedrock = Upstream(Reply([b"{}"], 500)), FakeHost("bedrock")
    body = {"model": "claude-sonnet-5-5", "max_tokens": 99, "messages": MESSAGES, "stream": stream}
    with hosts_gateway({"anthropic": failing, "bedrock": bedrock}) as url:
        answer = httpx.post(f"{url}/messages", json=body, headers={"x-api-key": KEY})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-claudexia-upstream"] == "bedrock"
    assert answer.headers["x-claudexia-failed-upstreams"] == "anthropic failed"
    assert bedrock.requests[0][2] == {**body, "model": "global.anthropic.claude-sonnet-5-5"}
    assert len(failing.bodies) == 1


def test_tokens_are_counted_by_a_host_that_can() -> None:
    anthropic, bedrock = (
        Upstream(Reply([b'{"input_tokens": 7}'], 200, {"content-type": "application/json"})),
        FakeHost("bedrock"),
    )
    body = {"model": "claude-sonnet-5-5", "messages": MESSAGES}
    for upstreams, status in (({"bedrock": bedrock, "anthropic": anthropic}, 200), ({"bedrock": bedrock}, 404)):
        with hosts_gateway(upstreams) as url:
            answer = httpx.post(f"{url}/messages/count_tokens", json=body, headers={"x-api-key": KEY})
        assert answer.status_code == status, answer.text
    assert not bedrock.requests
