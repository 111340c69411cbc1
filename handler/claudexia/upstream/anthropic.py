"""HTTPHostClient: the Messages API of one host over httpx. Every failure is an APIError.

open() always streams, and returns once the first event has arrived, so that a failure before it keeps its HTTP
status. send() sends a client's own request, streamed or not. A connection that could not be made is retried,
and so is an overloaded host that asks to wait for a moment only, once. Nothing else is retried: clients do that
already, and a request that reached the API may have been billed.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import datetime
from typing import Any, TypeVar, cast

import httpx
from pydantic_core import from_json, to_json

from claudexia import __version__
from claudexia.aws.transport import tls_context
from claudexia.errors import APIError, upstream_error
from claudexia.json_text import dump
from claudexia.models import SERVED, ClaudeModel, claude_id, find_model
from claudexia.observability.record import UPSTREAM_HEADER
from claudexia.settings import HostName, Settings
from claudexia.translate.response.event_shape import is_message
from claudexia.translate.sse import EVENTS, EventDecoder
from claudexia.translate.types.anthropic import (
    Message,
    MessageCreateParams,
    MessageStreamEvent,
    ModelInfo,
    ModelInfoList,
)
from claudexia.upstream import FailedAttempts, RawRequest, SkipHostError
from claudexia.upstream.errors import HostError, error_from_event, error_from_status, unreachable
from claudexia.upstream.headers import host_request_id, native_headers, relayed_headers, retry_headers
from claudexia.upstream.hosts import to_host

_ResponseT = TypeVar("_ResponseT", bound="_HTTPResponse")

_CONNECT_TIMEOUT = 10.0  # seconds
_CONNECT_RETRIES = 2
_MAX_RETRY_WAIT = 2.0  # seconds, before one retry of an overloaded host
_JITTER = 0.5  # seconds
_FINISH_TIMEOUT = 1.0  # seconds
_MODEL_FIELD = re.compile(rb'"model"\s*:\s*("[^"\\]*")')


class HTTPHostClient:
    """One connection pool to one host. `transport` replaces the network, for tests and the echo.

    Requests go to httpx's transport directly, not through its client: redirects and authentication are not
    wanted, a cookie jar would carry state from one caller's response to the next request, and the client is a
    tenth of a request's cost.
    """

    def __init__(
        self,
        settings: Settings,
        transport: httpx.AsyncBaseTransport | None = None,
        host: HostName = "anthropic",
    ) -> None:
        retries = _CONNECT_RETRIES if settings.upstream_retry else 0
        self._host = to_host(host, settings)
        self._transport = transport or _transport(self._host.base_url, retries)
        headers = {
            "accept": "text/event-stream",
            "accept-encoding": "identity",  # compression would delay events
            "anthropic-version": settings.anthropic_version,
            "content-type": "application/json",
            "user-agent": f"claudexia/{__version__}",
            **self._host.headers,
        }
        self._messages_url = httpx.URL(f"{self._host.base_url}/v1/messages")
        self._models_url = httpx.URL(f"{self._host.base_url}/v1/models", params={"limit": 1000})
        self._headers = httpx.Headers(headers)
        timeout = httpx.Timeout(settings.upstream_timeout, connect=_CONNECT_TIMEOUT, pool=None)
        self._extensions = {"timeout": timeout.as_dict()}
        self._retry = settings.upstream_retry

    @property
    def name(self) -> HostName:
        return self._host.name

    def adapted(self, model: ClaudeModel) -> ClaudeModel:
        """See HostClient.adapted()."""
        return self._host.adapted(model)

    async def prepare(self) -> None:
        """See Upstream.prepare()."""
        with contextlib.suppress(APIError):
            await self._host.authentication.headers("POST", str(self._messages_url), self._headers, b"")

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def open(
        self, params: MessageCreateParams, now: datetime, failed: FailedAttempts
    ) -> "HTTPMessageStream":
        """See HostClient.open()."""
        sent_id = self._host.model_id(find_model(params["model"], {}))
        body = dump(params if sent_id == params["model"] else {**params, "model": sent_id})

        async def attempt() -> HTTPMessageStream:
            response = await self._post(self._messages_url, body)
            stream = HTTPMessageStream(response, params["model"], now, self._host.name)
            return await _started(stream)

        return await self._retried(attempt, failed)

    async def send(self, request: RawRequest, failed: FailedAttempts) -> "HTTPRawResponse":
        """See HostClient.send()."""
        if request.path != "/messages" and not self._host.counts_tokens:
            raise SkipHostError(APIError(404, f"{self._host.label} does not count the tokens of a request."))
        sent_id = self._host.model_id(find_model(request.model, {}))
        body = request.body if request.params["model"] == sent_id else with_model(request, sent_id)
        headers = self._headers.copy()
        headers.update({"accept": "application/json", **request.headers})
        url = httpx.URL(f"{self._host.base_url}/v1{request.path}")

        async def attempt() -> HTTPRawResponse:
            response = await self._post(url, body, headers)
            return await _started(HTTPRawResponse(response, request, self._host.name))

        return await self._retried(attempt, failed)

    async def _retried(
        self, attempt: Callable[[], Awaitable[_ResponseT]], failed: FailedAttempts
    ) -> _ResponseT:
        """What `attempt` returns, or once more, if the host is overloaded and asks to wait for a moment."""
        try:
            return await attempt()
        except HostError as error:
            wait = error.retry_after
            if not self._retry or error.fault != "overloaded" or not wait or wait > _MAX_RETRY_WAIT:
                raise
            failed.append(f"{self.name} {error.fault}")
        await asyncio.sleep(wait + random.uniform(0, _JITTER))  # noqa: S311  # no secret
        return await attempt()

    async def _post(self, url: httpx.URL, body: bytes, headers: httpx.Headers | None = None) -> httpx.Response:
        """`headers` replaces those that all requests have."""
        signed = await self._host.authentication.headers("POST", str(url), headers or self._headers, body)
        # As a stream, the body gets no headers from httpx, which looks for each of them first.
        added = [(b"Host", url.netloc), (b"Content-Length", b"%d" % len(body))]
        stream = httpx.ByteStream(body)
        request = httpx.Request(
            "POST", url, headers=[*added, *signed.raw], stream=stream, extensions=self._extensions
        )
        with _as_api_errors():
            response = await self._transport.handle_async_request(request)
        self._forget_refused(response)
        return response

    async def list_models(self) -> ModelInfoList:
        """See Upstream.list_models(). Source: https://platform.claude.com/docs/en/api/models/list"""
        if not self._host.lists_models:
            return {"data": [_model_info(self.adapted(model)) for model in SERVED.values()]}
        headers = self._headers.copy()
        headers["accept"] = "application/json"
        headers = await self._host.authentication.headers("GET", str(self._models_url), headers, b"")
        request = httpx.Request("GET", self._models_url, headers=headers, extensions=self._extensions)
        with _as_api_errors():
            response = await self._transport.handle_async_request(request)
            try:
                body = await response.aread()
            finally:
                await _close(response)
        self._forget_refused(response)
        if response.status_code != 200:
            raise error_from_status(response.status_code, body, "", {})
        models: ModelInfoList = from_json(body)
        return models

    def _forget_refused(self, response: httpx.Response) -> None:
        if response.status_code == 401:
            self._host.authentication.forget()


def _model_info(model: ClaudeModel) -> ModelInfo:
    """An entry of a host that has no list."""
    return {
        "id": model.id,
        "capabilities": {
            "structured_outputs": {"supported": model.host.structured_output},
            "server_tools": {"web_search": {"supported": model.host.server_tools}},
        },
    }


class _HTTPResponse:
    """What MessageStreams and RawResponses share. `headers` are for the client's response."""

    _reads: AsyncGenerator[Any, None]

    def __init__(self, response: httpx.Response, model: str, host: HostName) -> None:
        # A dict, since httpx searches its own headers from end to end for each name.
        self._received = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw
        }
        self.host = host
        self.headers: Mapping[str, str] = {}
        self._response = response
        self._model = model

    async def start(self) -> None:
        """Call it first. Raises APIError for another status than 200."""
        if self._response.status_code != 200:
            body = await self._whole()
            aws_type = self._received.get("x-amzn-errortype", "")
            status = self._response.status_code
            raise error_from_status(status, body, self._model, self._failure_headers(), aws_type)

    async def aclose(self) -> None:
        await self._reads.aclose()
        await _close(self._response)

    def error(self, event: Mapping[str, object]) -> APIError:
        return error_from_event(event, self._model, self._failure_headers())

    def _failure_headers(self) -> dict[str, str]:
        return {**self.headers, **retry_headers(self._received)}

    async def _whole(self) -> bytes:
        with _as_api_errors():
            return await self._response.aread()

    def _bytes(self) -> AsyncIterable[bytes]:
        """The body directly from the transport: httpx's layers around it double the cost of an event."""
        if "content-encoding" in self._received:  # not requested, but a proxy may compress
            return self._response.aiter_bytes()
        return cast("httpx.AsyncByteStream", self._response.stream)


class HTTPRawResponse(_HTTPResponse):
    """The RawResponse of an HTTP response. start() comes first."""

    def __init__(self, response: httpx.Response, request: RawRequest, host: HostName) -> None:
        super().__init__(response, request.model, host)
        self.headers = {
            **host_request_id(self._received),
            **native_headers(self._received),
            UPSTREAM_HEADER: host,
        }
        self.is_stream = request.path == "/messages" and request.params.get("stream") is True
        self._reads = self._read()

    def _failure_headers(self) -> dict[str, str]:
        return dict(self.headers)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reads

    async def read(self) -> bytes:
        return await self._whole()

    async def finish(self) -> bytes:
        """What follows until the end of the response, or within a second."""
        rest = bytearray()
        with contextlib.suppress(APIError, TimeoutError):
            async with asyncio.timeout(_FINISH_TIMEOUT):
                async for data in self._reads:
                    rest += data
        return bytes(rest)

    async def _read(self) -> AsyncGenerator[bytes, None]:
        with _as_api_errors():
            async for data in self._bytes():
                yield data


class HTTPMessageStream(_HTTPResponse):
    """The MessageStream of an HTTP response with server-sent events. start() comes first."""

    def __init__(self, response: httpx.Response, model: str, now: datetime, host: HostName) -> None:
        super().__init__(response, model, host)
        self.headers = {
            **host_request_id(self._received),
            **relayed_headers(self._received, now),
            UPSTREAM_HEADER: host,
        }
        self.opening: Sequence[MessageStreamEvent] = ()
        self.message: Message
        self._reads = self._read()

    async def start(self) -> None:
        """Waits for message_start. Raises APIError for another status, no event, or another first event."""
        await super().start()
        opening: list[MessageStreamEvent] = []
        first: MessageStreamEvent | None = None  # pings and event types of the future may precede it
        while first is None:
            try:
                events = await anext(self._reads)
            except StopAsyncIteration:
                raise upstream_error("The upstream answered with no events.") from None
            opening += events
            first = next((event for event in events if event["type"] in EVENTS), None)
        self.opening = opening
        if first["type"] == "error":
            raise self.error(first)
        if first["type"] != "message_start" or not is_message(first.get("message")):
            raise upstream_error("The upstream's answer did not begin with a message.")
        self.message = first["message"]
        if isinstance(model := self.message.get("model"), str):  # in place: the event is read by others, too
            self.message["model"] = claude_id(model)

    def __aiter__(self) -> AsyncIterator[list[MessageStreamEvent]]:
        return self._reads

    async def finish(self) -> None:
        """Reads the response to its end, at most for a second: only then can the connection be reused.

        The answer is complete by then, so failures are ignored.
        """
        with contextlib.suppress(APIError, TimeoutError):
            async with asyncio.timeout(_FINISH_TIMEOUT):
                async for _ in self._reads:
                    pass

    async def _read(self) -> AsyncGenerator[list[MessageStreamEvent], None]:
        decoder = EventDecoder()
        with _as_api_errors():
            async for data in self._bytes():
                if events := decoder.feed(data):
                    yield events
            if events := decoder.close():
                yield events


def with_model(request: RawRequest, model_id: str) -> bytes:
    """The body of `request` with `model_id`, and otherwise with the client's bytes if they can be kept.

    They cannot if the name of the field or its value is written with escapes. Then the whole body is written
    anew, which changes white space, escapes and the notation of numbers, but no value.
    """
    body, name = request.body, to_json(request.params["model"])
    for found in _MODEL_FIELD.finditer(body):
        if found[1] == name:
            changed = b"".join([body[: found.start(1)], to_json(model_id), body[found.end(1) :]])
            if from_json(changed)["model"] == model_id:  # else it is a nested field of the same name
                return changed
    return to_json({**request.params, "model": model_id})


async def _started(response: _ResponseT) -> _ResponseT:
    """`response` after its start. A failure closes it."""
    try:
        await response.start()
    except BaseException:
        await response.aclose()
        raise
    return response


async def _close(response: httpx.Response) -> None:
    """Closes `response`, and its connection too if more than the response was read from it.

    httpcore would take bytes that followed this response for the beginning of the next one.
    """
    network = response.extensions.get("network_stream")
    if network and _has_trailing_data(response):
        await network.aclose()
    await response.aclose()


def _has_trailing_data(response: httpx.Response) -> bool:
    """Whether h11 holds bytes after the response. httpcore has no public name for that; unknown means yes."""
    try:
        connection = response.stream._httpcore_stream._stream._connection  # type: ignore[union-attr]
        return bool(connection._h11_state.trailing_data[0])
    except AttributeError:
        return True


def _transport(url: str, retries: int) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=tls_context() if url.startswith("https:") else False,
        retries=retries,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        trust_env=False,
    )


@contextlib.contextmanager
def _as_api_errors() -> Iterator[None]:
    """Maps httpx's exceptions to APIErrors, without the exceptions' texts."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise unreachable("The upstream could not be reached in time.", 504, "timeout") from error
    except httpx.TimeoutException as error:
        raise upstream_error("The upstream sent nothing for too long.", 504, "timeout") from error
    except httpx.ConnectError as error:
        raise unreachable("The upstream could not be reached.") from error
    except httpx.HTTPError as error:
        raise upstream_error("The connection to the upstream broke.") from error
