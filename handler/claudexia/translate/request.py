"""to_message_params(): a chat completion request as the Messages API takes it.

The field rows first, then the parts that need each other: sampling, the token limit, messages and tools.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from claudexia.translate.anthropic_params import MessageCreateParams
from claudexia.translate.blocks import text_block
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Ignored, Rejected, Report, To, Verdict, Warned
from claudexia.translate.messages import Conversation
from claudexia.translate.models import Model
from claudexia.translate.tools import ToolNames, to_tooling

VERDICTS: Mapping[str, Verdict] = {
    name: next(row for row in info.metadata if isinstance(row, Verdict))
    for name, info in CompletionCreateParams.model_fields.items()
}
# In order of preference: the API takes only one of the first two.
_SAMPLING: Mapping[str, float | None] = {"temperature": 1.0, "top_p": 1.0, "top_k": None}


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """The translated request: what to send, what to tell the caller, and how to name tools in the answer."""

    params: MessageCreateParams
    warnings: tuple[Warned, ...]
    original_name: Callable[[str], str]


def to_message_params(params: CompletionCreateParams, model: Model, *, strict: bool = False) -> MessageRequest:
    """Raises APIError 400 for what Claude cannot do; with `strict`, also for everything else left out."""
    report = Report(strict)
    given = _rows(params, report)
    _settle_sampling(given, model, report)
    max_tokens = _max_tokens(given.pop("max_tokens", None), model, report)

    names = ToolNames()
    conversation = Conversation(model, names, report)
    for index, message in enumerate(params.messages):
        conversation.add(index, message)
    turns = conversation.turns(prefill=model.prefill)
    tooling = to_tooling(params, conversation.called, model, names, report)
    system = conversation.system
    if tooling.instruction:
        system = [*system, text_block(tooling.instruction)]

    message_params: MessageCreateParams = {
        "model": model.id,
        "max_tokens": max_tokens,
        "messages": turns,
        "stream": True,
        **given,  # type: ignore[typeddict-item]  # the rows' targets are this type's keys; a test proves it
    }
    if system:
        message_params["system"] = system
    if tooling.tools:
        message_params["tools"] = tooling.tools
    if tooling.choice:
        message_params["tool_choice"] = tooling.choice
    return MessageRequest(message_params, tuple(report.warnings), names.original)


def _rows(params: CompletionCreateParams, report: Report) -> dict[str, object]:
    """Every field that stands for itself, by its Messages API name."""
    sent: dict[str, object] = {}
    for name, row in VERDICTS.items():
        value = getattr(params, name)
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


def _settle_sampling(given: dict[str, object], model: Model, report: Report) -> None:
    """Leaves in `given` what the model takes; a value that is Claude's default anyway goes without a word."""
    sampling = {name: given.pop(name) for name in _SAMPLING if name in given}
    chosen = {name: value for name, value in sampling.items() if value != _SAMPLING[name]}
    if not model.sampling:
        for name in chosen:
            report.warn(name, f"{model.id} takes no sampling parameters")
        return
    if "temperature" in sampling and "top_p" in sampling:
        loser = "top_p" if "temperature" in chosen else "temperature"
        del sampling[loser]
        if loser in chosen:
            report.warn(loser, "Claude takes only one of temperature and top_p, and temperature wins")
    given.update(sampling)


def _max_tokens(wanted: object, model: Model, report: Report) -> int:
    if not isinstance(wanted, int):
        return model.default_max_tokens
    if model.max_output_tokens and wanted > model.max_output_tokens:
        report.warn("max_tokens", f"lowered to {model.max_output_tokens}, the limit of {model.id}")
        return model.max_output_tokens
    return wanted
