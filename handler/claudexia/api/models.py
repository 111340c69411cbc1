"""ModelCatalog: the models of GET /v1/models and GET /v1/models/{id}, in OpenAI's shape and in Anthropic's.

The upstream's list, fetched at most once an hour, decides which models there are, their names, dates and
inputs. The gateway's own data (models.json) decides what it supports of a model: thinking, effort, sampling,
tool choice, prefill.

Source: https://platform.claude.com/docs/en/api/models/list
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from claudexia.access.keys import Key, may_use, permit_model
from claudexia.errors import invalid_request
from claudexia.models import RETIRED, SERVED, ClaudeModel, find_model, undated
from claudexia.observability.log import log_warning
from claudexia.translate.types.anthropic import Flags, ModelInfo, ModelInfoPage
from claudexia.translate.types.openai import Capabilities, Model
from claudexia.upstream import Upstream

_NO_INFO: ModelInfo = {}
_PAGE, _MAX_PAGE = 20, 1000  # models
# Our names of the capabilities that the upstream lists, and their paths in its `capabilities`.
_CAPABILITY_PATHS: Mapping[str, tuple[str, ...]] = {
    "structured_outputs": ("structured_outputs",),
    "web_search": ("server_tools", "web_search"),
    "images": ("image_input",),
    "pdf": ("pdf_input",),
}


def listed_models(
    aliases: Mapping[str, str], today: date, upstream: Mapping[str, ModelInfo] | None = None
) -> list[Model]:
    """The models, then the operator's aliases. `upstream` is None if the upstream's list is not available."""
    names = SERVED if upstream is None else upstream
    exact = [name for name in aliases if "*" not in name]  # an alias with a wildcard has no single name
    return [listed_model(name, {}, today, upstream) for name in names] + [
        listed_model(name, aliases, today, upstream) for name in exact
    ]


def by_id(upstream: Iterable[ModelInfo]) -> dict[str, ModelInfo]:
    """The Claude models of `upstream` by id; a dated id also under its undated one, if models.json has that."""
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
    """The model with the id or alias `name`. Raises APIError 404 like find_model().

    `created` is in seconds, 0 if unknown. Dates are in ISO format and limits in tokens, None if unknown.
    """
    model = find_model(name, aliases)
    known = upstream or {}
    info = known.get(model.id) or known.get(undated(model.id)) or _NO_INFO
    released = info.get("created_at") or (f"{model.released}T00:00:00+00:00" if model.released else None)
    shutdown = (info.get("retires_at") or model.retires or "")[:10] or None
    model_object: Model = {
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
        model_object["display_name"] = display_name
    return model_object


def model_info(
    name: str, aliases: Mapping[str, str], today: date, upstream: Mapping[str, ModelInfo] | None = None
) -> ModelInfo:
    """The model with the id or alias `name` in Anthropic's shape, as the upstream lists it or from models.json.

    Raises APIError 404 like find_model().
    """
    model = listed_model(name, aliases, today, upstream)
    known = upstream or {}
    model_id = find_model(name, aliases).id
    created = datetime.fromtimestamp(model["created"], UTC)  # the API too has the epoch for an unknown date
    shutdown = model["shutdown_date"]
    info: ModelInfo = {
        "type": "model",
        "id": model["id"],
        "display_name": display_name(model["id"]),
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "lifecycle": model["lifecycle"] or "active",
        "retires_at": shutdown and f"{shutdown}T00:00:00Z",
        "max_input_tokens": model["context_window"],
        "max_tokens": model["max_output_tokens"],
    }
    return {**info, **(known.get(model_id) or known.get(undated(model_id)) or _NO_INFO), "id": model["id"]}


def display_name(model_id: str) -> str:
    """`claude-opus-5-5` as people write it: Claude Opus 5.5. A date is left out."""
    words = undated(model_id).split("-")
    name = " ".join(word.capitalize() for word in words if not word.isdecimal())
    version = ".".join(word for word in words if word.isdecimal())
    return f"{name} {version}".strip()


def page_of(infos: Sequence[ModelInfo], query: Mapping[str, str]) -> ModelInfoPage:
    """The page of `infos` that `limit`, `after_id` and `before_id` select.

    Raises APIError 400 for a limit that is out of range.

    Source: https://platform.claude.com/docs/en/api/models/list
    """
    limit = query.get("limit") or str(_PAGE)
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit) <= _MAX_PAGE):
        raise invalid_request(f"limit: Input should be a whole number from 1 to {_MAX_PAGE}", "limit")
    ids, size = [info["id"] for info in infos], int(limit)
    before, after = query.get("before_id"), query.get("after_id")
    if before in ids:
        end = ids.index(before)
        start = max(0, end - size)
        has_more = start > 0
    else:
        start = ids.index(after) + 1 if after in ids else 0
        end = start + size
        has_more = end < len(ids)
    page = list(infos[start:end])
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": has_more, "first_id": first, "last_id": last}


def _lifecycle(name: str, shutdown: str | None, today: date) -> str | None:
    if name in RETIRED or (shutdown and date.fromisoformat(shutdown) <= today):
        return "retired"
    if shutdown:
        return "deprecated"
    return "active" if name in SERVED else None


def _capabilities(model: ClaudeModel, flags: Flags) -> Capabilities:
    # Every served model has all four; for other models, only the upstream knows.
    default = True if undated(model.id) in SERVED else None
    listed = {name: _is_supported(flags, path, default) for name, path in _CAPABILITY_PATHS.items()}
    return {
        "thinking": list(model.thinking),
        "effort": list(model.effort),
        "sampling": model.sampling,
        "forced_tool_choice": model.forced_tool_choice,
        "prefill": model.prefill,
        "structured_outputs": listed["structured_outputs"],
        "web_search": listed["web_search"],
        "images": listed["images"],
        "pdf": listed["pdf"],
    }


def _is_supported(flags: Flags, path: tuple[str, ...], default: bool | None) -> bool | None:
    value: object = flags
    for key in (*path, "supported"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, bool) else default


_MAX_AGE = timedelta(hours=1)
_RETRY_AFTER = timedelta(minutes=1)
_TIMEOUT = 2.0  # seconds; Claude Code waits three for the list


class ModelCatalog:
    """The models that the gateway serves. `aliases` are the operator's; `now` returns the time with its zone.

    If the upstream's list is not available, models.json alone is used until the next attempt.
    """

    def __init__(self, upstream: Upstream, aliases: Mapping[str, str], now: Callable[[], datetime]) -> None:
        self._upstream = upstream
        self._aliases = aliases
        self._now = now
        self._refresh_lock = asyncio.Lock()
        self._upstream_models: Mapping[str, ModelInfo] | None = None
        self._next_refresh = datetime.min.replace(tzinfo=UTC)

    async def list_for(self, key: Key) -> list[Model]:
        """The models that `key` may use."""
        models = listed_models(self._aliases, self._now().date(), await self._refreshed())
        return [
            model for model in models if may_use(key, model["id"], find_model(model["id"], self._aliases).id)
        ]

    async def page_for(self, key: Key, query: Mapping[str, str]) -> ModelInfoPage:
        """The page that `query` selects of the models that `key` may use, in Anthropic's shape."""
        today = self._now().date()
        infos = [
            model_info(model["id"], self._aliases, today, self._upstream_models)
            for model in await self.list_for(key)
        ]
        return page_of(infos, query)

    async def retrieve_info(self, key: Key, name: str) -> ModelInfo:
        """retrieve() in Anthropic's shape."""
        await self.retrieve(key, name)
        return model_info(name, self._aliases, self._now().date(), self._upstream_models)

    async def retrieve(self, key: Key, name: str) -> Model:
        """Raises APIError 404 `model_not_found` if there is no such model, 403 if the key may not use it."""
        # Checked first: no request to the upstream for a wrong name.
        permit_model(key, name, find_model(name, self._aliases).id)
        return listed_model(name, self._aliases, self._now().date(), await self._refreshed())

    async def _refreshed(self) -> Mapping[str, ModelInfo] | None:
        async with self._refresh_lock:
            now = self._now()
            if now >= self._next_refresh:
                self._upstream_models = await self._fetch()
                self._next_refresh = now + (_RETRY_AFTER if self._upstream_models is None else _MAX_AGE)
            return self._upstream_models

    async def _fetch(self) -> Mapping[str, ModelInfo] | None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                response = await self._upstream.list_models()
            models = by_id(response["data"])
            listed_models({}, self._now().date(), models)  # raises for a list of another shape
        except Exception as error:  # a proxy may have no list, or one of another shape
            log_warning("the upstream's model list is not available", exception_type=type(error).__name__)
            return None
        return models
