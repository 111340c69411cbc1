"""The gateway over HTTP: routes, keys, headers, errors and disconnects."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.helpers.serving import KEY, Reply, Upstream, error_body, gateway, sse, text_events
from tests.helpers.waiting import PATIENCE

BODY: dict[str, Any] = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}
AUTH = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
def client(upstream: Upstream) -> Iterator[httpx.Client]:
    with (
        gateway(upstream, keepalive=0.05, max_body=10_000) as url,
        httpx.Client(base_url=url, headers=AUTH, timeout=PATIENCE) as client,
    ):
        yield client


def error_in(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
def test_health_needs_no_key_and_no_upstream(client: httpx.Client, upstream: Upstream, path: str) -> None:
    response = httpx.get(str(client.base_url.copy_with(path=path)), timeout=PATIENCE)
    assert response.json() == {"status": "ok"}
    assert not upstream.bodies


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/health", 200, id="health"),
        pytest.param("/v1/health", 200, id="health-in-v1"),
        pytest.param("/v1/models", 200, id="models"),
        pytest.param("/models", 200, id="models-without-v1"),
        pytest.param("/v1/models/claude-haiku-4-5", 200, id="a-model"),
        pytest.param("/v1/models/gpt-x", 404, id="no-model"),
        pytest.param("/nothing", 404, id="no-route"),
    ],
)
def test_head_is_get_without_a_body(client: httpx.Client, path: str, status: int) -> None:
    url = str(client.base_url.copy_with(path=path))
    response = client.head(url)
    assert (response.status_code, response.content) == (status, b"")
    if status == 200:
        assert response.headers["content-length"] == client.get(url).headers["content-length"]


def test_head_needs_a_key_where_get_does(client: httpx.Client) -> None:
    assert httpx.head(f"{client.base_url}models", timeout=PATIENCE).status_code == 401


@pytest.mark.parametrize("path", ["/models/", "/v1/models/"])
def test_a_slash_after_models_lists_them(client: httpx.Client, path: str) -> None:
    root = client.base_url.copy_with(path="/")
    listed = client.get(str(root).rstrip("/") + path).json()
    assert listed["object"] == "list"
    assert listed == client.get("/models").json()


WITH_A_SLASH = {
    "/v1/chat/completions/": BODY,
    "/chat/completions//": BODY,
    "/v1/completions/": {"model": BODY["model"], "prompt": "Hi"},
    "/v1/responses/": {"model": BODY["model"], "input": "Hi"},
    "/v1/messages/": {**BODY, "max_tokens": 9, "stream": True},
    "/v1/models/claude-haiku-4-5/": None,
    "/health/": None,
    "/docs/": None,
}


@pytest.mark.parametrize("path", WITH_A_SLASH)
def test_a_slash_at_the_end_of_a_path_is_none(client: httpx.Client, path: str) -> None:
    url, body = str(client.base_url).removesuffix("/v1/") + path, WITH_A_SLASH[path]
    answer = client.post(url, json=body) if body else client.get(url)
    assert answer.status_code == 200, answer.text


def test_an_unknown_path_with_a_slash_is_a_404(client: httpx.Client) -> None:
    answer = client.post("embeddings/", json={})
    assert answer.status_code == 404
    assert "Claude has no embeddings" in answer.json()["error"]["message"]


def test_docs_describe_the_request(client: httpx.Client) -> None:
    root = client.base_url.copy_with(path="/docs")
    assert "Claudexia" in httpx.get(str(root), timeout=PATIENCE).text
    description = httpx.get(str(root.copy_with(path="/openapi.json")), timeout=PATIENCE).json()
    body = description["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["$ref"].endswith("CompletionCreateParams")
    assert "temperature" in description["components"]["schemas"]["CompletionCreateParams"]["properties"]


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        pytest.param({"authorization": f"Bearer {KEY}"}, True, id="bearer"),
        pytest.param({"authorization": f"bearer  {KEY}"}, True, id="lower-case-scheme"),
        pytest.param({"api-key": KEY}, True, id="api-key"),
        pytest.param({}, False, id="none"),
        pytest.param({"authorization": "Bearer"}, False, id="empty"),
        pytest.param({"authorization": f"Basic {KEY}"}, False, id="basic"),
        pytest.param({"authorization": f"Bearer {KEY}x"}, False, id="longer"),
        pytest.param({"authorization": f"Bearer {KEY[:-1]}"}, False, id="shorter"),
        pytest.param({"api-key": "k\u00e9y".encode("latin-1")}, False, id="not-ascii"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/chat/completions"), ("GET", "/models"), ("GET", "/models/x")]
)
def test_authentication(client: httpx.Client, headers: Any, accepted: bool, method: str, path: str) -> None:
    del client.headers["authorization"]
    response = client.request(method, path, headers=headers, json=BODY)
    if accepted:
        assert response.status_code != 401
        return
    assert response.status_code == 401
    assert error_in(response)["code"] == "invalid_api_key"
    assert KEY[:-1] not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/models", 405, "method_not_allowed"),
        ("GET", "/models/gpt-4o", 404, "model_not_found"),
    ],
)
def test_unknown_routes_and_methods(
    client: httpx.Client, method: str, path: str, status: int, code: str | None
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert error_in(response)["code"] == code


@pytest.mark.parametrize(
    "path", ["/models/anthropic%2Fclaude-sonnet-4.5", "/models/anthropic/claude-sonnet-4.5"]
)
def test_model_ids_may_contain_a_slash(client: httpx.Client, path: str) -> None:
    model = client.get(path).json()
    assert (model["id"], model["object"], model["shutdown_date"]) == (
        "claude-sonnet-4-5",
        "model",
        "2026-11-30",
    )


def test_aliases_are_listed_and_served(upstream: Upstream) -> None:
    aliases = {"gpt-4o": "claude-sonnet-5.5", "gpt-3*": "claude-haiku-5-5"}
    with (
        gateway(upstream, model_aliases=aliases) as url,
        httpx.Client(base_url=url, headers=AUTH, timeout=PATIENCE) as client,
    ):
        listed = [model["id"] for model in client.get("/models").json()["data"]]
        assert "gpt-4o" in listed
        assert "gpt-3*" not in listed
        for requested, served in [("gpt-4o", "claude-sonnet-5-5"), ("gpt-3.5-turbo", "claude-haiku-5-5")]:
            client.post("/chat/completions", json={**BODY, "model": requested}).raise_for_status()
            assert upstream.bodies[-1]["model"] == served


@pytest.mark.parametrize(
    ("content", "status", "param"),
    [
        pytest.param(b"{no json", 400, None, id="no-json"),
        pytest.param(b"", 400, None, id="empty"),
        pytest.param(b"[]", 400, None, id="array"),
        pytest.param(b'{"model": "\xff"}', 400, None, id="no-utf8"),
        pytest.param(b'{"a":' * 1000, 400, None, id="deep"),
        pytest.param(b" " * 10_001, 413, None, id="too-large"),
        pytest.param(b'{"messages": []}', 400, "messages", id="no-messages"),
    ],
)
def test_bad_bodies(client: httpx.Client, content: bytes, status: int, param: str | None) -> None:
    response = client.post("/chat/completions", content=content)
    assert response.status_code == status
    assert error_in(response)["param"] == param
    assert response.headers["x-request-id"].startswith("req_")


def test_the_content_type_of_a_request_does_not_matter(client: httpx.Client) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}  # what curl -d sends
    assert client.post("/chat/completions", content=json.dumps(BODY), headers=form).status_code == 200


def test_response_headers(client: httpx.Client, upstream: Upstream) -> None:
    limits = {
        "anthropic-ratelimit-tokens-limit": "1000",
        "anthropic-ratelimit-tokens-reset": "2020-01-01T00:00:00Z",
    }
    upstream.replies = Upstream(Reply([sse(*text_events())], headers=limits)).replies
    for stream in (False, True):
        response = client.post("/chat/completions", json={**BODY, "seed": 1, "t\u00f6p": 2, "stream": stream})
        assert response.headers["x-request-id"] == "req_upstream"
        assert int(response.headers["openai-processing-ms"]) >= 0
        assert response.headers["x-ratelimit-limit-tokens"] == "1000"
        assert response.headers["x-ratelimit-reset-tokens"] == "0ms"
        assert response.headers["x-claudexia-warnings"] == (
            "seed: Claude's sampling cannot be seeded; t\\u00f6p: neither OpenAI's nor Claude's API has this field"
        )
        expected = "text/event-stream; charset=utf-8" if stream else "application/json"
        assert response.headers["content-type"] == expected


def test_strict_turns_a_warning_into_an_error(client: httpx.Client) -> None:
    strict = {"x-claudexia-strict": "true"}
    assert client.post("/chat/completions", json=BODY, headers=strict).status_code == 200
    response = client.post("/chat/completions", json={**BODY, "seed": 1}, headers=strict)
    assert response.status_code == 400
    assert error_in(response)["param"] == "seed"


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(
    ("reply", "status", "code", "headers"),
    [
        pytest.param(Reply([error_body("authentication_error", "invalid x-api-key")], 401), 502, "upstream_credential_refused", {"x-should-retry": "false"}, id="401"),
        pytest.param(Reply([error_body("permission_error", "no")], 403), 502, "upstream_credential_refused", {"x-should-retry": "false"}, id="403"),
        pytest.param(Reply([error_body("billing_error", "pay")], 402), 429, "insufficient_quota", {"x-should-retry": "false"}, id="402"),
        pytest.param(Reply([error_body("invalid_request_error", "You have reached your specified API usage limits.")], 400), 429, "insufficient_quota", {"x-should-retry": "false"}, id="own-limit"),
        pytest.param(Reply([error_body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")], 400), 400, "context_length_exceeded", {}, id="too-long"),
        pytest.param(Reply([error_body("rate_limit_error", "slow down")], 429, {"retry-after": "7"}), 429, "rate_limit_exceeded", {"retry-after": "7"}, id="429"),
        pytest.param(Reply([error_body("rate_limit_error", "slow down")], 429, {"retry-after": "3600"}), 429, "rate_limit_exceeded", {"retry-after": "3600", "x-should-retry": "false"}, id="429-for-an-hour"),
        pytest.param(Reply([error_body("overloaded_error", "Overloaded")], 529, {"x-should-retry": "true"}), 503, "server_is_overloaded", {"x-should-retry": "true"}, id="529"),
        pytest.param(Reply([error_body("timeout_error", "late")], 504), 504, "timeout", {}, id="504"),
        pytest.param(Reply([b"<html>Cloudflare</html>"], 520), 500, None, {}, id="html"),
        pytest.param(Reply([b"<html>too big</html>"], 413), 413, "request_too_large", {}, id="html-413"),
        pytest.param(Reply([b"<html>nothing here</html>"], 404), 502, None, {}, id="html-404"),
        pytest.param(Reply([sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})]), 503, "server_is_overloaded", {}, id="error-first-in-200"),
        pytest.param(Reply([sse({"type": "ping"}, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}})]), 429, "rate_limit_exceeded", {}, id="error-after-ping-in-200"),
        pytest.param(Reply([]), 502, None, {}, id="empty-200"),
        pytest.param(Reply([b'{"type": "message"}']), 502, None, {}, id="json-200"),
        pytest.param(Reply([sse({"type": "message_stop"})]), 502, None, {}, id="no-start"),
    ],
)  # fmt: skip
def test_upstream_failures_have_the_right_status(
    client: httpx.Client,
    upstream: Upstream,
    reply: Reply,
    status: int,
    code: str | None,
    headers: Any,
    stream: bool,
) -> None:
    upstream.replies = Upstream(reply).replies
    response = client.post("/chat/completions", json={**BODY, "stream": stream})
    assert response.status_code == status
    error = error_in(response)
    assert error["code"] == code
    assert "x-api-key" not in error["message"]
    for name in ("retry-after", "x-should-retry"):
        assert response.headers.get(name) == headers.get(name)


def test_an_unreachable_upstream_is_a_502() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        unused_url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with gateway(Upstream(), anthropic_base_url=unused_url) as url:
            response = httpx.post(f"{url}/chat/completions", json=BODY, headers=AUTH, timeout=PATIENCE)
    assert response.status_code == 502
    assert error_in(response)["type"] == "server_error"


def test_a_silent_upstream_is_a_504(upstream: Upstream) -> None:
    upstream.replies = Upstream(Reply([], then="hang")).replies
    with gateway(upstream, upstream_timeout=0.1) as url:
        response = httpx.post(f"{url}/chat/completions", json=BODY, headers=AUTH, timeout=PATIENCE)
    assert response.status_code == 504
    assert error_in(response)["code"] == "timeout"


def test_a_stream_that_fails_ends_with_one_error_frame(client: httpx.Client, upstream: Upstream) -> None:
    upstream.replies = Upstream(Reply([sse(*text_events()[:4])])).replies
    text = client.post("/chat/completions", json={**BODY, "stream": True}).text
    assert "[DONE]" not in text
    assert text.count('"error"') == 1
    last = [line for line in text.splitlines() if line.startswith("data:")][-1]
    assert json.loads(last[5:])["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            Reply([sse(*text_events(), {"type": "ping"}, *text_events())]), id="more-in-the-same-read"
        ),
        pytest.param(Reply([sse(*text_events()), 500, sse({"type": "ping"})]), id="a-ping-later"),
        pytest.param(Reply([sse(*text_events()), sse({"type": "error", "error": {}})]), id="an-error-later"),
        pytest.param(Reply([sse(*text_events())], then="break"), id="a-break"),
        pytest.param(Reply([sse(*text_events())], then="hang"), id="no-end"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
def test_data_after_message_stop_is_ignored(
    client: httpx.Client, upstream: Upstream, reply: Reply, stream: bool
) -> None:
    upstream.replies = Upstream(reply).replies
    text = client.post("/chat/completions", json={**BODY, "stream": stream}).raise_for_status().text
    assert "error" not in text
    assert text.count("Hello") == 1
    assert not stream or text.endswith('"finish_reason":"stop"}],"service_tier":"default"}\n\ndata: [DONE]\n\n')


def test_upstream_connections_are_reused(client: httpx.Client, upstream: Upstream) -> None:
    for stream in (False, True, False):
        client.post("/chat/completions", json={**BODY, "stream": stream}).raise_for_status()
    assert len(upstream.bodies) == 3
    assert len(set(upstream.peers)) == 1


def test_each_delta_is_sent_at_once(client: httpx.Client, upstream: Upstream) -> None:
    """The upstream sends nothing more until the client has received the first delta."""
    upstream.replies = Upstream(Reply([sse(*text_events()[:4])], then="hang")).replies
    with client.stream("POST", "/chat/completions", json={**BODY, "stream": True}) as response:
        assert next(line for line in response.iter_lines() if "Hello" in line)
    assert upstream.disconnected.wait(PATIENCE)


@pytest.mark.parametrize(
    ("stream", "pieces"),
    [
        pytest.param(True, [sse(*text_events()[:4])], id="streaming"),
        pytest.param(True, [], id="before-the-first-event"),
        pytest.param(False, [sse(*text_events()[:4])], id="buffered"),
    ],
)
def test_a_disconnect_cancels_the_upstream_request(
    client: httpx.Client, upstream: Upstream, stream: bool, pieces: list[bytes]
) -> None:
    upstream.replies = Upstream(Reply(pieces, then="hang")).replies
    address = urlsplit(str(client.base_url))
    body = json.dumps({**BODY, "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + body)
        assert upstream.requested.wait(PATIENCE)
        assert not upstream.disconnected.is_set()
    assert upstream.disconnected.wait(PATIENCE)
    assert client.get("/models").status_code == 200  # nothing is stuck


APPS = [
    "https://chat.test",
    "app://obsidian.md",
    "chrome-extension://abcdef",
    "tauri://localhost",
    "capacitor://localhost",
]


@pytest.mark.parametrize("origin", APPS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_several_origins_and_the_schemes_of_apps(origin: str, slash: str) -> None:
    ask = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    private = {"access-control-request-private-network": "true"}
    strange = {**ask, **private, "origin": "https://elsewhere.test"}
    with gateway(Upstream(), cors_origin=", ".join(f"{each}{slash}" for each in APPS)) as url:
        preflights = [
            httpx.options(f"{url}/chat/completions", headers=headers, timeout=PATIENCE)
            for headers in (ask, {**ask, **private}, strange)
        ]
        answer = httpx.post(
            f"{url}/chat/completions", json=BODY, headers={**AUTH, "origin": origin}, timeout=PATIENCE
        )
    allowed = "access-control-allow-origin"
    assert [each.headers.get(allowed) for each in (*preflights, answer)] == [origin, origin, None, origin]
    assert [each.status_code for each in preflights] == [200, 200, 400]
    assert "access-control-allow-private-network" not in preflights[0].headers
    assert preflights[1].headers["access-control-allow-private-network"] == "true"


def test_cors_allows_the_configured_origin_only() -> None:
    origin = {"origin": "https://chat.test"}
    preflight_headers = {
        **origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    with gateway(Upstream(), cors_origin="https://chat.test") as url:
        preflight = httpx.options(f"{url}/chat/completions", headers=preflight_headers, timeout=PATIENCE)
        responses = [
            httpx.post(f"{url}/chat/completions", json=BODY, headers={**origin, **headers}, timeout=PATIENCE)
            for headers in (AUTH, {})
        ]
        other_origin = httpx.get(
            f"{url}/models", headers={"origin": "https://elsewhere.test"}, timeout=PATIENCE
        )
    assert preflight.status_code == 200
    assert [answer.status_code for answer in responses] == [200, 401]
    for answer in (preflight, *responses):
        assert answer.headers["access-control-allow-origin"] == "https://chat.test"
    shown = responses[0].headers["access-control-expose-headers"]
    for name in ("retry-after", "x-claudexia-cost", "x-ratelimit-remaining-tokens", "x-request-id"):
        assert name in shown
    assert "access-control-allow-origin" not in other_origin.headers
