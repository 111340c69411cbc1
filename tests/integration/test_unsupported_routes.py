"""Errors for unsupported routes name the alternative."""

from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.serving import Upstream, gateway
from tests.helpers.waiting import PATIENCE


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with gateway(Upstream()) as url, httpx.Client(base_url=url.removesuffix("/v1"), timeout=PATIENCE) as client:
        yield client


ALTERNATIVES = [
    ("POST", "/embeddings", "no embeddings"),
    ("POST", "/responses/resp_1/unknown", "POST /v1/responses"),
    ("POST", "/images/generations", "image_url"),
    ("POST", "/audio/transcriptions", "no audio"),
    ("GET", "/files", "part of type 'file'"),
    ("POST", "/assistants", "previous_response_id"),
    ("DELETE", "/threads/thread_1", "previous_response_id"),
    ("POST", "/batches", "once for each request"),
    ("POST", "/moderations", "moderation"),
    ("POST", "/conversations", "previous_response_id"),
    ("GET", "/chat/completions/chatcmpl-1", "stores none"),
    ("POST", "/fine_tuning/jobs", "no fine-tuning"),
    ("POST", "/uploads", "part of type 'file'"),
    ("POST", "/vector_stores/vs_1/search", "no vector stores"),
    ("POST", "/complete", "POST /v1/messages"),
]

# Paths that have a route, for another method.
OTHER_METHODS = [
    ("GET", "/responses", "POST /v1/responses"),
    ("POST", "/responses/compact", "compacts no input"),
    ("POST", "/responses/input_tokens", "/v1/messages/count_tokens"),
    ("GET", "/chat/completions", "POST /v1/chat/completions"),
]


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize(("method", "path", "words"), ALTERNATIVES)
def test_unsupported_route_names_an_alternative(
    client: httpx.Client, prefix: str, method: str, path: str, words: str
) -> None:
    response = client.request(method, prefix + path, json={})
    error = response.json()["error"]
    assert response.status_code == 404
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"Invalid URL ({method} {prefix}{path}). ")
    assert words in error["message"]


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/v1/nothing/embeddings", "/embeddingsx"])
def test_unknown_route_names_no_alternative(client: httpx.Client, path: str) -> None:
    assert client.get(path).json()["error"]["message"] == f"Invalid URL (GET {path})."


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize(("method", "path", "words"), OTHER_METHODS)
def test_unsupported_method_names_an_alternative(
    client: httpx.Client, prefix: str, method: str, path: str, words: str
) -> None:
    response = client.request(method, prefix + path, json={})
    error = response.json()["error"]
    assert response.status_code == 405
    assert error["code"] == "method_not_allowed"
    assert error["message"].startswith(f"Method not allowed ({method} {prefix}{path}). ")
    assert words in error["message"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/messages"), ("DELETE", "/v1/models/claude-haiku-4-5"), ("PUT", "/health")]
)
def test_unsupported_method_without_an_alternative(client: httpx.Client, method: str, path: str) -> None:
    message = client.request(method, path).json()["error"]["message"]
    assert message == f"Method not allowed ({method} {path})."


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/messages", {"POST"}),
        ("DELETE", "/v1/models", {"GET", "HEAD"}),
        ("PUT", "/health", {"GET", "HEAD"}),
        ("POST", "/", {"GET", "HEAD"}),
        ("PUT", "/v1/responses/resp_1", {"GET", "DELETE"}),
    ],
)
def test_unsupported_method_is_told_all_allowed_ones(
    client: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    assert set(client.request(method, path).headers["allow"].split(", ")) == allowed
