"""Models: what GET /v1/models and /v1/models/{id} answer, with an hourly look at the upstream's own list."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from claudexia.access.keys import Key, may_use, permit_model
from claudexia.telemetry import log_fact
from claudexia.translate import find_model
from claudexia.translate.listing import ModelInfo, by_id, listed_model, listed_models
from claudexia.translate.openai import Model
from claudexia.upstream import Upstream

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
            log_fact("the upstream's model list is not to be had", exception_type=type(error).__name__)
            return None
        return seen
