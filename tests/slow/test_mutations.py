"""Thousands of damaged requests: each becomes a request that the Messages API accepts, or a 4xx."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.request.build import to_message_params
from claudexia.translate.request.parse import parse_params
from tests.fakes.anthropic.rules import assert_accepted

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
PNG, PDF = "iVBORw0KGgo=", "JVBERi0xLjc="
FILE = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "f.pdf"}}
NATIVE_INPUT: list[Any] = [
    {"type": "tool_result", "tool_use_id": "n", "is_error": True, "content": [{"type": "text", "text": "2"}]},
    {"type": "tool_result", "tool_use_id": "m", "content": [FILE]},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    {"type": "document", "title": "d", "context": "c", "citations": {"enabled": True},
     "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
    {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    {**FILE, "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
    {"type": "text", "text": " ", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
]  # fmt: skip
NATIVE_ANSWER: list[Any] = [
    {"type": "thinking", "thinking": "t", "signature": "s"},
    {"type": "redacted_thinking", "data": "d"},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
        {"type": "web_search_result", "encrypted_content": "e", "title": "t", "url": "https://x", "page_age": None},
    ]},
    {"type": "text", "text": "a"},
    {"type": "tool_use", "id": "n", "name": "f", "input": {"a": 1}},
    {"type": "tool_use", "id": "m", "name": "f", "input": {}},
]  # fmt: skip
REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "user", "name": "u", "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "auto"}},
        ]},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL, {**CALL, "id": "d"}]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "tool", "tool_call_id": "d", "content": [{"type": "text", "text": "2"}]},
        {"role": "system", "content": "t"},
        {"role": "assistant", "content": NATIVE_ANSWER, "reasoning_details": [
            {"type": "reasoning.text", "text": "t", "signature": "s"}, {"type": "reasoning.encrypted", "data": "d"},
        ]},
        {"role": "user", "content": NATIVE_INPUT, "cache_control": {"type": "ephemeral"}},
        {"role": "assistant", "content": "e", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "3"},
        {"role": "assistant", "thinking_blocks": [
            {"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"},
        ], "tool_calls": [{"id": "e", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
        {"role": "tool", "tool_call_id": "e", "content": "4", "is_error": True},
        {"role": "user", "content": "b"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "max_tokens": 5, "temperature": 1.0, "top_p": 0.9, "stop": ["x"], "n": 1, "stream": True,
    "stream_options": {"include_usage": True}, "user": "u", "seed": 1, "logit_bias": {}, "parallel_tool_calls": False,
}  # fmt: skip
# Optional fields, of which each damaged request has some.
SETTINGS: dict[str, Any] = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "o", "description": "d", "strict": True, "schema": {
        "type": "object", "required": ["a"],
        "properties": {"a": {"type": ["string", "null"], "minLength": 2}, "b": {"$ref": "#/$defs/B"}},
        "$defs": {"B": {"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["x", None]}]}},
    }}},
    "reasoning_effort": "high", "reasoning": {"effort": "low", "max_tokens": 3000, "exclude": False, "enabled": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000, "display": "summarized"}, "max_tokens": 3000,
    "web_search_options": {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {
        "city": "c", "country": "DE", "region": "r", "timezone": "Europe/Berlin"}}},
    "functions": [{"name": "g", "parameters": {"type": "object", "properties": {}}}], "function_call": {"name": "g"},
    "prompt_cache_options": {"mode": "implicit", "ttl": "30m"}, "prompt_cache_retention": "24h",
    "cache_control": {"type": "ephemeral", "ttl": "1h"}, "prompt_cache_key": "k", "safety_identifier": "s",
}  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e300, 10**30, "", " ", "x", "\x00", "é\n", [], {}, [None], ["x"], [[]], {"a": 1},
    {"type": "text"}, [{"type": "text", "text": "a"}], "user", "assistant", "tool", "system", "function", "thinking",
    "1h", {"type": "ephemeral"}, "https://x/y.pdf",
]  # fmt: skip
KEYS = [
    "content", "role", "type", "name", "tool_calls", "cache_control", "prompt_cache_breakpoint", "is_error", "signature",
    "thinking_blocks", "reasoning_details", "reasoning_content", "source", "file_url", "title", "new",
]  # fmt: skip


def all_positions(value: Any) -> Iterator[tuple[Any, Any]]:
    """All pairs of a container in `value` and a key or index of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from all_positions(value[key])


def with_damage(rng: random.Random) -> dict[str, Any]:
    request = copy.deepcopy(REQUEST)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(list(all_positions(request)))
        match rng.randint(0, 3):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container.insert(key, copy.deepcopy(rng.choice(container)))
            case 2 if isinstance(container, dict):
                container[rng.choice(KEYS)] = copy.deepcopy(rng.choice(VALUES))
            case _:
                container[key] = copy.deepcopy(rng.choice(VALUES))
    return request


def with_damaged_settings(rng: random.Random) -> dict[str, Any]:
    """Some of SETTINGS, with up to two damages."""
    chosen = [name for name in SETTINGS if rng.random() < 0.4]
    request = {**copy.deepcopy(REQUEST), **copy.deepcopy({name: SETTINGS[name] for name in chosen})}
    if rng.random() < 0.3:
        del request["tools"], request["tool_choice"]
    request["messages"] = request["messages"][: rng.choice([2, 5, 13])]
    for name in rng.sample(chosen, min(len(chosen), rng.randint(0, 2))):
        container, key = rng.choice([(request, name), *all_positions(request[name])])
        container[key] = copy.deepcopy(rng.choice(VALUES))
    return request


def with_shuffled_messages(rng: random.Random) -> dict[str, Any]:
    """The messages in any order, most calls with their results."""
    calls = [[2, 3, 4], [2, 4, 3], [6, 7], [8, 9], [10, 11]]
    single = [[0], [1], [5], [12], [2], [5, 3], [6]]
    names = ["system", "user", "assistant"]
    extra_messages = [{"role": name, "content": content} for name in names for content in ("x ", " ")]
    messages = [REQUEST["messages"][i] for _ in range(6) for i in rng.choice([*calls, *single])]
    for _ in range(rng.randint(0, 5)):
        messages.insert(rng.randint(0, len(messages)), rng.choice(extra_messages))
    return {**REQUEST, "messages": messages[: rng.randint(1, len(messages))]}


@pytest.mark.parametrize("mutate", [with_damage, with_damaged_settings, with_shuffled_messages])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-sonnet-5-5", "claude-from-next-year"])
def test_mutated_requests(mutate: Callable[[random.Random], Any], seed: int, model: str) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same damage in every run
    accepted = 0
    for _ in range(500):
        request = mutate(rng)
        try:
            params = parse_params(json.dumps(request).encode())
            sent = to_message_params(params, find_model(model, {})).params
        except APIError as error:
            assert 400 <= error.status < 500
            assert error.body()["error"]["message"]
            assert error.body()["error"]["param"]
        else:
            assert_accepted(json.loads(json.dumps(sent)), frozenset({"input_schema draft"}))
            accepted += 1
    assert 0 < accepted < 500
