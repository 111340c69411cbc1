"""What GET /v1/models answers: the capability data, merged with what the upstream lists for this account.

The upstream decides which models there are, their names, dates and what they read. The data decides what the
gateway itself does with a model: thinking, effort, sampling, tool choice, prefill.

Source: https://platform.claude.com/docs/en/api/models/list
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TypedDict

from claudexia.translate.models import RETIRED, SERVED, Model, find_model, undated
from claudexia.translate.openai import Capabilities
from claudexia.translate.openai import Model as ListedModel

Flags = Mapping[str, object]


class ModelInfo(TypedDict, total=False):
    """One model of the upstream's list, as far as it is used. `capabilities` nests {"supported": bool}."""

    id: str
    display_name: str | None
    created_at: str | None
    lifecycle: str | None
    retires_at: str | None
    max_input_tokens: int | None
    max_tokens: int | None
    capabilities: Flags | None


class ModelInfoList(TypedDict):
    """What the upstream answers to GET /v1/models."""

    data: list[ModelInfo]


_NOTHING: ModelInfo = {}
# Where the upstream's `capabilities` tell what a model reads and does beyond the data.
_FLAGS: Mapping[str, tuple[str, ...]] = {
    "structured_outputs": ("structured_outputs",),
    "web_search": ("server_tools", "web_search"),
    "images": ("image_input",),
    "pdf": ("pdf_input",),
}


def listed_models(
    aliases: Mapping[str, str], today: date, upstream: Mapping[str, ModelInfo] | None = None
) -> list[ListedModel]:
    """The models, then the operator's aliases for them. `upstream` is None where it could not be asked."""
    names = SERVED if upstream is None else upstream
    named = [name for name in aliases if "*" not in name]
    return [listed_model(name, {}, today, upstream) for name in names] + [
        listed_model(name, aliases, today, upstream) for name in named
    ]


def by_id(upstream: Iterable[ModelInfo]) -> dict[str, ModelInfo]:
    """The Claude models among `upstream`; a dated one also under its short id, where that is in the data."""
    found: dict[str, ModelInfo] = {}
    for info in upstream:
        name = info["id"]
        if name.startswith("claude-"):
            if undated(name) in SERVED:
                found.setdefault(undated(name), info)
            found[name] = info
    return found


def listed_model(
    name: str, aliases: Mapping[str, str], today: date, upstream: Mapping[str, ModelInfo] | None = None
) -> ListedModel:
    """The model meant by `name`, as in find_model(), whose APIError 404 it raises.

    `created` is seconds, 0 if unknown; dates are ISO, limits tokens, None where not known.
    """
    model = find_model(name, aliases)
    known = upstream or {}
    info = known.get(model.id) or known.get(undated(model.id)) or _NOTHING
    released = info.get("created_at") or (f"{model.released}T00:00:00+00:00" if model.released else None)
    shutdown = (info.get("retires_at") or model.retires or "")[:10] or None
    listed: ListedModel = {
        "id": name if name in aliases else model.id,
        "object": "model",
        "created": int(datetime.fromisoformat(released).timestamp()) if released else 0,
        "owned_by": "anthropic",
        "shutdown_date": shutdown,
        "lifecycle": info.get("lifecycle") or _lifecycle(undated(model.id), shutdown, today),
        "context_window": model.context_window or info.get("max_input_tokens"),
        "max_output_tokens": model.max_output_tokens or info.get("max_tokens"),
        "capabilities": _capabilities(model, info.get("capabilities") or {}),
    }
    if display_name := info.get("display_name"):
        listed["display_name"] = display_name
    return listed


def _lifecycle(name: str, shutdown: str | None, today: date) -> str | None:
    if name in RETIRED or (shutdown and date.fromisoformat(shutdown) <= today):
        return "retired"
    if shutdown:
        return "deprecated"
    return "active" if name in SERVED else None


def _capabilities(model: Model, flags: Flags) -> Capabilities:
    # Every model that is still served takes all four; of others only the upstream knows.
    default = True if undated(model.id) in SERVED else None
    told = {name: _supported(flags, way, default) for name, way in _FLAGS.items()}
    return {
        "thinking": list(model.thinking),
        "effort": list(model.effort),
        "sampling": model.sampling,
        "forced_tool_choice": model.forced_tool_choice,
        "prefill": model.prefill,
        "structured_outputs": told["structured_outputs"],
        "web_search": told["web_search"],
        "images": told["images"],
        "pdf": told["pdf"],
    }


def _supported(flags: Flags, way: tuple[str, ...], default: bool | None) -> bool | None:
    here: object = flags
    for step in (*way, "supported"):
        here = here.get(step) if isinstance(here, Mapping) else None
    return here if isinstance(here, bool) else default
