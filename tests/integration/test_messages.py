"""POST /v1/messages and /v1/messages/count_tokens over real sockets, with Anthropic's SDK and byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic

from claudexia.access.limits import Limits
from tests.fakes.anthropic.sdk import TOOLS, assistant_turn, block_types, create_message, tool_results
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.deployment import deployment
from tests.helpers.serving import (
    KEY,
    UPSTREAM_KEY,
    WHOLE_JSON,
    Reply,
    Upstream,
    error_body,
    gateway,
    message_body,
    sse,
    text_events,
)
from tests.helpers.waiting import PATIENCE

VERSION = {"anthropic-version": "2023-06-01"}
AUTH = {"authorization": f"Bearer {KEY}"}
BODY: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hi"}],
}
WHOLE = Reply([message_body()], headers=WHOLE_JSON)
COUNTED = Reply([b'{"input_tokens": 9}'], headers=WHOLE_JSON)
STREAM = Reply([sse(*text_events())])


@pytest.fixture(scope="module")
def fake() -> FakeAnthropic:
    return FakeAnthropic()


@pytest.fixture(scope="module")
def sdk(fake: FakeAnthropic) -> Iterator[Anthropic]:
    with (
        gateway(fake, model_aliases={"fast": "claude-haiku-4-5"}) as url,
        Anthropic(api_key=KEY, base_url=url.removesuffix("/v1"), max_retries=0) as client,
    ):
        yield client


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_a_thinking_loop_with_tools(sdk: Anthropic, fake: FakeAnthropic, streamed: bool) -> None:
    """The fake refuses thinking blocks that are changed or missing."""
    turns: list[Any] = ["[rounds=2][interleave][redacted] Go"]
    for _ in range(2):
        message = create_message(sdk, *turns, tools=TOOLS, streamed=streamed)
        assert block_types(message)[:2] == ["thinking", "redacted_thinking"]
        assert message.stop_reason == "tool_use"
        turns += [assistant_turn(message), tool_results(message)]
    last = create_message(sdk, *turns, tools=TOOLS, streamed=streamed)
    assert last.content[-1].text == "Result: sunny; sunny"
    assert streamed or last._request_id == "req_fake"
    assert fake.headers[-1]["x-api-key"] == UPSTREAM_KEY


def test_count_tokens(sdk: Anthropic) -> None:
    counted = sdk.messages.count_tokens(model="fast", messages=[{"role": "user", "content": "Hello"}])
    assert counted.input_tokens > 5


def test_a_beta_reaches_the_upstream(sdk: Anthropic) -> None:
    edits: Any = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    params: Any = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    betas = ["effort-2025-11-24", "context-management-2025-06-27"]
    message = sdk.beta.messages.create(**params, context_management=edits, betas=betas)
    assert message.stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="context_management"):
        sdk.messages.create(**params, extra_body={"context_management": edits})


ERRORS: list[Any] = [
    ("claude-haiku-4-5", "[overloaded]", anthropic._exceptions.OverloadedError, "overloaded_error"),
    ("claude-haiku-4-5", "", anthropic.BadRequestError, "invalid_request_error"),
    ("claude-3-opus-20240229", "Hi", anthropic.NotFoundError, "not_found_error"),
    ("gpt-4o", "Hi", anthropic.NotFoundError, "not_found_error"),
]


@pytest.mark.parametrize(("model", "prompt", "kind", "name"), ERRORS)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_errors(sdk: Anthropic, streamed: bool, model: str, prompt: str, kind: Any, name: str) -> None:
    with pytest.raises(kind) as caught:
        create_message(sdk, prompt, model=model, streamed=streamed)
    assert caught.value.type == name
    assert caught.value.request_id == caught.value.body["request_id"]


@pytest.mark.parametrize("prompt", ["[overloaded-later]", "[break]"])
def test_a_failure_in_the_middle_is_raised(sdk: Anthropic, prompt: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        create_message(sdk, f"{prompt} Hello")
    assert caught.value.type == ("overloaded_error" if "later" in prompt else "api_error")


def test_a_wrong_key(sdk: Anthropic) -> None:
    wrong = sdk.with_options(api_key="sk_cdx_wrong")
    with pytest.raises(anthropic.AuthenticationError, match="Incorrect API key"):
        create_message(wrong, "Hi")
    with pytest.raises(anthropic.AuthenticationError):
        wrong.models.list()


def post(url: str, content: bytes, path: str = "/messages?beta=true", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(url + path, content=content, headers={**AUTH, **VERSION, **named}, timeout=PATIENCE)


# What a JSON library would write in another way.
ODD = (
    b'{ "max_tokens":50,\n "messages": [{"role":"user","content":"\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00"}], '
    b'"temperature":1.0, "top_p": 1e-1, "unknown": {"b":1,"a":[12345678901234567890123, 1E+2]}, "model": %b}\t'
)
SPELLINGS = [
    ("claude-haiku-4-5", "claude-haiku-4-5"),
    ("claude-opus-9-1", "claude-opus-9-1"),
    ("claude-haiku-4.5", "claude-haiku-4-5"),
    ("anthropic/claude-haiku-4.5", "claude-haiku-4-5"),
    ("fast", "claude-haiku-4-5"),
]


@pytest.mark.parametrize(("name", "model"), SPELLINGS)
@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
def test_the_body_is_sent_as_it_came_but_for_the_model(name: str, model: str, path: str) -> None:
    upstream = Upstream(WHOLE if path == "/messages" else COUNTED)
    with gateway(upstream, model_aliases={"fast": "claude-haiku-4-5"}) as url:
        assert post(url, ODD % json.dumps(name).encode(), path).status_code == 200
    assert upstream.contents == [ODD % json.dumps(model).encode()]
    assert upstream.paths == [f"/v1{path}"]


NESTED = b'"tools":[{"input_schema":{"properties":{"model":{"enum":["fast"]}}}}],"metadata":{"model":"fast"},'
RENAMED = [
    ("beside fields of the same name", b'{%b"max_tokens":5,"model":"fast"}' % NESTED, NESTED),
    ("before fields of the same name", b'{"model" : "fast",%b"max_tokens":5}' % NESTED, NESTED),
    ("written with escapes", b'{"m\\u006fdel":"f\\u0061st",%b"max_tokens":5}' % NESTED, NESTED),
]


@pytest.mark.parametrize(("body", "kept"), [pytest.param(*rest, id=name) for name, *rest in RENAMED])
def test_only_the_models_own_field_is_changed(body: bytes, kept: bytes) -> None:
    upstream = Upstream(WHOLE)
    with gateway(upstream, model_aliases={"fast": "claude-haiku-4-5"}) as url:
        assert post(url, body).status_code == 200
    assert upstream.bodies == [{**json.loads(body), "model": "claude-haiku-4-5"}]
    assert kept in upstream.contents[0]


def test_the_headers_that_reach_the_upstream() -> None:
    upstream = Upstream(WHOLE)
    betas = {"anthropic_beta": "one-2026-01-01, two-2026-01-02"}
    with gateway(upstream, anthropic_version="2023-06-01") as url:
        content = json.dumps(BODY).encode()
        post(url, content, anthropic_version="2026-10-21", x_custom="no", cookie="no", **betas)
        httpx.post(f"{url}/messages", content=content, headers={"x-api-key": KEY}, timeout=PATIENCE)
    first, second = upstream.headers
    assert first["anthropic-beta"] == betas["anthropic_beta"]
    assert (first["anthropic-version"], second["anthropic-version"]) == ("2026-10-21", "2023-06-01")
    assert first["x-api-key"] == second["x-api-key"] == UPSTREAM_KEY
    assert not {"authorization", "x-custom", "cookie"} & first.keys()
    assert "anthropic-beta" not in second


RECEIVED = {
    "request-id": "req_up",
    "retry-after": "7",
    "x-should-retry": "true",
    "anthropic-ratelimit-requests-remaining": "3",
    "anthropic-ratelimit-tokens-reset": "2026-11-26T12:00:00Z",
}


@pytest.mark.parametrize(
    "reply",
    [
        Reply([message_body()], headers={**WHOLE_JSON, **RECEIVED}),
        Reply([sse(*text_events())], headers=RECEIVED),
        Reply([error_body("rate_limit_error", "Slow down")], 429, {**WHOLE_JSON, **RECEIVED}),
    ],
    ids=["whole", "streamed", "refused"],
)
def test_the_headers_and_the_bytes_that_reach_the_client(reply: Reply) -> None:
    private = {"anthropic-organization-id": "org", "set-cookie": "a=b", "x-other": "c"}
    stream = "json" not in reply.headers.get("content-type", "")
    with gateway(Upstream(replace(reply, headers={**reply.headers, **private}))) as url:
        response = post(url, json.dumps({**BODY, "stream": stream}).encode())
    assert response.status_code == reply.status
    assert response.content == reply.pieces[0]
    assert {name: response.headers[name] for name in RECEIVED} == RECEIVED
    assert response.headers["x-request-id"] == "req_up"
    assert not private.keys() & response.headers.keys()


REFUSALS: list[Any] = [
    pytest.param(b"{", 400, "not valid JSON", id="no JSON"),
    pytest.param(b"[]", 400, "not a JSON object", id="no object"),
    pytest.param(b'{"max_tokens":1}', 400, "model: Field required", id="no model"),
    pytest.param(b'{"model":7,"max_tokens":1}', 400, "model: Input should be a valid string", id="the model is a number"),
    pytest.param(b'{"model":"claude-haiku-4-5"}', 400, "max_tokens: Field required", id="no max_tokens"),
    pytest.param(b'{"model":"claude-haiku-4-5","max_tokens":"9"}', 400, "max_tokens: Input should", id="max_tokens is text"),
    pytest.param(b'{"model":"claude-haiku-4-5","max_tokens":1,"stream":1}', 400, "stream: Input should", id="stream is a number"),
    pytest.param(b'{"model":"claude-opus-5-5","model":"claude-haiku-4-5","max_tokens":1}', 400, "twice", id="two models"),
    pytest.param(b'{"m\\u006fdel":"claude-opus-5-5","model":"claude-haiku-4-5","max_tokens":1}', 400, "twice", id="two models, one escaped"),
    pytest.param(b'{"model":"gpt-4o","max_tokens":1}', 404, "does not exist", id="no model of Claude's"),
    pytest.param(b" " * 10_001, 413, "larger than", id="too large"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "words"), REFUSALS)
def test_the_gateways_own_errors_have_anthropics_envelope(body: bytes, status: int, words: str) -> None:
    upstream = Upstream()
    with gateway(upstream, max_body=10_000) as url:
        response = post(url, body)
    kinds = {400: "invalid_request_error", 404: "not_found_error", 413: "request_too_large"}
    error = response.json()
    assert (response.status_code, error["error"]["type"]) == (status, kinds[status])
    assert error.keys() == {"type", "error", "request_id"}
    assert words in error["error"]["message"]
    assert response.headers["request-id"] == response.headers["x-request-id"] == error["request_id"]
    assert not upstream.bodies


UPSTREAM_ERRORS: list[Any] = [
    pytest.param(Reply([error_body("authentication_error", "x")], 401), 502, "api_error", id="credential"),
    pytest.param(Reply([error_body("permission_error", "x")], 403), 502, "api_error", id="permission"),
    pytest.param(Reply([b"<html>"], 413), 413, "request_too_large", id="a proxy's page"),
    pytest.param(Reply([b"<html>"], 529), 529, "overloaded_error", id="an overloaded proxy's page"),
    pytest.param(Reply([b""], 302), 502, "api_error", id="a redirect"),
    pytest.param(Reply([b"<html>"]), 502, "api_error", id="no events"),
    pytest.param(Reply([sse({"type": "ping"})]), 502, "api_error", id="nothing but a ping"),
    pytest.param(Reply([sse(json.loads(error_body("overloaded_error", "x")))]), 529, "overloaded_error", id="an error first"),
    pytest.param(Reply([b"<html>"], headers=WHOLE_JSON), 502, "api_error", id="no JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "status", "kind"), UPSTREAM_ERRORS)
def test_upstream_failures_before_the_response(reply: Reply, status: int, kind: str) -> None:
    with gateway(Upstream(reply)) as url:
        response = post(url, json.dumps({**BODY, "stream": True}).encode())
    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)


def test_pings_pass_unchanged_and_silence_is_filled_with_more() -> None:
    """Never in the middle of an event: the part that is there waits for the rest."""
    frames = sse(*text_events())
    cut = frames.index(b"Hello")
    reply = Reply([frames[:cut]], then="hang")
    upstream = Upstream(reply)
    with (
        gateway(upstream, keepalive=0.05) as url,
        httpx.stream(
            "POST", f"{url}/messages", json={**BODY, "stream": True}, headers=AUTH, timeout=PATIENCE
        ) as response,
    ):
        received = ""
        for text in response.iter_text():
            received += text
            if received.count("event: ping") >= 4:
                break
    whole = frames[:cut].rpartition(b"\n\n")[0].decode() + "\n\n"
    assert received.startswith(whole)
    assert set(received.removeprefix(whole).split("\n\n")) == {'event: ping\ndata: {"type":"ping"}', ""}
    assert upstream.disconnected.wait(PATIENCE)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_bytes_of_a_stream_are_the_upstreams(ending: bytes, step: int) -> None:
    events = text_events()
    novelties = b": comment\n\n" + sse({"type": "new_event", "data": [1]})
    frames = (sse(*events[:-1]) + novelties + sse(events[-1])).replace(b"\n", ending)
    pieces = [frames[start : start + step] for start in range(0, len(frames), step)]
    with gateway(Upstream(Reply(pieces))) as url:
        response = post(url, json.dumps({**BODY, "stream": True}).encode())
    assert response.content == frames
    assert response.headers["content-type"].startswith("text/event-stream")


LINE_ENDS = "one\u2028two\u2029three\x85four"


@pytest.mark.parametrize("step", [1, 10_000])
def test_unicodes_line_ends_are_escaped_in_a_stream(step: int) -> None:
    frames = sse(*text_events(LINE_ENDS))
    with gateway(Upstream(Reply([frames[at : at + step] for at in range(0, len(frames), step)]))) as url:
        response = post(url, json.dumps({**BODY, "stream": True}).encode())
    assert [line for line in response.text.splitlines() if line] == [
        line.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
        for line in frames.decode().split("\n")
        if line
    ]


def test_unicodes_line_ends_are_escaped_in_a_whole_message() -> None:
    body = json.dumps(json.loads(message_body(LINE_ENDS)), ensure_ascii=False).encode()
    with gateway(Upstream(Reply([body], headers=WHOLE_JSON))) as url:
        response = post(url, json.dumps(BODY).encode())
    assert response.text.splitlines() == [response.text]
    assert response.json() == json.loads(body)


CUTS: list[Any] = [
    pytest.param(Reply([sse(*text_events()[:4])]), "broke off", id="ended early"),
    pytest.param(Reply([sse(*text_events()[:4]) + b"event: con"]), "broke off", id="ended in an event"),
    pytest.param(Reply([sse(*text_events()[:4]), 50], then="break"), "connection", id="broken off"),
    pytest.param(Reply([sse(*text_events()[:4]), 50, b"data: {nonsense\n\n"]), "not JSON", id="no JSON"),
]


@pytest.mark.parametrize(("reply", "words"), CUTS)
def test_a_break_in_the_middle_is_an_error_event(reply: Reply, words: str) -> None:
    with gateway(Upstream(reply)) as url:
        response = post(url, json.dumps({**BODY, "stream": True}).encode())
    before = sse(*text_events()[:4])
    assert response.content.startswith(before)
    name, data = response.content.removeprefix(before).decode().strip().split("\n")
    assert name == "event: error"
    error = json.loads(data.removeprefix("data: "))
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert words in error["error"]["message"]
    assert error["request_id"]


def test_a_key_is_held_to_its_models_and_its_largest_answer() -> None:
    upstream = Upstream(WHOLE)
    with deployment(upstream) as deployed:
        secret = deployed.key(models=("claude-haiku-*",), limits=Limits(max_tokens=50, requests_per_minute=9))
        headers = {"x-api-key": secret, **VERSION}

        def ask(path: str = "/messages", **fields: Any) -> httpx.Response:
            body = {**BODY, **fields}
            return httpx.post(deployed.url + path, json=body, headers=headers, timeout=PATIENCE)

        assert ask().headers["anthropic-ratelimit-requests-limit"] == "9"
        assert ask().headers["anthropic-ratelimit-requests-reset"] == "2026-11-22T12:01:00Z"
        for refused in (ask(model="claude-opus-5-5"), ask("/messages/count_tokens", model="claude-opus-5-5")):
            assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
        too_many = ask(max_tokens=51)
        assert (too_many.status_code, too_many.json()["error"]["type"]) == (400, "invalid_request_error")
        listed = httpx.get(f"{deployed.url}/models", headers=headers, timeout=PATIENCE).json()
        assert {model["id"] for model in listed["data"]} == {"claude-haiku-5-5", "claude-haiku-4-5"}
    assert len(upstream.bodies) == 2


def test_counting_tokens_counts_as_a_request() -> None:
    with deployment(Upstream(COUNTED)) as deployed:
        headers = {"x-api-key": deployed.key(limits=Limits(requests_per_minute=2))}
        url = f"{deployed.url}/messages/count_tokens"
        replies = [httpx.post(url, json=BODY, headers=headers, timeout=PATIENCE) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        assert replies[0].content == b'{"input_tokens": 9}'
        assert replies[2].json()["error"]["type"] == "rate_limit_error"
        assert deployed.ledger_counts() == (3, 1, 0, 0)


def test_cost_headers_and_warnings() -> None:
    with deployment(Upstream(WHOLE), shows_cost=True) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10**6))
        response = post(deployed.url, json.dumps(BODY).encode(), authorization=f"Bearer {secret}")
        assert response.headers["x-claudexia-cost"] == "0.000017"
        assert "x-claudexia-warnings" not in response.headers
        unpriced = json.dumps({**BODY, "model": "claude-opus-9"}).encode()
        response = post(deployed.url, unpriced, authorization=f"Bearer {secret}")
        assert "model: its price is not known" in response.headers["x-claudexia-warnings"]


MARKED: dict[str, Any] = {
    **BODY,
    "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
}
CACHING: list[Any] = [
    pytest.param({}, BODY, {}, False, id="off by default"),
    pytest.param({"messages_prompt_caching": True}, BODY, {}, True, id="on"),
    pytest.param({"messages_prompt_caching": True}, MARKED, {}, False, id="the client's own"),
    pytest.param({"messages_prompt_caching": True}, BODY, {"x_claudexia_cache": "off"}, False, id="off for the request"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "body", "headers", "added"), CACHING)
def test_automatic_caching(
    settings: dict[str, Any], body: dict[str, Any], headers: dict[str, str], added: bool
) -> None:
    upstream = Upstream(WHOLE)
    with gateway(upstream, **settings) as url:
        response = post(url, json.dumps(body).encode(), **headers)
    expected = {"cache_control": {"type": "ephemeral"}} if added else {}
    assert upstream.bodies == [{**body, **expected}]
    assert ("cache_control" in response.headers.get("x-claudexia-warnings", "")) is added


def test_claude_codes_probe_and_unknown_addresses() -> None:
    with gateway(Upstream()) as url:
        root = url.removesuffix("/v1")
        assert httpx.head(f"{root}/", timeout=PATIENCE).status_code == 200
        for path in ("/v1/messages/batches", "/v1/files"):
            response = httpx.post(root + path, json={}, headers=VERSION, timeout=PATIENCE)
            assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
        chat = httpx.post(f"{url}/chat/completions", json={}, headers=VERSION, timeout=PATIENCE)
        assert chat.json()["error"].keys() == {"message", "type", "param", "code"}


NEW_CALL = [
    text_events()[0],
    {"type": "content_block_start", "index": 0, "content_block": {"type": "novel_tool_use", "id": "call_1"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "novel_delta", "text": 7}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
OTHER_PING = b'event: vertex_event\ndata: {"type": "ping"}\n\n'
UNNAMED_PING = b'data: {"type": "ping"}\n\n'
UNTYPED = b'event: novel_event\ndata: {"index": 0}\n\n'
NEW_CITATION = {"type": "citations_delta", "citation": {"type": "novel_location", "title": {"a": 1}}}
DOCUMENT = {"type": "document", "citations": {"enabled": True}}


def with_bytes(added: bytes) -> bytes:
    return sse(*text_events()[:4]) + added + sse(*text_events()[4:])


def with_changes(*changes: tuple[int, dict[str, Any]]) -> bytes:
    events = [*text_events()]
    for place, change in changes:
        events[place] = events[place] | change
    return sse(*events)


NOVEL: list[Any] = [
    pytest.param([{"type": "novel_event", "data": [1]}, *text_events()], id="an event first"),
    pytest.param(
        [*text_events()[:4], {"type": "novel_event", "index": "x"}, *text_events()[4:]], id="an event"
    ),
    pytest.param(NEW_CALL, id="a block that is a call"),
    pytest.param([*text_events(), {"type": "novel_event"}], id="an event after the end"),
    pytest.param(with_bytes(OTHER_PING), id="a ping with another name"),
    pytest.param(with_bytes(UNNAMED_PING), id="a ping without a name"),
    pytest.param(with_bytes(UNTYPED), id="an event with a name, but no type"),
    pytest.param(with_changes((4, {"delta": NEW_CITATION})), id="a citation"),
]


@pytest.mark.parametrize("events", NOVEL)
def test_what_a_newer_api_sends_is_relayed(events: list[dict[str, Any]] | bytes) -> None:
    """With limits, which read every event."""
    frames = events if isinstance(events, bytes) else sse(*events)
    with deployment(Upstream(Reply([frames]))) as deployed:
        secret = deployed.key(limits=Limits(usd_per_day_micros=10**7))
        response = post(
            deployed.url, json.dumps({**BODY, "stream": True}).encode(), authorization=f"Bearer {secret}"
        )
        assert response.content == frames
        assert deployed.ledger_counts() == (1, 0, 7, 2)


DELTA: dict[str, Any] = text_events()[3]
DAMAGED: list[Any] = [
    pytest.param(sse({**DELTA, "delta": None}), id="a delta of nothing"),
    pytest.param(sse({**DELTA, "index": 9}), id="a delta of no block"),
    pytest.param(sse({"type": "content_block_start"}), id="no block"),
    pytest.param(sse({"type": 7}), id="a number for a type"),
    pytest.param(sse(DELTA).replace(b"event: content_block_delta\n", b""), id="an event without a name"),
    pytest.param(sse(DELTA).replace(b"event: content_", b"event: x_content_"), id="an event with another name"),
    pytest.param(sse(DELTA).replace(b'"type": "content_block_delta", ', b""), id="an event without a type"),
    pytest.param(b"event: content_block_delta\ndata: null\n\n", id="null for an event"),
    pytest.param(b"event: content_block_delta\ndata: {nonsense\n\n", id="no JSON"),
    pytest.param(b'event: content_block_delta\ndata: {"type":"content_block_delta","index":NaN}\n\n', id="NaN"),
]  # fmt: skip


@pytest.mark.parametrize("pieces", [1, 3], ids=["in one piece", "in pieces"])
@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_an_error_event_is_in_the_place_of_a_damaged_one(damage: bytes, ending: bytes, pieces: int) -> None:
    parts = [part.replace(b"\n", ending) for part in (sse(*text_events()[:4]), damage, sse(*text_events()[4:]))]
    reply = Reply([b"".join(parts)] if pieces == 1 else [each for part in parts for each in (part, 1)])
    with gateway(Upstream(reply)) as url:
        response = post(url, json.dumps({**BODY, "stream": True}).encode())
    assert response.content.startswith(parts[0] + b"event: error\n")
    last = response.content.removeprefix(parts[0])
    assert last.count(b"event: ") == 1
    assert json.loads(last.partition(b"data: ")[2])["error"]["type"] == "api_error"


AFTER_THE_END: list[Any] = [
    pytest.param(sse(*text_events("Another answer")), id="another message"),
    pytest.param(sse(json.loads(error_body("overloaded_error", "x"))), id="an error"),
    pytest.param(sse({"type": "ping"})[:-1], id="half an event"),
    pytest.param(b"event: message_delta\ndata: {nonsense\n\n", id="no JSON"),
    pytest.param(b"junk", id="junk"),
]


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("extra", AFTER_THE_END)
def test_nothing_known_follows_a_complete_message(extra: bytes, pieces: int) -> None:
    frames = sse(*text_events())
    reply = Reply([frames + extra] if pieces == 1 else [frames, 1, extra])
    with gateway(Upstream(reply)) as url:
        response = post(url, json.dumps({**BODY, "stream": True}).encode())
    assert response.content == frames


CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
WHOLE_DAMAGE: list[tuple[str, dict[str, Any]]] = [
    ("no stop_reason", {"stop_reason": None}),
    ("a number for a stop_reason", {"stop_reason": 7}),
    ("a call that is missing", {"stop_reason": "tool_use"}),
    ("no content", {"content": None}),
    ("text for content", {"content": "Hello"}),
    ("a block of null", {"content": [None]}),
    ("a block without a type", {"content": [{"text": "Hello"}]}),
    ("a text block without text", {"content": [{"type": "text"}]}),
    ("thinking without text", {"content": [{"type": "thinking", "signature": "x"}]}),
    ("a call without an id", {"content": [{**CALL, "id": None}]}),
    ("a call with a number for a name", {"content": [{**CALL, "name": 7}]}),
    ("a call with text for its input", {"content": [{**CALL, "input": "Paris"}]}),
    ("a call without input", {"content": [{key: value for key, value in CALL.items() if key != "input"}]}),
    ("a number for an id", {"id": 7}),
    ("no model", {"model": None}),
    ("NaN", {"a_new_field": float("nan")}),
    ("a citation that is text", {"content": [{"type": "text", "text": "a", "citations": ["page 7"]}]}),
]  # fmt: skip
WHOLE_BODIES = {
    **{name: json.dumps({**json.loads(message_body()), **change}).encode() for name, change in WHOLE_DAMAGE},
    "an error with status 200": error_body("overloaded_error", "x"),
    "an object": b'{"ok": true}',
    "a list": b"[]",
    "null": b"null",
    "nothing": b"",
    "half a message": message_body()[:-40],
    "two messages": message_body() * 2,
    "events": sse(*text_events()),
    "an HTML page": b"<!doctype html><p>Hello</p>",
}


@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
@pytest.mark.parametrize("body", WHOLE_BODIES.values(), ids=WHOLE_BODIES)
def test_a_damaged_whole_answer_is_a_502(body: bytes, path: str) -> None:
    with gateway(Upstream(Reply([body], headers=WHOLE_JSON))) as url:
        response = post(url, json.dumps(BODY).encode(), path)
    assert (response.status_code, response.json()["error"]["type"]) == (502, "api_error")


@pytest.mark.parametrize("count", [b"null", b'"9"', b"-1", b"1.5", b"true", b"[9]"])
def test_a_damaged_token_count_is_a_502(count: bytes) -> None:
    with gateway(Upstream(Reply([b'{"input_tokens": %b}' % count], headers=WHOLE_JSON))) as url:
        response = post(url, json.dumps(BODY).encode(), "/messages/count_tokens")
    assert (response.status_code, response.json()["error"]["type"]) == (502, "api_error")


WHOLE_NOVELTIES: list[dict[str, Any]] = [
    {"a_new_field": {"a": 1}},
    {"content": [{"type": "novel_block", "input": "x"}], "stop_reason": "novel_reason"},
    {"content": [{"type": "novel_tool_use", "id": 7}], "stop_reason": "tool_use"},
    {"content": [DOCUMENT]},
    {"content": [{"type": "text", "text": "a", "citations": [NEW_CITATION["citation"]]}]},
    {"content": []},
]


@pytest.mark.parametrize("change", WHOLE_NOVELTIES)
def test_what_a_newer_api_answers_is_relayed(change: dict[str, Any]) -> None:
    body = json.dumps({**json.loads(message_body()), **change}).encode()
    with gateway(Upstream(Reply([body], headers=WHOLE_JSON))) as url:
        response = post(url, json.dumps(BODY).encode())
    assert (response.status_code, response.content) == (200, body)


@pytest.mark.parametrize("usage", [{}, {"usage": {"output_tokens": "many"}}, {"usage": {"output_tokens": -1}}])
def test_the_tokens_of_a_whole_message_without_a_count_are_estimated(usage: dict[str, Any]) -> None:
    message = {key: value for key, value in json.loads(message_body("a" * 400)).items() if key != "usage"}
    with deployment(Upstream(Reply([json.dumps(message | usage).encode()], headers=WHOLE_JSON))) as deployed:
        assert post(
            deployed.url, json.dumps(BODY).encode(), authorization=f"Bearer {deployed.key()}"
        ).is_success
        assert deployed.ledger_counts() == (1, 0, 0, 100)


def test_a_stream_that_was_asked_for_is_no_whole_message() -> None:
    """Anthropic's SDKs would read no event in it, and end without an error."""
    with gateway(Upstream(WHOLE)) as url:
        response = post(url, json.dumps({**BODY, "stream": True}).encode())
    assert (response.status_code, response.json()["error"]["type"]) == (502, "api_error")
