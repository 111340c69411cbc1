"""Where Claude runs, behind two Protocols: Upstream, which is one host or several in turn, and HostClient.

`failover.FailoverUpstream` is the Upstream, `anthropic.HTTPHostClient` the client of each of the `hosts`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from claudexia.errors import APIError
from claudexia.models import ClaudeModel
from claudexia.settings import HostName
from claudexia.translate.types.anthropic import Message, MessageCreateParams, MessageStreamEvent, ModelInfoList

StartedT = TypeVar("StartedT")
# Attempts in vain, in their order, as `bedrock throttled`.
FailedAttempts = list[str]


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


class RawRequest(NamedTuple):
    """A request in the Messages API's own format. It is sent as it is, but for what the host needs changed.

    path       `/messages` or `/messages/count_tokens`
    body       the client's bytes, a JSON object
    params     the same object, decoded
    model      the id of the Claude model to use; `params["model"]` may be another name of it
    headers    the client's `anthropic-version` and `anthropic-beta`, as far as it sent them
    """

    path: str
    body: bytes
    params: Mapping[str, object]
    model: str
    headers: Mapping[str, str]


class RawResponse(Protocol):
    """A response with status 200, in the Messages API's own format. Call aclose() in any case.

    `headers` are for the client's response. If it `is_stream`, iterate for the bytes of its server-sent events
    as they arrive; otherwise read() the whole body.
    """

    host: HostName
    headers: Mapping[str, str]
    is_stream: bool

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises APIError if the connection breaks."""

    async def read(self) -> bytes:
        """Raises APIError if the connection breaks."""

    def error(self, event: Mapping[str, object]) -> APIError:
        """The error for an `error` event of this stream; its `original` is the event's."""

    async def finish(self) -> bytes:
        """Call after message_stop: what follows until the end, so that the connection can be reused.

        Never fails.
        """

    async def aclose(self) -> None: ...


class SkipHostError(Exception):
    """The host of an attempt does not take the request. `error` is what the client gets if no host takes it."""

    def __init__(self, error: APIError) -> None:
        super().__init__(error.message)
        self.error = error


class HostClient(Protocol):
    """The Messages API of one host."""

    @property
    def name(self) -> HostName: ...

    def adapted(self, model: ClaudeModel) -> ClaudeModel:
        """`model` as this host serves it, for the translation of a request."""

    async def open(self, params: MessageCreateParams, now: datetime, failed: FailedAttempts) -> MessageStream:
        """Sends `params` and returns once the message has started.

        `now` has a time zone; reset times in the response headers become durations from it. An attempt that was
        repeated is added to `failed`. Raises APIError for everything that fails before the first event.
        """

    async def send(self, request: RawRequest, failed: FailedAttempts) -> RawResponse:
        """Sends `request` and returns once the response has started. `failed` is as for open().

        Raises APIError for everything that fails before. Its `original` is the upstream's own error, unless the
        error concerns the gateway itself or is not in Anthropic's envelope. Raises SkipHostError if the host
        does not have the request's path.
        """


class Upstream(Protocol):
    """The hosts that the settings name."""

    def hosts(self, model_id: str) -> Sequence[HostClient]:
        """The hosts in the order in which a request for the model would try them now."""

    async def start(
        self, model_id: str, attempt: Callable[[HostClient], Awaitable[StartedT]], failed: FailedAttempts
    ) -> StartedT:
        """What `attempt` returns for the first host that answers.

        `attempt` returns once the answer has begun, and raises what its host raises, or SkipHostError. Attempts
        in vain are added to `failed`. Raises the APIError of the first host that was called if none answers;
        its headers name that host.
        """

    async def prepare(self) -> None:
        """Fetches the secrets of the hosts for the first request. Failures are left to that request."""

    async def list_models(self) -> ModelInfoList:
        """The models of the account, not validated. Raises APIError, or ValueError if the body is not JSON."""

    async def aclose(self) -> None: ...
