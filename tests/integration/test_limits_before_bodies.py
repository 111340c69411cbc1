"""A key's limit of requests is checked before a body is read as JSON, for every route that takes one."""

import json
from collections.abc import Mapping
from functools import partial

import httpx
import pytest

from claudexia.access.limits import Limits
from tests.helpers.deployment import REQUEST, Deployment, deployment
from tests.helpers.in_process import in_process_gateway
from tests.helpers.large_requests import APIS
from tests.helpers.serving import WHOLE_JSON, Reply, Upstream, message_body, sse, text_events
from tests.helpers.steps import count_steps
from tests.helpers.waiting import PATIENCE

MODEL = {"model": REQUEST["model"]}
# A good request for each route.
REQUESTS: Mapping[str, bytes] = {
    path: json.dumps(body).encode()
    for path, body in {
        "/v1/chat/completions": REQUEST,
        "/v1/completions": {**MODEL, "prompt": "Hi"},
        "/v1/messages": {**REQUEST, "max_tokens": 50},
        "/v1/messages/count_tokens": REQUEST,
        "/v1/responses": {**MODEL, "input": "Hi"},
    }.items()
}
# Bodies of 1 MB that take long, and one that no parser accepts.
HOSTILE = {
    "/v1/chat/completions": "recursive-references",
    "/v1/completions": "a-response-format",
    "/v1/messages": "escaped-letters",
    "/v1/messages/count_tokens": "escaped-letters",
    "/v1/responses": "user-and-assistant",
}
NOT_JSON = b"[" * 1_000_000

each_route = pytest.mark.parametrize("path", REQUESTS)


def answering(path: str) -> Upstream:
    if path == "/v1/messages/count_tokens":
        return Upstream(Reply([b'{"input_tokens": 3}'], headers=WHOLE_JSON))
    if path == "/v1/messages":
        return Upstream(Reply([message_body()], headers=WHOLE_JSON))
    return Upstream(Reply([sse(*text_events())]))


def post(deployed: Deployment, path: str, secret: str, body: bytes) -> int:
    url, headers = deployed.url.removesuffix("/v1") + path, {"authorization": f"Bearer {secret}"}
    return httpx.post(url, content=body, headers=headers, timeout=PATIENCE).status_code


def test_every_route_with_a_body_is_tested() -> None:
    assert REQUESTS.keys() == HOSTILE.keys() == APIS.keys()


@each_route
def test_a_reached_limit_is_refused_whatever_the_body(path: str) -> None:
    upstream = answering(path)
    with deployment(upstream) as deployed:
        secret = deployed.key(limits=Limits(requests_per_minute=1))
        assert post(deployed, path, secret, REQUESTS[path]) == 200
        for body in (APIS[path][HOSTILE[path]](1000), NOT_JSON, b"{", REQUESTS[path]):
            assert post(deployed, path, secret, body) == 429
        assert len(upstream.bodies) == 1
        assert deployed.counters()["requests"] == 1


@each_route
def test_a_refused_request_takes_the_same_steps_whatever_its_body(path: str) -> None:
    with in_process_gateway(Limits(requests_per_minute=1)) as gateway:
        assert gateway.send(path, REQUESTS[path]) == 200
        # All large, so that each is decoded in a thread.
        bodies = [APIS[path][HOSTILE[path]](150), b"[" * 150_000, b"[" * 1_000_000]
        assert [gateway.send(path, body) for body in bodies] == [429] * 3
        assert len({count_steps(partial(gateway.send, path, body)) for body in bodies}) == 1


INVALID = {
    "no JSON": b"{",
    "1 MB that is no JSON": NOT_JSON,
    "no object": b"[1]",
    "no model": b"{}",
    "an unknown model": json.dumps({**REQUEST, "model": "gpt-4o", "prompt": "a", "input": "a", "max_tokens": 9}).encode(),
    "1 MB of integers": json.dumps(dict.fromkeys(("model", "messages", "input", "prompt"), [1] * 80_000)).encode(),
}  # fmt: skip


@each_route
@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_an_invalid_request_counts(path: str, body: bytes) -> None:
    with deployment() as deployed:
        secret = deployed.key(limits=Limits(requests_per_minute=2))
        assert {post(deployed, path, secret, body) for _ in range(2)} <= {400, 404}
        assert post(deployed, path, secret, body) == post(deployed, path, secret, REQUESTS[path]) == 429
        assert deployed.counters()["requests"] == 2
