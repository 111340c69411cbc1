"""Claude Platform on AWS and Amazon Bedrock: OpenAI's SDK through the gateway to a fake of each host."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.fakes.hosts import ENVIRONMENT, KEY, REGION, WORKSPACE, FakeHost, Kind
from tests.helpers.hosts import hosts_gateway
from tests.helpers.serving import KEY as GATEWAY_KEY
from tests.helpers.serving import serving

KINDS: tuple[Kind, ...] = ("aws", "bedrock", "mantle")
MESSAGES: Any = [{"role": "user", "content": "hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
STRICT_TOOL: Any = {"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_AWS_API_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def client_of(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=GATEWAY_KEY, max_retries=0)


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest) -> FakeHost:
    return FakeHost(request.param)


@pytest.fixture
def url(host: FakeHost) -> Iterator[str]:
    with hosts_gateway({host.kind: host}) as url:
        yield url


def sdk_client(kind: Kind, url: str) -> Any:
    """The SDK has no client for the Messages API of bedrock-runtime; its own calls InvokeModel."""
    arguments: Any = {"aws_region": REGION, "max_retries": 0}
    if kind == "aws":
        return anthropic.AnthropicAWS(base_url=url, workspace_id=WORKSPACE, **arguments)
    return anthropic.AnthropicBedrockMantle(base_url=f"{url}/anthropic", **arguments)


@pytest.mark.parametrize("kind", ["aws", "mantle"])
def test_the_fake_takes_requests_of_the_vendors_sdk_and_the_gateway_sends_the_same(kind: Kind) -> None:
    host = FakeHost(kind)
    with serving(host) as address:
        model = "claude-sonnet-5-5" if kind == "aws" else "anthropic.claude-sonnet-5-5"
        sdk_client(kind, address).messages.create(model=model, max_tokens=100, messages=MESSAGES)
    with hosts_gateway({kind: host}) as url:
        client_of(url).chat.completions.create(model="claude-sonnet-5-5", messages=MESSAGES)
    (path, sdk, body), (own_path, own, own_body) = host.requests
    assert (own_path, own_body["model"]) == (path, body["model"])
    for name in ("anthropic-workspace-id", "x-amz-security-token"):
        assert own.get(name) == sdk.get(name)
    scope = sdk["authorization"].split("Credential=")[1].split(",")[0].split("/")
    assert own["authorization"].split("Credential=")[1].split(",")[0].split("/")[2:] == scope[2:]


@pytest.mark.parametrize("with_key", [False, True], ids=["signed", "key"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_streams_from_each_host(kind: Kind, with_key: bool) -> None:
    host = FakeHost(kind)
    with hosts_gateway({kind: host}, with_key=with_key) as url, client_of(url) as client:
        whole = client.chat.completions.with_raw_response.create(model="claude-opus-5-5", messages=MESSAGES)
        chunks = list(client.chat.completions.create(model="claude-opus-5-5", messages=MESSAGES, stream=True))
    completion = whole.parse()
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        == completion.choices[0].message.content
    )
    assert {completion.model, *(chunk.model for chunk in chunks)} == {"claude-opus-5-5"}
    assert whole.headers["x-claudexia-upstream"] == ("aws" if kind == "aws" else "bedrock")
    assert whole.headers["x-request-id"] == f"req_{kind}"
    headers = host.requests[0][1]
    assert (KEY in headers.get("authorization", "") + headers.get("x-api-key", "")) == with_key


IDS = [
    ("claude-haiku-4.5", "global", "global.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("claude-sonnet-4-5-20250929", "us", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("claude-opus-4-6", "eu", "eu.anthropic.claude-opus-4-6-v1"),
    ("claude-opus-5-5", "apac", "apac.anthropic.claude-opus-5-5"),
    ("us.anthropic.claude-opus-4-6-v1", "global", "global.anthropic.claude-opus-4-6-v1"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "jp", "jp.anthropic.claude-haiku-4-5-20251001-v1:0"),
]


@pytest.mark.parametrize(("model", "profile", "sent"), IDS)
def test_bedrocks_model_ids_have_the_profile_in_front(model: str, profile: str, sent: str) -> None:
    host = FakeHost("bedrock")
    with hosts_gateway({"bedrock": host}, aws={"inference_profile": profile}) as url:
        client_of(url).chat.completions.create(model=model, messages=MESSAGES)
    assert host.requests[0][2]["model"] == sent


def image(source: str) -> Any:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": source}}]}]


BEDROCK_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"messages": image("https://example.com/a.png")}, "messages[0].content[0].image_url.url"),
    (
        {"messages": [{"role": "user", "content": [
            {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}]}]},
        "messages[0].content[0].file.file_data",
    ),
    (
        {"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}]}]},
        "messages[0].content[0].source.url",
    ),
    ({"web_search_options": {}}, "web_search_options"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "tools[0].type"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "param"), BEDROCK_REFUSALS, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("kind", ["bedrock", "mantle"])
def test_what_bedrock_does_not_take_is_refused_with_its_field(kind: Kind, fields: Any, param: str) -> None:
    host = FakeHost(kind)
    body = {"model": "claude-sonnet-5-5", "messages": MESSAGES, **fields}
    with hosts_gateway({kind: host}) as url:
        answer = httpx.post(f"{url}/chat/completions", json=body, headers={"api-key": GATEWAY_KEY})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, "unsupported_parameter")
    assert "Amazon Bedrock" in error["message"]
    assert not host.requests


STRUCTURED = [
    ("bedrock", "claude-opus-4-6", True),
    ("bedrock", "claude-haiku-4-5", True),
    ("bedrock", "claude-sonnet-5-5", False),
    ("mantle", "claude-haiku-4-5", False),
    ("aws", "claude-sonnet-5-5", True),
]


@pytest.mark.parametrize(("kind", "model", "enforced"), STRUCTURED)
def test_a_schema_is_enforced_where_the_host_can_and_requested_elsewhere(
    kind: Kind, model: str, enforced: bool
) -> None:
    host = FakeHost(kind)
    with hosts_gateway({kind: host}) as url, client_of(url) as client:
        answer = client.chat.completions.with_raw_response.create(
            model=model, messages=MESSAGES, response_format=FORMAT
        )
        with_tool = client.chat.completions.with_raw_response.create(
            model=model, messages=MESSAGES, tools=[STRICT_TOOL]
        )
    sent, sent_with_tool = host.requests[0][2], host.requests[1][2]
    assert ("format" in sent.get("output_config", {})) == enforced
    assert ("Amazon Bedrock enforces no schema" in answer.headers.get("x-claudexia-warnings", "")) != enforced
    if not enforced:
        assert json.dumps(SCHEMA, separators=(",", ":")) in sent["system"][-1]["text"]
    strict = sent_with_tool["tools"][0].get("strict", False)
    assert ("without strict" in with_tool.headers.get("x-claudexia-warnings", "")) != strict


def test_strict_requests_refuse_a_schema_that_the_host_does_not_enforce() -> None:
    host = FakeHost("bedrock")
    with hosts_gateway({"bedrock": host}) as url, pytest.raises(openai.BadRequestError) as caught:
        client_of(url).chat.completions.create(
            model="claude-sonnet-5-5",
            messages=MESSAGES,
            response_format=FORMAT,
            extra_headers={"x-claudexia-strict": "true"},
        )
    assert caught.value.param == "response_format.json_schema.schema"
    assert not host.requests


def test_the_model_list_says_what_the_host_takes(host: FakeHost, url: str) -> None:
    models = httpx.get(f"{url}/models", headers={"api-key": GATEWAY_KEY}).json()["data"]
    sonnet = next(model for model in models if model["id"] == "claude-sonnet-5-5")
    assert sonnet["capabilities"]["web_search"] == (host.kind == "aws")
    assert host.anthropic.model_requests == (host.kind == "aws")


FAILURES: list[tuple[str, dict[str, Any], int, str | None, str]] = [
    ("no access to the model", {"models": {"claude-haiku-4-5"}}, 502, "model_access_denied", "claude-opus-5-5"),
    ("expired", {"environment": {"AWS_SESSION_TOKEN": "expired"}}, 502, "upstream_credential_refused", "expired"),
    (
        "wrong secret",
        {"environment": {"AWS_SECRET_ACCESS_KEY": "x"}},
        502,
        "upstream_credential_refused",
        "not valid",
    ),
    ("no profile", {"aws": {"inference_profile": "none"}}, 502, "inference_profile_required", "INFERENCE_PROFILE"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fault", "status", "code", "text"), FAILURES, ids=[each[0] for each in FAILURES]
)
def test_bedrocks_refusals_say_what_the_operator_has_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, fault: dict[str, Any], status: int, code: str, text: str
) -> None:
    for variable, value in fault.get("environment", {}).items():
        monkeypatch.setenv(variable, value)
    host = FakeHost("bedrock", models=fault.get("models"))
    with (
        hosts_gateway({"bedrock": host}, aws=fault.get("aws", {})) as url,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client_of(url).chat.completions.create(model="claude-opus-5-5", messages=MESSAGES)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert text in caught.value.message
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_without_credentials_the_error_names_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (
        *ENVIRONMENT,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ):
        monkeypatch.delenv(variable, raising=False)
    with hosts_gateway({"aws": FakeHost("aws")}) as url, pytest.raises(openai.InternalServerError) as caught:
        client_of(url).chat.completions.create(model="claude-opus-5-5", messages=MESSAGES)
    assert caught.value.code == "upstream_credential_refused"
    assert "no AWS credentials in the environment" in caught.value.message


@pytest.mark.parametrize(("kind", "constrained"), [("bedrock", False), ("aws", True)])
def test_a_demanded_call_is_requested_by_instruction_where_no_schema_is_enforced(
    kind: Kind, constrained: bool
) -> None:
    host, tool = FakeHost(kind), {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    body = {"model": "claude-opus-5-5", "messages": MESSAGES, "tools": [tool], "tool_choice": "required"}
    with hosts_gateway({kind: host}) as url:
        answer = httpx.post(f"{url}/chat/completions", json=body, headers={"api-key": GATEWAY_KEY})
    assert answer.status_code == 200, answer.text
    assert ("format" in host.requests[0][2].get("output_config", {})) == constrained
    assert ("an instruction asks it" in answer.headers.get("x-claudexia-warnings", "")) != constrained
