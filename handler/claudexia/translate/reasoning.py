"""ReasoningWish: what a client asks of reasoning, in OpenAI's words, OpenRouter's or Anthropic's own.

Each field says a few things, each thing on its own: whether to think, how much, whether to show it. Where two
disagree, the more specific vocabulary wins: thinking, then reasoning, then reasoning_effort.

Sources: https://openrouter.ai/docs/use-cases/reasoning-tokens and
https://platform.claude.com/docs/en/build-with-claude/thinking
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.reasoning_params import Display, Effort, Reasoning, Thinking, ThinkingType

# What an effort is worth in thinking tokens, from the least to the most. Half of the smallest output limit
# of a model that takes budgets (64,000) stays for the answer.
BUDGETS: Mapping[str, int] = {"low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_000, "max": 32_000}


@dataclass(frozen=True, slots=True)
class ReasoningWish:
    """What is None is not said. At most one of `effort` and `budget` (tokens) is set, and only with `on`.

    `switch` and `measure` are the parameters that said whether and how much; `type` is Anthropic's own word.
    """

    on: bool | None = None
    switch: str = ""
    effort: str | None = None
    budget: int | None = None
    measure: str = ""
    display: Display | None = None
    type: ThinkingType | None = None

    @property
    def level(self) -> str | None:
        """How much, as an effort."""
        return self.effort if self.budget is None else effort_worth(self.budget)


def effort_worth(budget: int) -> str:
    """The least effort that is worth `budget` tokens. Never max: who sets a budget wants a bound."""
    return next((effort for effort, tokens in BUDGETS.items() if budget <= tokens), "xhigh")


def to_wish(params: CompletionCreateParams, report: Report) -> ReasoningWish:
    """A thing that a winning field says otherwise is reported."""
    wish = ReasoningWish()
    for said in _said(params, report):
        wish = _joined(wish, said, report)
    if wish.on and wish.display is None:
        return replace(wish, display="summarized")
    return wish


def _said(params: CompletionCreateParams, report: Report) -> Iterator[ReasoningWish]:
    """One thing at a time, the winners first."""
    if params.thinking:
        check_extras(params.thinking, "thinking", report)
        yield from _said_by_thinking(params.thinking)
    if params.reasoning:
        check_extras(params.reasoning, "reasoning", report)
        yield from _said_by_reasoning(params.reasoning)
    if params.reasoning_effort:
        yield _effort("reasoning_effort", params.reasoning_effort)


def _said_by_thinking(thinking: Thinking) -> Iterator[ReasoningWish]:
    on = thinking.type in ("adaptive", "enabled")
    yield ReasoningWish(on=on, switch="thinking.type", type=thinking.type, display=thinking.display)
    if thinking.budget_tokens is not None:
        yield _budget("thinking.budget_tokens", thinking.budget_tokens)


def _said_by_reasoning(reasoning: Reasoning) -> Iterator[ReasoningWish]:
    if reasoning.enabled is not None:
        yield ReasoningWish(on=reasoning.enabled, switch="reasoning.enabled")
    if reasoning.max_tokens is not None:
        yield _budget("reasoning.max_tokens", reasoning.max_tokens)
    if reasoning.effort:
        yield _effort("reasoning.effort", reasoning.effort)
    if reasoning.exclude is not None:
        yield ReasoningWish(display="omitted" if reasoning.exclude else "summarized")


def _effort(param: str, effort: Effort) -> ReasoningWish:
    if effort == "none":
        return ReasoningWish(on=False, switch=param)
    return ReasoningWish(on=True, switch=param, effort="low" if effort == "minimal" else effort, measure=param)


def _budget(param: str, budget: int) -> ReasoningWish:
    if budget == 0:
        return ReasoningWish(on=False, switch=param)
    return ReasoningWish(on=True, switch=param, budget=budget, measure=param)


def _joined(wish: ReasoningWish, said: ReasoningWish, report: Report) -> ReasoningWish:
    """`wish`, with what `said` adds to it."""
    if None not in (wish.on, said.on) and wish.on != said.on:
        report.warn(said.switch, f"{wish.switch} says otherwise and was taken instead")
        return wish
    if wish.on is None:
        wish = replace(wish, on=said.on, switch=said.switch, type=said.type)
    if wish.level is None:
        wish = replace(wish, effort=said.effort, budget=said.budget, measure=said.measure)
    elif said.level not in (None, wish.level):
        report.warn(said.measure, f"{wish.measure} was taken instead")
    if wish.display is None:
        return replace(wish, display=said.display)
    if said.display not in (None, wish.display):
        report.warn("reasoning.exclude", "thinking.display was taken instead")
    return wish
