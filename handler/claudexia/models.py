"""What each model takes. The facts are data (models.json); this file only finds the right row.

Source: https://platform.claude.com/docs/en/about-claude/models/overview; the API's own model list has no flag
for sampling, forced tool choice or prefill, so those have to be written down somewhere.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypedDict

from claudexia.errors import model_not_found

_DATED = re.compile(r"-(\d{8}|latest)$")
_PREFIX = "anthropic/"
_NOTICE_DAYS = 60


class _Row(TypedDict, total=False):
    released: str | None
    retires: str | None
    context_window: int | None
    max_output_tokens: int | None
    default_max_tokens: int
    thinking: list[str]
    effort: list[str]
    sampling: bool
    forced_tool_choice: bool
    prefill: bool
    thinks_by_default: bool
    shows_thinking: bool
    mid_conversation_system: bool
    min_cache_tokens: int


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """One model's capabilities; `id` is what is sent upstream. Limits are tokens, None where not known."""

    id: str
    released: str | None
    retires: str | None
    context_window: int | None
    max_output_tokens: int | None
    default_max_tokens: int
    thinking: tuple[str, ...]
    effort: tuple[str, ...]
    sampling: bool
    forced_tool_choice: bool
    prefill: bool
    thinks_by_default: bool
    shows_thinking: bool
    mid_conversation_system: bool
    min_cache_tokens: int


def _model(name: str, row: _Row) -> ClaudeModel:
    limit = row["max_output_tokens"]
    return ClaudeModel(
        id=name,
        released=row["released"],
        retires=row.get("retires"),
        context_window=row["context_window"],
        max_output_tokens=limit,
        # OpenAI's default is the model's own maximum.
        default_max_tokens=limit or row["default_max_tokens"],
        thinking=tuple(row["thinking"]),
        effort=tuple(row["effort"]),
        sampling=row["sampling"],
        forced_tool_choice=row["forced_tool_choice"],
        prefill=row["prefill"],
        thinks_by_default=row["thinks_by_default"],
        shows_thinking=row["shows_thinking"],
        mid_conversation_system=row["mid_conversation_system"],
        min_cache_tokens=row["min_cache_tokens"],
    )


_DATA = json.loads(Path(__file__).with_name("models.json").read_text("utf-8"))
SERVED: Mapping[str, ClaudeModel] = {name: _model(name, row) for name, row in _DATA["models"].items()}
RETIRED: Mapping[str, ClaudeModel] = {
    name: _model(name, row) for name, row in _DATA["retired"]["models"].items()
}
_KNOWN = {**SERVED, **RETIRED}
_UNKNOWN = _model("", _DATA["unknown"])


def find_model(name: str, aliases: Mapping[str, str]) -> ClaudeModel:
    """The model a client means by `name`: an alias, an id with or without its date, a dotted version.

    A Claude id that no row describes gets the row `unknown`; any other name is a 404 `model_not_found`.
    """
    wanted = _alias(name.strip(), aliases).lower().removeprefix(_PREFIX).replace(".", "-")
    if not wanted.startswith("claude-"):
        raise model_not_found(name)
    known = _KNOWN.get(wanted) or _KNOWN.get(undated(wanted)) or _UNKNOWN
    return known if known.id == wanted else replace(known, id=wanted)


def undated(name: str) -> str:
    """A model id without the date or `latest` at its end."""
    return _DATED.sub("", name)


def retirement_warning(model: ClaudeModel, today: date) -> str | None:
    """What to tell a caller whose model ends within 60 days of `today` or has ended.

    Source: https://platform.claude.com/docs/en/about-claude/model-deprecations
    """
    if not model.retires:
        return None
    left = (date.fromisoformat(model.retires) - today).days
    if left > _NOTICE_DAYS:
        return None
    if left > 0:
        return f"{model.id} retires on {model.retires}; requests for it fail from then on"
    return f"{model.id} retired on {model.retires}; requests for it may fail"


def _alias(name: str, aliases: Mapping[str, str]) -> str:
    exact = aliases.get(name)
    return exact or next((aliases[pattern] for pattern in aliases if fnmatchcase(name, pattern)), name)
