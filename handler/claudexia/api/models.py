"""Models: what GET /v1/models and /v1/models/{id} answer, with an hourly look at the upstream's own list."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from claudexia.access.keys import Key, may_use, permit_model
from claudexia.models import RETIRED, SERVED, ClaudeModel, find_model, undated
from claudexia.observability.log import log_warning
from claudexia.translate.types.anthropic import Flags, ModelInfo
from claudexia.translate.types.openai import Capabilities, Model
from claudexia.upstream.anthropic import Upstream

# --- claudexia.translate.listing
# What GET /v1/models answers: the capability data, merged with what the upstream lists for this account.
#
# The upstream decides which models there are, their names, dates and what they read. The data decides what the
# gateway itself does with a model: thinking, effort, sampling, tool choice, prefill.
#
# Source: https://platform.claude.com/docs/en/api/models/list


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
) -> list[Model]:
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
) -> Model:
    """The model meant by `name`, as in find_model(), whose APIError 404 it raises.

    `created` is seconds, 0 if unknown; dates are ISO, limits tokens, None where not known.
    """
    model = find_model(name, aliases)
    known = upstream or {}
    info = known.get(model.id) or known.get(undated(model.id)) or _NOTHING
    released = info.get("created_at") or (f"{model.released}T00:00:00+00:00" if model.released else None)
    shutdown = (info.get("retires_at") or model.retires or "")[:10] or None
    listed: Model = {
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


def _capabilities(model: ClaudeModel, flags: Flags) -> Capabilities:
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


_FRESH = timedelta(hours=1)
_RETRY = timedelta(minutes=1)
_TIMEOUT = 5.0  # seconds


class Models:
    """The served models. `aliases` are the operator's, `now` gives the time with its zone.

    Where the upstream cannot be asked, the capability data answers alone until the next look.
    """

    def __init__(self, upstream: Upstream, aliases: Mapping[str, str], now: Callable[[], datetime]) -> None:
        self._upstream = upstream
        self._aliases = aliases
        self._now = now
        self._looking = asyncio.Lock()
        self._seen: Mapping[str, ModelInfo] | None = None
        self._next_look = datetime.min.replace(tzinfo=UTC)

    async def listed(self, key: Key) -> list[Model]:
        """Those that `key` may ask."""
        models = listed_models(self._aliases, self._now().date(), await self._look())
        return [
            model for model in models if may_use(key, model["id"], find_model(model["id"], self._aliases).id)
        ]

    async def retrieve(self, key: Key, name: str) -> Model:
        """Raises APIError 404 `model_not_found` where `name` is no Claude model, 403 where not the key's."""
        # A wrong name is worth no look at the upstream.
        permit_model(key, name, find_model(name, self._aliases).id)
        return listed_model(name, self._aliases, self._now().date(), await self._look())

    async def _look(self) -> Mapping[str, ModelInfo] | None:
        async with self._looking:
            now = self._now()
            if now >= self._next_look:
                self._seen = await self._ask()
                self._next_look = now + (_RETRY if self._seen is None else _FRESH)
            return self._seen

    async def _ask(self) -> Mapping[str, ModelInfo] | None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._upstream.models()
            seen = by_id(answer["data"])
            listed_models({}, self._now().date(), seen)  # what cannot be told is no list
        except Exception as error:  # a proxy may have no such list, or one of another shape
            log_warning("the upstream's model list is not available", exception_type=type(error).__name__)
            return None
        return seen
