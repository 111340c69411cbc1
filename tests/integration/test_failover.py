"""Failover for each API: what fails x where x on which host. Nothing is answered or billed twice."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from claudexia.access.ledger import DayUsage, Ledger
from claudexia.storage.memory import MemoryTable
from tests.fakes.hosts import ENVIRONMENT, FakeHost
from tests.helpers.apis import CHAT, MESSAGES, RESPONSES, Api, each_api
from tests.helpers.hosts import hosts_gateway
from tests.helpers.serving import KEY, Reply, Upstream, error_body, sse, text_events

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
AWS_ERROR = {"x-amzn-errortype": "ThrottlingException"}
HOSTS = ("anthropic", "aws", "bedrock")
APIS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
PROFILE = {"inference_profile": "eu"}
# Micro-dollars of 7 input and 3 output tokens by host.
COST = {"anthropic": 22, "aws": 22, "bedrock": 24}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def ask(url: str, api: Api, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
    sent = {"api-key": KEY, **(headers or {})}
    return httpx.post(url + api.path, json={**api.body, **fields}, headers=sent, timeout=60)


def cases(faults: Iterable[str]) -> pytest.MarkDecorator:
    """Each fault with each API and with each host that fails first, and each API with each host."""
    found = [
        pytest.param(fault, api, HOSTS[(row + column) % 3], id=f"{fault}-{name}-{HOSTS[(row + column) % 3]}")
        for row, fault in enumerate(faults)
        for column, (name, api) in enumerate(APIS.items())
    ]
    return pytest.mark.parametrize(("fault", "api", "first"), found)


def second_to(first: str) -> str:
    return next(name for name in reversed(HOSTS) if name != first)


def days_of(table: MemoryTable) -> list[DayUsage]:
    return asyncio.run(Ledger(table, pytest.fail).month("2026-11"))


def overloaded() -> dict[str, Any]:
    return {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


ANSWER = Reply([sse(*text_events("from the second"))])
OVERLOADED = Reply([error_body("overloaded_error", "m")], 529)
# None: the host refuses connections.
BEFORE: Mapping[str, tuple[Reply | None, str]] = {
    "no connection": (None, "unreachable"),
    "500": (Reply([error_body("api_error", "m")], 500), "failed"),
    "502 of a load balancer": (Reply([b"<html>"], 502), "failed"),
    "529": (OVERLOADED, "overloaded"),
    "overloaded as the first event": (Reply([sse(overloaded())]), "overloaded"),
    "overloaded after a ping": (Reply([sse({"type": "ping"}), sse(overloaded())]), "overloaded"),
    "429 for a minute": (Reply([error_body("rate_limit_error", "m")], 429, {"retry-after": "60"}), "throttled"),
    "429 of AWS": (Reply([b'{"message": "Too many requests"}'], 429, AWS_ERROR), "throttled"),
    "no such model": (Reply([error_body("not_found_error", "model: x")], 404), "no_model"),
    "credential refused": (Reply([error_body("authentication_error", "m")], 401), "account"),
    "no credit left": (Reply([error_body("billing_error", "m")], 402), "account"),
}


@cases(BEFORE)
def test_the_next_host_answers_and_is_billed_if_the_first_refused_before_its_first_event(
    fault: str, api: Api, first: str
) -> None:
    reply, reason = BEFORE[fault]
    second, table = second_to(first), MemoryTable(lambda: NOW)
    failing = Upstream(reply) if reply else None
    answering = Upstream(ANSWER)
    hosts = {first: failing, second: answering}
    with hosts_gateway(hosts, table=table, now=lambda: NOW, aws=PROFILE) as url:
        answer = ask(url, api, stream=True)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-claudexia-upstream"] == second
    assert answer.headers["x-claudexia-failed-upstreams"] == f"{first} {reason}"
    assert answer.text.count('" second"') == 1  # the last word, a delta
    assert (len(failing.bodies) if failing else 1, len(answering.bodies)) == (1, 1)
    (day,) = days_of(table)
    assert day.model == "claude-haiku-4-5" + ("" if second == "anthropic" else f"@{second}")
    assert (day.totals.requests, day.totals.errors, day.totals.failed_attempts) == (1, 0, 1)
    assert (day.totals.input_tokens, day.totals.output_tokens) == (7, 3)
    assert day.totals.cost_micros == COST[second]


NEVER: Mapping[str, tuple[Reply, int]] = {
    "invalid request": (Reply([error_body("invalid_request_error", "m")], 400), 400),
    "prompt too long": (Reply([error_body("invalid_request_error", "prompt is too long")], 400), 400),
    "too large": (Reply([error_body("request_too_large", "m")], 413), 413),
    "429 for a moment": (Reply([error_body("rate_limit_error", "m")], 429, {"retry-after": "2"}), 429),
    "broken off without an event": (Reply([], then="break"), 502),
    "ended without an event": (Reply([]), 502),
}


@cases(NEVER)
def test_no_other_host_is_called_for_the_callers_fault_or_what_may_be_billed(
    fault: str, api: Api, first: str
) -> None:
    reply, status = NEVER[fault]
    failing, answering = Upstream(reply), Upstream(ANSWER)
    with hosts_gateway({first: failing, second_to(first): answering}) as url:
        answer = ask(url, api, stream=True)
    assert answer.status_code == status
    assert answer.headers["x-claudexia-upstream"] == first
    assert (len(failing.bodies), len(answering.bodies)) == (1, 0)


AFTER: Mapping[str, Reply] = {
    "an error event": Reply([sse(*text_events()[:4], overloaded())]),
    "broken off": Reply([sse(*text_events()[:4])], then="break"),
    "ended early": Reply([sse(*text_events()[:4])]),
}


@cases(AFTER)
def test_no_other_host_is_called_after_the_first_event(fault: str, api: Api, first: str) -> None:
    table = MemoryTable(lambda: NOW)
    failing, answering = Upstream(AFTER[fault]), Upstream(ANSWER)
    hosts = {first: failing, second_to(first): answering}
    with hosts_gateway(hosts, table=table, now=lambda: NOW, aws=PROFILE) as url:
        answer = ask(url, api, stream=True)
    assert answer.status_code == 200
    assert '"error"' in answer.text.strip().splitlines()[-1]
    assert (len(failing.bodies), len(answering.bodies)) == (1, 0)
    (day,) = days_of(table)
    assert day.model == "claude-haiku-4-5" + ("" if first == "anthropic" else f"@{first}")
    assert (day.totals.requests, day.totals.errors, day.totals.failed_attempts) == (1, 1, 0)
    assert (day.totals.input_tokens, day.totals.output_tokens) == (7, 1)


@pytest.mark.parametrize("fault", AFTER)
@pytest.mark.parametrize("api", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_no_other_host_is_called_for_a_whole_answer_that_broke_off(fault: str, api: Api) -> None:
    failing, answering = Upstream(AFTER[fault]), Upstream(ANSWER)
    with hosts_gateway({"aws": failing, "anthropic": answering}) as url:
        answer = ask(url, api)
    assert answer.status_code >= 500
    assert (len(failing.bodies), len(answering.bodies)) == (1, 0)


@each_api
def test_a_whole_answer_of_the_next_host(api: Api) -> None:
    failing, bedrock = Upstream(Reply([b"{}"], 500)), FakeHost("bedrock")
    with hosts_gateway({"anthropic": failing, "bedrock": bedrock}) as url:
        answer = ask(url, api)
    assert answer.status_code == 200, answer.text
    assert api.text_of(answer)
    assert answer.headers["x-claudexia-failed-upstreams"] == "anthropic failed"
    assert bedrock.requests[0][2]["model"] == "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert len(failing.bodies) == 1


@each_api
def test_the_first_error_is_the_clients_if_all_hosts_fail(api: Api) -> None:
    table = MemoryTable(lambda: NOW)
    upstreams = {"aws": Upstream(Reply([b"{}"], 500)), "anthropic": Upstream(OVERLOADED)}
    with hosts_gateway(upstreams, table=table, now=lambda: NOW) as url:
        answer = ask(url, api)
    assert answer.status_code == 500
    assert answer.headers["x-claudexia-upstream"] == "aws"
    assert answer.headers["x-claudexia-failed-upstreams"] == "aws failed, anthropic overloaded"
    (day,) = days_of(table)
    assert (day.totals.requests, day.totals.errors, day.totals.failed_attempts) == (1, 1, 2)
    assert day.totals.cost_micros == 0


# The circuit


@each_api
def test_a_host_that_failed_is_left_alone_for_this_model_only(api: Api) -> None:
    failing, answering = Upstream(Reply([b"{}"], 500)), Upstream(ANSWER)
    models = ("claude-sonnet-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-sonnet-5-5")
    with hosts_gateway({"bedrock": failing, "anthropic": answering}) as url:
        failed = [
            ask(url, api, model=model, stream=True).headers.get("x-claudexia-failed-upstreams")
            for model in models
        ]
    assert failed == ["bedrock failed", None, "bedrock failed", None]
    assert [body["model"] for body in failing.bodies] == [
        "global.anthropic.claude-sonnet-5-5",
        "global.anthropic.claude-haiku-5-5",
    ]
    assert len(answering.bodies) == 4


# A pause of a millisecond is over when the next request comes.
FOR_A_MOMENT = Reply([error_body("api_error", "m")], 500, {"retry-after-ms": "1"})


@each_api
def test_after_the_pause_one_request_probes_the_host(api: Api) -> None:
    failing, answering = Upstream(FOR_A_MOMENT, FOR_A_MOMENT, ANSWER), Upstream(ANSWER)
    with hosts_gateway({"aws": failing, "anthropic": answering}) as url:
        hosts = [ask(url, api, stream=True).headers["x-claudexia-upstream"] for _ in range(4)]
    assert hosts == ["anthropic", "anthropic", "aws", "aws"]
    assert (len(failing.bodies), len(answering.bodies)) == (4, 2)


@each_api
@pytest.mark.parametrize("retry", [True, False], ids=["on", "off"])
def test_an_overloaded_host_that_asks_for_a_moment_is_tried_once_more(retry: bool, api: Api) -> None:
    moment = Reply([error_body("overloaded_error", "m")], 529, {"retry-after-ms": "10"})
    overloaded, other, table = Upstream(moment, ANSWER), Upstream(ANSWER), MemoryTable(lambda: NOW)
    hosts = {"anthropic": overloaded, "aws": other}
    with hosts_gateway(hosts, upstream_retry=retry, table=table, now=lambda: NOW) as url:
        answer = ask(url, api, stream=True)
    assert answer.status_code == 200
    assert answer.headers["x-claudexia-upstream"] == ("anthropic" if retry else "aws")
    assert answer.headers["x-claudexia-failed-upstreams"] == "anthropic overloaded"
    assert (len(overloaded.bodies), len(other.bodies)) == ((2, 0) if retry else (1, 1))
    (day,) = days_of(table)
    assert (day.totals.requests, day.totals.failed_attempts, day.totals.cost_micros) == (1, 1, 22)


@each_api
def test_one_host_alone_is_tried_twice_and_its_attempts_are_named(api: Api) -> None:
    upstream = Upstream(Reply([error_body("overloaded_error", "m")], 529, {"retry-after-ms": "10"}))
    with hosts_gateway({"anthropic": upstream}) as url:
        answer = ask(url, api)
    assert answer.headers["x-claudexia-failed-upstreams"] == "anthropic overloaded, anthropic overloaded"
    assert (answer.status_code >= 500, len(upstream.bodies)) == (True, 2)


@each_api
@pytest.mark.parametrize("wait", ["nan", "inf", "-inf", "-1", "1e400", "soon"])
def test_a_wait_that_is_no_time_is_not_waited_for(wait: str, api: Api) -> None:
    headers = {"retry-after": wait, "retry-after-ms": wait}
    overloaded, other = Upstream(Reply([error_body("overloaded_error", "m")], 529, headers)), Upstream(ANSWER)
    with hosts_gateway({"anthropic": overloaded, "aws": other}, upstream_retry=True) as url:
        answer = ask(url, api, stream=True)
    assert (answer.status_code, answer.headers["x-claudexia-upstream"]) == (200, "aws")
    assert len(overloaded.bodies) == 1


# Another model


FALLBACKS: Any = {"model_fallbacks": {"claude-opus-5-5": "claude-haiku-4-5"}}
RETIRED = Reply([error_body("not_found_error", "model: claude-opus-5-5")], 404)


@each_api
@pytest.mark.parametrize("reply", [OVERLOADED, RETIRED], ids=["overloaded", "retired"])
def test_a_fallback_model_answers_and_is_reported_and_billed(reply: Reply, api: Api) -> None:
    upstream, table = Upstream(reply, ANSWER), MemoryTable(lambda: NOW)
    with hosts_gateway({"anthropic": upstream}, table=table, now=lambda: NOW, **FALLBACKS) as url:
        answer = ask(url, api, model="claude-opus-5-5", stream=True)
    assert answer.status_code == 200, answer.text
    assert [body["model"] for body in upstream.bodies] == ["claude-opus-5-5", "claude-haiku-4-5"]
    assert "claude-haiku-4-5 answers" in answer.headers["x-claudexia-warnings"]
    (day,) = days_of(table)
    assert (day.model, day.totals.requests, day.totals.failed_attempts) == ("claude-haiku-4-5", 1, 1)
    assert day.totals.cost_micros == 22


@each_api
def test_all_hosts_are_tried_before_the_fallback_model(api: Api) -> None:
    first, second = Upstream(OVERLOADED, ANSWER), Upstream(OVERLOADED)
    with hosts_gateway({"aws": first, "anthropic": second}, **FALLBACKS) as url:
        answer = ask(url, api, model="claude-opus-5-5", stream=True)
    assert answer.headers["x-claudexia-upstream"] == "aws"
    assert answer.headers["x-claudexia-failed-upstreams"] == "aws overloaded, anthropic overloaded"
    assert [body["model"] for body in first.bodies] == ["claude-opus-5-5", "claude-haiku-4-5"]
    assert len(second.bodies) == 1


STRICT = {"x-claudexia-strict": "true"}
NO_FALLBACK: list[tuple[str, Reply, dict[str, Any]]] = [
    ("another failure", Reply([b"{}"], 500), {}),
    ("strict", OVERLOADED, {"headers": STRICT}),
    ("another model", OVERLOADED, {"model": "claude-haiku-5-5"}),
]


@each_api
@pytest.mark.parametrize(("name", "reply", "fields"), NO_FALLBACK, ids=[each[0] for each in NO_FALLBACK])
def test_no_fallback_model(name: str, reply: Reply, fields: dict[str, Any], api: Api) -> None:
    upstream = Upstream(reply, ANSWER)
    with hosts_gateway({"anthropic": upstream}, **FALLBACKS) as url:
        answer = ask(url, api, **{"model": "claude-opus-5-5", **fields})
    assert (answer.status_code >= 500, len(upstream.bodies)) == (True, 1)


@each_api
def test_the_first_error_stands_if_the_fallback_model_is_refused(api: Api) -> None:
    upstream = Upstream(OVERLOADED, Reply([error_body("invalid_request_error", "m")], 400))
    with hosts_gateway({"anthropic": upstream}, **FALLBACKS) as url:
        answer = ask(url, api, model="claude-opus-5-5")
    assert answer.status_code in (503, 529)
    assert len(upstream.bodies) == 2


# What the next host does not take


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
SONNET: dict[str, Any] = {"model": "claude-sonnet-5-5"}
FORMATS: dict[str, Any] = {
    "chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
    "responses": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "kinds", [("anthropic", "bedrock"), ("bedrock", "aws"), ("mantle", "anthropic")], ids="-".join
)
def test_a_request_is_translated_again_for_the_next_host(kinds: tuple[str, str], name: str) -> None:
    failing, first, second = Upstream(Reply([b"{}"], 500)), *kinds
    answering = Upstream(Reply([sse(*text_events('{"a": "b"}'))]))
    with hosts_gateway({first: failing, second: answering}) as url:
        answer = ask(url, APIS[name], **SONNET, **FORMATS[name])
    assert answer.status_code == 200, answer.text
    assert json.loads(APIS[name].text_of(answer)) == {"a": "b"}
    enforces = {kind: kind in ("anthropic", "aws") for kind in kinds}
    for kind, upstream in zip(kinds, (failing, answering), strict=True):
        assert ("format" in upstream.bodies[0].get("output_config", {})) == enforces[kind]
    warnings = answer.headers.get("x-claudexia-warnings", "")
    assert ("Amazon Bedrock enforces no schema" in warnings) != enforces[second]


SERVER_TOOLS: dict[str, dict[str, Any]] = {
    "chat": {"web_search_options": {}},
    "responses": {"tools": [{"type": "web_search"}]},
    "messages": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
}
IMAGE = "https://example.com/a.png"
URL_IMAGES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]},
    "responses": {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}]}]},
    "messages": {
        "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": IMAGE}}]}]
    },
}
UNFIT = [
    pytest.param(APIS[name], {**SONNET, **fields}, id=f"{kind}-{name}")
    for kind, by_api in (("server tool", SERVER_TOOLS), ("url image", URL_IMAGES))
    for name, fields in by_api.items()
]


@pytest.mark.parametrize(("api", "fields"), UNFIT)
def test_a_host_that_cannot_take_the_request_is_skipped(api: Api, fields: dict[str, Any]) -> None:
    """The first error stands, and the skipped host has no pause."""
    failing, bedrock = Upstream(Reply([b"{}"], 500)), FakeHost("bedrock")
    with hosts_gateway({"anthropic": failing, "bedrock": bedrock}) as url:
        refused, answered = ask(url, api, **fields), ask(url, api, **SONNET)
    assert refused.status_code == 500
    assert refused.headers["x-claudexia-failed-upstreams"] == "anthropic failed"
    assert (answered.status_code, len(bedrock.requests)) == (200, 1)


@pytest.mark.parametrize(("api", "fields"), UNFIT)
def test_the_next_host_gets_what_the_first_one_cannot_take(api: Api, fields: dict[str, Any]) -> None:
    bedrock, anthropic = FakeHost("bedrock"), Upstream(ANSWER)
    with hosts_gateway({"bedrock": bedrock, "anthropic": anthropic}) as url:
        answer = ask(url, api, stream=True, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-claudexia-upstream"] == "anthropic"
    assert "x-claudexia-failed-upstreams" not in answer.headers
    assert (len(bedrock.requests), len(anthropic.bodies)) == (0, 1)


def test_a_strict_request_goes_to_the_host_that_takes_all_of_it() -> None:
    bedrock, anthropic = FakeHost("bedrock"), Upstream(Reply([sse(*text_events('{"a": "b"}'))]))
    for hosts, status in (({"bedrock": bedrock, "anthropic": anthropic}, 200), ({"bedrock": bedrock}, 400)):
        with hosts_gateway(hosts) as url:
            answer = ask(url, CHAT, STRICT, **SONNET, **FORMATS["chat"])
        assert answer.status_code == status, answer.text
    assert not bedrock.requests


def test_choices_of_one_request_may_come_from_hosts_with_different_translations() -> None:
    """Where no schema is enforced, the text around the object is removed."""
    answer = '{"a": "b"}'
    first = Upstream(Reply([sse(*text_events(answer))]), OVERLOADED)
    second = Upstream(Reply([sse(*text_events(f"Here it is: {answer}"))]))
    with hosts_gateway({"anthropic": first, "bedrock": second}) as url:
        completion = ask(url, CHAT, n=2, **SONNET, **FORMATS["chat"])
    assert completion.status_code == 200, completion.text
    assert [choice["message"]["content"] for choice in completion.json()["choices"]] == [answer, answer]
    assert "Amazon Bedrock enforces no schema" in completion.headers["x-claudexia-warnings"]
    assert (len(first.bodies), len(second.bodies)) == (2, 1)


def test_a_paused_turn_is_resumed_on_the_host_that_paused_it() -> None:
    paused = text_events("one", "pause_turn")
    first, second = Upstream(Reply([b"{}"], 500), ANSWER), Upstream(Reply([sse(*paused)]), ANSWER)
    with hosts_gateway({"anthropic": first, "aws": second}) as url:
        answer = ask(url, CHAT, **SONNET, web_search_options={})
    assert answer.status_code == 200, answer.text
    assert (len(first.bodies), len(second.bodies)) == (1, 2)


def test_tokens_are_counted_by_a_host_that_can() -> None:
    anthropic, bedrock = (
        Upstream(Reply([b'{"input_tokens": 7}'], 200, {"content-type": "application/json"})),
        FakeHost("bedrock"),
    )
    body = {"model": "claude-sonnet-5-5", "messages": MESSAGES.body["messages"]}
    for upstreams, status in (({"bedrock": bedrock, "anthropic": anthropic}, 200), ({"bedrock": bedrock}, 404)):
        with hosts_gateway(upstreams) as url:
            answer = httpx.post(f"{url}/messages/count_tokens", json=body, headers={"x-api-key": KEY})
        assert answer.status_code == status, answer.text
    assert not bedrock.requests
