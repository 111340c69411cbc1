"""All checks that the Messages API makes of a request, as one table of rules.

An oracle for tests: it describes the API and shares no code with the gateway's translation. The rules of the echo
(`claudexia_cli.echo.rules`) are part of it; the rules here are stricter and depend on the model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

from claudexia_cli.echo import rules
from claudexia_cli.echo.params import Params, message_turns
from claudexia_cli.echo.rules import Rule, Violation
from tests.fakes.anthropic import (
    block_rules,
    cache_rules,
    parameter_rules,
    schema_rules,
    thinking_rules,
    tool_rules,
    turn_rules,
)
from tests.fakes.anthropic.models import ModelFacts, facts_of

_TYPES: dict[bool, TypeAdapter[Any]] = {
    True: TypeAdapter(MessageCreateParamsStreaming),
    False: TypeAdapter(MessageCreateParamsNonStreaming),
}
_WITHOUT_SAMPLING = "2026-10-21"


@dataclass(frozen=True)
class Rejection:
    """The name of a rule that a request violates, and the API's error message."""

    rule: str
    message: str


def _wrong_types(params: Params, _: ModelFacts) -> Iterator[Violation]:
    try:
        _exhaust(_TYPES[params.get("stream") is True].validate_python(dict(params), strict=True))
    except ValidationError as error:
        yield ".".join(str(part) for part in error.errors()[0]["loc"])


def _exhaust(value: object) -> None:
    """Iterate over all values: pydantic validates an Iterable lazily."""
    if isinstance(value, Mapping):
        for item in value.values():
            _exhaust(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            _exhaust(item)


RULES: tuple[Rule[ModelFacts], ...] = (
    *rules.RULES,
    *parameter_rules.RULES,
    *turn_rules.RULES,
    *block_rules.RULES,
    *tool_rules.RULES,
    *schema_rules.RULES,
    *thinking_rules.RULES,
    *cache_rules.RULES,
)
# Only checked if no other rule is violated: the other messages are more specific.
TYPES = Rule("types", "Input has the wrong type", _wrong_types)


def rejections(params: Params, version: str = "2023-06-01") -> list[Rejection]:
    """Every violated rule, once. `version` is the anthropic-version header."""
    model = facts_of(params.get("model"))
    if version >= _WITHOUT_SAMPLING:
        model = replace(model, sampling_parameters=False)
    if too_many := _check(rules.TOO_MANY, params, model):
        return too_many
    found = [rejection for rule in RULES for rejection in _check(rule, params, model)]
    return found or _check(TYPES, params, model)


def assert_accepted(params: Params, switched_off: frozenset[str] = frozenset()) -> None:
    """Asserts that the API would accept `params` and that they have the form in which the gateway sends requests.

    `switched_off` names rules that are not checked: the gateway leaves those checks to the API.
    """
    rejected = [rejection for rejection in rejections(params) if rejection.rule not in switched_off]
    assert not rejected, rejected
    assert params.get("stream") is True, "every upstream request is a stream"
    roles = [turn.role for turn in message_turns(params)]
    assert all(one != other for one, other in pairwise(roles)), "adjacent turns have different roles"


def _check(rule: Rule[ModelFacts], params: Params, model: ModelFacts) -> list[Rejection]:
    message = rule.first_error(params, model)
    return [] if message is None else [Rejection(rule.name, message)]
