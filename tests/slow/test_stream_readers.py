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
from collections.abc import Callable, Iterator, Mapping
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
EMPTY = '"delta":{},"logprobs":null,"finish_reason":null'


class Got(NamedTuple):
    """What a reader got: the text, and the message of the error that it raised."""

    text: str
    error: str | None = None


class Situation(NamedTuple):
    pieces: list[bytes | int | threading.Event]
    expected: Got


def situations() -> dict[str, Situation]:
    events = text_events(TEXT)
    pinged = [part for event in events for part in (event, PING)]
    begun = TEXT.split(" ", maxsplit=1)[0]
    # The first four events end with the first word.
    return {
        "pings": Situation([sse(PING, *pinged)], Got(TEXT)),
        "silence-first": Situation([sse(events[0]), threading.Event(), sse(*events[1:])], Got(TEXT)),
        "silence-in-the-text": Situation([sse(*events[:4]), threading.Event(), sse(*events[4:])], Got(TEXT)),
        "error": Situation([sse(*events[:4], PING, ERROR)], Got(begun, "Overloaded")),
        "error-after-silence": Situation(
            [sse(*events[:4]), threading.Event(), sse(ERROR)], Got(begun, "Overloaded")
        ),
    }


def recorded(situation: Situation) -> bytes:
    """The gateway's stream. A silence ends after two frames that fill it."""
    body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    headers = {"authorization": f"Bearer {KEY}"}
    data = b""
    with (
        gateway(Upstream(Reply(situation.pieces)), keepalive=0.05) as url,
        httpx.stream(
            "POST", f"{url}/chat/completions", json=body, headers=headers, timeout=PATIENCE
        ) as response,
    ):
        for part in response.iter_bytes():
            data += part
            if data.count(EMPTY.encode()) >= 2:
                for piece in situation.pieces:
                    if isinstance(piece, threading.Event):
                        piece.set()
    return data


SITUATIONS = situations()


@pytest.fixture(scope="module")
def replayed() -> Iterator[str]:
    """The URL of a server that replays the recording of a situation below /SITUATION/v1."""
    streams = {name: recorded(situation) for name, situation in SITUATIONS.items()}
    for name, stream in streams.items():
        assert (EMPTY.encode() in stream) == ("silence" in name)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for event in streams[scope["path"].split("/")[1]].split(b"\n\n")[:-1]:
            await send({"type": "http.response.body", "body": event + b"\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with serving(app) as url:
        yield url


class ReaderError(Exception):
    """What a reader raises."""


def content(data: str | bytes) -> str:
    chunk = json.loads(data)
    if "error" in chunk:
        raise ReaderError(chunk["error"]["message"])
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


def openai_go(url: str) -> Iterator[str]:
    """An empty line ends an event, also after a comment; without data, that is JSON that cannot be read.

    https://github.com/openai/openai-go/blob/main/packages/ssestream/ssestream.go
    """
    data = b""
    for line in httpx.post(url, timeout=PATIENCE).content.split(b"\n")[:-1]:
        if line:
            name, _, value = line.partition(b":")
            data += value.removeprefix(b" ") + b"\n" if name == b"data" else b""
        elif data.startswith(b"[DONE]"):
            return
        else:
            yield content(data)
            data = b""


def go_openai(url: str) -> Iterator[str]:
    """Lines that are not data are collected, and are read as one error with the error frame.

    https://github.com/sashabaranov/go-openai/blob/master/stream_reader.go
    """
    others = b""
    for raw in httpx.post(url, timeout=PATIENCE).content.split(b"\n"):
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
        assert not line or line.startswith("data:"), line


def httpx_lines(url: str) -> Iterator[str]:
    with httpx.stream("POST", url, timeout=PATIENCE) as response:
        yield from lines(response.iter_lines())


def requests_lines(url: str) -> Iterator[str]:
    with requests.post(url, stream=True, timeout=PATIENCE) as response:
        response.encoding = "utf-8"
        yield from lines(map(str, response.iter_lines(decode_unicode=True)))


REBUILT: Mapping[str, Callable[[str], Iterator[str]]] = {
    "openai-go": openai_go,
    "go-openai": go_openai,
    "httpx": httpx_lines,
    "requests": requests_lines,
}


def check(reader: Callable[[str], Got], url: str, situation: str) -> None:
    got = reader(f"{url}/{situation}/v1/chat/completions")
    expected = SITUATIONS[situation].expected
    assert got.text == expected.text
    assert (expected.error or "") in (got.error or "")
    assert (got.error is None) == (expected.error is None), got.error


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", REBUILT)
def test_line_readers(replayed: str, name: str, situation: str) -> None:
    def reader(url: str) -> Got:
        texts: list[str] = []
        try:
            texts.extend(REBUILT[name](url))
        except ReaderError as error:
            return Got("".join(texts), str(error))
        return Got("".join(texts))

    check(reader, replayed, situation)


def run(command: list[str], **environment: str) -> Got:
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    done = subprocess.run(
        command, env={**variables, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Got(**json.loads(done.stdout.rstrip("\n").split("\n")[-1]))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_huggingface_hub(replayed: str, situation: str) -> None:
    command = python_command(FOLDER / "huggingface_reader.py", ["huggingface_hub>=2.4,<3"])
    check(lambda url: run(command, READ_URL=url), replayed, situation)


@pytest.fixture(scope="module")
def node() -> Path:
    if not shutil.which("npm"):
        pytest.skip("no npm here")
    packages = ["@continuedev/fetch@1.9", "@microsoft/fetch-event-source@2.0.1", "eventsource-parser@4"]
    return node_project("claudexia-readers", packages, [FOLDER / "node_readers.mjs"])


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", ["fetch-event-source", "continuedev", "eventsource-parser"])
def test_node_readers(replayed: str, node: Path, name: str, situation: str) -> None:
    command = [str(node / "node_modules" / ".bin" / "node"), str(node / "node_readers.mjs")]
    check(lambda url: run(command, READ_URL=url, READER=name), replayed, situation)
