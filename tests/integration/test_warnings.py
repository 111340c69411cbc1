"""x-claudexia-warnings and x-claudexia-strict over real sockets: what is quiet, what is told, what is refused."""

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

# Before any of the served models is near its end.
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


def ask(client: httpx.Client, given: dict[str, Any], **headers: str) -> httpx.Response:
    body = {"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": "hi"}], **given}
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
# What clients send without being told to, each value OpenAI's default or one that Claude takes as it is.
QUIET: dict[str, dict[str, Any]] = {
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
def test_common_requests_are_quiet(client: httpx.Client, model: str) -> None:
    for name, given in QUIET.items():
        response = ask(client, {"model": model, **given}, **STRICT)
        assert response.status_code == 200, f"{name}: {response.text}"
        assert "x-claudexia-warnings" not in response.headers, name


def spoken(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "a"} for role in roles]


# The field that is named, and a request that Claude serves otherwise than asked.
TOLD: list[tuple[str, dict[str, Any]]] = [
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
    ("tool_choice", {"tools": TOOLS, "tool_choice": "required"}),
    ("web_search_options.search_context_size", {"web_search_options": {"search_context_size": "low"}}),
    ("prompt_cache_retention", {"prompt_cache_retention": "24h"}),
    ("cache_control", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5}]}),
    ("messages[1]", {"messages": spoken("user", "assistant")}),
    ("messages", {"messages": spoken("assistant", "user")}),
    ("messages[3]", {"model": "claude-haiku-4-5", "messages": spoken("user", "assistant", "user", "system")}),
]  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("param", "given"), TOLD, ids=[param for param, _ in TOLD])
def test_what_is_served_otherwise_is_told_or_refused(
    client: httpx.Client, param: str, given: dict[str, Any], streamed: bool
) -> None:
    lenient = ask(client, {**given, "stream": streamed})
    assert lenient.status_code == 200, lenient.text
    told = [line.partition(": ")[0] for line in lenient.headers["x-claudexia-warnings"].split("; ")]
    assert told[0] == param
    strict = ask(client, {**given, "stream": streamed}, **STRICT)
    assert strict.status_code == 400
    assert strict.json()["error"]["param"] == param


def test_a_model_near_its_end_is_told_and_served_to_the_strict() -> None:
    with gateway(FakeAnthropic(), now=lambda: datetime(2026, 11, 22, tzinfo=UTC)) as url:
        body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {KEY}", **STRICT}
        response = httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=PATIENCE)
    assert response.status_code == 200
    assert response.headers["x-claudexia-warnings"].startswith("model: claude-sonnet-4-5 retires on 2026-11-30")
