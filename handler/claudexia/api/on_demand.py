"""The parts of the API that a process imports with the first request for them.

Nearly every cold start ends with a chat completion, so only what that needs is imported before. Each function
returns a substitute, or a function that creates the part once and then returns it.
"""

# ruff: noqa: PLC0415

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from claudexia.access.response_store import ResponseStore
from claudexia.api.completions import Caller, CompletionAPI, CompletionRequest, ResponseContext
from claudexia.generation.billing import Billing
from claudexia.generation.streaming import Encoder
from claudexia.settings import Settings
from claudexia.translate.report import FieldWarning, Report
from claudexia.translate.types.anthropic import Message
from claudexia.upstream import Upstream

if TYPE_CHECKING:
    from claudexia.api.messages import MessagesHandler
    from claudexia.api.models import ModelCatalog
    from claudexia.api.responses import StoredResponses

Now = Callable[[], datetime]


class _CompletionAPIOnDemand:
    """A CompletionAPI that `load` imports and creates. Its requests begin with read()."""

    def __init__(self, load: Callable[[], CompletionAPI]) -> None:
        self._api = cache(load)

    async def read(self, body: bytes, caller: Caller, report: Report) -> CompletionRequest:
        return await self._api().read(body, caller, report)

    def body(self, messages: Sequence[Message], context: ResponseContext, cost: float | None) -> bytes:
        return self._api().body(messages, context, cost)

    def encoder(self, messages: Sequence[Message], context: ResponseContext) -> Encoder:
        return self._api().encoder(messages, context)

    async def save(self, message: Message, context: ResponseContext) -> FieldWarning | None:
        return await self._api().save(message, context)


def text_completions() -> CompletionAPI:
    def load() -> CompletionAPI:
        from claudexia.api.text_completions import TextCompletions

        return TextCompletions()

    return _CompletionAPIOnDemand(load)


def responses(store: ResponseStore | None) -> CompletionAPI:
    def load() -> CompletionAPI:
        from claudexia.api.responses import Responses

        return Responses(store)

    return _CompletionAPIOnDemand(load)


def stored_responses(store: ResponseStore | None, now: Now) -> "Callable[[], StoredResponses]":
    @cache
    def load() -> "StoredResponses":
        from claudexia.api.responses import StoredResponses

        return StoredResponses(store, now)

    return load


def messages_handler(
    settings: Settings, upstream: Upstream, billing: Billing, now: Now
) -> "Callable[[], MessagesHandler]":
    @cache
    def load() -> "MessagesHandler":
        from claudexia.api.messages import MessagesHandler

        return MessagesHandler(settings, upstream, billing, now)

    return load


def model_catalog(settings: Settings, upstream: Upstream, now: Now) -> "Callable[[], ModelCatalog]":
    @cache
    def load() -> "ModelCatalog":
        from claudexia.api.models import ModelCatalog

        return ModelCatalog(upstream, settings.model_aliases, now)

    return load
