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

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claudexia.translate.anthropic_params import ThinkingConfigParam
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.fields import Report
from claudexia.translate.models import Model
from claudexia.translate.reasoning import BUDGETS, ReasoningWish, to_wish
from claudexia.translate.reasoning_params import ThinkingType

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
    model: Model,
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


def _kind(wish: ReasoningWish, model: Model, barred: str, report: Report) -> ThinkingType | None:
    """The type of thinking that the model is to do; None where it does none without being told."""
    if wish.on is None:
        return "adaptive" if model.thinks_by_default else None
    return _kind_on(wish, model, barred, report) if wish.on else _kind_off(wish, model, report)


def _kind_on(wish: ReasoningWish, model: Model, barred: str, report: Report) -> ThinkingType | None:
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


def _kind_off(wish: ReasoningWish, model: Model, report: Report) -> ThinkingType | None:
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


def _effort(wish: ReasoningWish, kind: ThinkingType | None, model: Model, report: Report) -> str | None:
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
        self, params: CompletionCreateParams, model: Model, max_tokens: int | None, report: Report
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

    def with_budget(self, wish: ReasoningWish) -> int:
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
    wish: ReasoningWish, kind: ThinkingType | None, budget: int | None, model: Model
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
