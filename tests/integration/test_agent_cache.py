"""Prompt caching is automatic: each of an agent's ten calls reads what the call before it wrote."""

from itertools import pairwise
from typing import Any

import pytest
from openai import OpenAI

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway
from tests.integration.test_thinking_loop import TOOLS, openai_fields

LONG = "You are a careful agent. " * 300  # beyond the shortest prefix that any model caches
PROMPT = "weather [rounds=9]"


def run_agent(url: str, model: str, prompt: str = PROMPT, system: str = LONG, **options: Any) -> list[Any]:
    """Makes ten calls in one conversation. Returns the usage of each."""
    client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
    messages: list[Any] = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    usages = []
    for _ in range(10):
        completion = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, **options)
        usages.append(completion.usage)
        message = completion.choices[0].message
        messages.append(openai_fields(message))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls or []
        ]
    return usages


def count_breakpoints(value: Any) -> int:
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(count_breakpoints(item) for item in value.values())
    return sum(count_breakpoints(item) for item in value) if isinstance(value, list) else 0


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-opus-4-8", "claude-sonnet-4-5"])
def test_cache_reads_grow_from_the_second_call_on(model: str) -> None:
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        usages = run_agent(url, model)
    read = [usage.prompt_tokens_details.cached_tokens for usage in usages]
    written = [usage.prompt_tokens_details.cache_write_tokens for usage in usages]
    assert read[0] == 0
    assert written[0] > 1000
    assert all(later > earlier for earlier, later in pairwise(read))
    # Each call reads all that the one before it read or wrote.
    assert [r + w for r, w in zip(read, written, strict=True)][:-1] == read[1:]
    assert all(1 <= count_breakpoints(body) <= 4 for body in upstream.bodies)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"prompt_caching": False}, {}),
        ({}, {"extra_headers": {"x-claudexia-cache": "off"}}),
        ({}, {"system": "Short."}),
    ],
    ids=["setting", "header", "too short"],
)
def test_caching_can_be_switched_off(settings: dict[str, Any], options: dict[str, Any]) -> None:
    upstream = FakeAnthropic()
    with gateway(upstream, **settings) as url:
        usages = run_agent(url, "claude-opus-4-5", prompt="weather [rounds=1]", **options)
    assert not any(usage.prompt_tokens_details.cached_tokens for usage in usages)
    assert not any(count_breakpoints(body) for body in upstream.bodies)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": LONG, "prompt_cache_breakpoint": {"mode": "explicit"}},
    ],
    ids=["cache_control", "prompt_cache_breakpoint"],
)
def test_a_client_breakpoint_replaces_the_automatic_ones(part: dict[str, Any]) -> None:
    upstream = FakeAnthropic()
    messages: Any = [{"role": "system", "content": [part]}, {"role": "user", "content": "hi"}]
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        client.chat.completions.create(model="claude-sonnet-5-5", messages=messages)
        completion = client.chat.completions.create(model="claude-sonnet-5-5", messages=messages)
    assert count_breakpoints(upstream.bodies[0]) == 1
    assert upstream.bodies[0]["system"][0]["cache_control"]["type"] == "ephemeral"
    assert completion.usage
    assert completion.usage.prompt_tokens_details
    assert completion.usage.prompt_tokens_details.cached_tokens


SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}},
}
SECOND_CALLS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a schema": ([{"role": "user", "content": "b"}], {"response_format": SCHEMA}),
    "a system message between turns": (
        [{"role": "user", "content": "b"}, {"role": "system", "content": "Be brief."}], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SECOND_CALLS)
def test_the_cached_prefix_survives_other_fields(name: str) -> None:
    appended, fields = SECOND_CALLS[name]
    messages: list[Any] = [{"role": "system", "content": LONG}, {"role": "user", "content": "a"}]
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.create
        before = create(model="claude-sonnet-5-5", messages=messages, **fields).usage
        messages += [{"role": "assistant", "content": "c"}, *appended]
        after = create(model="claude-sonnet-5-5", messages=messages, **fields).usage
    assert before
    assert before.prompt_tokens_details
    assert after
    assert after.prompt_tokens_details
    assert after.prompt_tokens_details.cached_tokens == before.prompt_tokens_details.cache_write_tokens > 1000


def test_breakpoints_above_claudes_limit_are_reported() -> None:
    part = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    messages: Any = [{"role": "system", "content": [part] * 6}, {"role": "user", "content": "hi"}]
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.with_raw_response.create
        raw = create(model="claude-sonnet-5-5", messages=messages)
    assert (
        raw.headers["x-claudexia-warnings"]
        == "messages[0].content[0].cache_control: Claude takes 4 cache breakpoints, so 2 of 6 were left out"
    )
    assert count_breakpoints(upstream.bodies[0]) == 4
