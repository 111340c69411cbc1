"""FailoverUpstream: several hosts behind the one Protocol; open_upstream() wires what the settings name.

A request goes to the next host only if a host refused it before its first event for a reason of its own: no
connection, an error status, the account's rate limit with a long wait, a model that it does not have. A request
that reached a host and got no answer may have been billed, and one that is invalid is so everywhere: neither is
repeated. A host that failed for a model gets no requests for it for a while; then one request tries it again.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import httpx

from claudexia.errors import APIError
from claudexia.models import ClaudeModel, find_model
from claudexia.observability.record import FAILED_UPSTREAMS_HEADER
from claudexia.settings import HostName, Settings
from claudexia.translate.request.host_limits import missing_feature
from claudexia.translate.types.anthropic import MessageCreateParams, ModelInfoList
from claudexia.upstream import MessageStream, RawRequest, RawResponse, Upstream
from claudexia.upstream.anthropic import AnthropicUpstream, HTTPMessageStream, HTTPRawResponse
from claudexia.upstream.errors import HostError

Response = TypeVar("Response", HTTPMessageStream, HTTPRawResponse)

# Seconds without requests for a host and a model.
_PAUSE = 10.0
_MAX_PAUSE = 60.0
# A model or an account that is missing will not be there in a moment.
_LONG_FAULTS = ("no_model", "account")


def open_upstream(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Upstream:
    """`transport` replaces the network to all hosts."""
    hosts = [AnthropicUpstream(settings, transport, name) for name in settings.upstream]
    return hosts[0] if len(hosts) == 1 else FailoverUpstream(hosts, settings.upstream_max_wait)


class FailoverUpstream:
    """`hosts` in the order in which they are tried. `max_wait` and `clock` are in seconds."""

    def __init__(
        self,
        hosts: Sequence[AnthropicUpstream],
        max_wait: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = hosts
        self._max_wait = max_wait
        self._circuits = _Circuits(clock)

    def adapted(self, model: ClaudeModel) -> ClaudeModel:
        """See Upstream.adapted()."""
        return self._hosts[0].adapted(model)

    async def aclose(self) -> None:
        for upstream in self._hosts:
            await upstream.aclose()

    async def open(
        self, params: MessageCreateParams, now: datetime, host: HostName | None = None
    ) -> MessageStream:
        """See Upstream.open(). Raises the error of the first host that was called if all of them fail."""
        if host:
            return await self._named(host).open(params, now)

        async def open_on(upstream: AnthropicUpstream) -> HTTPMessageStream:
            return await upstream.open(params, now)

        return await self._first(self._able(params, params["model"]), params["model"], open_on)

    async def send(self, request: RawRequest) -> RawResponse:
        """See Upstream.send()."""
        able = self._able(request.params, request.model)
        if request.path != "/messages":
            able = [each for each in able if each.host.counts_tokens] or able

        async def send_to(upstream: AnthropicUpstream) -> HTTPRawResponse:
            return await upstream.send(request)

        return await self._first(able, request.model, send_to)

    async def _first(
        self,
        able: Sequence[AnthropicUpstream],
        model: str,
        call: Callable[[AnthropicUpstream], Awaitable[Response]],
    ) -> Response:
        """The response of the first host that answers. If all fail, raises the error of the first one."""
        failures: list[tuple[str, HostError]] = []
        for upstream in self._candidates(able, model):
            name, circuit = upstream.host.name, (upstream.host.name, model)
            try:
                response = await call(upstream)
            except HostError as error:
                failures.append((name, error))
                if not self._fails_over(error):
                    self._circuits.release(circuit)
                    break
                self._circuits.open(circuit, error)
            except BaseException:  # the request's own fault, or cancelled
                self._circuits.release(circuit)
                raise
            else:
                self._circuits.close(circuit)
                if failures:
                    response.headers = {**response.headers, FAILED_UPSTREAMS_HEADER: _reasons(failures)}
                return response
        first = failures[0][1]
        first.headers = {**first.headers, FAILED_UPSTREAMS_HEADER: _reasons(failures)}
        raise first

    async def list_models(self) -> ModelInfoList:
        """The list of the first host that answers."""
        *others, last = self._hosts
        for upstream in others:
            try:
                return await upstream.list_models()
            except APIError:
                continue
        return await last.list_models()

    def _named(self, host: HostName) -> AnthropicUpstream:
        return next(upstream for upstream in self._hosts if upstream.host.name == host)

    def _fails_over(self, error: HostError) -> bool:
        """A short wait is left to the client, whose SDK waits and tries again."""
        return error.fault != "throttled" or error.retry_after is None or error.retry_after > self._max_wait

    def _able(self, params: Mapping[str, object], model_id: str) -> Sequence[AnthropicUpstream]:
        """The hosts that take the request; the first one if none does, whose error tells why."""
        model = find_model(model_id, {})
        able = [each for each in self._hosts if not missing_feature(params, each.host.limits(model))]
        return able or [self._hosts[0]]

    def _candidates(self, able: Sequence[AnthropicUpstream], model: str) -> Iterator[AnthropicUpstream]:
        """Of the hosts that take the request, those that pause come only if all of them do."""
        tried = False
        for upstream in able:
            if self._circuits.admits((upstream.host.name, model)):
                tried = True
                yield upstream
        if not tried:
            yield from able


_Key = tuple[HostName, str]


@dataclass(slots=True)
class _Circuit:
    """A pause of one host for one model, until a time of the clock. Then `probing` one request."""

    until: float
    probing: bool = False


class _Circuits:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[_Key, _Circuit] = {}

    def admits(self, key: _Key) -> bool:
        """Whether a request may be sent now. After a pause, one is, until its outcome is known."""
        circuit = self._open.get(key)
        if circuit is None:
            return True
        if circuit.probing or self._clock() < circuit.until:
            return False
        circuit.probing = True
        return True

    def open(self, key: _Key, error: HostError) -> None:
        now = self._clock()
        # Models are the clients' text, so failures must not accumulate.
        self._open = {each: found for each, found in self._open.items() if found.until > now - _MAX_PAUSE}
        pause = _MAX_PAUSE if error.fault in _LONG_FAULTS else error.retry_after or _PAUSE
        self._open[key] = _Circuit(now + min(pause, _MAX_PAUSE))

    def release(self, key: _Key) -> None:
        """The outcome says nothing about the host: the next request is the probe."""
        if circuit := self._open.get(key):
            circuit.probing = False

    def close(self, key: _Key) -> None:
        self._open.pop(key, None)


def _reasons(failures: Sequence[tuple[str, HostError]]) -> str:
    return ", ".join(f"{name} {error.fault}" for name, error in failures)
