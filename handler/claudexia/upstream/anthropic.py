"""AnthropicUpstream: the Messages API over httpx. Every failure is an APIError.

open() always streams, and returns once the first event has arrived, so that a failure
before it keeps its HTTP status. send() sends a client's own request, streamed or not. Only a connection that
could not be made is retried: clients retry already, and a request that reached the API may have been billed.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import cast

import httpx
from pydantic_core import from_json, to_json

from claudexia import __version__
from claudexia.errors import APIError, upstream_error
from claudexia.json_text import dump
from claudexia.settings import Settings
from claudexia.translate.response.event_shape import is_message
from claudexia.translate.sse import EventDecoder
from claudexia.translate.types.anthropic import Message, MessageCreateParams, MessageStreamEvent, ModelInfoList
from claudexia.upstream import RawRequest
from claudexia.upstream.errors import error_from_event, error_from_status
from claudexia.upstream.headers import native_headers, relayed_headers, retry_headers
from claudexia.upstream.secret import Secret, SecretsManagerSecret, StaticSecret

_CONNECT_TIMEOUT = 10.0  # seconds
_CONNECT_RETRIES = 2
_FINISH_TIMEOUT = 1.0  # seconds
_MODEL_FIELD = re.compile(rb'"model"\s*:\s*("[^"\\]*")')


class AnthropicUpstream:
    """One connection pool to one Messages API. `transport` replaces the network, for tests and the echo.

    Requests go to httpx's transport directly, not through its client: redirects and authentication are not
    wanted, a cookie jar would carry state from one caller's response to the next request, and the client is a
    tenth of a request's cost.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        base_url = settings.anthropic_base_url.rstrip("/").removesuffix("/v1")
        headers = {
            "accept": "text/event-stream",
            "accept-encoding": "identity",  # compression would delay events
            "anthropic-version": settings.anthropic_version,
            "content-type": "application/json",
            "user-agent": f"claudexia/{__version__}",
        }
        self._base_url = f"{base_url}/v1"
        self._messages_url = httpx.URL(f"{base_url}/v1/messages")
        self._models_url = httpx.URL(f"{base_url}/v1/models", params={"limit": 1000})
        self._headers = httpx.Headers(headers)
        self._sent_key = ""
        key, secret_name = settings.anthropic_api_key, settings.anthropic_api_key_secret
        self._key: Secret = SecretsManagerSecret(secret_name) if secret_name and not key else StaticSecret(key)
        timeout = httpx.Timeout(settings.upstream_timeout, connect=_CONNECT_TIMEOUT, pool=None)
        self._extensions = {"timeout": timeout.as_dict()}
        self._transport = transport or _transport(base_url)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def open(self, params: MessageCreateParams, now: datetime) -> "HTTPMessageStream":
        """See Upstream.open()."""
        headers = self._headers_with(await self._key.get())
        response = await self._post(self._messages_url, headers, dump(params))
        try:
            stream = HTTPMessageStream(response, params["model"], now)
            await stream.start()
        except BaseException:
            await _close(response)
            raise
        return stream

    async def send(self, request: RawRequest) -> "HTTPRawResponse":
        """See Upstream.send()."""
        headers = self._headers_with(await self._key.get()).copy()
        headers.update({"accept": "application/json", **request.headers})
        body = request.body if request.params["model"] == request.model else with_model(request)
        response = await self._post(httpx.URL(self._base_url + request.path), headers, body)
        try:
            raw = HTTPRawResponse(response, request)
            await raw.check_status()
        except BaseException:
            await _close(response)
            raise
        return raw

    async def _post(self, url: httpx.URL, headers: httpx.Headers, body: bytes) -> httpx.Response:
        request = httpx.Request("POST", url, headers=headers, content=body, extensions=self._extensions)
        with _as_api_errors():
            response = await self._transport.handle_async_request(request)
        self._forget_refused_key(response)
        return response

    async def list_models(self) -> ModelInfoList:
        """See Upstream.list_models(). Source: https://platform.claude.com/docs/en/api/models/list"""
        headers = self._headers_with(await self._key.get())
        request = httpx.Request(
            "GET",
            self._models_url,
            headers={**headers, "accept": "application/json"},
            extensions=self._extensions,
        )
        with _as_api_errors():
            response = await self._transport.handle_async_request(request)
            try:
                body = await response.aread()
            finally:
                await _close(response)
        self._forget_refused_key(response)
        if response.status_code != 200:
            raise error_from_status(response.status_code, body, "", {})
        models: ModelInfoList = from_json(body)
        return models

    def _forget_refused_key(self, response: httpx.Response) -> None:
        if response.status_code == 401:
            self._key.forget()

    def _headers_with(self, key: str) -> httpx.Headers:
        if key != self._sent_key:  # in the first request, and in the first after a rotation
            self._headers["x-api-key"] = self._sent_key = key
        return self._headers


class _HTTPResponse:
    """What MessageStreams and RawResponses share. `headers` are for the client's response."""

    def __init__(self, response: httpx.Response, model: str) -> None:
        # A dict, since httpx searches its own headers from end to end for each name.
        self._received = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw
        }
        self.headers: Mapping[str, str] = {}
        self._response = response
        self._model = model

    async def check_status(self) -> None:
        """Raises APIError for another status than 200."""
        if self._response.status_code != 200:
            body = await self._whole()
            raise error_from_status(self._response.status_code, body, self._model, self._failure_headers())

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
    """The RawResponse of an HTTP response. check_status() comes first."""

    def __init__(self, response: httpx.Response, request: RawRequest) -> None:
        super().__init__(response, request.model)
        self.headers = native_headers(self._received)
        is_json = "json" in self._received.get("content-type", "").lower()
        self.is_stream = request.params.get("stream") is True and not is_json
        self._reads = self._read()

    def _failure_headers(self) -> dict[str, str]:
        return dict(self.headers)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._reads

    async def read(self) -> bytes:
        return await self._whole()

    async def finish(self) -> bytes:
        """What follows until the end of the response, or within a second."""
        rest = b""
        with contextlib.suppress(APIError, TimeoutError):
            async with asyncio.timeout(_FINISH_TIMEOUT):
                async for data in self._reads:
                    rest += data
        return rest

    async def aclose(self) -> None:
        await self._reads.aclose()
        await _close(self._response)

    async def _read(self) -> AsyncGenerator[bytes, None]:
        with _as_api_errors():
            async for data in self._bytes():
                yield data


class HTTPMessageStream(_HTTPResponse):
    """The MessageStream of an HTTP response with server-sent events. start() comes first."""

    def __init__(self, response: httpx.Response, model: str, now: datetime) -> None:
        super().__init__(response, model)
        self.headers = relayed_headers(self._received, now)
        self.opening: Sequence[MessageStreamEvent] = ()
        self.message: Message
        self._reads = self._read()

    async def start(self) -> None:
        """Waits for message_start. Raises APIError for another status, no event, or another first event."""
        await self.check_status()
        first: MessageStreamEvent | None = None
        while first is None:
            try:
                self.opening = [*self.opening, *await anext(self._reads)]
            except StopAsyncIteration:
                raise upstream_error("The upstream answered with no events.") from None
            first = next((event for event in self.opening if event["type"] != "ping"), None)
        if first["type"] == "error":
            raise self.error(first)
        if first["type"] != "message_start" or not is_message(first.get("message")):
            raise upstream_error("The upstream's answer did not begin with a message.")
        self.message = first["message"]

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

    async def aclose(self) -> None:
        await self._reads.aclose()
        await _close(self._response)

    async def _read(self) -> AsyncGenerator[list[MessageStreamEvent], None]:
        decoder = EventDecoder()
        with _as_api_errors():
            async for data in self._bytes():
                if events := decoder.feed(data):
                    yield events
            if events := decoder.close():
                yield events


def with_model(request: RawRequest) -> bytes:
    """The body of `request` with its model id, and otherwise with the client's bytes if they can be kept.

    They cannot if the name of the field or its value is written with escapes. Then the whole body is written
    anew, which changes white space, escapes and the notation of numbers, but no value.
    """
    body, name = request.body, to_json(request.params["model"])
    for found in _MODEL_FIELD.finditer(body):
        if found[1] == name:
            changed = b"".join([body[: found.start(1)], to_json(request.model), body[found.end(1) :]])
            if from_json(changed)["model"] == request.model:  # else it is a nested field of the same name
                return changed
    return to_json({**request.params, "model": request.model})


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


def _transport(base_url: str) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=base_url.startswith("https:"),
        retries=_CONNECT_RETRIES,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        trust_env=False,
    )


@contextlib.contextmanager
def _as_api_errors() -> Iterator[None]:
    """Maps httpx's exceptions to APIErrors, without the exceptions' texts."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise upstream_error("The upstream could not be reached in time.", 504, "timeout") from error
    except httpx.TimeoutException as error:
        raise upstream_error("The upstream sent nothing for too long.", 504, "timeout") from error
    except httpx.ConnectError as error:
        raise upstream_error("The upstream could not be reached.") from error
    except httpx.HTTPError as error:
        raise upstream_error("The connection to the upstream broke.") from error
