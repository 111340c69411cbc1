"""to_thinking(): thinking, effort and max_tokens for a request's reasoning fields, token limit and model.

    requested   budgets only (4.5)     off by default (4.6-4.8)     on by default (5 and newer)
    ---------   --------------------   --------------------------   ----------------------------------
    nothing     nothing                nothing                      nothing
    an effort   enabled, its budget    adaptive, effort             effort
    a budget    enabled, budget        enabled, or adaptive with    the effort for that budget
                                       the effort for that budget
    none        nothing                nothing                      disabled, between_tools, or effort
                                                                    low if the model takes neither

`display: summarized` is added if the model hides its thinking by default and the client requested some.

Sources: https://platform.claude.com/docs/en/build-with-claude/thinking,
https://platform.claude.com/docs/en/build-with-claude/effort,
https://openrouter.ai/docs/use-cases/reasoning-tokens
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

# The budget for each effort, in tokens, from the lowest effort to the highest. At least half of the smallest
# output limit of a model that takes budgets (64,000) stays for the answer.
BUDGETS: Mapping[str, int] = {"low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_000, "max": 32_000}
MIN_BUDGET = 1024  # the API's
# Output tokens that stay for the answer beside a budget that the gateway chose.
ANSWER_TOKENS = 1024
# OpenAI's limit includes reasoning, but a client that sets 50 wants 50 tokens of text. Claude could spend them
# all on thinking and return no text, so a limit below the first number is raised by that of the thinking type.
# It is never raised above the largest limit of the model and the API key. If that is below the first number and
# below the raised limit, the request cannot have thinking.
_SMALL_LIMIT = MIN_BUDGET + ANSWER_TOKENS
_LIMIT_INCREASE: Mapping[ThinkingType, int] = {"enabled": MIN_BUDGET, "adaptive": 2048}

# The types that turn thinking off, in order of preference.
_OFF: Sequence[ThinkingType] = ("disabled", "between_tools")

# Why the type `enabled` cannot be sent with a request.
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use
FORCED_TOOL_CHOICE = "does not go with a forced tool_choice"
MISSING_THINKING = "needs the thinking that came before the tool results, which was not sent back"


@dataclass(frozen=True, slots=True)
class ReasoningConfig:
    """The client's reasoning settings; None means not specified.

    enabled        whether to think; `enabled_field` is the field that decided it
    effort, budget at most one of them is set (`budget` in tokens), and only with `enabled`; `amount_field` is
                   the field that decided it
    display        whether the response shows the thinking
    type           Anthropic's type of thinking
    """

    enabled: bool | None = None
    enabled_field: Report | None = None
    effort: str | None = None
    budget: int | None = None
    amount_field: Report | None = None
    display: Display | None = None
    type: ThinkingType | None = None

    @property
    def level(self) -> str | None:
        """The amount of thinking as an effort."""
        return self.effort if self.budget is None else _effort_for(self.budget)


class ThinkingPlan(NamedTuple):
    """`thinking` and `effort` are sent unless None; `max_tokens` is the final limit.

    visible  the response shows the thinking that the model returns
    active   the model may return thinking blocks
    """

    thinking: ThinkingConfigParam | None
    effort: str | None
    max_tokens: int
    visible: bool
    active: bool


def to_thinking(
    params: CompletionCreateParams,
    model: ClaudeModel,
    max_tokens: int | None,
    report: Report,
    enabled_conflict: str = "",
) -> ThinkingPlan:
    """`max_tokens` is the client's limit. `enabled_conflict` is FORCED_TOOL_CHOICE, MISSING_THINKING or "".

    Raises APIError 400 if the model always thinks and its `max_output_tokens`, as the API key limits it,
    leaves no room for that.
    """
    config = _reasoning_config(params, report)
    thinking_type = _thinking_type(config, model, enabled_conflict)
    limit = _TokenLimit(params, model, max_tokens, report)
    if thinking_type and thinking_type in _LIMIT_INCREASE and not limit.has_room(thinking_type, config):
        thinking_type = _type_without_room(config, model, limit)
        config = replace(config, enabled=False, effort=None, budget=None)
    effort = _effort(config, thinking_type, model)
    budget = None
    if thinking_type == "enabled":
        budget = limit.fit_budget(config)
    elif thinking_type == "adaptive":
        limit.raise_small(thinking_type)
    return ThinkingPlan(
        thinking=_thinking_param(config, thinking_type, budget, model),
        effort=effort,
        max_tokens=limit.max_tokens,
        visible=config.enabled is not False and config.display != "omitted",
        active=thinking_type not in (None, "disabled"),
    )


# The client's settings


def _effort_for(budget: int) -> str:
    """The lowest effort whose budget covers `budget` tokens. Never max, because a budget is an upper bound."""
    return next((effort for effort, tokens in BUDGETS.items() if budget <= tokens), "xhigh")


def _reasoning_config(params: CompletionCreateParams, report: Report) -> ReasoningConfig:
    """Merges the fields. `thinking` takes precedence over `reasoning`, and that over `reasoning_effort`."""
    config = ReasoningConfig()
    for setting in _settings(params, report):
        config = _merged(config, setting, report)
    if config.enabled and config.display is None:
        return replace(config, display="summarized")
    return config


def _settings(params: CompletionCreateParams, report: Report) -> Iterator[ReasoningConfig]:
    """One setting at a time, in order of precedence."""
    if params.thinking:
        field = report.at("thinking")
        check_extras(params.thinking, field)
        yield from _thinking_settings(params.thinking, field)
    if params.reasoning:
        field = report.at("reasoning")
        check_extras(params.reasoning, field)
        yield from _reasoning_settings(params.reasoning, field)
    if params.reasoning_effort:
        yield _effort_setting(params.reasoning_effort, report.at("reasoning_effort"))


def _thinking_settings(thinking: Thinking, report: Report) -> Iterator[ReasoningConfig]:
    enabled = thinking.type in ("adaptive", "enabled")
    yield ReasoningConfig(
        enabled=enabled, enabled_field=report.at("type"), type=thinking.type, display=thinking.display
    )
    if thinking.budget_tokens is not None:
        yield _budget_setting(thinking.budget_tokens, report.at("budget_tokens"))


def _reasoning_settings(reasoning: Reasoning, report: Report) -> Iterator[ReasoningConfig]:
    if reasoning.enabled is not None:
        yield ReasoningConfig(enabled=reasoning.enabled, enabled_field=report.at("enabled"))
    if reasoning.max_tokens is not None:
        yield _budget_setting(reasoning.max_tokens, report.at("max_tokens"))
    if reasoning.effort:
        yield _effort_setting(reasoning.effort, report.at("effort"))
    if reasoning.exclude is not None:
        yield ReasoningConfig(display="omitted" if reasoning.exclude else "summarized")


def _effort_setting(effort: Effort, field: Report) -> ReasoningConfig:
    if effort == "none":
        return ReasoningConfig(enabled=False, enabled_field=field)
    return ReasoningConfig(
        enabled=True, enabled_field=field, effort="low" if effort == "minimal" else effort, amount_field=field
    )


def _budget_setting(budget: int, field: Report) -> ReasoningConfig:
    if budget == 0:
        return ReasoningConfig(enabled=False, enabled_field=field)
    return ReasoningConfig(enabled=True, enabled_field=field, budget=budget, amount_field=field)


def _merged(config: ReasoningConfig, setting: ReasoningConfig, report: Report) -> ReasoningConfig:
    """`config` with what `setting` adds to it; warns of each contradiction."""
    if None not in (config.enabled, setting.enabled) and config.enabled != setting.enabled:
        _warn_overridden(setting.enabled_field, config.enabled_field)
        return config
    if config.enabled is None:
        config = replace(
            config, enabled=setting.enabled, enabled_field=setting.enabled_field, type=setting.type
        )
    if config.level is None:
        config = replace(
            config, effort=setting.effort, budget=setting.budget, amount_field=setting.amount_field
        )
    elif setting.level not in (None, config.level):
        _warn_overridden(setting.amount_field, config.amount_field)
    if config.display is None:
        return replace(config, display=setting.display)
    if setting.display not in (None, config.display):
        report.at("reasoning", "exclude").warn("thinking.display was used instead")
    return config


def _warn_overridden(field: Report | None, by: Report | None) -> None:
    if field and by:
        field.warn(f"{by.param} was used instead")


# What is sent


def _thinking_type(config: ReasoningConfig, model: ClaudeModel, enabled_conflict: str) -> ThinkingType | None:
    """The type in effect, sent or by default; None if the model does not think."""
    if config.enabled is None or config.enabled_field is None:
        return "adaptive" if model.thinks_by_default else None
    if config.enabled:
        return _type_enabled(config, model, enabled_conflict, config.enabled_field)
    return _type_disabled(config, model, config.enabled_field)


def _type_enabled(
    config: ReasoningConfig, model: ClaudeModel, enabled_conflict: str, field: Report
) -> ThinkingType | None:
    # Only `enabled` has a budget; otherwise Anthropic recommends `adaptive`.
    order: Sequence[ThinkingType] = ("enabled", "adaptive") if config.budget else ("adaptive", "enabled")
    requested = [config.type] if config.type else []
    for candidate in (*requested, *order):
        if candidate in model.thinking and not (enabled_conflict and candidate == "enabled"):
            if config.type not in (None, candidate):
                reason = enabled_conflict if config.type in model.thinking else f"is not taken by {model.id}"
                # Only `thinking.type` sets a type.
                field.warn(f"'{config.type}' {reason}, so '{candidate}' was sent")
            return candidate
    off = f"thinking is off for this request: with {model.id} it {enabled_conflict}"
    field.warn(off if model.thinking else f"{model.id} does not think")
    return None


def _type_disabled(config: ReasoningConfig, model: ClaudeModel, field: Report) -> ThinkingType | None:
    if config.type == "between_tools" and config.type not in model.thinking:
        field.warn(f"{model.id} takes no 'between_tools'")
    if not model.thinks_by_default:
        return None
    for candidate in _OFF:
        if candidate in model.thinking:
            return candidate
    field.warn(f"{model.id} always thinks, so its lowest effort, 'low', was sent")
    return "adaptive"


def _type_without_room(
    config: ReasoningConfig, model: ClaudeModel, limit: "_TokenLimit"
) -> ThinkingType | None:
    """The type that turns thinking off; None if it is off by default. Raises APIError 400 if there is none."""
    off = next((each for each in _OFF if each in model.thinking), None)
    field, most = config.enabled_field or limit.field, model.max_output_tokens
    if model.thinks_by_default and off is None:
        raise limit.field.error(
            f"{model.id} always thinks, which takes a max_tokens of at least {_SMALL_LIMIT}. This API key "
            f"allows at most {most} tokens per completion. Use a model whose thinking can be turned off.",
            "max_tokens_too_small_for_thinking",
        )
    field.warn(f"thinking is off: this API key allows at most {most} tokens, which leave no room for it")
    return off if model.thinks_by_default else None


def _effort(config: ReasoningConfig, thinking_type: ThinkingType | None, model: ClaudeModel) -> str | None:
    if config.enabled is False:
        # With thinking off the default effort is right: xhigh and max would be refused.
        return "low" if thinking_type == "adaptive" else None
    requested = config.level if thinking_type == "adaptive" else config.effort
    if requested is None or config.amount_field is None or not model.effort:
        return None
    efforts = list(BUDGETS)
    # If the model lacks the effort, the next lower one: a higher one costs more than the client requested.
    sent = max((e for e in model.effort if efforts.index(e) <= efforts.index(requested)), key=efforts.index)
    if config.budget:
        config.amount_field.warn(f"{model.id} takes no budget here, so effort '{sent}' was sent")
    elif sent != requested:
        config.amount_field.warn(f"{model.id} has no effort '{requested}', so '{sent}' was sent")
    return sent


class _TokenLimit:
    """`max_tokens`: at first the client's limit or the model's default, at last what is sent."""

    def __init__(
        self, params: CompletionCreateParams, model: ClaudeModel, max_tokens: int | None, report: Report
    ) -> None:
        name = "max_tokens" if params.max_completion_tokens is None else "max_completion_tokens"
        self.field = report.at(name)
        self._most = model.max_output_tokens
        self.max_tokens = max_tokens or model.default_max_tokens
        if model.max_output_tokens and self.max_tokens > model.max_output_tokens:
            self.max_tokens = model.max_output_tokens
            self.field.warn(f"lowered to {self.max_tokens}, the limit of {model.id}")

    def has_room(self, thinking_type: ThinkingType, config: ReasoningConfig) -> bool:
        """Whether thinking leaves room for the answer within the largest limit."""
        if self._most is None or self._most >= _SMALL_LIMIT:
            return True
        if thinking_type == "enabled" and self._fits(config.budget):
            return True
        return self.max_tokens + _LIMIT_INCREASE[thinking_type] <= self._most

    def raise_small(self, thinking_type: ThinkingType) -> None:
        """Raises a small limit, at most to the largest one."""
        if self.max_tokens >= _SMALL_LIMIT:
            return
        raised = self.max_tokens + _LIMIT_INCREASE[thinking_type]
        if self._most is not None:
            raised = min(raised, self._most)
        self.field.warn(
            f"raised from {self.max_tokens} to {raised} so that thinking leaves room for the answer"
        )
        self.max_tokens = raised

    def _fits(self, budget: int | None) -> bool:
        return budget is not None and MIN_BUDGET <= budget < self.max_tokens

    def fit_budget(self, config: ReasoningConfig) -> int:
        """The budget to send: the client's own if the API takes it."""
        if config.budget and self._fits(config.budget):
            return config.budget
        requested = config.budget or BUDGETS[config.effort or "medium"]
        budget = max(MIN_BUDGET, min(requested, self.max_tokens - ANSWER_TOKENS))
        self.raise_small("enabled")
        if config.budget not in (None, budget) and config.amount_field:
            config.amount_field.warn(f"set to {budget}: at least {MIN_BUDGET}, and less than max_tokens")
        return budget


def _thinking_param(
    config: ReasoningConfig, thinking_type: ThinkingType | None, budget: int | None, model: ClaudeModel
) -> ThinkingConfigParam | None:
    if thinking_type is None:
        return None
    param: ThinkingConfigParam = {"type": thinking_type}
    if budget is not None:
        param["budget_tokens"] = budget
    default_display = "summarized" if model.shows_thinking else "omitted"
    if config.enabled is not False and config.display and config.display != default_display:
        param["display"] = config.display
    if param == {"type": "adaptive"} and model.thinks_by_default and config.type != "adaptive":
        return None
    return param
