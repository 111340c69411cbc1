"""Readers of event streams that are stricter, or simpler, than the standard: each gets the whole text.

A stream of the gateway is recorded once for each situation and then replayed to every reader, one write per
event. Readers that cannot be installed here are rebuilt from their rules for a line.
"""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import requests

from tests.clients.running import node_project, python_command
from tests.helpers.serving import KEY, Reply, Upstream, gateway, serving, sse, text_events
from tests.helpers.waiting import PATIENCE

FOLDER = Path(__file__).parents[1] / "clients" / "readers"
TEXT = "Hello there\u2028one\u2029two\x85three \u00e9\U0001f600"
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
PING = {"type": "ping"}
EMPTY = b'"delta":{},"logprobs":null,"finish_reason":null'


# What a reader requests, as arguments of httpx and requests.
Request = Mapping[str, Any]


class Got(NamedTuple):
    """What a reader got: the text, and the message of the error that it raised."""

    text: str
    error: str | None = None


class Situation(NamedTuple):
    pieces: list[bytes | int | threading.Event]
    expected: Got


def situations(text: str = TEXT) -> dict[str, Situation]:
    events = text_events(text)
    pinged = [part for event in events for part in (event, PING)]
    begun = text.split(" ", maxsplit=1)[0]
    # The first four events end with the first word.
    return {
        "pings": Situation([sse(PING, *pinged)], Got(text)),
        "silence-first": Situation([sse(events[0]), threading.Event(), sse(*events[1:])], Got(text)),
        "silence-in-the-text": Situation([sse(*events[:4]), threading.Event(), sse(*events[4:])], Got(text)),
        "error": Situation([sse(*events[:4], PING, ERROR)], Got(begun, "Overloaded")),
        "error-after-silence": Situation(
            [sse(*events[:4]), threading.Event(), sse(ERROR)], Got(begun, "Overloaded")
        ),
    }


class Spoken(NamedTuple):
    """An API: its request, what fills a silence, and the situations that are tried with it."""

    path: str
    body: dict[str, Any]
    filler: bytes
    situations: tuple[str, ...]
    text: str = TEXT

    def request(self, base_url: str) -> Request:
        body = {"model": "claude-haiku-4-5", "stream": True, **self.body}
        return {
            "url": base_url + self.path,
            "json": body,
            "headers": {"authorization": f"Bearer {KEY}"},
        }


MESSAGES = [{"role": "user", "content": "Hi"}]
SOME = ("pings", "silence-in-the-text", "error")
APIS = {
    "chat": Spoken("/chat/completions", {"messages": MESSAGES}, EMPTY, tuple(situations())),
    "responses": Spoken("/responses", {"input": "Hi"}, b"event: response.in_progress", SOME),
    "messages": Spoken("/messages", {"messages": MESSAGES, "max_tokens": 50}, b"event: ping", SOME),
}
ENOUGH = 3  # fillers; a stream without silence has one at most


def recorded(api: Spoken, situation: Situation) -> bytes:
    """The gateway's stream. A silence ends after the frames that fill it."""
    data = b""
    with (
        gateway(Upstream(Reply(situation.pieces)), keepalive=0.05) as url,
        httpx.stream("POST", **api.request(url), timeout=PATIENCE) as response,
    ):
        for part in response.iter_bytes():
            data += part
            if data.count(api.filler) >= ENOUGH:
                for piece in situation.pieces:
                    if isinstance(piece, threading.Event):
                        piece.set()
    return data


@pytest.fixture(scope="module")
def replayed() -> Iterator[str]:
    """The URL of a server that replays the recording of a situation below /SITUATION/v1."""
    streams = {
        f"/{situation}/v1{api.path}": recorded(api, situations(api.text)[situation])
        for api in APIS.values()
        for situation in api.situations
    }
    for name, stream in streams.items():
        assert not re.search(rb"^:", stream, re.MULTILINE), name  # no comments
        if name.endswith(APIS["chat"].path):
            assert b"event:" not in stream
            assert (EMPTY in stream) == ("silence" in name)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for event in streams[scope["path"]].split(b"\n\n")[:-1]:
            await send({"type": "http.response.body", "body": event + b"\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with serving(app) as url:
        yield url


class ReaderError(Exception):
    """What a reader raises."""


def content(data: str | bytes) -> str:
    """The text of an event of any of the APIs."""
    event = json.loads(data)
    if error := event.get("error") or event.get("response", {}).get("error"):
        raise ReaderError(error["message"])
    if "type" not in event:
        return "".join(choice["delta"].get("content") or "" for choice in event["choices"])
    if event["type"] == "content_block_delta":
        return str(event["delta"]["text"])
    return str(event["delta"]) if event["type"] == "response.output_text.delta" else ""


def openai_go(request: Request) -> Iterator[str]:
    """An empty line ends an event, also after a comment; without data, that is JSON that cannot be read.

    https://github.com/openai/openai-go/blob/main/packages/ssestream/ssestream.go
    """
    data = b""
    for line in httpx.post(**request, timeout=PATIENCE).content.split(b"\n")[:-1]:
        if line:
            name, _, value = line.partition(b":")
            data += value.removeprefix(b" ") + b"\n" if name == b"data" else b""
        elif data.startswith(b"[DONE]"):
            return
        else:
            yield content(data)
            data = b""


def go_openai(request: Request) -> Iterator[str]:
    """Lines that are not data are collected, and are read as one error with the error frame.

    https://github.com/sashabaranov/go-openai/blob/master/stream_reader.go
    """
    others = b""
    for raw in httpx.post(**request, timeout=PATIENCE).content.split(b"\n"):
        line = raw.strip()
        data = re.sub(rb"^data:\s*", b"", line)
        if re.match(rb'data:\s*{"error":', line):
            raise ReaderError(json.loads(others + data)["error"]["message"])
        if not line.startswith(b"data:"):
            others += line
        elif data == b"[DONE]":
            return
        else:
            yield content(data)


def lines(found: Iterator[str]) -> Iterator[str]:
    for line in found:
        if line.startswith("data:") and line != "data: [DONE]":
            yield content(line[5:])
        assert not line or line.startswith(("data:", "event:")), line


def httpx_lines(request: Request) -> Iterator[str]:
    with httpx.stream("POST", **request, timeout=PATIENCE) as response:
        yield from lines(response.iter_lines())


def requests_lines(request: Request) -> Iterator[str]:
    with requests.post(**request, stream=True, timeout=PATIENCE) as response:
        response.encoding = "utf-8"
        yield from lines(map(str, response.iter_lines(decode_unicode=True)))


REBUILT: Mapping[str, Callable[[Request], Iterator[str]]] = {
    "openai-go": openai_go,
    "go-openai": go_openai,
    "httpx": httpx_lines,
    "requests": requests_lines,
}


def cases(**readers: Sequence[str]) -> pytest.MarkDecorator:
    """A case for each situation of an API and each of its readers."""
    found = [
        pytest.param(reader, api, situation, id=f"{reader}-{api}-{situation}")
        for api, names in readers.items()
        for reader in names
        for situation in APIS[api].situations
    ]
    return pytest.mark.parametrize(("name", "api", "situation"), found)


def check(reader: Callable[[str], Got], url: str, situation: str, api: str = "chat") -> None:
    got = reader(f"{url}/{situation}/v1{APIS[api].path}")
    expected = situations(APIS[api].text)[situation].expected
    assert got.text == expected.text
    assert (expected.error or "") in (got.error or "")
    assert (got.error is None) == (expected.error is None), got.error


@cases(chat=[*REBUILT], responses=["openai-go", "httpx", "requests"], messages=["httpx", "requests"])
def test_line_readers(replayed: str, name: str, api: str, situation: str) -> None:
    def reader(url: str) -> Got:
        texts: list[str] = []
        try:
            texts.extend(REBUILT[name]({"url": url}))
        except ReaderError as error:
            return Got("".join(texts), str(error))
        return Got("".join(texts))

    check(reader, replayed, situation, api)


SILENCE = 20.0  # seconds; the gateway fills it after 15
LIVE = {"chat": "openai-go", "responses": "openai-go", "messages": "httpx"}


def live(api: str, silence: float) -> list[str]:
    """The texts of the events that a reader gets from a gateway with default settings."""
    events, ended = text_events(APIS[api].text), threading.Event()
    upstream = Upstream(Reply([sse(*events[:4]), ended, sse(*events[4:])]))
    with gateway(upstream) as url, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(REBUILT[LIVE[api]](APIS[api].request(url))))
        assert upstream.requested.wait(PATIENCE)
        ended.wait(silence)  # only the upstream's silence ends with it
        ended.set()
        return reading.result(PATIENCE)


def test_a_long_silence_with_the_default_interval() -> None:
    with ThreadPoolExecutor(len(APIS)) as pool:
        silent = dict(zip(APIS, pool.map(lambda api: live(api, SILENCE), APIS), strict=True))
    for api, texts in silent.items():
        assert "".join(texts) == APIS[api].text
        assert len(texts) > len(live(api, 0)), api  # an event more


def run(command: list[str], **environment: str) -> Got:
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    done = subprocess.run(
        command, env={**variables, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Got(**json.loads(done.stdout.rstrip("\n").split("\n")[-1]))


@pytest.mark.parametrize("situation", APIS["chat"].situations)
def test_huggingface_hub(replayed: str, situation: str) -> None:
    command = python_command(FOLDER / "huggingface_reader.py", ["huggingface_hub>=2.4,<3"])
    check(lambda url: run(command, READ_URL=url), replayed, situation)


@pytest.fixture(scope="module")
def node() -> Path:
    if not shutil.which("npm"):
        pytest.skip("no npm here")
    packages = ["@continuedev/fetch@1.9", "@microsoft/fetch-event-source@2.0.1", "eventsource-parser@4"]
    return node_project("claudexia-readers", packages, [FOLDER / "node_readers.mjs"])


@cases(
    chat=["fetch-event-source", "continuedev", "eventsource-parser"],
    responses=["fetch-event-source", "eventsource-parser"],
    messages=["fetch-event-source", "eventsource-parser"],
)
def test_node_readers(replayed: str, node: Path, name: str, api: str, situation: str) -> None:
    command = [str(node / "node_modules" / ".bin" / "node"), str(node / "node_readers.mjs")]
    check(lambda url: run(command, READ_URL=url, READER=name), replayed, situation, api)
