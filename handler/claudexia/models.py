"""The Claude models: names, limits, capabilities and prices, one row a model in models.json.

Everything known about a model belongs in its row, also the ids it has on other hosts: no other table is keyed
by model. `find_model` returns the row for the name a client sends.

Source: https://platform.claude.com/docs/en/about-claude/models/overview. The API's own model list has no flag
for sampling, forced tool choice or prefill, so the data states them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from claudexia.errors import model_not_found, shorten

_DATE_SUFFIX = re.compile(r"-(\d{8}|latest)$")
_MAX_ID = 200  # characters; no id is near it, and warnings quote the id
_MAX_NAME = 1000  # the same with what hosts and routers put before and behind it
# What other hosts and routers put before and behind an id: bedrock/us.anthropic.ID-v1:0,
# openrouter/anthropic/ID, vertex_ai/ID@20250929, arn:aws:bedrock:...:inference-profile/us.anthropic.ID-v1:0.
_HOST_PREFIX = re.compile(
    r"(?:arn:aws[a-z-]*:bedrock:[a-z0-9:-]*:(?:foundation-model|inference-profile)/)?"
    r"(?:(?:bedrock|converse|invoke|converse_like|openrouter|vertex_ai|vertex|litellm|anthropic|claude)/)*"
    r"(?:(?:us|eu|apac|au|ca|jp|us-gov|global)\.)?(?:anthropic\.)?"
)
_HOST_VERSION = re.compile(r"-v\d+(?::\d+)?(?::\d+k)?$")
_HOST_DATE = re.compile(r"(?:-v\d+)?@(\d{8}|latest|default)$")
_ID = re.compile(r"claude-[a-z0-9-]+")
_RETIREMENT_NOTICE_DAYS = 60


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What a host of the Messages API takes of a model. `name` is for error messages.

    host               the host in the setting UPSTREAM; "" means not known
    url_sources        images and documents as URLs
    server_tools       tools that the host runs, such as web search
    structured_output  output_config.format
    strict_tools       `strict` in a tool's definition
    """

    name: str = "Anthropic"
    host: str = ""
    url_sources: bool = True
    server_tools: bool = True
    structured_output: bool = True
    strict_tools: bool = True


ALL_FEATURES = HostLimits()


@dataclass(frozen=True, slots=True)
class BedrockModel:
    """A model on Amazon Bedrock. `id` is without an inference profile's prefix."""

    id: str
    structured_output: bool = False
    strict_tools: bool = False


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """One row of models.json, whose `fields` explain the values. None means not known.

    id                    the model id, as Anthropic's API and clients have it
    default_max_tokens    max_tokens of a request without it: as with OpenAI, the model's maximum
    prices                USD per million tokens by kind of token; empty if not known
    assumed_prices_of     the model whose prices these are; empty if they are the model's own
    bedrock               the model on Amazon Bedrock
    host                  what the host that is called takes; the upstream sets it
    """

    id: str
    released: str | None
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
    retires: str | None = None
    prices: Mapping[str, float] = field(default_factory=dict, hash=False)
    assumed_prices_of: str = ""
    bedrock: BedrockModel = BedrockModel("")
    host: HostLimits = ALL_FEATURES


def _model(name: str, row: Mapping[str, Any]) -> ClaudeModel:
    own = {
        "default_max_tokens": row["max_output_tokens"],
        **row,
        "prices": _DATA["models"].get(row.get("assumed_prices_of"), row).get("prices", {}),
        "thinking": tuple(row["thinking"]),
        "effort": tuple(row["effort"]),
        "bedrock": BedrockModel(**{"id": _bedrock_id(name), **row.get("bedrock", {})}),
    }
    return ClaudeModel(id=name, **own)


def _bedrock_id(model_id: str) -> str:
    return f"anthropic.{model_id}"


_DATA = json.loads(Path(__file__).with_name("models.json").read_text("utf-8"))
SERVED: Mapping[str, ClaudeModel] = {name: _model(name, row) for name, row in _DATA["models"].items()}
RETIRED: Mapping[str, ClaudeModel] = {name: _model(name, row) for name, row in _DATA["retired"].items()}
KNOWN: Mapping[str, ClaudeModel] = {**SERVED, **RETIRED}
# USD per thousand searches.
WEB_SEARCH_PRICE: float = _DATA["web_search"]
_UNKNOWN = _model("", _DATA["unknown"])


def find_model(name: str, aliases: Mapping[str, str]) -> ClaudeModel:
    """The model for `name`, which is an alias, an id with or without its date, an id with a dotted version, or
    the id of another host of Claude.

    A Claude id without a row gets the row `unknown`. Any other name raises APIError 404 `model_not_found`.
    """
    full_name = _resolve_alias(name.strip(), aliases)
    return KNOWN.get(full_name) or _find_model(full_name, name)


def _find_model(full_name: str, name: str) -> ClaudeModel:
    if len(full_name) > _MAX_NAME:
        raise model_not_found(name)
    model_id = claude_id(full_name.lower()).replace(".", "-")
    if len(model_id) > _MAX_ID:
        raise model_not_found(name)
    if not _ID.fullmatch(model_id):
        known = _ID.match(model_id)
        raise model_not_found(name, f"the suffix '{shorten(model_id[known.end() :])}'" if known else "")
    model = KNOWN.get(model_id) or KNOWN.get(undated(model_id))
    if model is None:
        return replace(_UNKNOWN, id=model_id, bedrock=BedrockModel(_bedrock_id(model_id)))
    return model if model.id == model_id else replace(model, id=model_id)


def claude_id(name: str) -> str:
    """`name` without what hosts other than Anthropic's API add to an id; a date behind an @ is kept."""
    prefix = _HOST_PREFIX.match(name)
    own = name[prefix.end() :] if prefix else name
    dated = _HOST_DATE.sub(lambda date: "" if date[1] == "default" else f"-{date[1]}", own)
    return _HOST_VERSION.sub("", dated)


def undated(model_id: str) -> str:
    """`model_id` without a trailing date or `latest`."""
    return _DATE_SUFFIX.sub("", model_id)


def retirement_warning(model: ClaudeModel, today: date) -> str | None:
    """The warning for a model that retires within 60 days of `today` or has retired; otherwise None.

    Source: https://platform.claude.com/docs/en/about-claude/model-deprecations
    """
    if not model.retires:
        return None
    days_left = (date.fromisoformat(model.retires) - today).days
    if days_left > _RETIREMENT_NOTICE_DAYS:
        return None
    if days_left > 0:
        return f"{model.id} retires on {model.retires}; requests for it fail from that day on"
    return f"{model.id} retired on {model.retires}; requests for it may fail"


def _resolve_alias(name: str, aliases: Mapping[str, str]) -> str:
    exact = aliases.get(name)
    return exact or next((aliases[pattern] for pattern in aliases if fnmatchcase(name, pattern)), name)
