"""Every rule of the stand-in refuses the requests made to break it, for that reason only."""

import copy
import random
from typing import Any

import pytest

from tests.fakes.anthropic import block_cases as b
from tests.fakes.anthropic import cases as c
from tests.fakes.anthropic.models import MODELS, facts_of
from tests.fakes.anthropic.rules import RULES, TYPES, assert_accepted, refusals
from tests.slow.test_mutations import places

BROKEN: dict[str, list[Any]] = {
    **c.PARAMETERS, **c.TURNS, **c.DEFINITIONS, **c.SCHEMAS, **b.BLOCKS, **b.THINKING, **b.MARKS,
    "too many messages": [c.request(*[c.user("a")] * 100_001)],
}  # fmt: skip
# The empty text that is marked is refused twice over.
ALSO = {"mark on empty text": {"empty text"}}
CASES = [
    pytest.param(name, params, id=f"{name}-{index}".replace(" ", "-"))
    for name, requests in BROKEN.items()
    for index, params in enumerate(requests)
]


@pytest.mark.parametrize(("name", "params"), CASES)
def test_a_request_breaks_one_rule(name: str, params: Any) -> None:
    broken = {refusal.rule for refusal in refusals(params)}
    assert broken - ALSO.get(name, set()) == {name}


def test_every_rule_is_broken_by_a_case() -> None:
    names = [rule.name for rule in (*RULES, TYPES)]
    assert sorted(names) == sorted(BROKEN)


ACCEPTED = {
    "hello": c.request(),
    "every parameter": c.request(
        stream=True, system="Be kind.", stop_sequences=["end"], metadata={"user_id": "u"}, service_tier="auto",
        thinking={"type": "adaptive", "display": "summarized"}, output_config={"effort": "max"}, inference_geo="us",
        cache_control={"type": "ephemeral", "ttl": "1h"}, tools=c.TOOLS, tool_choice={"type": "auto"}, speed="fast",
    ),
    "tool round": c.request(
        c.user("a"), c.claude(b.THOUGHT, c.text(), c.call(), c.call("t2")),
        c.user(c.result(content="1"), c.result("t2", content=[c.text(), b.PICTURE, b.PAPER], is_error=True), c.text()),
        tools=[*c.TOOLS, *c.SEARCH],
    ),
    "separate results are merged": c.request(
        c.user("a"), c.claude(c.call(), c.call("t2")), c.user(c.result()), c.user(c.result("t2")), tools=c.TOOLS,
    ),
    "forced": c.request(model=c.FORCES, **c.FORCED),
    "thinking budget": c.request(model=c.SAMPLES, max_tokens=1025, thinking=c.ENABLED, top_p=0.95, temperature=None),
    "thinking replayed": c.request(
        c.user("a"), c.claude(b.THOUGHT, c.call()), c.user(c.result()), tools=c.TOOLS, model=c.SAMPLES,
        max_tokens=2000, thinking=c.ENABLED,
    ),
    "sampling": c.request(model=c.SAMPLES, temperature=0.3, top_k=5),
    "default sampling": c.request(temperature=1),
    "prefill": c.request(c.user("a"), c.claude("b"), model=c.PREFILLS),
    "paused": c.request(c.user("a"), c.claude(c.SERVER_CALL, c.SERVER_RESULT), tools=c.SEARCH),
    "search": c.search(max_uses=3, allowed_domains=["a.com"], user_location={"type": "approximate", "city": "Paris"}),
    "searched": c.request(
        c.user("a"), c.claude(c.SERVER_CALL, c.SERVER_RESULT, c.text(citations=[b.CITATION])), c.user("b"),
        tools=c.SEARCH,
    ),
    "system turn": c.request(c.user("a"), c.SYSTEM, c.claude("b"), c.user("c"), c.SYSTEM),
    "sources": c.request(c.user(
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": b.DATA}, "title": "t"},
        {"type": "document", "source": {"type": "content", "content": "words"}, "citations": {"enabled": True}},
        {**b.FINDING, "content": [c.text()]},
    )),
    "schema": c.output({"anyOf": [
        {"type": "array", "items": {"$ref": "#/properties/a/anyOf/1"}, "minItems": 1},
        {"type": ["string", "null"], "format": "uuid", "description": "d", "default": None, "pattern": "^a+$"},
        c.closed(x={"enum": ["a", 1, None]}, y={"const": True}, z={"allOf": [c.STRING]}),
    ]}),
    "strict tool": c.request(tools=[c.tool(strict=True, input_schema=c.closed(a=c.STRING))]),
    "marks": c.request(
        c.user(c.text(**b.mark()), c.text()), tools=[c.tool(**b.mark(ttl="1h"))], system=[c.text(**b.mark())], **b.mark(),
    ),
    "warming": c.request(max_tokens=0),
}  # fmt: skip


@pytest.mark.parametrize("params", ACCEPTED.values(), ids=[name.replace(" ", "-") for name in ACCEPTED])
def test_accepted(params: Any) -> None:
    assert refusals(params) == []


def test_the_newer_version_has_no_sampling() -> None:
    params = c.request(model=c.SAMPLES, temperature=1)
    assert refusals(params) == []
    assert [refusal.message for refusal in refusals(params, "2026-10-21")] == [
        "temperature: Extra inputs are not permitted"
    ]


def test_the_gateway_asks_for_streams_of_alternating_turns() -> None:
    assert_accepted(c.request(stream=True))
    for params in (
        c.request(),
        c.request(c.user("a"), c.user("b"), stream=True),
        c.request(seed=1, stream=True),
    ):
        with pytest.raises(AssertionError):
            assert_accepted(params)


def test_models_are_known_with_and_without_their_date() -> None:
    assert facts_of("claude-sonnet-4-5") == facts_of("claude-sonnet-4-5-20250929")
    assert not facts_of("claude-from-next-year").sampling
    assert len({model.id for model in MODELS}) == len(MODELS)


def test_damage_is_refused_and_never_crashes() -> None:
    chance = random.Random(1)  # noqa: S311 - the same damage in every run
    values: list[Any] = [None, True, 1, "", "x", [], {}, [None], {"type": "text"}, [[]]]
    refused = 0
    for _ in range(1000):
        params = copy.deepcopy(chance.choice([*ACCEPTED.values()]))
        container, key = chance.choice(list(places(params)))
        container[key] = copy.deepcopy(chance.choice(values))
        refused += bool(refusals(params))
    assert 500 < refused < 1000
