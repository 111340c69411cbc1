"""x-claudexia-warnings and x-claudexia-strict over real sockets: no warning, a warning, or a 400."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from claudexia.models import SERVED
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway
from tests.helpers.waiting import PATIENCE
from tests.integration.test_thinking_loop import TOOLS

# Before the retirement warnings of all served models.
NOW = datetime(2026, 8, 1, tzinfo=UTC)
STRICT = {"x-claudexia-strict": "true"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with (
        gateway(FakeAnthropic(), now=lambda: NOW) as url,
        httpx.Client(base_url=url, headers=headers, timeout=PATIENCE) as client,
    ):
        yield client


def send_request(client: httpx.Client, fields: dict[str, Any], **headers: str) -> httpx.Response:
    body = {"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": "hi"}], **fields}
    return client.post(
        "/chat/completions", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "auto"}}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
# Fields that clients commonly send: OpenAI's defaults, and values that Claude supports unchanged.
WITHOUT_WARNINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "defaults": {
        "temperature": 1, "top_p": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False,
        "store": False, "service_tier": "auto", "modalities": ["text"], "logit_bias": {}, "metadata": {},
        "verbosity": "medium", "stream": False, "stream_options": None, "stop": None, "response_format": {"type": "text"},
    },
    "a limit": {"max_tokens": 4096, "user": "u1"},
    "the newer limit": {"max_completion_tokens": 4096, "safety_identifier": "u1"},
    "tools": {"tools": TOOLS, "tool_choice": "auto", "parallel_tool_calls": True},
    "one call at a time": {"tools": TOOLS, "parallel_tool_calls": False},
    "an image": {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}]},
    "instructions": {"messages": [{"role": "developer", "content": "s"}, {"role": "user", "content": "hi"}]},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}},
    "some reasoning": {"reasoning_effort": "medium"},
    "reasoning with a summary": {"reasoning": {"effort": "medium", "summary": "auto"}},
    "one name": {"messages": [{"role": "user", "name": "ada", "content": "hi"}]},
    "a role in a part": {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "role": "user"}]}]},
    "another model's history": {
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant", "content": None, "refusal": None, "annotations": [],
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"}],
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        "tools": TOOLS,
    },
    "a search": {"web_search_options": {}},
}  # fmt: skip


@pytest.mark.parametrize("model", SERVED)
def test_common_requests_have_no_warnings(client: httpx.Client, model: str) -> None:
    for name, fields in WITHOUT_WARNINGS.items():
        response = send_request(client, {"model": model, **fields}, **STRICT)
        assert response.status_code == 200, f"{name}: {response.text}"
        assert "x-claudexia-warnings" not in response.headers, name


def messages_of(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "a"} for role in roles]


# The reported field, and a request with a field that is changed or left out.
REPORTED: list[tuple[str, dict[str, Any]]] = [
    ("temperature", {"temperature": 0.5}),
    ("seed", {"seed": 1}),
    ("new_field", {"new_field": 1}),
    ("max_tokens", {"max_tokens": 1_000_000}),
    ("max_completion_tokens", {"max_completion_tokens": 50, "reasoning_effort": "high"}),
    ("thinking.type", {"thinking": {"type": "enabled"}}),
    ("reasoning.max_tokens", {"reasoning": {"max_tokens": 2000}}),
    ("reasoning_effort", {"model": "claude-opus-5-5", "reasoning_effort": "none"}),
    ("response_format", {"response_format": {"type": "json_object"}}),
    ("response_format.json_schema.schema", {"response_format": {"type": "json_schema", "json_schema": {
        "name": "a", "schema": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}}}}),
    ("tools[0].custom.format", {"tools": [{"type": "custom", "custom": {
        "name": "patch", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}}}}]}),
    ("web_search_options.search_context_size", {"web_search_options": {"search_context_size": "low"}}),
    ("prompt_cache_retention", {"prompt_cache_retention": "24h"}),
    ("messages[0].content[0].cache_control", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5}]}),
    ("messages[1]", {"messages": messages_of("user", "assistant")}),
    ("messages", {"messages": messages_of("assistant", "user")}),
    ("messages[3]", {"model": "claude-haiku-4-5", "messages": messages_of("user", "assistant", "user", "system")}),
]  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(("param", "fields"), REPORTED, ids=[param for param, _ in REPORTED])
def test_changed_fields_are_reported_or_refused_in_strict_mode(
    client: httpx.Client, param: str, fields: dict[str, Any], streamed: bool
) -> None:
    lenient = send_request(client, {**fields, "stream": streamed})
    assert lenient.status_code == 200, lenient.text
    reported = [line.partition(": ")[0] for line in lenient.headers["x-claudexia-warnings"].split("; ")]
    assert reported[0] == param
    strict = send_request(client, {**fields, "stream": streamed}, **STRICT)
    assert strict.status_code == 400
    assert strict.json()["error"]["param"] == param


FLAGS = {"strict": ("true", "false"), "thinking-blocks": ("true", "false"), "cache": ("off", "on")}


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("value", ["1", "yes", "maybe", "trueish"])
def test_flag_with_another_value_is_refused(client: httpx.Client, flag: str, value: str) -> None:
    response = send_request(client, {}, **{f"x-claudexia-{flag}": value})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (
        400,
        "invalid_value",
        "invalid_request_error",
    )
    assert all(f"'{name}'" in error["message"] for name in (f"x-claudexia-{flag}", *FLAGS[flag], value))


@pytest.mark.parametrize("flag", FLAGS)
def test_flag_takes_its_values_in_any_case(client: httpx.Client, flag: str) -> None:
    for value in (*FLAGS[flag], *(value.upper() for value in FLAGS[flag]), ""):
        assert send_request(client, {}, **{f"x-claudexia-{flag}": value}).status_code == 200


def test_a_retiring_model_is_reported_and_served_in_strict_mode() -> None:
    with gateway(FakeAnthropic(), now=lambda: datetime(2026, 11, 22, tzinfo=UTC)) as url:
        body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {KEY}", **STRICT}
        response = httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=PATIENCE)
    assert response.status_code == 200
    assert response.headers["x-claudexia-warnings"].startswith("model: claude-sonnet-4-5 retires on 2026-11-30")
