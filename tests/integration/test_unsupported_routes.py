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
    ("POST", "/responses", "POST /v1/chat/completions"),
    ("GET", "/responses/resp_1", "POST /v1/chat/completions"),
    ("POST", "/images/generations", "image_url"),
    ("POST", "/audio/transcriptions", "no audio"),
    ("GET", "/files", "part of type 'file'"),
    ("POST", "/assistants", "stores nothing"),
    ("DELETE", "/threads/thread_1", "stores nothing"),
    ("POST", "/batches", "once for each request"),
    ("POST", "/moderations", "moderation"),
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
