"""GET /v1/models over real sockets: the upstream's list merged with the gateway's own data."""

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
def models_client(upstream: Upstream, clock: Clock | None = None) -> Iterator[httpx.Client]:
    with (
        gateway(upstream, now=clock or Clock(), model_aliases=ALIASES) as url,
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE) as client,
    ):
        yield client


def model_ids(client: httpx.Client) -> list[str]:
    answer = client.get("/models").raise_for_status().json()
    assert answer["object"] == "list"
    return [model["id"] for model in answer["data"]]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    upstream = Upstream()
    upstream.models = listing(NEW, KNOWN, DATED, FOREIGN)
    with models_client(upstream) as client:
        yield client


def test_the_list_has_the_upstreams_models(client: httpx.Client) -> None:
    assert model_ids(client) == [
        "claude-opus-7",
        "claude-opus-5-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        "gpt-4o",
    ]


def test_a_model_known_to_the_upstream_only(client: httpx.Client) -> None:
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


def test_an_alias_has_the_fields_of_its_model(client: httpx.Client) -> None:
    alias, model = client.get("/models/gpt-4o").json(), client.get("/models/claude-opus-5-5").json()
    assert alias == {**model, "id": "gpt-4o"}
    assert client.get("/models/gpt-3.5-turbo").json()["id"] == "claude-haiku-5-5"


@pytest.mark.parametrize(
    ("name", "lifecycle"),
    [("claude-haiku-4-5", "active"), ("claude-3-opus", "retired"), ("claude-opus-9", None)],
)
def test_a_known_model_outside_the_list_can_be_retrieved(
    client: httpx.Client, name: str, lifecycle: str | None
) -> None:
    model = client.get(f"/models/{name}").json()
    assert (model["id"], model["lifecycle"]) == (name, lifecycle)


def test_a_model_of_another_vendor_is_not_found(client: httpx.Client) -> None:
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
def test_the_built_in_list_is_used_if_the_upstream_fails(failure: Reply) -> None:
    upstream = Upstream()
    upstream.models = failure
    with models_client(upstream) as client:
        assert model_ids(client) == [*SERVED, "gpt-4o"]
        model = client.get("/models/claude-sonnet-4-5").json()
    assert (model["shutdown_date"], model["lifecycle"]) == ("2026-11-30", "deprecated")
    assert model["capabilities"]["structured_outputs"] is True
    assert len(upstream.model_requests) == 1


def test_a_silent_upstream_times_out_after_five_seconds() -> None:
    upstream = Upstream()
    upstream.models = Reply(then="hang")
    with models_client(upstream) as client:
        assert client.get("/models", timeout=PATIENCE).json()["data"][0]["id"] == next(iter(SERVED))
    assert upstream.disconnected.wait(PATIENCE)


def test_the_list_is_cached_for_an_hour_and_a_failure_for_a_minute() -> None:
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
    with models_client(upstream, clock) as client:
        model_ids(client)
        for elapsed, reply, expected, requests in steps:
            clock.time += elapsed
            upstream.models = reply
            assert (model_ids(client), len(upstream.model_requests)) == (expected, requests)
    assert set(upstream.model_requests) == {"/v1/models?limit=1000"}


def test_concurrent_requests_share_one_upstream_request() -> None:
    upstream = Upstream()
    upstream.models = Reply([500, json.dumps({"data": [KNOWN]}).encode()])
    with models_client(upstream) as client, ThreadPoolExecutor(5) as threads:
        lists = list(threads.map(lambda _: model_ids(client), range(5)))
    assert lists == [["claude-opus-5-5", "gpt-4o"]] * 5
    assert len(upstream.model_requests) == 1


def test_the_upstream_request_has_the_gateways_key_only() -> None:
    upstream = Upstream()
    upstream.models = listing(KNOWN)
    with models_client(upstream) as client:
        model_ids(client)
    headers = upstream.headers[0]
    assert (headers["x-api-key"], headers["accept"]) == (UPSTREAM_KEY, "application/json")
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers


def test_no_upstream_request_without_a_valid_key() -> None:
    upstream = Upstream()
    with models_client(upstream) as client:
        for headers in ({"authorization": "Bearer wrong"}, {"authorization": ""}):
            assert client.get("/models", headers=headers).status_code == 401
        assert client.get("/models/gpt-9").status_code == 404
    assert upstream.model_requests == []
