"""FailoverUpstream: the hosts of the setting UPSTREAM in turn; open_upstream() wires them.

A request goes to the next host only if a host refused it before its first event for a reason of its own: no
connection, an error status, the account's rate limit with a long wait, a model that it does not have. A request
that reached a host and got no answer may have been billed, and one that is invalid is so everywhere: neither is
repeated. A host that failed for a model gets no requests for it for a while; then one request tries it again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from claudexia.errors import APIError
from claudexia.observability.record import UPSTREAM_HEADER
from claudexia.settings import HostName, Settings
from claudexia.translate.types.anthropic import ModelInfoList
from claudexia.upstream import FailedAttempts, HostClient, SkipHostError, StartedT, Upstream
from claudexia.upstream.anthropic import HTTPHostClient
from claudexia.upstream.errors import HostError

# Seconds without requests for a host and a model.
_PAUSE = 10.0
_MAX_PAUSE = 60.0
# A model or an account that is missing will not be there in a moment.
_LONG_FAULTS = ("no_model", "account")


def open_upstream(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Upstream:
    """`transport` replaces the network to all hosts."""
    hosts = [HTTPHostClient(settings, transport, name) for name in settings.upstream]
    return FailoverUpstream(hosts, settings.upstream_max_wait)


class FailoverUpstream:
    """`hosts` in the order in which they are tried. `max_wait` and `clock` are in seconds."""

    def __init__(
        self,
        hosts: Sequence[HTTPHostClient],
        max_wait: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = hosts
        self._max_wait = max_wait
        self._circuits = _Circuits(clock)

    def hosts(self, model_id: str) -> Sequence[HostClient]:
        """See Upstream.hosts()."""
        return sorted(self._hosts, key=lambda host: self._circuits.pauses((host.name, model_id)))

    async def prepare(self) -> None:
        """See Upstream.prepare()."""
        await asyncio.gather(*(host.prepare() for host in self._hosts))

    async def aclose(self) -> None:
        for host in self._hosts:
            await host.aclose()

    async def start(
        self, model_id: str, attempt: Callable[[HostClient], Awaitable[StartedT]], failed: FailedAttempts
    ) -> StartedT:
        """See Upstream.start()."""
        errors: list[APIError] = []
        skipped: list[APIError] = []
        for host in self._candidates(model_id, errors):
            circuit = (host.name, model_id)
            try:
                started = await attempt(host)
            except HostError as error:
                errors.append(_with_host(error, host))
                failed.append(f"{host.name} {error.fault}")
                if not self._fails_over(error):
                    self._circuits.release(circuit)
                    break
                self._circuits.open(circuit, error)
            except SkipHostError as skip:
                self._circuits.release(circuit)
                skipped.append(skip.error)
            except BaseException as error:  # the request's own fault, or cancelled
                self._circuits.release(circuit)
                if isinstance(error, APIError):
                    _with_host(error, host)
                raise
            else:
                self._circuits.close(circuit)
                return started
        raise (errors or skipped)[0]

    async def list_models(self) -> ModelInfoList:
        """The list of the first host that answers."""
        *others, last = self._hosts
        for host in others:
            try:
                return await host.list_models()
            except APIError:
                continue
        return await last.list_models()

    def _fails_over(self, error: HostError) -> bool:
        """A short wait is left to the client, whose SDK waits and tries again."""
        return error.fault != "throttled" or error.retry_after is None or error.retry_after > self._max_wait

    def _candidates(self, model_id: str, errors: Sequence[APIError]) -> Iterator[HTTPHostClient]:
        """The hosts that do not pause; then the others, if none was called, so that there are no `errors`."""
        paused: list[HTTPHostClient] = []
        for host in self._hosts:
            if self._circuits.admits((host.name, model_id)):
                yield host
            else:
                paused.append(host)
        if not errors:
            yield from paused


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

    def pauses(self, key: _Key) -> bool:
        """Whether a request would not be sent now."""
        circuit = self._open.get(key)
        return circuit is not None and (circuit.probing or self._clock() < circuit.until)

    def admits(self, key: _Key) -> bool:
        """Whether a request may be sent now. After a pause, one is, until its outcome is known."""
        if self.pauses(key):
            return False
        if circuit := self._open.get(key):
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


def _with_host(error: APIError, host: HostClient) -> APIError:
    """`error`, with the host in its headers."""
    error.headers = {**error.headers, UPSTREAM_HEADER: host.name}
    return error
