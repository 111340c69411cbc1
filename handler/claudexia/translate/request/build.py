"""to_message_params(): a chat completion request as a request to the Messages API.

Fields that need no other field come first. The rest follows in the order of its dependencies: response format,
messages, tools, thinking and token limit, sampling, and last the cache breakpoints.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import NamedTuple

from claudexia.errors import APIError
from claudexia.models import ClaudeModel, retirement_warning
from claudexia.translate.report import FieldWarning, Report, ResponseOptions, check_extras
from claudexia.translate.request.content import text_block
from claudexia.translate.request.conversation import Conversation
from claudexia.translate.request.conversation import replay_keys as conversation_keys
from claudexia.translate.request.forced_call import ForcedCall, constrained
from claudexia.translate.request.parse import NO_LIMIT
from claudexia.translate.request.prompt_cache import apply_cache_control
from claudexia.translate.request.structured_output import OutputFormat, to_output_format, without_citations
from claudexia.translate.request.thinking import (
    FORCED_TOOL_CHOICE,
    MISSING_THINKING,
    ThinkingPlan,
    to_thinking,
)
from claudexia.translate.request.thinking_replay import StoredAnswers
from claudexia.translate.request.tool_calls import ToolCalls, ToolNames
from claudexia.translate.request.tools import (
    ToolConfig,
    custom_names,
    enforce_strict,
    reserved_names,
    to_tool_config,
    tool_definitions,
)
from claudexia.translate.types.anthropic import MessageCreateParams, OutputConfigParam, TextBlockParam
from claudexia.translate.types.base import Params
from claudexia.translate.types.params import (
    CompletionCreateParams,
    Composed,
    FieldRule,
    Ignored,
    Native,
    Rejected,
)


@cache
def field_rules(model: type[Params]) -> Mapping[str, FieldRule]:
    """The rule of each field of a request's body."""
    return {
        name: next(rule for rule in info.metadata if isinstance(rule, FieldRule))
        for name, info in model.model_fields.items()
    }


# The defaults of the API, in order of preference: it takes only one of the first two.
_SAMPLING: Mapping[str, float | None] = {"temperature": 1.0, "top_p": 1.0, "top_k": None}
_NO_LIMIT = (0, -1)
# With thinking on, only top_p may differ from its default, and not by more than this.
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
_MIN_TOP_P_WITH_THINKING = 0.95
# How many messages a warning names, the last ones.
_MAX_MESSAGES_NAMED = 5
_MISSING = "the thinking before these tool calls is not stored any more, so Claude continues without it"
_FOREIGN = "another host signed this thinking, so it was left out"


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A translated request.

    params       the upstream request
    warnings     what the gateway handled differently from what the client requested
    options      how the response is written
    may_think    whether the answer may hold thinking
    forced_call  the call that the client demands, if the model takes no forced choice
    """

    params: MessageCreateParams
    warnings: tuple[FieldWarning, ...]
    options: ResponseOptions
    may_think: bool
    forced_call: ForcedCall | None = None

    @property
    def stores_thinking(self) -> bool:
        """Whether the client's next request may need thinking of this answer."""
        return self.may_think and "tools" in self.params


class Origin(NamedTuple):
    """The body that a request was made from: its fields, and a report whose paths lead into it."""

    fields: Params
    report: Report


def replay_keys(params: CompletionCreateParams, model: ClaudeModel) -> list[str]:
    """The keys of the earlier answers in this request whose thinking may be needed."""
    may_think = params.reasoning_effort or params.reasoning or params.thinking or model.thinks_by_default
    if not may_think:
        return []

    def to_tool_calls() -> ToolCalls:
        names = _tool_names(params)
        with suppress(APIError):  # to_message_params() raises it again
            tool_definitions(params, names, Report())
        return ToolCalls(names)

    return conversation_keys(params.messages, to_tool_calls)


def _tool_names(params: CompletionCreateParams) -> ToolNames:
    return ToolNames(reserved_names(params), custom_names(params))


def to_message_params(  # noqa: PLR0913  # the options of the main function, passed by keyword
    params: CompletionCreateParams,
    model: ClaudeModel,
    *,
    strict: bool = False,
    caching: bool = False,
    stored_answers: StoredAnswers | None = None,
    today: date | None = None,
    origin: Origin | None = None,
) -> MessageRequest:
    """Raises APIError 400 for what Claude cannot do; with `strict`, also for all else that is left out.

    caching         sets cache breakpoints if the client sets none
    stored_answers  earlier answers by replay_keys(), None if they were not looked up; missing ones are reported
    today           adds a warning if the model is about to retire
    origin          the body that `params` were made from, unless `params` are the body
    """
    fields, report = origin or Origin(params, Report(strict))
    report = report.for_host(model.host)
    sent_fields = _single_fields(fields, report)
    names = _tool_names(params)
    definitions = tool_definitions(params, names, report)
    conversation = Conversation(model, names, report, stored_answers or {})
    conversation.add_all(params.system, params.messages)
    tools = to_tool_config(params, model, names, definitions, report)
    forced_call = tools.forced_call
    # A forced call is the whole answer.
    output_format = to_output_format(None if forced_call else params.response_format, report)
    schema = output_format.format["schema"] if output_format.format else None
    enforce_strict(tools, definitions, schema, report)
    max_tokens = sent_fields.pop("max_tokens", None)
    plan = to_thinking(
        params,
        model,
        max_tokens if isinstance(max_tokens, int) else None,
        report,
        enabled_conflict=_enabled_conflict(tools, conversation),
    )
    if stored_answers is not None and plan.active:
        _warn_of_thinking(conversation.missing_thinking, _MISSING, report)
    _warn_of_thinking(conversation.foreign_thinking, _FOREIGN, report)
    _adapt_sampling(sent_fields, model, plan.active, report)
    # If the client began the JSON object itself, the answer holds only the rest of it and cannot be read.
    free_text = schema is None and not output_format.json_object
    turns = conversation.turns(prefill=model.prefill and not plan.active and free_text)
    if forced_call or schema is not None:
        turns = without_citations(turns, None if forced_call else report)
    sent: MessageCreateParams = {
        "model": model.id,
        "max_tokens": plan.max_tokens,
        "messages": turns,
        "stream": True,
        **sent_fields,  # type: ignore[typeddict-item]  # the rules' targets are this type's keys; a test proves it
    }
    _add_composed(sent, conversation.system, output_format, tools, plan)
    apply_cache_control(sent, params, model, caching, report)
    if forced_call and forced_call.schema:
        sent = constrained(sent, forced_call.schema)
    options = ResponseOptions(
        original_name=names.original,
        custom=tools.custom,
        reasoning=plan.visible,
        json_object=output_format.json_object,
        function_call=tools.function_call,
        argument_names={
            tool: {upstream: name for name, upstream in replaced.items()}
            for tool, replaced in names.arguments.items()
        },
        named_call=tools.named_call,
        host=model.host.host,
    )
    warnings = (*report.warnings, *_retirement(model, today))
    return MessageRequest(sent, warnings, options, plan.active, forced_call)


def _enabled_conflict(tools: ToolConfig, conversation: Conversation) -> str:
    """Why the request cannot have thinking of type `enabled`, "" if it can."""
    if tools.forced:
        return FORCED_TOOL_CHOICE
    return MISSING_THINKING if conversation.ends_with_results_without_thinking else ""


def _add_composed(
    sent: MessageCreateParams,
    system: Sequence[TextBlockParam],
    output_format: OutputFormat,
    tools: ToolConfig,
    plan: ThinkingPlan,
) -> None:
    """Adds the parameters that several fields determine together."""
    instructions = [text_block(text) for text in (output_format.instruction, tools.instruction) if text]
    if system or instructions:
        sent["system"] = [*system, *instructions]
    if tools.tools:
        sent["tools"] = tools.tools
    if tools.choice:
        sent["tool_choice"] = tools.choice
    if plan.thinking:
        sent["thinking"] = plan.thinking
    output_config: OutputConfigParam = {}
    if plan.effort:
        output_config["effort"] = plan.effort
    if output_format.format:
        output_config["format"] = output_format.format
    if output_config:
        sent["output_config"] = output_config


def _warn_of_thinking(indices: Sequence[int], reason: str, report: Report) -> None:
    if indices:
        named = ", ".join(report.at("messages", index).param for index in indices[-_MAX_MESSAGES_NAMED:])
        report.at(named).warn(reason)


def _retirement(model: ClaudeModel, today: date | None) -> list[FieldWarning]:
    """Bypasses Report because it is no error in strict mode: the request is sent unchanged."""
    reason = retirement_warning(model, today) if today else None
    return [FieldWarning("model", reason)] if reason else []


def _single_fields(params: Params, report: Report) -> dict[str, object]:
    """The Messages API parameters that follow from one field each."""
    sent: dict[str, object] = {}
    given = params.model_fields_set
    for name, rule in _single_field_rules(type(params)).items():
        value = getattr(params, name) if name in given else None
        if value is None:
            continue
        match rule:
            case Rejected() if value not in rule.harmless:
                raise report.at(name).unsupported(rule.reason)
            case Ignored() if value not in rule.harmless:
                report.at(name).warn(rule.reason)
            case Native():
                _add_native(sent, value, rule, params, report.at(name))
    for name, value in (params.model_extra or {}).items():
        if value is not None:
            report.at(name).warn("neither OpenAI's nor Claude's API has this field")
    stream_options = params.__dict__.get("stream_options")
    if isinstance(stream_options, Params):
        check_extras(stream_options, report.at("stream_options"))
    return sent


@cache
def _single_field_rules(model: type[Params]) -> Mapping[str, FieldRule]:
    return {name: rule for name, rule in field_rules(model).items() if not isinstance(rule, Composed)}


def _add_native(sent: dict[str, object], value: object, rule: Native, params: Params, report: Report) -> None:
    preferred = getattr(params, rule.yields_to) if rule.yields_to else None
    if preferred is not None:
        if preferred != value:
            report.warn(f"{rule.yields_to} was used instead")
        return
    converted = rule.convert(value, report.warn)
    if converted is not None:
        target, _, leaf = rule.target.partition(".")
        sent[target] = {leaf: converted} if leaf else converted


def _adapt_sampling(sent: dict[str, object], model: ClaudeModel, thinking: bool, report: Report) -> None:
    """Removes from `sent` the sampling parameters that the model does not take; those at default silently."""
    given = {name: sent.pop(name) for name in _SAMPLING if name in sent}
    if given.get("top_k") in _NO_LIMIT:
        top_k = given.pop("top_k")
        if model.sampling and not thinking:
            raise report.at("top_k").error(
                f"Invalid 'top_k': expected a value >= 1, but got {top_k} instead. {NO_LIMIT}",
                "integer_below_min_value",
            )
    changed = {name: value for name, value in given.items() if value != _SAMPLING[name]}
    if not model.sampling:
        for name in changed:
            report.at(name).warn(f"{model.id} takes no sampling parameters")
        return
    if thinking:
        sent.update(_sampling_with_thinking(changed, report))
        return
    if "temperature" in given and "top_p" in given:
        dropped = "top_p" if "temperature" in changed else "temperature"
        del given[dropped]
        if dropped in changed:
            report.at(dropped).warn(
                "Claude takes only one of temperature and top_p, and temperature is preferred"
            )
    sent.update(given)


def _sampling_with_thinking(changed: Mapping[str, object], report: Report) -> Mapping[str, object]:
    top_p = changed.get("top_p")
    valid = isinstance(top_p, int | float) and top_p >= _MIN_TOP_P_WITH_THINKING
    for name in changed:
        if name != "top_p":
            report.at(name).warn("Claude does not take it while it thinks")
        elif not valid:
            report.at(name).warn(f"Claude takes no value below {_MIN_TOP_P_WITH_THINKING} while it thinks")
    return {"top_p": top_p} if valid else {}
