"""CheckClient: a client of the gateway that says in one sentence why an answer is none."""

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

# --- claudexia.local.check_answers
# What the checks expect to be answered: OpenAI's shapes, as far as every client relies on them.
#
# Source: https://platform.openai.com/docs/api-reference/chat


class _Shape(BaseModel):
    """What else is answered is kept: a client sends a message back as it came."""

    model_config = ConfigDict(strict=True, extra="allow")


class Health(_Shape):
    status: Literal["ok"]


class Model(_Shape):
    id: str


class ModelList(_Shape):
    object: Literal["list"]
    data: list[Model]


class Usage(_Shape):
    """`cost`, in US dollars, is the gateway's own, and only there where a setting asks for it."""

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
    """The arguments of the tool that the checks offer."""

    city: str


class City(_Shape):
    """What the check of structured output asks for."""

    model_config = ConfigDict(strict=True, extra="forbid")

    city: str
    country: str
    population: int


TIMEOUT = 60.0  # seconds without a byte
_MAX_TOKENS = 2000  # leaves room for models that think
_COST = "x-claudexia-cost"

Shape = TypeVar("Shape", bound=BaseModel)
Body = Mapping[str, Any]  # holds JSON Schema


class StepError(Exception):
    """A check has failed; the message is one sentence that says why."""


class UnreachableError(StepError):
    """Nobody is there to check."""


@dataclass
class Streamed:
    """The chunks of an answer; `arrivals` are milliseconds from the request to each read that brought some."""

    chunks: list[Chunk] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    done: bool = False


class CheckClient:
    """`url` ends with /v1. `tokens` and `cost`, in US dollars, add up; the cost is None until one is told."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self.model = model
        self.tokens = 0
        self.cost: float | None = None
        self._url = url
        self._client = httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, shape: type[Shape], *, key: str = "", status: int = 200) -> Shape:
        """`key` replaces the client's own, `status` is the one that is right. Raises StepError."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._client.get(self._url + path, headers=headers)
        except httpx.RequestError as error:
            raise _network_error(error) from error
        return _read(response, shape, status)

    def complete(self, body: Body) -> Completion:
        """`body` without model and limit. Raises StepError."""
        try:
            response = self._client.post(f"{self._url}/chat/completions", json=self._request(body))
        except httpx.RequestError as error:
            raise _network_error(error) from error
        completion = _read(response, Completion, 200)
        self._add(completion.usage, response.headers.get(_COST))
        return completion

    def stream(self, body: Body) -> Streamed:
        """`body` without model, limit and `stream`. Raises StepError."""
        request = {**self._request(body), "stream": True}
        began = time.perf_counter()
        streamed = Streamed()
        try:
            with self._client.stream("POST", f"{self._url}/chat/completions", json=request) as response:
                _expect_events(response)
                for lines in _lines(response):
                    count = len(streamed.chunks)
                    _take(lines, streamed)
                    if len(streamed.chunks) > count:
                        streamed.arrivals.append((time.perf_counter() - began) * 1000)
        except httpx.RequestError as error:
            raise _network_error(error) from error
        for chunk in streamed.chunks:
            if chunk.usage:
                self._add(chunk.usage, None)
        return streamed

    def _request(self, body: Body) -> Body:
        return {"model": self.model, "max_completion_tokens": _MAX_TOKENS, **body}

    def _add(self, usage: Usage, told: str | None) -> None:
        self.tokens += usage.total_tokens
        try:
            cost = float(told) if told else usage.cost
        except ValueError:
            cost = None
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost


def parse(text: str | bytes, shape: type[Shape], what: str) -> Shape:
    """Raises StepError with the first thing in which `text`, named `what`, is not of `shape`."""
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StepError(f"{what} cannot be used: {where + ': ' if where else ''}{first['msg']}.") from None


def _read(response: httpx.Response, shape: type[Shape], status: int) -> Shape:
    if response.status_code != status:
        wrong = f"It answered HTTP {response.status_code} in place of {status}."
        raise StepError(wrong if response.is_success else _refusal(response))
    if response.headers.get("content-type", "").split(";")[0] != "application/json":
        raise StepError(_no_json(response))
    return parse(response.content, shape, "The answer")


def _refusal(response: httpx.Response) -> str:
    """Why the status is not the one that was hoped for, as far as whoever answered said so."""
    try:
        error = ErrorBody.model_validate_json(response.content).error
        return f"It answered HTTP {response.status_code}: {error.message}"
    except ValidationError:
        pass
    try:
        body = response.json()
    except ValueError:
        return _no_json(response)
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
    said = (body.get("message") or body.get("Message")) if isinstance(body, dict) else None
    if said:
        return (
            f"AWS answered in the gateway's place, HTTP {response.status_code}: {said!r}; "
            "does the URL have the right host, and the stage where there is one?"
        )
    return f"It answered HTTP {response.status_code} with JSON that says no error in OpenAI's shape."


def _no_json(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "").split(";")[0]
    what = "a web page" if kind == "text/html" else kind or "something without a content type"
    return f"It answered HTTP {response.status_code} with {what} in place of JSON; is this the gateway's URL?"


def _expect_events(response: httpx.Response) -> None:
    kind = response.headers.get("content-type", "").split(";")[0]
    if response.status_code == 200 and kind == "text/event-stream":
        return
    response.read()
    if response.status_code != 200:
        raise StepError(_refusal(response))
    raise StepError(f"The answer is {kind or 'of no content type'}, not text/event-stream.")


def _lines(response: httpx.Response) -> Iterator[list[str]]:
    """The lines that each read from the network completed."""
    rest = b""
    for data in response.iter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        yield [line.decode("utf-8", "replace").strip() for line in lines]


def _take(lines: list[str], streamed: Streamed) -> None:
    for line in lines:
        name, _, data = line.partition(":")
        if name != "data":
            continue
        data = data.strip()
        if data == "[DONE]":
            streamed.done = True
        elif _is_error(data):
            message = parse(data, ErrorBody, "The error in the stream").error.message
            raise StepError(f"The stream ended with an error: {message}")
        else:
            streamed.chunks.append(parse(data, Chunk, "A chunk"))


def _is_error(data: str) -> bool:
    try:
        return "error" in json.loads(data)
    except (ValueError, TypeError):
        return False


def _network_error(error: httpx.RequestError) -> StepError:
    where = f"{error.request.url.host}:{error.request.url.port or error.request.url.scheme}"
    if isinstance(error, httpx.ReadTimeout):
        return StepError(f"No byte came within {TIMEOUT:.0f} seconds.")
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return StepError(f"The connection broke before the answer was complete ({type(error).__name__}).")
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return UnreachableError(f"The certificate of {where} is not trusted: {cause.verify_message}.")
            case ssl.SSLError():
                return UnreachableError(f"{where} does not speak TLS as https needs it; is it http?")
            case socket.gaierror():
                return UnreachableError(f"The host {error.request.url.host!r} cannot be found.")
            case ConnectionRefusedError():
                return UnreachableError(f"Nothing listens at {where}.")
    return UnreachableError(f"{where} cannot be reached.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
