"""Responses of the gateway while its table fails, with a DynamoDB over sockets and injected faults."""

import asyncio
import base64
import random
import threading
from itertools import product
from typing import Any

import httpx
import pytest

from claudexia.access.key_store import TableKeyStore
from claudexia.access.limiter import Limiter, TableFailurePolicy
from claudexia.access.limits import Limits
from claudexia.storage.memory import MemoryTable
from tests.fakes.anthropic.server import FakeAnthropic
from tests.fakes.aws import CODES, REGION
from tests.helpers.deployment import REQUEST, Deployment, deployment
from tests.helpers.gateway_process import gateway_process
from tests.helpers.serving import KEY, Reply, Upstream, gateway, sse, text_events
from tests.helpers.tables import NAME, Clock, faulty_dynamodb, table_at
from tests.helpers.waiting import PATIENCE
from tests.integration.test_thinking_loop import run_tool_loop

LIMITS = Limits(requests_per_minute=50, tokens_per_minute=10**6, concurrent_streams=1, usd_per_day_micros=10**6)
FAULTS = [*CODES, "timeout"]
MODES = list(product(("closed", "open"), repeat=2))


def post(url: str, secret: str, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(f"{url}/chat/completions", json={**REQUEST, **more}, headers=headers, timeout=PATIENCE)


def post_with_retries(url: str, secret: str, **more: Any) -> httpx.Response:
    """Retries after a 503, as an SDK does: on a busy machine a healthy table may be too slow."""
    response = post(url, secret, **more)
    for _ in range(60):
        if response.status_code != 503:
            break
        response = post(url, secret, **more)
    return response


def outcome(response: httpx.Response) -> tuple[int, str]:
    """The status, and the error's code or whether the response is complete."""
    if response.status_code == 200:
        return 200, "complete" if response.text.endswith(("data: [DONE]\n\n", "}")) else "broken"
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(("keys", "limits"), MODES, ids=[f"keys {k}, limits {m}" for k, m in MODES])
@pytest.mark.parametrize("fault", FAULTS)
def test_responses_during_a_table_fault(fault: str, keys: str, limits: str) -> None:
    clock = Clock()
    settings = {"api_keys": {}, "keys_on_failure": keys, "limits_on_failure": limits}
    with faulty_dynamodb() as (table, table_url):
        patience = 0.5 if fault == "timeout" else 5.0
        table.delay = 1.2
        with gateway(Upstream(), table=table_at(table_url, clock, patience), now=clock, **settings) as url:
            secrets = asyncio.run(create_keys(table_url, clock))
            assert outcome(post_with_retries(url, secrets["known"])) == (200, "complete")
            table.fault = fault
            unlimited = (200, "complete") if limits == "open" else (503, "limits_unavailable")
            if fault == "throttled":  # a key's own requests may be the reason
                unlimited = (429, "rate_limit_exceeded")
            for streamed in (False, True):  # the key is cached for a minute
                assert outcome(post(url, secrets["known"], stream=streamed)) == unlimited
            assert outcome(post(url, secrets["unseen"])) == (503, "service_unavailable")
            clock.advance(seconds=61)
            refused = (503, "service_unavailable")
            assert outcome(post(url, secrets["known"])) == (refused if keys == "closed" else unlimited)
            table.fault = ""
            clock.advance(seconds=6)
            for secret in secrets.values():
                assert outcome(post_with_retries(url, secret, stream=True)) == (200, "complete")


async def create_keys(table_url: str, clock: Clock) -> dict[str, str]:
    store = TableKeyStore(table_at(table_url, clock, 5), clock)
    return {name: (await store.create(name, limits=LIMITS))[1] for name in ("known", "unseen")}


def test_a_key_without_limits_is_served_whatever_the_table_does() -> None:
    for fault in ("missing", "throttled", "denied"):
        with deployment(limits_on_failure="closed") as deployed:
            secret = deployed.key()
            assert outcome(post(deployed.url, secret)) == (200, "complete")
            deployed.table.fault = fault
            assert outcome(post(deployed.url, secret)) == (200, "complete")


def test_a_stuck_table_delays_responses_and_loses_no_record() -> None:
    """The table answers nothing during the request. The gateway waits 1 s to reserve, 1 s for the headers, 0.5 s to record."""
    with deployment() as deployed:
        secret = deployed.key(limits=LIMITS)
        post(deployed.url, secret)
        deployed.table.blocked = True
        assert outcome(post(deployed.url, secret)) == (200, "complete")
        assert deployed.table.running
        deployed.table.blocked = False
    assert deployed.ledger_counts() == (2, 0, 14, 4)
    assert not deployed.leases()


def test_a_slow_table_does_not_delay_chunks() -> None:
    """No chunk of a started stream makes a table call, and the stream ends without a response of the table."""
    events = [sse(event) for event in text_events("a b c d e f g h")]
    started, near_the_end = threading.Event(), threading.Event()
    calls: dict[str, int] = {}
    pieces = [
        *events[:4],
        started,
        *(part for event in events[4:10] for part in (event, 50)),
        near_the_end,
        *events[10:],
    ]
    with deployment(Upstream(Reply(pieces))) as deployed:
        headers = {"authorization": f"Bearer {deployed.key(limits=LIMITS)}"}
        url, body = f"{deployed.url}/chat/completions", {**REQUEST, "stream": True}
        with httpx.stream("POST", url, json=body, headers=headers, timeout=PATIENCE) as response:
            for line in response.iter_lines():
                if '"a"' in line:
                    deployed.table.blocked = True
                    calls = dict(deployed.table.calls)
                    started.set()
                if '" g"' in line:
                    assert deployed.table.calls == calls
                    near_the_end.set()
        assert line == ""
        assert deployed.table.running
        deployed.table.blocked = False
    assert deployed.ledger_counts() == (1, 0, 7, 8)


def test_a_tool_loop_works_without_stored_thinking() -> None:
    with deployment(FakeAnthropic()) as deployed:
        client = deployed.client(deployed.key())
        client.models.list()
        deployed.table.fault = "denied"
        for streamed in (False, True):
            run_tool_loop([client], "weather [rounds=2]", streamed, model="claude-sonnet-5-5")


def table_environment(url: str) -> dict[str, str]:
    return {
        "CLAUDEXIA_TABLE": NAME, "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["throttled", "timeout"])
def test_table_failures_are_a_metric(kind: str) -> None:
    """The failing requests go to a separate process, because the first one may see timeouts on a busy machine."""
    with faulty_dynamodb() as (table, table_url):
        secrets = asyncio.run(create_keys(table_url, Clock()))
        env = {**table_environment(table_url), "CLAUDEXIA_API_KEYS": ""}
        with gateway_process(Upstream(), **env) as served_process:
            assert outcome(post_with_retries(served_process.url, secrets["known"], stream=True)) == (
                200,
                "complete",
            )
        table.fault = kind
        with gateway_process(Upstream(), **env) as failed_process:
            assert outcome(post(failed_process.url, secrets["unseen"])) == (503, "service_unavailable")
    kinds = [line["kind"] for line in failed_process.metrics if "TableFailures" in line]
    assert kinds == [kind]
    for process in (served_process, failed_process):
        assert not any(secret in process.stdout + process.stderr for secret in secrets.values())
    assert served_process.requests[-1].get("key") == "known"
    assert [line.get("key") for line in failed_process.requests] == [None]


QUESTION, ANSWER = "a-private-question", "a-private-answer"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("stored_in", "kind"),
    [("memory", "too_large"), ("table", "too_large"), ("table", "throttled"), ("table", "denied")],
)
def test_a_response_that_is_not_stored_is_logged_and_counted_without_content(
    stored_in: str, kind: str, streamed: bool
) -> None:
    """One that is too large has 4.4 MB after compression."""
    size = 4_400_000 if kind == "too_large" else 10
    padding = base64.b64encode(random.Random(1).randbytes(size)).decode()  # noqa: S311  # no secret
    body = {"model": REQUEST["model"], "input": f"{QUESTION} {padding}", "store": True, "stream": streamed}
    upstream = Upstream(Reply([sse(*text_events(ANSWER))]))
    with faulty_dynamodb() as (table, table_url):
        table.fault = kind if kind in CODES else ""
        env = table_environment(table_url) if stored_in == "table" else {}
        with gateway_process(upstream, **env) as process:
            headers = {"authorization": f"Bearer {KEY}"}
            response = httpx.post(f"{process.url}/responses", json=body, headers=headers, timeout=PATIENCE)
    assert response.status_code == 200
    assert ANSWER in response.text
    given = response.headers.get("x-claudexia-warnings")
    assert given == (None if streamed else "store: the response could not be stored")
    assert kind in [line["kind"] for line in process.metrics if "TableFailures" in line]
    warned = [line for line in process.lines if line.get("message") == "a table operation failed"]
    assert {(line["level"], line["kind"]) for line in warned} == {("WARNING", kind)}
    (logged,) = process.requests
    assert (logged["outcome"], logged["warnings"]) == ("ok", ["store"])
    output = process.stdout + process.stderr
    assert not [text for text in (QUESTION, ANSWER, padding[:12]) if text in output]


def test_limits_hold_when_clocks_differ_at_the_edge_of_a_minute() -> None:
    table = MemoryTable(Clock())
    early, late = Clock(), Clock()
    early.advance(seconds=39.9)  # 11:59.9
    late.advance(seconds=40.1)
    with gateway(Upstream(), table=table, now=early, api_keys={}) as one, gateway(Upstream(), table=table, now=late, api_keys={}) as other:  # fmt: skip
        store = TableKeyStore(table, early)
        _, secret = asyncio.run(store.create("me", limits=Limits(requests_per_minute=2)))
        statuses = [post(url, secret).status_code for _ in range(3) for url in (one, other)]
        assert statuses == [200, 200, 200, 200, 429, 429]
        early.advance(seconds=0.2)  # now both clocks are in the same minute
        assert post(one, secret).status_code == 429


def test_leases_of_a_dead_process_expire() -> None:
    with deployment() as deployed:
        secret = deployed.key(limits=LIMITS)
        asyncio.run(reserve_and_die(deployed))
        assert outcome(post(deployed.url, secret, stream=True)) == (429, "rate_limit_exceeded")
        deployed.clock.advance(seconds=961)
        assert outcome(post(deployed.url, secret, stream=True)) == (200, "complete")
        assert not deployed.leases()
        assert deployed.counters()["usd"] == 17


async def reserve_and_die(deployed: Deployment) -> None:
    """Admits a request and never settles it."""
    key = await deployed.keys.get("me")
    policy = TableFailurePolicy("closed", on_error=lambda kind: None)
    limiter = Limiter(deployed.stored, deployed.clock, policy)
    await limiter.admit(key.id, LIMITS, tokens=10, micros=10**6, streamed=True)
