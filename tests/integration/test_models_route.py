"""GET /v1/models over real sockets: the upstream's list merged with what the gateway knows."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from claudexia.models import SERVED
from tests.helpers.serving import KEY, UPSTREAM_KEY, Reply, Upstream, error_body, gateway
from tests.helpers.waiting import PATIENCE

ALIASES = {"gpt-4o": "claude-opus-5-5", "gpt-3*": "claude-haiku-5-5"}
NEW: dict[str, Any] = {
    "id": "claude-opus-7", "type": "model", "display_name": "Claude Opus 7", "line": "opus",
    "created_at": "2026-11-20T00:00:00Z", "lifecycle": "active", "deprecated_at": None, "retires_at": None,
    "max_input_tokens": 2_000_000, "max_tokens": 256_000,
    "capabilities": {
        "image_input": {"supported": True}, "pdf_input": {"supported": False},
        "server_tools": {"web_search": {"supported": True}},
    },
}  # fmt: skip
DATED: dict[str, Any] = {
    "id": "claude-sonnet-4-5-20250929", "type": "model", "display_name": "Claude Sonnet 4.5", "lifecycle": "deprecated",
    "created_at": "2025-09-29T00:00:00Z", "retires_at": "2026-12-15T00:00:00Z", "capabilities": {"structured_outputs": {"supported": False}},
}  # fmt: skip
KNOWN: dict[str, Any] = {"id": "claude-opus-5-5", "type": "model"}
FOREIGN: dict[str, Any] = {"id": "someone-elses-model", "type": "model"}


def listing(*models: dict[str, Any]) -> Reply:
    body = {"data": models, "has_more": False, "first_id": None, "last_id": None}
    return Reply([json.dumps(body).encode()], headers={"content-type": "application/json"})


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@contextmanager
def asking(upstream: Upstream, clock: Clock | None = None) -> Iterator[httpx.Client]:
    with (
        gateway(upstream, now=clock or Clock(), model_aliases=ALIASES) as url,
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE) as client,
    ):
        yield client


def ids(client: httpx.Client) -> list[str]:
    answer = client.get("/models").raise_for_status().json()
    assert answer["object"] == "list"
    return [model["id"] for model in answer["data"]]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    upstream = Upstream()
    upstream.models = listing(NEW, KNOWN, DATED, FOREIGN)
    with asking(upstream) as client:
        yield client


def test_the_upstream_decides_which_models_there_are(client: httpx.Client) -> None:
    assert ids(client) == [
        "claude-opus-7",
        "claude-opus-5-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        "gpt-4o",
    ]


def test_a_model_that_only_the_upstream_knows(client: httpx.Client) -> None:
    assert client.get("/models/claude-opus-7").json() == {
        "id": "claude-opus-7",
        "object": "model",
        "created": int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()),
        "owned_by": "anthropic",
        "shutdown_date": None,
        "lifecycle": "active",
        "display_name": "Claude Opus 7",
        "context_window": 2_000_000,
        "max_output_tokens": 256_000,
        "capabilities": {
            "thinking": ["adaptive"],
            "effort": ["low", "medium", "high"],
            "sampling": False,
            "forced_tool_choice": False,
            "prefill": False,
            "structured_outputs": None,
            "web_search": True,
            "images": True,
            "pdf": False,
        },
    }


@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "claude-sonnet-4.5", "anthropic%2Fclaude-sonnet-4-5-20250929"])  # fmt: skip
def test_a_dated_model_is_found_by_every_name(client: httpx.Client, name: str) -> None:
    model = client.get(f"/models/{name}").json()
    assert model["display_name"] == "Claude Sonnet 4.5"
    assert (model["shutdown_date"], model["lifecycle"]) == ("2026-12-15", "deprecated")
    assert model["max_output_tokens"] == 64_000
    capabilities = model["capabilities"]
    assert (capabilities["sampling"], capabilities["structured_outputs"], capabilities["pdf"]) == (True, False, True)  # fmt: skip


def test_an_alias_is_the_model_it_means(client: httpx.Client) -> None:
    alias, model = client.get("/models/gpt-4o").json(), client.get("/models/claude-opus-5-5").json()
    assert alias == {**model, "id": "gpt-4o"}
    assert client.get("/models/gpt-3.5-turbo").json()["id"] == "claude-haiku-5-5"


@pytest.mark.parametrize(
    ("name", "lifecycle"),
    [("claude-haiku-4-5", "active"), ("claude-3-opus", "retired"), ("claude-opus-9", None)],
)
def test_a_claude_model_that_is_not_listed_is_still_told(
    client: httpx.Client, name: str, lifecycle: str | None
) -> None:
    model = client.get(f"/models/{name}").json()
    assert (model["id"], model["lifecycle"]) == (name, lifecycle)


def test_another_model_is_not_found(client: httpx.Client) -> None:
    response = client.get("/models/someone-elses-model")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


FAILURES = [
    pytest.param(Reply([error_body("not_found_error", "none")], 404), id="404"),
    pytest.param(Reply([error_body("authentication_error", "no")], 401), id="401"),
    pytest.param(Reply([b"<html>"]), id="no-json"),
    pytest.param(Reply([b"[]"]), id="no-object"),
    pytest.param(Reply([b'{"object": "list"}']), id="no-data"),
    pytest.param(Reply([b'{"data": [{"name": "x"}]}']), id="no-id"),
    pytest.param(listing({**KNOWN, "created_at": "yesterday"}), id="no-date"),
    pytest.param(Reply([b'{"data"'], then="break"), id="broken-off"),
]


@pytest.mark.parametrize("failure", FAILURES)
def test_without_the_upstream_the_data_answers_alone(failure: Reply) -> None:
    upstream = Upstream()
    upstream.models = failure
    with asking(upstream) as client:
        assert ids(client) == [*SERVED, "gpt-4o"]
        told = client.get("/models/claude-sonnet-4-5").json()
    assert (told["shutdown_date"], told["lifecycle"]) == ("2026-11-30", "deprecated")
    assert told["capabilities"]["structured_outputs"] is True
    assert len(upstream.model_requests) == 1


def test_a_silent_upstream_is_waited_for_five_seconds() -> None:
    upstream = Upstream()
    upstream.models = Reply(then="hang")
    with asking(upstream) as client:
        assert client.get("/models", timeout=PATIENCE).json()["data"][0]["id"] == next(iter(SERVED))
    assert upstream.disconnected.wait(PATIENCE)


def test_the_list_is_kept_for_an_hour_and_a_failure_for_a_minute() -> None:
    upstream, clock = Upstream(), Clock()
    upstream.models = listing(KNOWN)
    steps: list[tuple[timedelta, Reply, list[str], int]] = [
        (timedelta(0), listing(NEW), ["claude-opus-5-5", "gpt-4o"], 1),
        (timedelta(minutes=59), listing(NEW), ["claude-opus-5-5", "gpt-4o"], 1),
        (timedelta(minutes=1), listing(NEW), ["claude-opus-7", "gpt-4o"], 2),
        (timedelta(hours=1), Reply(status=500), [*SERVED, "gpt-4o"], 3),
        (timedelta(seconds=59), listing(NEW), [*SERVED, "gpt-4o"], 3),
        (timedelta(seconds=1), listing(NEW), ["claude-opus-7", "gpt-4o"], 4),
    ]
    with asking(upstream, clock) as client:
        ids(client)
        for passed, reply, expected, looks in steps:
            clock.time += passed
            upstream.models = reply
            assert (ids(client), len(upstream.model_requests)) == (expected, looks)
    assert set(upstream.model_requests) == {"/v1/models?limit=1000"}


def test_one_look_at_a_time() -> None:
    upstream = Upstream()
    upstream.models = Reply([500, json.dumps({"data": [KNOWN]}).encode()])
    with asking(upstream) as client, ThreadPoolExecutor(5) as threads:
        lists = list(threads.map(lambda _: ids(client), range(5)))
    assert lists == [["claude-opus-5-5", "gpt-4o"]] * 5
    assert len(upstream.model_requests) == 1


def test_the_look_carries_the_gateways_key_and_not_the_clients() -> None:
    upstream = Upstream()
    upstream.models = listing(KNOWN)
    with asking(upstream) as client:
        ids(client)
    headers = upstream.headers[0]
    assert (headers["x-api-key"], headers["accept"]) == (UPSTREAM_KEY, "application/json")
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers


def test_no_key_no_look() -> None:
    upstream = Upstream()
    with asking(upstream) as client:
        for headers in ({"authorization": "Bearer wrong"}, {"authorization": ""}):
            assert client.get("/models", headers=headers).status_code == 401
        assert client.get("/models/gpt-9").status_code == 404
    assert upstream.model_requests == []
