"""Rules for single request parameters.

https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Iterator
from typing import TypeGuard

from anthropic.types import (
    CacheControlEphemeralParam,
    MetadataParam,
    OutputConfigParam,
    ThinkingConfigAdaptiveParam,
)
from anthropic.types.message_create_params import MessageCreateParamsStreaming

from claudexia_cli.echo.params import Params, as_object, is_forced, output_format
from claudexia_cli.echo.rules import Rule, Violation
from tests.fakes.anthropic.models import ModelFacts, thinking_type

SAMPLING = ("temperature", "top_p", "top_k")
# The SDK's type has two headers among the parameters and, since version 1.0, no sampling parameters.
_KEYS = MessageCreateParamsStreaming.__annotations__.keys() - {"user_profile_id", "workspace_id"} | set(
    SAMPLING
)
_INNER_KEYS = {
    "metadata": MetadataParam.__annotations__.keys(),
    "output_config": OutputConfigParam.__annotations__.keys(),
    "cache_control": CacheControlEphemeralParam.__annotations__.keys(),
    "thinking": ThinkingConfigAdaptiveParam.__annotations__.keys() | {"budget_tokens"},
    "tool_choice": {"type", "name", "disable_parallel_tool_use"},
}
_RANGES = {"temperature": (0, 1), "top_p": (0, 1), "top_k": (0, 2**31)}
_DEFAULTS = {"temperature": 1, "top_p": 1, "top_k": None}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def _unknown_keys(params: Params, model: ModelFacts) -> Iterator[Violation]:
    known = _KEYS if model.sampling_parameters else _KEYS - set(SAMPLING)
    yield from params.keys() - known
    for name, keys in _INNER_KEYS.items():
        yield from (f"{name}.{key}" for key in as_object(params.get(name)).keys() - keys)


def _missing(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (key for key in ("model", "messages", "max_tokens") if params.get(key) is None)


def _max_tokens_negative(params: Params, _: ModelFacts) -> Iterator[Violation]:
    max_tokens = params.get("max_tokens")
    if is_number(max_tokens) and max_tokens < 0:
        yield "max_tokens"


def _max_tokens_above(params: Params, model: ModelFacts) -> Iterator[Violation]:
    max_tokens = params.get("max_tokens")
    if is_number(max_tokens) and max_tokens > model.max_output:
        yield "max_tokens", f"{max_tokens} > {model.max_output}"


def _max_tokens_zero(params: Params, model: ModelFacts) -> Iterator[Violation]:
    # With 0 the request only writes the prompt cache, without output.
    if params.get("max_tokens") != 0:
        return
    enabled = thinking_type(params, model) == "enabled"
    if params.get("stream") or enabled or is_forced(params) or output_format(params):
        yield "max_tokens"


def _out_of_range(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for name, (low, high) in _RANGES.items():
        if is_number(params.get(name)) and not low <= params[name] <= high:
            yield name


def _sampling_of_model(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if not model.sampling and model.sampling_parameters:
        yield from (name for name in SAMPLING if params.get(name) not in (None, _DEFAULTS[name]))


def _temperature_and_top_p(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if params.get("temperature") is not None and params.get("top_p") is not None and model.sampling:
        yield ""


def _sampling_with_thinking(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if not model.sampling or thinking_type(params, model) == "disabled":
        return
    if params.get("temperature") not in (None, 1):
        yield "temperature"
    if params.get("top_k") is not None:
        yield "top_k"
    if is_number(params.get("top_p")) and not 0.95 <= params["top_p"] <= 1:
        yield "top_p"


def _unknown_effort(params: Params, _: ModelFacts) -> Iterator[Violation]:
    if as_object(params.get("output_config")).get("effort") not in (None, *_EFFORTS):
        yield "output_config.effort"


def _effort_of_model(params: Params, model: ModelFacts) -> Iterator[Violation]:
    effort = as_object(params.get("output_config")).get("effort")
    if effort in _EFFORTS and effort not in model.efforts:
        yield "output_config.effort"


def _geo(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if params.get("inference_geo") is not None and (
        not model.geo or params["inference_geo"] not in ("us", "global")
    ):
        yield "inference_geo"


def _fast(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if params.get("speed") == "fast" and not model.fast:
        yield "speed"


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


RULES = (
    Rule("unknown key", "Extra inputs are not permitted", _unknown_keys),
    Rule("missing key", "Field required", _missing),
    Rule("max_tokens negative", "Input should be greater than or equal to 0", _max_tokens_negative),
    Rule("max_tokens zero", "0 only writes the prompt cache: not with stream, `thinking.enabled`, "
         "`output_config.format` or a forced tool", _max_tokens_zero),
    Rule("max_tokens above", "{}, which is the maximum allowed number of output tokens for this model", _max_tokens_above),
    Rule("sampling range", "Input is out of range", _out_of_range),
    Rule("sampling of model", "is not supported for this model with a value other than the default", _sampling_of_model),
    Rule("temperature and top_p", "`temperature` and `top_p` cannot both be specified for this model. "
         "Please use only one.", _temperature_and_top_p),
    Rule("sampling with thinking", "is not compatible with thinking: `temperature` may only be 1, `top_p` at "
         "least 0.95, and `top_k` must be unset", _sampling_with_thinking),
    Rule("effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'", _unknown_effort),
    Rule("effort of model", "This model does not support this effort level", _effort_of_model),
    Rule("inference_geo", "is not supported for this model or has no such value", _geo),
    Rule("speed", "This model does not support fast mode", _fast),
)  # fmt: skip
