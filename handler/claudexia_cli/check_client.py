"""CheckClient: a client of the gateway that explains an unusable response in one sentence.

The models have the part of OpenAI's shapes on which every client relies.
Source: https://platform.openai.com/docs/api-reference/chat
"""

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from claudexia_cli.echo import ECHO_REQUEST_ID

TIMEOUT = 60.0  # seconds without a byte
_MAX_TOKENS = 2000  # leaves room for thinking
_COST = "x-claudexia-cost"
_UPSTREAM = "x-claudexia-upstream"


class _Shape(BaseModel):
    """Other fields are kept, because a client sends a message back unchanged."""

    model_config = ConfigDict(strict=True, extra="allow")


class Health(_Shape):
    status: Literal["ok"]


class Model(_Shape):
    id: str


class ModelList(_Shape):
    object: Literal["list"]
    data: list[Model]


class Usage(_Shape):
    """`cost`, in US dollars, is an extension of the gateway, present if its setting COST_HEADERS is on."""

    total_tokens: int
    cost: float | None = None


class Function(_Shape):
    name: str
    arguments: str


class ToolCall(_Shape):
    id: str
    type: Literal["function"]
    function: Function


class Message(_Shape):
    role: Literal["assistant"]
    content: str | None
    tool_calls: list[ToolCall] = []


class Choice(_Shape):
    message: Message
    finish_reason: str


class Completion(_Shape):
    id: str
    object: Literal["chat.completion"]
    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: Usage


class Delta(_Shape):
    content: str | None = None


class ChunkChoice(_Shape):
    delta: Delta
    finish_reason: str | None


class Chunk(_Shape):
    id: str
    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice]
    usage: Usage | None = None


class Error(_Shape):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(_Shape):
    error: Error


class Weather(_Shape):
    """The arguments of the tool in the check of tool calls."""

    city: str


class City(_Shape):
    """The output in the check of structured output."""

    model_config = ConfigDict(strict=True, extra="forbid")

    city: str
    country: str
    population: int


Shape = TypeVar("Shape", bound=BaseModel)
Body = Mapping[str, Any]  # a request body, which may contain JSON Schema


class CheckError(Exception):
    """A check has failed; the message is one sentence with the reason."""


class UnreachableError(CheckError):
    """No connection to the gateway could be opened."""


@dataclass
class Streamed:
    """A streamed response.

    `arrivals` has a value per read from the network that completed a chunk: milliseconds since the request.
    """

    chunks: list[Chunk] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    done: bool = False


class CheckClient:
    """`url` ends with /v1. `tokens` and `cost` are totals; `cost` is in US dollars, None if it is unknown.

    `upstreams` are the hosts that answered, as the gateway names them; empty if it does not.
    """

    def __init__(self, url: str, key: str, model: str) -> None:
        self.model = model
        self.tokens = 0
        self.cost: float | None = None
        self.upstreams: list[str] = []
        self._url = url
        self._client = httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, shape: type[Shape], *, key: str = "", status: int = 200) -> Shape:
        """`key` replaces the client's key; `status` is the expected status. Raises CheckError."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._client.get(self._url + path, headers=headers)
        except httpx.RequestError as error:
            raise _network_error(error) from error
        return _read(response, shape, status)

    def complete(self, body: Body) -> Completion:
        """`body` has neither model nor token limit. Raises CheckError."""
        try:
            response = self._client.post(f"{self._url}/chat/completions", json=self._request(body))
        except httpx.RequestError as error:
            raise _network_error(error) from error
        completion = _read(response, Completion, 200)
        self._note_upstream(response)
        self._add(completion.usage, response.headers.get(_COST))
        return completion

    def stream(self, body: Body) -> Streamed:
        """`body` has no model, token limit or `stream`. Raises CheckError."""
        request = {**self._request(body), "stream": True}
        start = time.perf_counter()
        streamed = Streamed()
        try:
            with self._client.stream("POST", f"{self._url}/chat/completions", json=request) as response:
                _expect_event_stream(response)
                self._note_upstream(response)
                for lines in _lines(response):
                    count = len(streamed.chunks)
                    _parse_lines(lines, streamed)
                    if len(streamed.chunks) > count:
                        streamed.arrivals.append((time.perf_counter() - start) * 1000)
        except httpx.RequestError as error:
            raise _network_error(error) from error
        for chunk in streamed.chunks:
            if chunk.usage:
                self._add(chunk.usage, None)
        return streamed

    def _request(self, body: Body) -> Body:
        return {"model": self.model, "max_completion_tokens": _MAX_TOKENS, **body}

    def _note_upstream(self, response: httpx.Response) -> None:
        name = response.headers.get(_UPSTREAM)
        if response.headers.get("x-request-id", "").startswith(ECHO_REQUEST_ID):
            name = "echo"
        if name and name not in self.upstreams:
            self.upstreams.append(name)

    def _add(self, usage: Usage, cost_header: str | None) -> None:
        self.tokens += usage.total_tokens
        try:
            cost = float(cost_header) if cost_header else usage.cost
        except ValueError:
            cost = None
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost


def parse(text: str | bytes, shape: type[Shape], what: str) -> Shape:
    """`text`, which errors call `what`. Raises CheckError with the first difference from `shape`."""
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckError(f"{what} cannot be used: {where + ': ' if where else ''}{first['msg']}.") from None


def _read(response: httpx.Response, shape: type[Shape], status: int) -> Shape:
    if response.status_code != status:
        wrong = f"It returned HTTP {response.status_code} instead of {status}."
        raise CheckError(wrong if response.is_success else _error_of(response))
    if response.headers.get("content-type", "").split(";")[0] != "application/json":
        raise CheckError(_not_json(response))
    return parse(response.content, shape, "The response")


def _error_of(response: httpx.Response) -> str:
    """The reason for an error status, as far as the response names it."""
    try:
        error = ErrorBody.model_validate_json(response.content).error
        return f"It returned HTTP {response.status_code}: {error.message}"
    except ValidationError:
        pass
    try:
        body = response.json()
    except ValueError:
        return _not_json(response)
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
    message = (body.get("message") or body.get("Message")) if isinstance(body, dict) else None
    if message:
        return (
            f"AWS returned HTTP {response.status_code}, not the gateway: {message!r}; "
            "check the host in the URL, and the stage if there is one."
        )
    return f"It returned HTTP {response.status_code} with JSON that is no error in OpenAI's shape."


def _not_json(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "").split(";")[0]
    what = "a web page" if kind == "text/html" else kind or "something without a content type"
    return f"It returned HTTP {response.status_code} with {what} instead of JSON; check the URL of the gateway."


def _expect_event_stream(response: httpx.Response) -> None:
    kind = response.headers.get("content-type", "").split(";")[0]
    if response.status_code == 200 and kind == "text/event-stream":
        return
    response.read()
    if response.status_code != 200:
        raise CheckError(_error_of(response))
    raise CheckError(f"The content type is {kind or 'missing'}, not text/event-stream.")


def _lines(response: httpx.Response) -> Iterator[list[str]]:
    """For each read from the network, the lines that it completed."""
    rest = b""
    for data in response.iter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        yield [line.decode("utf-8", "replace").strip() for line in lines]


def _parse_lines(lines: list[str], streamed: Streamed) -> None:
    for line in lines:
        name, _, data = line.partition(":")
        if name != "data":
            continue
        data = data.strip()
        if data == "[DONE]":
            streamed.done = True
        elif _is_error(data):
            message = parse(data, ErrorBody, "The error in the stream").error.message
            raise CheckError(f"The stream ended with an error: {message}")
        else:
            streamed.chunks.append(parse(data, Chunk, "A chunk"))


def _is_error(data: str) -> bool:
    try:
        return "error" in json.loads(data)
    except (ValueError, TypeError):
        return False


def _network_error(error: httpx.RequestError) -> CheckError:
    where = f"{error.request.url.host}:{error.request.url.port or error.request.url.scheme}"
    if isinstance(error, httpx.ReadTimeout):
        return CheckError(f"No byte came within {TIMEOUT:.0f} seconds.")
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return CheckError(f"The connection closed before the response was complete ({type(error).__name__}).")
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return UnreachableError(f"The certificate of {where} is not trusted: {cause.verify_message}.")
            case ssl.SSLError():
                return UnreachableError(f"{where} does not speak TLS; it may need http instead of https.")
            case socket.gaierror():
                return UnreachableError(f"The host {error.request.url.host!r} cannot be found.")
            case ConnectionRefusedError():
                return UnreachableError(f"No server listens at {where}.")
    return UnreachableError(f"{where} cannot be reached.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
