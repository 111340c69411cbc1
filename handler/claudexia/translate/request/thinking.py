"""ThinkingPlan: what a request's reasoning fields and its token limit come to on one model.

    asked for         budgets only (4.5)       off by default (4.6-4.8)     on by default (5 and newer)
    ---------------   ----------------------   --------------------------   ----------------------------------
    nothing           nothing                  nothing                      nothing
    an effort         enabled, its budget      adaptive, effort             effort
    a budget          enabled, budget          enabled, or adaptive with    the effort that is worth it
                                               the effort worth it
    none              nothing                  nothing                      disabled, between_tools, or effort
                                                                            low where neither is taken

`display: summarized` is added where the model hides its thinking and the client asked for some.

Sources: https://platform.claude.com/docs/en/build-with-claude/thinking,
https://platform.claude.com/docs/en/build-with-claude/effort
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from claudexia.models import ClaudeModel
from claudexia.translate.report import Report, check_extras
from claudexia.translate.types.anthropic import ThinkingConfigParam
from claudexia.translate.types.params import (
    CompletionCreateParams,
    Display,
    Effort,
    Reasoning,
    Thinking,
    ThinkingType,
)

# --- claudexia.translate.reasoning
# ReasoningConfig: what a client asks of reasoning, in OpenAI's words, OpenRouter's or Anthropic's own.
#
# Each field says a few things, each thing on its own: whether to think, how much, whether to show it. Where two
# disagree, the more specific vocabulary wins: thinking, then reasoning, then reasoning_effort.
#
# Sources: https://openrouter.ai/docs/use-cases/reasoning-tokens and
# https://platform.claude.com/docs/en/build-with-claude/thinking

# What an effort is worth in thinking tokens, from the least to the most. Half of the smallest output limit
# of a model that takes budgets (64,000) stays for the answer.
BUDGETS: Mapping[str, int] = {"low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_000, "max": 32_000}


@dataclass(frozen=True, slots=True)
class ReasoningConfig:
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


def to_wish(params: CompletionCreateParams, report: Report) -> ReasoningConfig:
    """A thing that a winning field says otherwise is reported."""
    wish = ReasoningConfig()
    for said in _said(params, report):
        wish = _joined(wish, said, report)
    if wish.on and wish.display is None:
        return replace(wish, display="summarized")
    return wish


def _said(params: CompletionCreateParams, report: Report) -> Iterator[ReasoningConfig]:
    """One thing at a time, the winners first."""
    if params.thinking:
        check_extras(params.thinking, "thinking", report)
        yield from _said_by_thinking(params.thinking)
    if params.reasoning:
        check_extras(params.reasoning, "reasoning", report)
        yield from _said_by_reasoning(params.reasoning)
    if params.reasoning_effort:
        yield _said_effort("reasoning_effort", params.reasoning_effort)


def _said_by_thinking(thinking: Thinking) -> Iterator[ReasoningConfig]:
    on = thinking.type in ("adaptive", "enabled")
    yield ReasoningConfig(on=on, switch="thinking.type", type=thinking.type, display=thinking.display)
    if thinking.budget_tokens is not None:
        yield _budget("thinking.budget_tokens", thinking.budget_tokens)


def _said_by_reasoning(reasoning: Reasoning) -> Iterator[ReasoningConfig]:
    if reasoning.enabled is not None:
        yield ReasoningConfig(on=reasoning.enabled, switch="reasoning.enabled")
    if reasoning.max_tokens is not None:
        yield _budget("reasoning.max_tokens", reasoning.max_tokens)
    if reasoning.effort:
        yield _said_effort("reasoning.effort", reasoning.effort)
    if reasoning.exclude is not None:
        yield ReasoningConfig(display="omitted" if reasoning.exclude else "summarized")


def _said_effort(param: str, effort: Effort) -> ReasoningConfig:
    if effort == "none":
        return ReasoningConfig(on=False, switch=param)
    return ReasoningConfig(
        on=True, switch=param, effort="low" if effort == "minimal" else effort, measure=param
    )


def _budget(param: str, budget: int) -> ReasoningConfig:
    if budget == 0:
        return ReasoningConfig(on=False, switch=param)
    return ReasoningConfig(on=True, switch=param, budget=budget, measure=param)


def _joined(wish: ReasoningConfig, said: ReasoningConfig, report: Report) -> ReasoningConfig:
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


_LEAST_BUDGET = 1024  # the API's
# What an answer keeps beside a budget that the gateway chose.
_ROOM = 1024
# OpenAI's limit counts reasoning too, but a client that sends 50 wants 50 tokens of text. Claude would spend
# them all on thinking and answer nothing, so a limit below the first number is raised by its type's.
_ENOUGH = _LEAST_BUDGET + _ROOM
_RAISED_BY: Mapping[ThinkingType, int] = {"enabled": _LEAST_BUDGET, "adaptive": 2048}

_FORCED = "does not go with a forced tool_choice"
_UNSIGNED = "needs the thinking that came before the tool results, which was not sent back"


class ThinkingPlan(NamedTuple):
    """`thinking` and `effort` are sent unless None; `max_tokens` is final. `shown`: thinking that arrives is
    told to the client. `active`: the model may answer with thinking blocks."""

    thinking: ThinkingConfigParam | None
    effort: str | None
    max_tokens: int
    shown: bool
    active: bool


def to_thinking(
    params: CompletionCreateParams,
    model: ClaudeModel,
    max_tokens: int | None,
    report: Report,
    *,
    forced_choice: bool,
    unsigned_loop: bool = False,
) -> ThinkingPlan:
    """`max_tokens` is the client's limit, `forced_choice` a tool_choice of any or tool, `unsigned_loop` a
    conversation that ends with the results of calls whose thinking is missing. Neither goes with `enabled`:
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use
    """
    wish = to_wish(params, report)
    barred = _FORCED if forced_choice else _UNSIGNED if unsigned_loop else ""
    kind = _kind(wish, model, barred, report)
    effort = _effort(wish, kind, model, report)
    limit = _Limit(params, model, max_tokens, report)
    budget = None
    if kind == "enabled":
        budget = limit.with_budget(wish)
    elif kind == "adaptive":
        limit.with_room(kind)
    return ThinkingPlan(
        thinking=_config(wish, kind, budget, model),
        effort=effort,
        max_tokens=limit.max_tokens,
        shown=wish.on is not False and wish.display != "omitted",
        active=kind not in (None, "disabled"),
    )


def _kind(wish: ReasoningConfig, model: ClaudeModel, barred: str, report: Report) -> ThinkingType | None:
    """The type of thinking that the model is to do; None where it does none without being told."""
    if wish.on is None:
        return "adaptive" if model.thinks_by_default else None
    return _kind_on(wish, model, barred, report) if wish.on else _kind_off(wish, model, report)


def _kind_on(wish: ReasoningConfig, model: ClaudeModel, barred: str, report: Report) -> ThinkingType | None:
    # Only `enabled` keeps to a budget; otherwise `adaptive` is what Anthropic advises.
    order: Sequence[ThinkingType] = ("enabled", "adaptive") if wish.budget else ("adaptive", "enabled")
    wanted = [wish.type] if wish.type else []
    for kind in (*wanted, *order):
        if kind in model.thinking and not (barred and kind == "enabled"):
            if wish.type not in (None, kind):
                why = barred if wish.type in model.thinking else f"is not taken by {model.id}"
                report.warn("thinking.type", f"'{wish.type}' {why}, so '{kind}' was sent")
            return kind
    off = f"thinking is off for this request: with {model.id} it {barred}"
    report.warn(wish.switch, off if model.thinking else f"{model.id} does not think")
    return None


def _kind_off(wish: ReasoningConfig, model: ClaudeModel, report: Report) -> ThinkingType | None:
    if wish.type == "between_tools" and wish.type not in model.thinking:
        report.warn(wish.switch, f"{model.id} takes no 'between_tools'")
    if not model.thinks_by_default:
        return None
    order: Sequence[ThinkingType] = ("disabled", "between_tools")
    for kind in order:
        if kind in model.thinking:
            return kind
    report.warn(wish.switch, f"{model.id} always thinks, so effort 'low' was sent, the least it takes")
    return "adaptive"


def _effort(wish: ReasoningConfig, kind: ThinkingType | None, model: ClaudeModel, report: Report) -> str | None:
    if wish.on is False:
        # With thinking off the default effort is right: xhigh and max would be refused.
        return "low" if kind == "adaptive" else None
    asked = wish.level if kind == "adaptive" else wish.effort
    if asked is None or not model.effort:
        return None
    efforts = list(BUDGETS)
    # Where a model lacks an effort, the one below it: more was not asked for and would have to be paid.
    sent = max((e for e in model.effort if efforts.index(e) <= efforts.index(asked)), key=efforts.index)
    if wish.budget:
        report.warn(wish.measure, f"{model.id} keeps to no budget here, so effort '{sent}' was sent")
    elif sent != asked:
        report.warn(wish.measure, f"{model.id} has no effort '{asked}', so '{sent}' was sent")
    return sent


class _Limit:
    """max_tokens on its way from what the client asked to what is sent."""

    def __init__(
        self, params: CompletionCreateParams, model: ClaudeModel, max_tokens: int | None, report: Report
    ) -> None:
        self._param = "max_tokens" if params.max_completion_tokens is None else "max_completion_tokens"
        self._report = report
        self.max_tokens = max_tokens or model.default_max_tokens
        if model.max_output_tokens and self.max_tokens > model.max_output_tokens:
            self.max_tokens = model.max_output_tokens
            report.warn(self._param, f"lowered to {self.max_tokens}, the limit of {model.id}")

    def with_room(self, kind: ThinkingType) -> None:
        """Raises a small limit. No model that thinks has one below 32,000 tokens, so it stays within that."""
        if self.max_tokens >= _ENOUGH:
            return
        raised = self.max_tokens + _RAISED_BY[kind]
        change = f"raised from {self.max_tokens} to {raised}"
        self._report.warn(self._param, f"{change} so that thinking leaves room for the answer")
        self.max_tokens = raised

    def with_budget(self, wish: ReasoningConfig) -> int:
        """The budget to send: the client's own wherever the API takes it."""
        if wish.budget and _LEAST_BUDGET <= wish.budget < self.max_tokens:
            return wish.budget
        wanted = wish.budget or BUDGETS[wish.effort or "medium"]
        budget = max(_LEAST_BUDGET, min(wanted, self.max_tokens - _ROOM))
        self.with_room("enabled")
        if wish.budget not in (None, budget):
            self._report.warn(
                wish.measure, f"set to {budget}: at least {_LEAST_BUDGET}, and less than max_tokens"
            )
        return budget


def _config(
    wish: ReasoningConfig, kind: ThinkingType | None, budget: int | None, model: ClaudeModel
) -> ThinkingConfigParam | None:
    if kind is None:
        return None
    config: ThinkingConfigParam = {"type": kind}
    if budget is not None:
        config["budget_tokens"] = budget
    usual = "summarized" if model.shows_thinking else "omitted"
    if wish.on is not False and wish.display and wish.display != usual:
        config["display"] = wish.display
    if config == {"type": "adaptive"} and model.thinks_by_default and wish.type != "adaptive":
        return None
    return config
