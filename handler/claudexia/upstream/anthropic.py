"""The Messages API over httpx: status first, then events; every failure is an APIError.

The upstream is always asked to stream. `Upstream.open` returns once the first event has come, so that whatever
fails before it still has an HTTP status of its own. Nothing is retried but a connection that could not be made:
clients retry already, and a request that reached the API may have been paid for.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterator, Mapping
from datetime import datetime
from typing import cast

import httpx
from pydantic_core import from_json, to_json

from claudexia import __version__
from claudexia.errors import APIError, upstream_error
from claudexia.settings import Settings
from claudexia.translate.sse import EventDecoder
from claudexia.translate.types.anthropic import Message, MessageCreateParams, MessageStreamEvent, ModelInfoList
from claudexia.upstream.errors import error_from_event, error_from_status
from claudexia.upstream.headers import relayed_headers, retry_headers
from claudexia.upstream.secret import Secret, SecretsManagerSecret, StaticSecret

_CONNECT_TIMEOUT = 10.0
_CONNECT_RETRIES = 2
_FINISH_TIMEOUT = 1.0


class Upstream:
    """One connection pool to one Messages API. `transport` replaces the network, for tests and the echo.

    It is httpx's transport that is asked and not its client: redirects and authentication are not wanted, a
    cookie jar would carry something from one caller's answer to the next one's request, and a tenth of a
    request's cost goes with them.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        base_url = settings.anthropic_base_url.rstrip("/").removesuffix("/v1")
        headers = {
            "accept": "text/event-stream",
            "accept-encoding": "identity",  # a compressed event is a late event
            "anthropic-version": settings.anthropic_version,
            "content-type": "application/json",
            "user-agent": f"claudexia/{__version__}",
        }
        self._url = httpx.URL(f"{base_url}/v1/messages")
        self._models_url = httpx.URL(f"{base_url}/v1/models", params={"limit": 1000})
        self._headers = httpx.Headers(headers)
        self._sent_key = ""
        given, stored = settings.anthropic_api_key, settings.anthropic_api_key_secret
        self._key: Secret = SecretsManagerSecret(stored) if stored and not given else StaticSecret(given)
        timeout = httpx.Timeout(settings.upstream_timeout, connect=_CONNECT_TIMEOUT, pool=None)
        self._extensions = {"timeout": timeout.as_dict()}
        self._transport = transport or _transport(base_url)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def open(self, params: MessageCreateParams, now: datetime) -> "MessageStream":
        """Sends `params`; `now` turns the upstream's reset times into durations.

        Raises APIError for everything that goes wrong before the first event.
        """
        headers = self._headers_with(await self._key.get())
        request = httpx.Request(
            "POST", self._url, headers=headers, content=to_json(params), extensions=self._extensions
        )
        with _as_api_errors():
            response = await self._transport.handle_async_request(request)
        self._forget_refused_key(response)
        try:
            stream = MessageStream(response, params["model"], now)
            await stream.begin()
        except BaseException:
            await response.aclose()
            raise
        return stream

    async def models(self) -> ModelInfoList:
        """What the account may use, its shape unchecked. Raises APIError, or ValueError where it is no JSON.

        Source: https://platform.claude.com/docs/en/api/models/list
        """
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
                await response.aclose()
        self._forget_refused_key(response)
        if response.status_code != 200:
            raise error_from_status(response.status_code, body, "", {})
        listed: ModelInfoList = from_json(body)
        return listed

    def _forget_refused_key(self, response: httpx.Response) -> None:
        if response.status_code == 401:
            self._key.forget()

    def _headers_with(self, key: str) -> httpx.Headers:
        if key != self._sent_key:  # the first request, and the first after a rotation
            self._headers["x-api-key"] = self._sent_key = key
        return self._headers


class MessageStream:
    """An answer that has begun. Iterate for its events, one list per read; aclose() it in any case.

    `message` is how it began: its id and model, and no content yet.
    """

    def __init__(self, response: httpx.Response, model: str, now: datetime) -> None:
        # A dict, since httpx's own headers are searched from end to end for each name.
        self._received = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw
        }
        self.headers: Mapping[str, str] = relayed_headers(self._received, now)
        self._response = response
        self._model = model
        self._reads = self._events()
        self._first: list[MessageStreamEvent] = []
        self.message: Message

    async def begin(self) -> None:
        """Waits for the first event that is not a ping."""
        if self._response.status_code != 200:
            with _as_api_errors():
                body = await self._response.aread()
            raise error_from_status(self._response.status_code, body, self._model, self._failure_headers())
        opening: MessageStreamEvent | None = None
        while opening is None:
            try:
                self._first += await anext(self._reads)
            except StopAsyncIteration:
                raise upstream_error("The upstream answered with no events.") from None
            opening = next((event for event in self._first if event["type"] != "ping"), None)
        if opening["type"] == "error":
            raise self.error(opening)
        if opening["type"] != "message_start" or not _is_message(opening.get("message")):
            raise upstream_error("The upstream's answer did not begin with a message.")
        self.message = opening["message"]

    def error(self, event: Mapping[str, object]) -> APIError:
        return error_from_event(event, self._model, self._failure_headers())

    def _failure_headers(self) -> dict[str, str]:
        return {**self.headers, **retry_headers(self._received)}

    # No generator: one more around each event, and asyncio makes a task to close it once it is left midway.
    def __aiter__(self) -> "MessageStream":
        return self

    def __anext__(self) -> Awaitable[list[MessageStreamEvent]]:
        return self._taken() if self._first else anext(self._reads)

    async def _taken(self) -> list[MessageStreamEvent]:
        """What begin() has read."""
        first, self._first = self._first, []
        return first

    async def finish(self) -> None:
        """To be called after the message's last event: only a connection read to its end is used again.

        The answer is whole by then, so nothing that goes wrong here matters.
        """
        with contextlib.suppress(APIError, TimeoutError):
            async with asyncio.timeout(_FINISH_TIMEOUT):
                async for _ in self._reads:
                    pass

    async def aclose(self) -> None:
        await self._reads.aclose()
        await self._response.aclose()

    async def _events(self) -> AsyncGenerator[list[MessageStreamEvent], None]:
        decoder = EventDecoder()
        with _as_api_errors():
            async for data in self._bytes():
                if events := decoder.feed(data):
                    yield events
            if events := decoder.close():
                yield events

    def _bytes(self) -> AsyncIterable[bytes]:
        """Straight from the transport: what httpx puts around it doubles the cost of an event."""
        if "content-encoding" in self._received:  # not asked for, but proxies exist
            return self._response.aiter_bytes()
        return cast("httpx.AsyncByteStream", self._response.stream)


def _is_message(value: object) -> bool:
    """What all that follows builds on: an id, a model, and counts that can be added up."""
    if not isinstance(value, dict) or not isinstance(value.get("usage") or {}, dict):
        return False
    return isinstance(value.get("id"), str) and isinstance(value.get("model"), str)


def _transport(base_url: str) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=base_url.startswith("https:"),
        retries=_CONNECT_RETRIES,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        trust_env=False,
    )


@contextlib.contextmanager
def _as_api_errors() -> Iterator[None]:
    """httpx's exceptions in OpenAI's terms; what the network said is not for clients."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise upstream_error("The upstream could not be reached in time.", 504, "timeout") from error
    except httpx.TimeoutException as error:
        raise upstream_error("The upstream fell silent for too long.", 504, "timeout") from error
    except httpx.ConnectError as error:
        raise upstream_error("The upstream could not be reached.") from error
    except httpx.HTTPError as error:
        raise upstream_error("The connection to the upstream broke.") from error
