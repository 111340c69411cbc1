"""to_message_params(): a chat completion request as the Messages API takes it.

The field rows first, then the parts that need each other, in the order in which they do: the answer's schema,
messages, tools, thinking and the token limit, sampling, and last the marks of the prompt cache.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from claudexia.models import ClaudeModel, retirement_warning
from claudexia.translate.report import FieldWarning, Report, ResponseOptions, check_extras
from claudexia.translate.request.content import text_block
from claudexia.translate.request.conversation import Conversation
from claudexia.translate.request.prompt_cache import apply_cache_control
from claudexia.translate.request.structured_output import OutputFormat, to_output_format, uncited
from claudexia.translate.request.thinking import ThinkingPlan, to_thinking
from claudexia.translate.request.thinking_replay import RecalledBlock, tool_call_keys
from claudexia.translate.request.tool_calls import ToolNames
from claudexia.translate.request.tools import ToolConfig, reserved_names, to_tool_config
from claudexia.translate.types.anthropic import MessageCreateParams, OutputConfigParam, TextBlockParam
from claudexia.translate.types.params import CompletionCreateParams, Composed, Ignored, Rejected, To, Verdict

VERDICTS: Mapping[str, Verdict] = {
    name: next(row for row in info.metadata if isinstance(row, Verdict))
    for name, info in CompletionCreateParams.model_fields.items()
}
_ROWS = {name: row for name, row in VERDICTS.items() if not isinstance(row, Composed)}
# In order of preference: the API takes only one of the first two.
_SAMPLING: Mapping[str, float | None] = {"temperature": 1.0, "top_p": 1.0, "top_k": None}
# With thinking on, top_p is the only one that may differ from its default, and only so far.
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
_LEAST_THINKING_TOP_P = 0.95

_TOLD = 5

Recalled = Mapping[str, Sequence[RecalledBlock]]


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """The translated request: what to send, what to tell the caller, and how to read the answer.

    `thinks` tells whether the answer may hold thinking.
    """

    params: MessageCreateParams
    warnings: tuple[FieldWarning, ...]
    options: ResponseOptions
    thinks: bool

    @property
    def is_kept(self) -> bool:
        """Whether the answer may hold thinking that the client's next request has to go on from."""
        return self.thinks and "tools" in self.params


def replay_keys(params: CompletionCreateParams, model: ClaudeModel) -> list[str]:
    """The keys of the answers that a request goes on from, if thinking may have come with them."""
    asked = params.reasoning_effort or params.reasoning or params.thinking
    return tool_call_keys(params.messages) if asked or model.thinks_by_default else []


def to_message_params(
    params: CompletionCreateParams,
    model: ClaudeModel,
    *,
    strict: bool = False,
    caching: bool = False,
    recalled: Recalled | None = None,
    today: date | None = None,
) -> MessageRequest:
    """Raises APIError 400 for what Claude cannot do; with `strict`, also for everything else left out.

    `caching` marks what is worth caching where the client marks nothing. `recalled` are earlier answers by the
    keys of replay_keys(); what is missing there is reported, unless nobody looked. With `today`, so is a
    model that is about to retire.
    """
    report = Report(strict)
    given = _rows(params, report)
    structure = to_output_format(params.response_format, report)
    output = structure.format["schema"] if structure.format else None
    names = ToolNames(reserved_names(params))
    conversation = Conversation(model, names, report, recalled or {})
    for index, message in enumerate(params.messages):
        conversation.add(index, message)
    tooling = to_tool_config(params, conversation.called, model, names, report, output)
    plan = _plan(params, given.pop("max_tokens", None), conversation, tooling, model, report)
    if recalled is not None and plan.active:
        _tell_unrecalled(conversation.unrecalled, report)
    _settle_sampling(given, model, plan.active, report)
    # An object that the client has begun itself could not be told from what stands inside of it.
    prose = output is None and not structure.json_object
    turns = conversation.turns(prefill=model.prefill and not plan.active and prose)
    sent: MessageCreateParams = {
        "model": model.id,
        "max_tokens": plan.max_tokens,
        "messages": turns if output is None else uncited(turns, report),
        "stream": True,
        **given,  # type: ignore[typeddict-item]  # the rows' targets are this type's keys; a test proves it
    }
    _add_parts(sent, conversation.system, structure, tooling, plan)
    apply_cache_control(sent, params, model, caching, report)
    options = ResponseOptions(
        names.original, tooling.custom, plan.shown, False, structure.json_object, tooling.legacy
    )
    return MessageRequest(sent, (*report.warnings, *_ending(model, today)), options, plan.active)


def _add_parts(
    sent: MessageCreateParams,
    system: Sequence[TextBlockParam],
    structure: OutputFormat,
    tooling: ToolConfig,
    plan: ThinkingPlan,
) -> None:
    instructions = [text_block(text) for text in (structure.instruction, tooling.instruction) if text]
    if system or instructions:
        sent["system"] = [*system, *instructions]
    if tooling.tools:
        sent["tools"] = tooling.tools
    if tooling.choice:
        sent["tool_choice"] = tooling.choice
    if plan.thinking:
        sent["thinking"] = plan.thinking
    config: OutputConfigParam = {}
    if plan.effort:
        config["effort"] = plan.effort
    if structure.format:
        config["format"] = structure.format
    if config:
        sent["output_config"] = config


def _plan(
    params: CompletionCreateParams,
    max_tokens: object,
    conversation: Conversation,
    tooling: ToolConfig,
    model: ClaudeModel,
    report: Report,
) -> ThinkingPlan:
    return to_thinking(
        params,
        model,
        max_tokens if isinstance(max_tokens, int) else None,
        report,
        forced_choice=tooling.forced,
        unsigned_loop=conversation.in_unsigned_loop,
    )


def _tell_unrecalled(indices: Sequence[int], report: Report) -> None:
    if indices:
        lost = ", ".join(f"messages[{index}]" for index in indices[-_TOLD:])
        report.warn(
            lost, "the thinking before these tool calls is not known any more, so Claude goes on without"
        )


def _ending(model: ClaudeModel, today: date | None) -> list[FieldWarning]:
    """Not for Report: nothing is done differently, so that strict mode has no objection."""
    why = retirement_warning(model, today) if today else None
    return [FieldWarning("model", why)] if why else []


def _rows(params: CompletionCreateParams, report: Report) -> dict[str, object]:
    """Every field that stands for itself, by its Messages API name."""
    sent: dict[str, object] = {}
    given = params.model_fields_set
    for name, row in _ROWS.items():
        value = getattr(params, name) if name in given else None
        if value is None:
            continue
        match row:
            case Rejected() if value not in row.harmless:
                raise row.error(name)
            case Ignored() if value not in row.harmless:
                report.warn(name, row.why)
            case To():
                _send(name, value, row, params, sent, report)
    for name, value in (params.model_extra or {}).items():
        if value is not None:
            report.warn(name, "neither OpenAI nor Claude knows this field")
    if params.stream_options:
        check_extras(params.stream_options, "stream_options", report)
    return sent


def _send(
    name: str, value: object, row: To, params: CompletionCreateParams, sent: dict[str, object], report: Report
) -> None:
    winner = getattr(params, row.yields_to) if row.yields_to else None
    if winner is not None:
        if winner != value:
            report.warn(name, f"{row.yields_to} was taken instead")
        return
    converted = row.convert(value, lambda why: report.warn(name, why))
    if converted is not None:
        target, _, leaf = row.target.partition(".")
        sent[target] = {leaf: converted} if leaf else converted


def _settle_sampling(given: dict[str, object], model: ClaudeModel, thinking: bool, report: Report) -> None:
    """Leaves in `given` what the model takes; a value that is Claude's default anyway goes without a word."""
    sampling = {name: given.pop(name) for name in _SAMPLING if name in given}
    chosen = {name: value for name, value in sampling.items() if value != _SAMPLING[name]}
    if not model.sampling:
        for name in chosen:
            report.warn(name, f"{model.id} takes no sampling parameters")
        return
    if thinking:
        given.update(_sampling_while_thinking(chosen, report))
        return
    if "temperature" in sampling and "top_p" in sampling:
        loser = "top_p" if "temperature" in chosen else "temperature"
        del sampling[loser]
        if loser in chosen:
            report.warn(loser, "Claude takes only one of temperature and top_p, and temperature wins")
    given.update(sampling)


def _sampling_while_thinking(chosen: Mapping[str, object], report: Report) -> Mapping[str, object]:
    top_p = chosen.get("top_p")
    fits = isinstance(top_p, int | float) and top_p >= _LEAST_THINKING_TOP_P
    for name in chosen:
        if name != "top_p":
            report.warn(name, "Claude takes none while it thinks")
        elif not fits:
            report.warn(name, f"Claude takes none below {_LEAST_THINKING_TOP_P} while it thinks")
    return {"top_p": top_p} if fits else {}
