"""What a table that fails costs the gateway's callers: a DynamoDB over sockets that is told to fail."""

import asyncio
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
from tests.helpers.deployment import ASKED, Deployment, deployment
from tests.helpers.gateway_process import gateway_process
from tests.helpers.serving import Reply, Upstream, gateway, sse, text_events
from tests.helpers.tables import NAME, Clock, dynamo, table_at
from tests.helpers.waiting import PATIENCE
from tests.integration.test_thinking_loop import run

LIMITS = Limits(requests_per_minute=50, tokens_per_minute=10**6, concurrent_streams=1, usd_per_day_micros=10**6)
FAULTS = [*CODES, "timeout"]
MODES = list(product(("closed", "open"), repeat=2))


def post(url: str, secret: str, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(f"{url}/chat/completions", json={**ASKED, **more}, headers=headers, timeout=PATIENCE)


def served(url: str, secret: str, **more: Any) -> httpx.Response:
    """As an SDK asks: again after a 503, which a healthy table gives where the machine is too busy for it."""
    response = post(url, secret, **more)
    for _ in range(60):
        if response.status_code != 503:
            break
        response = post(url, secret, **more)
    return response


def told(response: httpx.Response) -> tuple[int, str]:
    """The status, and the error's code or how the answer ended."""
    if response.status_code == 200:
        return 200, "whole" if response.text.endswith(("data: [DONE]\n\n", "}")) else "broken"
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(("keys", "limits"), MODES, ids=[f"keys {k}, limits {m}" for k, m in MODES])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault(fault: str, keys: str, limits: str) -> None:
    clock = Clock()
    settings = {"api_keys": {}, "keys_on_failure": keys, "limits_on_failure": limits}
    with dynamo() as (table, table_url):
        patience = 0.5 if fault == "timeout" else 5.0
        table.delay = 1.2
        with gateway(Upstream(), table=table_at(table_url, clock, patience), now=clock, **settings) as url:
            secrets = asyncio.run(make_keys(table_url, clock))
            assert told(served(url, secrets["known"])) == (200, "whole")
            table.fault = fault
            counted = (200, "whole") if limits == "open" else (503, "limits_unavailable")
            for streamed in (False, True):  # who asks is known for a minute
                assert told(post(url, secrets["known"], stream=streamed)) == counted
            assert told(post(url, secrets["unseen"])) == (503, "service_unavailable")
            clock.advance(seconds=61)
            refused = (503, "service_unavailable")
            assert told(post(url, secrets["known"])) == (refused if keys == "closed" else counted)
            table.fault = ""
            clock.advance(seconds=6)
            for secret in secrets.values():
                assert told(served(url, secret, stream=True)) == (200, "whole")


async def make_keys(table_url: str, clock: Clock) -> dict[str, str]:
    store = TableKeyStore(table_at(table_url, clock, 5), clock)
    return {name: (await store.create(name, limits=LIMITS))[1] for name in ("known", "unseen")}


def test_a_key_without_limits_is_served_whatever_the_table_does() -> None:
    for fault in ("missing", "throttled", "denied"):
        with deployment(limits_on_failure="closed") as deployed:
            secret = deployed.key()
            assert told(post(deployed.url, secret)) == (200, "whole")
            deployed.table.fault = fault
            assert told(post(deployed.url, secret)) == (200, "whole")


def test_the_slowest_table_costs_seconds_and_no_record() -> None:
    """It answers nothing until the request is over: a second to reserve, one for the headers, half a one to be counted."""
    with deployment() as deployed:
        secret = deployed.key(limits=LIMITS)
        post(deployed.url, secret)
        deployed.table.held = True
        assert told(post(deployed.url, secret)) == (200, "whole")
        assert deployed.table.running
        deployed.table.held = False
    assert deployed.counted() == (2, 0, 14, 4)
    assert not any("holds" in item for item in deployed.meters().values())


def test_a_table_that_gets_slow_does_not_slow_the_chunks() -> None:
    """Once a stream has begun, its chunks ask the table nothing, and its end comes without an answer of the table."""
    events = [sse(event) for event in text_events("a b c d e f g h")]
    begun, nearly = threading.Event(), threading.Event()
    calls: dict[str, int] = {}
    pieces = [
        *events[:4],
        begun,
        *(part for event in events[4:10] for part in (event, 50)),
        nearly,
        *events[10:],
    ]
    with deployment(Upstream(Reply(pieces))) as deployed:
        headers = {"authorization": f"Bearer {deployed.key(limits=LIMITS)}"}
        url, body = f"{deployed.url}/chat/completions", {**ASKED, "stream": True}
        with httpx.stream("POST", url, json=body, headers=headers, timeout=PATIENCE) as response:
            for line in response.iter_lines():
                if '"a"' in line:
                    deployed.table.held = True
                    calls = dict(deployed.table.calls)
                    begun.set()
                if '" g"' in line:
                    assert deployed.table.calls == calls
                    nearly.set()
        assert line == ""
        assert deployed.table.running
        deployed.table.held = False
    assert deployed.counted() == (1, 0, 7, 8)


def test_thoughts_are_not_needed() -> None:
    with deployment(FakeAnthropic()) as deployed:
        client = deployed.client(deployed.key())
        client.models.list()
        deployed.table.fault = "denied"
        for streamed in (False, True):
            run([client], "weather [rounds=2]", streamed, model="claude-sonnet-5-5")


@pytest.mark.parametrize("kind", ["throttled", "timeout"])
def test_a_metric_tells(kind: str) -> None:
    """A process that the table fails is another one than that which it serves: a busy machine may be late there too."""
    with dynamo() as (table, table_url):
        secrets = asyncio.run(make_keys(table_url, Clock()))
        env = {
            "CLAUDEXIA_API_KEYS": "", "CLAUDEXIA_TABLE": NAME, "AWS_ENDPOINT_URL_DYNAMODB": table_url,
            "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION,
        }  # fmt: skip
        with gateway_process(Upstream(), **env) as served_one:
            assert told(served(served_one.url, secrets["known"], stream=True)) == (200, "whole")
        table.fault = kind
        with gateway_process(Upstream(), **env) as failed_one:
            assert told(post(failed_one.url, secrets["unseen"])) == (503, "service_unavailable")
    kinds = [line["kind"] for line in failed_one.metrics if "TableFailures" in line]
    assert kinds == [kind]
    for process in (served_one, failed_one):
        assert not any(secret in process.stdout + process.stderr for secret in secrets.values())
    assert served_one.requests[-1].get("key") == "known"
    assert [line.get("key") for line in failed_one.requests] == [None]


def test_clocks_that_differ_at_a_minutes_edge_overrun_no_minute() -> None:
    kept = MemoryTable(Clock())
    early, late = Clock(), Clock()
    early.advance(seconds=39.9)  # 11:59.9
    late.advance(seconds=40.1)
    with gateway(Upstream(), table=kept, now=early, api_keys={}) as one, gateway(Upstream(), table=kept, now=late, api_keys={}) as other:  # fmt: skip
        store = TableKeyStore(kept, early)
        _, secret = asyncio.run(store.create("me", limits=Limits(requests_per_minute=2)))
        statuses = [post(url, secret).status_code for _ in range(3) for url in (one, other)]
        assert statuses == [200, 200, 200, 200, 429, 429]
        early.advance(seconds=0.2)  # it is the same minute for both
        assert post(one, secret).status_code == 429


def test_what_a_process_that_died_held_expires() -> None:
    with deployment() as deployed:
        secret = deployed.key(limits=LIMITS)
        asyncio.run(reserve_and_die(deployed))
        assert told(post(deployed.url, secret, stream=True)) == (429, "rate_limit_exceeded")
        deployed.clock.advance(seconds=961)
        assert told(post(deployed.url, secret, stream=True)) == (200, "whole")
        assert "holds" not in deployed.meters()["streams"]
        assert deployed.meters()["usd"]["claimed"] == 17


async def reserve_and_die(deployed: Deployment) -> None:
    """Admits a request that nobody settles."""
    key = await deployed.keys.get("me")
    policy = TableFailurePolicy("closed", on_error=lambda kind: None)
    limiter = Limiter(deployed.kept, deployed.clock, policy)
    await limiter.admit(key.id, LIMITS, tokens=10, micros=10**6, streamed=True)
