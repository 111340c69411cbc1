"""The capabilities and limits of each model, from the models overview, the thinking page and the migration guides.

Independent of the gateway's own table of models.

https://platform.claude.com/docs/en/about-claude/models/overview
"""

import re
from dataclasses import dataclass, replace

from claudexia_cli.echo.params import Params, as_object

_ALL = ("low", "medium", "high", "xhigh", "max")
_NO_XHIGH = ("low", "medium", "high", "max")


@dataclass(frozen=True)
class ModelFacts:
    """One model, and its limits for a request. `window`, `max_output` and `minimum_prefix` are in tokens."""

    id: str
    created: str
    line: str | None = None
    lifecycle: str = "active"
    retires: str | None = None
    window: int = 1_000_000
    max_output: int = 128_000
    thinking: frozenset[str] = frozenset({"adaptive"})
    thinking_by_default: str = "adaptive"
    # The thinking types that are rejected at effort xhigh and max.
    not_at_high_effort: frozenset[str] = frozenset()
    display: str = "omitted"
    efforts: tuple[str, ...] = _ALL
    # False: values other than the default are rejected.
    sampling: bool = False
    # False: the parameters are unknown, as with anthropic-version 2026-10-21 for every model.
    sampling_parameters: bool = True
    forced_tool: bool = False
    prefill: bool = False
    system_turns: bool = True
    geo: bool = True
    fast: bool = False
    minimum_prefix: int = 512


def _types(*names: str) -> frozenset[str]:
    return frozenset(names)


_NEWEST = ModelFacts("claude-fable-5-2", "2026-11-09", "fable")
_OFF_OR_ADAPTIVE = _types("adaptive", "disabled")
_OPUS_4_7 = replace(
    _NEWEST, id="claude-opus-4-7", created="2026-04-16", line="opus", thinking=_OFF_OR_ADAPTIVE,
    thinking_by_default="disabled", forced_tool=True, system_turns=False, minimum_prefix=2048,
)  # fmt: skip
_OPUS_4_6 = replace(
    _OPUS_4_7, id="claude-opus-4-6", created="2026-02-05", thinking=_types("adaptive", "enabled", "disabled"),
    efforts=_NO_XHIGH, sampling=True, display="summarized", minimum_prefix=4096, fast=True,
)  # fmt: skip
_OPUS_4_5 = replace(
    _OPUS_4_6, id="claude-opus-4-5-20251101", created="2025-11-24", thinking=_types("enabled", "disabled"),
    window=200_000, max_output=64_000, efforts=("low", "medium", "high"), prefill=True, geo=False, fast=False,
)  # fmt: skip
_OPUS_5 = replace(
    _NEWEST, id="claude-opus-5", created="2026-07-01", line="opus", thinking=_OFF_OR_ADAPTIVE,
    not_at_high_effort=_types("disabled"), forced_tool=True,
)  # fmt: skip

# Newest first, as the API lists them.
MODELS = (
    # A model newer than the gateway.
    replace(
        _NEWEST, id="claude-nova-6", created="2026-11-20", line=None, forced_tool=True, fast=True,
        thinking=_types("adaptive", "between_tools", "disabled", "enabled"),
    ),
    _NEWEST,
    replace(_NEWEST, id="claude-mythos-5-2", line="mythos"),
    replace(_NEWEST, id="claude-haiku-5-5", created="2026-10-07", line="haiku", thinking=_OFF_OR_ADAPTIVE,
            not_at_high_effort=_types("disabled"), forced_tool=True),
    replace(_NEWEST, id="claude-sonnet-5-5", created="2026-09-28", line="sonnet",
            thinking=_types("adaptive", "between_tools"), not_at_high_effort=_types("between_tools")),
    replace(_NEWEST, id="claude-opus-5-5", created="2026-09-22", line="opus", fast=True),
    replace(_NEWEST, id="claude-fable-5-1", created="2026-09-01"),
    replace(_NEWEST, id="claude-mythos-5-1", created="2026-09-01", line="mythos"),
    replace(_NEWEST, id="claude-fable-5", created="2026-07-15", forced_tool=True),
    replace(_NEWEST, id="claude-mythos-5", created="2026-07-15", line="mythos", forced_tool=True),
    _OPUS_5,
    replace(_OPUS_5, id="claude-sonnet-5", created="2026-06-15", line="sonnet", not_at_high_effort=frozenset(),
            system_turns=False, minimum_prefix=1024),
    replace(_OPUS_4_7, id="claude-opus-4-8", created="2026-05-20", system_turns=True, minimum_prefix=1024),
    _OPUS_4_7,
    replace(_NEWEST, id="claude-mythos-preview", created="2026-04-07", line="mythos", lifecycle="deprecated",
            thinking=_types("adaptive", "enabled"), efforts=_NO_XHIGH, system_turns=False),
    replace(_OPUS_4_6, id="claude-sonnet-4-6", created="2026-02-17", line="sonnet", minimum_prefix=1024, fast=False),
    _OPUS_4_6,
    _OPUS_4_5,
    replace(_OPUS_4_5, id="claude-haiku-4-5-20251001", created="2025-10-15", line="haiku", efforts=()),
    replace(_OPUS_4_5, id="claude-sonnet-4-5-20250929", created="2025-09-29", line="sonnet", efforts=(),
            lifecycle="deprecated", retires="2026-11-30", minimum_prefix=1024),
)  # fmt: skip
_DATE = re.compile(r"-\d{8}$")
_BY_NAME = {_DATE.sub("", model.id): model for model in MODELS}
_RETIRED = re.compile(r"claude-([123]|instant|(opus|sonnet)-4(-[01])?(-\d{8})?$)")


def facts_of(name: object) -> ModelFacts:
    """The facts for a model name with or without date. An unknown name gets the newest model's, with a larger output."""
    id_ = str(name)
    return _BY_NAME.get(_DATE.sub("", id_)) or replace(_NEWEST, id=id_, line=None, max_output=_NEWEST.window)


def is_served(name: object) -> bool:
    """Whether the API accepts this model name. Names of possible future models are accepted too."""
    return str(name).startswith("claude-") and not _RETIRED.match(str(name))


def thinking_type(params: Params, model: ModelFacts) -> str:
    """The type of the `thinking` parameter, or the model's default type."""
    return str(as_object(params.get("thinking")).get("type", model.thinking_by_default))
