"""Rules for the `thinking` parameter and for thinking blocks.

https://platform.claude.com/docs/en/build-with-claude/thinking
"""

from collections.abc import Iterator

from claudexia_cli.echo.params import Params, as_object, merged_turns, message_turns, places
from claudexia_cli.echo.rules import Rule, Violation
from tests.fakes.anthropic.models import ModelFacts, thinking_type
from tests.fakes.anthropic.parameter_rules import is_number

_KEYS = {
    "adaptive": {"type", "display"},
    "enabled": {"type", "budget_tokens", "display"},
    "disabled": {"type"},
    "between_tools": {"type"},
}
_THINKING = ("thinking", "redacted_thinking")


def _unknown_type(params: Params, _: ModelFacts) -> Iterator[Violation]:
    if params.get("thinking") is not None and str(as_object(params["thinking"]).get("type")) not in _KEYS:
        yield "thinking.type"


def _type_of_model(params: Params, model: ModelFacts) -> Iterator[Violation]:
    type_ = str(as_object(params.get("thinking")).get("type"))
    if type_ in _KEYS and type_ not in model.thinking:
        yield "thinking.type"


def _keys(params: Params, _: ModelFacts) -> Iterator[Violation]:
    thinking = as_object(params.get("thinking"))
    known = _KEYS.get(str(thinking.get("type")), thinking.keys())
    # The rule for unknown keys covers keys that no type has.
    yield from (f"thinking.{key}" for key in thinking.keys() & _KEYS["enabled"] - known)


def _display(params: Params, _: ModelFacts) -> Iterator[Violation]:
    if as_object(params.get("thinking")).get("display") not in (None, "summarized", "omitted"):
        yield "thinking.display"


def _budget_missing(params: Params, _: ModelFacts) -> Iterator[Violation]:
    thinking = as_object(params.get("thinking"))
    if thinking.get("type") == "enabled" and not is_number(thinking.get("budget_tokens")):
        yield "thinking.enabled.budget_tokens"


def _budget_small(params: Params, _: ModelFacts) -> Iterator[Violation]:
    budget = as_object(params.get("thinking")).get("budget_tokens")
    if is_number(budget) and budget < 1024:
        yield "thinking.enabled.budget_tokens"


def _budget_large(params: Params, _: ModelFacts) -> Iterator[Violation]:
    thinking, max_tokens = as_object(params.get("thinking")), params.get("max_tokens")
    budget = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    if is_number(budget) and is_number(max_tokens) and budget >= max_tokens > 0:
        yield ""


def _off_at_high_effort(params: Params, model: ModelFacts) -> Iterator[Violation]:
    type_ = str(as_object(params.get("thinking")).get("type"))
    if type_ in model.not_at_high_effort and as_object(params.get("output_config")).get("effort") in (
        "xhigh",
        "max",
    ):
        yield "thinking.type"


def _block_shape(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in places(params):
        if block.get("type") == "thinking":
            if not isinstance(block.get("thinking"), str):
                yield f"{path}.thinking.thinking"
            if not (isinstance(block.get("signature"), str) and block["signature"]):
                yield f"{path}.thinking.signature"
        if block.get("type") == "redacted_thinking" and not (
            isinstance(block.get("data"), str) and block["data"]
        ):
            yield f"{path}.redacted_thinking.data"


def _last_block(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for turn in message_turns(params):
        if turn.role == "assistant" and turn.blocks and turn.blocks[-1][1].get("type") in _THINKING:
            yield turn.path


def _missing_block(params: Params, model: ModelFacts) -> Iterator[Violation]:
    # Only the turn whose tool results end the request; older turns need no thinking.
    if thinking_type(params, model) != "enabled":
        return
    latest = merged_turns(params)[-2:-1]
    if latest and latest[0].role == "assistant" and latest[0].of_type("tool_use"):
        path, block = latest[0].blocks[0]
        if block.get("type") not in _THINKING:
            yield f"{path}.type"


RULES = (
    Rule("thinking type", "Input tag does not match any of the expected tags: 'adaptive', 'enabled', 'disabled', "
         "'between_tools'", _unknown_type),
    Rule("thinking type of model", "this type of thinking is not supported for this model", _type_of_model),
    Rule("thinking key", "Extra inputs are not permitted", _keys),
    Rule("thinking display", "Input should be 'summarized' or 'omitted'", _display),
    Rule("budget missing", "Field required", _budget_missing),
    Rule("budget small", "Input should be greater than or equal to 1024", _budget_small),
    Rule("budget large", "`max_tokens` must be greater than `thinking.budget_tokens`.", _budget_large),
    Rule("thinking off at high effort", "is not supported with effort xhigh or max on this model", _off_at_high_effort),
    Rule("thinking block", "Field required", _block_shape),
    Rule("thinking last", "The final block in an assistant message cannot be `thinking`.", _last_block),
    Rule("thinking expected", "Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is "
         "enabled, a final `assistant` message must start with a thinking block.", _missing_block),
)  # fmt: skip
