"""Each rule of the fake API rejects the requests that violate it, and no other rule does."""

import copy
import random
from typing import Any

import pytest

from tests.fakes.anthropic import block_cases as b
from tests.fakes.anthropic import cases as c
from tests.fakes.anthropic.models import MODELS, facts_of
from tests.fakes.anthropic.rules import RULES, TYPES, assert_accepted, rejections
from tests.slow.test_mutations import all_positions

VIOLATIONS: dict[str, list[Any]] = {
    **c.PARAMETERS, **c.TURNS, **c.DEFINITIONS, **c.SCHEMAS, **b.BLOCKS, **b.THINKING, **b.BREAKPOINTS,
    "too many": [
        c.request(*[c.user("a")] * 100_001),
        c.request(tools=[c.tool(name=f"f{number}") for number in range(10_001)]),
    ],
}  # fmt: skip
# An empty text with a breakpoint violates two rules.
ALSO = {"breakpoint on empty text": {"empty text"}}
CASES = [
    pytest.param(name, params, id=f"{name}-{index}".replace(" ", "-"))
    for name, requests in VIOLATIONS.items()
    for index, params in enumerate(requests)
]


@pytest.mark.parametrize(("name", "params"), CASES)
def test_request_violates_exactly_one_rule(name: str, params: Any) -> None:
    rejected_by = {rejection.rule for rejection in rejections(params)}
    assert rejected_by - ALSO.get(name, set()) == {name}


def test_every_rule_has_a_case() -> None:
    names = [rule.name for rule in (*RULES, TYPES)]
    assert sorted(names) == sorted(VIOLATIONS)


ACCEPTED = {
    "hello": c.request(),
    "every parameter": c.request(
        stream=True, system="Be kind.", stop_sequences=["end"], metadata={"user_id": "u"}, service_tier="auto",
        thinking={"type": "adaptive", "display": "summarized"}, output_config={"effort": "max"}, inference_geo="us",
        cache_control={"type": "ephemeral", "ttl": "1h"}, tools=c.TOOLS, tool_choice={"type": "auto"}, speed="fast",
    ),
    "tool round": c.request(
        c.user("a"), c.assistant(b.THINKING_BLOCK, c.text(), c.call(), c.call("t2")),
        c.user(c.result(content="1"), c.result("t2", content=[c.text(), b.IMAGE, b.DOCUMENT], is_error=True), c.text()),
        tools=[*c.TOOLS, *c.SEARCH],
    ),
    "separate results are merged": c.request(
        c.user("a"), c.assistant(c.call(), c.call("t2")), c.user(c.result()), c.user(c.result("t2")), tools=c.TOOLS,
    ),
    "forced": c.request(model=c.WITH_FORCED_TOOL, **c.FORCED),
    "thinking budget": c.request(model=c.WITH_SAMPLING, max_tokens=1025, thinking=c.ENABLED, top_p=0.95, temperature=None),
    "thinking replayed": c.request(
        c.user("a"), c.assistant(b.THINKING_BLOCK, c.call()), c.user(c.result()), tools=c.TOOLS, model=c.WITH_SAMPLING,
        max_tokens=2000, thinking=c.ENABLED,
    ),
    "sampling": c.request(model=c.WITH_SAMPLING, temperature=0.3, top_k=5),
    "default sampling": c.request(temperature=1),
    "prefill": c.request(c.user("a"), c.assistant("b"), model=c.WITH_PREFILL),
    "paused": c.request(c.user("a"), c.assistant(c.SERVER_CALL, c.SERVER_RESULT), tools=c.SEARCH),
    "search": c.search(max_uses=3, allowed_domains=["a.com"], user_location={"type": "approximate", "city": "Paris"}),
    "searched": c.request(
        c.user("a"), c.assistant(c.SERVER_CALL, c.SERVER_RESULT, c.text(citations=[b.CITATION])), c.user("b"),
        tools=c.SEARCH,
    ),
    "system turn": c.request(c.user("a"), c.SYSTEM, c.assistant("b"), c.user("c"), c.SYSTEM),
    "sources": c.request(c.user(
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": b.DATA}, "title": "t"},
        {"type": "document", "source": {"type": "content", "content": "words"}, "citations": {"enabled": True}},
        {**b.SEARCH_RESULT, "content": [c.text()]},
    )),
    "schema": c.output({"anyOf": [
        {"type": "array", "items": {"$ref": "#/properties/a/anyOf/1"}, "minItems": 1},
        {"type": ["string", "null"], "format": "uuid", "description": "d", "default": None, "pattern": "^a+$"},
        c.closed(x={"enum": ["a", 1, None]}, y={"const": True}, z={"allOf": [c.STRING]}),
    ]}),
    "strict tool": c.request(tools=[c.tool(strict=True, input_schema=c.closed(a=c.STRING))]),
    "marks": c.request(
        c.user(c.text(**b.breakpoint_()), c.text()), tools=[c.tool(**b.breakpoint_(ttl="1h"))], system=[c.text(**b.breakpoint_())], **b.breakpoint_(),
    ),
    "cache write only": c.request(max_tokens=0),
}  # fmt: skip


@pytest.mark.parametrize("params", ACCEPTED.values(), ids=[name.replace(" ", "-") for name in ACCEPTED])
def test_valid_request_is_accepted(params: Any) -> None:
    assert rejections(params) == []


def test_sampling_parameters_are_rejected_with_the_newer_api_version() -> None:
    params = c.request(model=c.WITH_SAMPLING, temperature=1)
    assert rejections(params) == []
    assert [rejection.message for rejection in rejections(params, "2026-10-21")] == [
        "temperature: Extra inputs are not permitted"
    ]


def test_assert_accepted_requires_a_stream_and_alternating_turns() -> None:
    assert_accepted(c.request(stream=True))
    for params in (
        c.request(),
        c.request(c.user("a"), c.user("b"), stream=True),
        c.request(seed=1, stream=True),
    ):
        with pytest.raises(AssertionError):
            assert_accepted(params)


def test_model_facts_are_found_with_and_without_date() -> None:
    assert facts_of("claude-sonnet-4-5") == facts_of("claude-sonnet-4-5-20250929")
    assert not facts_of("claude-from-next-year").sampling
    assert len({model.id for model in MODELS}) == len(MODELS)


def test_damaged_request_is_rejected_without_an_exception() -> None:
    rng = random.Random(1)  # noqa: S311 - a fixed seed for the same damage in every run
    values: list[Any] = [None, True, 1, "", "x", [], {}, [None], {"type": "text"}, [[]]]
    rejected = 0
    for _ in range(1000):
        params = copy.deepcopy(rng.choice([*ACCEPTED.values()]))
        container, key = rng.choice(list(all_positions(params)))
        container[key] = copy.deepcopy(rng.choice(values))
        rejected += bool(rejections(params))
    assert 500 < rejected < 1000
