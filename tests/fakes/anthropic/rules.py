"""Everything the Messages API refuses about a request, as one table, and the questions asked of it.

An oracle for tests: it knows the server's side only and shares nothing with the gateway.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

from tests.fakes.anthropic import (
    rules_blocks,
    rules_parameters,
    rules_schema,
    rules_thinking,
    rules_tools,
    rules_turns,
)
from tests.fakes.anthropic import rules_cache_breakpoints as rules_cache_marks
from tests.fakes.anthropic.models import ModelFacts, facts_of
from tests.fakes.anthropic.walk import Params, Rule, turns

_TYPES: dict[bool, TypeAdapter[Any]] = {
    True: TypeAdapter(MessageCreateParamsStreaming),
    False: TypeAdapter(MessageCreateParamsNonStreaming),
}
_WITHOUT_SAMPLING = "2026-10-21"


@dataclass(frozen=True)
class Refusal:
    """A rule that a request breaks, and what the server says about it."""

    rule: str
    message: str


def _types(params: Params, _: ModelFacts) -> Iterator[str]:
    try:
        _exhaust(_TYPES[params.get("stream") is True].validate_python(dict(params), strict=True))
    except ValidationError as error:
        yield ".".join(str(part) for part in error.errors()[0]["loc"])


def _exhaust(value: object) -> None:
    """pydantic checks an Iterable only while it is read."""
    if isinstance(value, Mapping):
        for item in value.values():
            _exhaust(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            _exhaust(item)


RULES: tuple[Rule, ...] = (
    rules_turns.TOO_MANY,
    *rules_parameters.RULES,
    *rules_turns.RULES,
    *rules_blocks.RULES,
    *rules_tools.RULES,
    *rules_schema.RULES,
    *rules_thinking.RULES,
    *rules_cache_marks.RULES,
)
# Last, and only when nothing has a better word for what is wrong.
TYPES = Rule("types", "Input has the wrong type", _types)


def refusals(params: Params, version: str = "2023-06-01") -> list[Refusal]:
    """Every rule that `params` breaks, each once; `version` is the anthropic-version header."""
    model = facts_of(params.get("model"))
    if version >= _WITHOUT_SAMPLING:
        model = replace(model, sampling_keys=False)
    if too_many := _broken(rules_turns.TOO_MANY, params, model):
        return too_many
    broken = [refusal for rule in RULES for refusal in _broken(rule, params, model)]
    return broken or _broken(TYPES, params, model)


def assert_accepted(params: Params, left_to_the_server: frozenset[str] = frozenset()) -> None:
    """Fails where the server would answer 400, and where the gateway would send what it never should.

    `left_to_the_server` names the rules that a client is told of by the server and not by the gateway.
    """
    broken = [refusal for refusal in refusals(params) if refusal.rule not in left_to_the_server]
    assert not broken, broken
    assert params.get("stream") is True, "the upstream is always asked for a stream"
    roles = [turn.role for turn in turns(params)]
    assert all(one != other for one, other in pairwise(roles)), "neighbors of one role are one turn"


def _broken(rule: Rule, params: Params, model: ModelFacts) -> list[Refusal]:
    for path in rule.check(params, model):
        return [Refusal(rule.name, f"{path}: {rule.words}" if path else rule.words)]
    return []
