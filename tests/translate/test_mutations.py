"""Thousands of damaged requests: each is one the Messages API takes, or a 4xx, and never anything else."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from claudexia.translate import APIError, find_model, parse_params, to_message_params
from tests.stand_in.rules import assert_accepted

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
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
        {"role": "user", "content": "b"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "max_tokens": 5, "temperature": 1.0, "top_p": 0.9, "stop": ["x"], "n": 1, "stream": True,
    "stream_options": {"include_usage": True}, "user": "u", "seed": 1, "logit_bias": {}, "parallel_tool_calls": False,
}  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e300, 10**30, "", " ", "x", "\x00", "é\n", [], {}, [None], ["x"], [[]], {"a": 1},
    {"type": "text"}, [{"type": "text", "text": "a"}], "user", "assistant", "tool", "system",
]  # fmt: skip
KEYS = ["content", "role", "type", "name", "tool_calls", "cache_control", "new"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in `value` with every key or index of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])


def damaged(chance: random.Random) -> dict[str, Any]:
    request = copy.deepcopy(REQUEST)
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice(list(places(request)))
        match chance.randint(0, 3):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container.insert(key, copy.deepcopy(chance.choice(container)))
            case 2 if isinstance(container, dict):
                container[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
            case _:
                container[key] = copy.deepcopy(chance.choice(VALUES))
    return request


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-sonnet-5-5", "claude-from-next-year"])
def test_damaged_requests(seed: int, model: str) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same damage in every run
    accepted = 0
    for _ in range(500):
        request = damaged(chance)
        try:
            params = parse_params(json.dumps(request).encode())
            sent = to_message_params(params, find_model(model, {})).params
        except APIError as error:
            assert 400 <= error.status < 500
            assert error.body()["error"]["message"]
        else:
            assert_accepted(json.loads(json.dumps(sent)), frozenset({"input_schema draft"}))
            accepted += 1
    assert 0 < accepted < 500
