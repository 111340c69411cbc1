"""Where Claude runs, behind one Protocol: Upstream opens a MessageStream and lists the models.

`anthropic.AnthropicUpstream` calls one of the `hosts`, `failover.FailoverUpstream` several of them in turn.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from claudexia.errors import APIError
from claudexia.models import ClaudeModel
from claudexia.settings import HostName
from claudexia.translate.types.anthropic import Message, MessageCreateParams, MessageStreamEvent, ModelInfoList


class MessageStream(Protocol):
    """An answer that has started. Call aclose() in any case.

    `message` is the message as it started: its id and model, its content not yet. `opening` are the events
    read so far, message_start among them; iterate for the events that follow, one list per network read.
    `headers` are for the client's response. `host` is where the answer runs.
    """

    host: HostName
    headers: Mapping[str, str]
    message: Message
    opening: Sequence[MessageStreamEvent]

    def __aiter__(self) -> AsyncIterator[Sequence[MessageStreamEvent]]:
        """Raises APIError if the connection breaks or the upstream sends something else than events."""

    def error(self, event: Mapping[str, object]) -> APIError:
        """The error for an `error` event of this stream."""

    async def finish(self) -> None:
        """Call after message_stop: reads to the end, so that the connection can be reused. Never fails."""

    async def aclose(self) -> None: ...


class Upstream(Protocol):
    """One Messages API, on one host or on several."""

    def adapted(self, model: ClaudeModel) -> ClaudeModel:
        """`model` as the first host serves it, for the translation of a request."""

    async def open(
        self, params: MessageCreateParams, now: datetime, host: HostName | None = None
    ) -> MessageStream:
        """Sends `params` and returns once the message has started.

        `now` has a time zone; reset times in the response headers become durations from it. `host` is the only
        one to call, None for any. Raises APIError for everything that fails before the first event.
        """

    async def list_models(self) -> ModelInfoList:
        """The models of the account, not validated. Raises APIError, or ValueError if the body is not JSON."""

    async def aclose(self) -> None: ...
