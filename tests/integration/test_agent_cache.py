"""An agent of ten calls reads what it wrote to the prompt cache, and nobody had to ask for it."""

from itertools import pairwise
from typing import Any

import pytest
from openai import OpenAI

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway
from tests.integration.test_thinking_loop import TOOLS, plain

LONG = "You are a careful agent. " * 300  # beyond the shortest prefix that any model caches
PROMPT = "weather [rounds=9]"


def agent(url: str, model: str, prompt: str = PROMPT, system: str = LONG, **asked: Any) -> list[Any]:
    """Ten calls of one conversation; the usage of each."""
    client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
    messages: list[Any] = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    usages = []
    for _ in range(10):
        completion = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, **asked)
        usages.append(completion.usage)
        message = completion.choices[0].message
        messages.append(plain(message))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls or []
        ]
    return usages


def marks(value: Any) -> int:
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(marks(item) for item in value.values())
    return sum(marks(item) for item in value) if isinstance(value, list) else 0


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-opus-4-8", "claude-sonnet-4-5"])
def test_reads_grow_from_the_second_call_on(model: str) -> None:
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        usages = agent(url, model)
    read = [usage.prompt_tokens_details.cached_tokens for usage in usages]
    written = [usage.prompt_tokens_details.cache_write_tokens for usage in usages]
    assert read[0] == 0
    assert written[0] > 1000
    assert all(later > earlier for earlier, later in pairwise(read))
    # Each call reads all that the one before it read or wrote.
    assert [r + w for r, w in zip(read, written, strict=True)][:-1] == read[1:]
    assert all(1 <= marks(body) <= 4 for body in upstream.bodies)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"prompt_caching": False}, {}),
        ({}, {"extra_headers": {"x-claudexia-cache": "off"}}),
        ({}, {"system": "Short."}),
    ],
    ids=["setting", "header", "too short"],
)
def test_off(settings: dict[str, Any], asked: dict[str, Any]) -> None:
    upstream = FakeAnthropic()
    with gateway(upstream, **settings) as url:
        usages = agent(url, "claude-opus-4-5", prompt="weather [rounds=1]", **asked)
    assert not any(usage.prompt_tokens_details.cached_tokens for usage in usages)
    assert not any(marks(body) for body in upstream.bodies)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": LONG, "prompt_cache_breakpoint": {"mode": "explicit"}},
    ],
    ids=["cache_control", "prompt_cache_breakpoint"],
)
def test_a_clients_own_mark_is_the_only_one(part: dict[str, Any]) -> None:
    upstream = FakeAnthropic()
    messages: Any = [{"role": "system", "content": [part]}, {"role": "user", "content": "hi"}]
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        client.chat.completions.create(model="claude-sonnet-5-5", messages=messages)
        completion = client.chat.completions.create(model="claude-sonnet-5-5", messages=messages)
    assert marks(upstream.bodies[0]) == 1
    assert upstream.bodies[0]["system"][0]["cache_control"]["type"] == "ephemeral"
    assert completion.usage
    assert completion.usage.prompt_tokens_details
    assert completion.usage.prompt_tokens_details.cached_tokens


SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}},
}
GROWING: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a schema": ([{"role": "user", "content": "b"}], {"response_format": SCHEMA}),
    "a system message between turns": (
        [{"role": "user", "content": "b"}, {"role": "system", "content": "Be brief."}], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWING)
def test_what_else_is_asked_does_not_cost_the_cache(name: str) -> None:
    more, given = GROWING[name]
    messages: list[Any] = [{"role": "system", "content": LONG}, {"role": "user", "content": "a"}]
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.create
        before = create(model="claude-sonnet-5-5", messages=messages, **given).usage
        messages += [{"role": "assistant", "content": "c"}, *more]
        after = create(model="claude-sonnet-5-5", messages=messages, **given).usage
    assert before
    assert before.prompt_tokens_details
    assert after
    assert after.prompt_tokens_details
    assert after.prompt_tokens_details.cached_tokens == before.prompt_tokens_details.cache_write_tokens > 1000


def test_more_marks_than_claude_takes_are_reported() -> None:
    part = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    messages: Any = [{"role": "system", "content": [part] * 6}, {"role": "user", "content": "hi"}]
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.with_raw_response.create
        raw = create(model="claude-sonnet-5-5", messages=messages)
    assert (
        raw.headers["x-claudexia-warnings"]
        == "cache_control: Claude takes 4 cache breakpoints, so 2 of 6 were left out"
    )
    assert marks(upstream.bodies[0]) == 4
