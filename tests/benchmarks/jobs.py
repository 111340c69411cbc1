"""The requests to both relays, and the check that the responses contain every word."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.benchmarks.fake_upstream import MODEL, words
from tests.benchmarks.gateway import KEY
from tests.benchmarks.load import Answer, to_request

Api = Literal["chat", "responses", "messages"]

_SYSTEM = "You tell stories to machines, and you tell them in full. " * 6
_QUESTION = "Tell the one about the gateway, and leave nothing out of it. " * 12


class LostDataError(Exception):
    """A response differs from the upstream's, so its figures would be meaningless."""


@dataclass(frozen=True)
class Job:
    """One request in the form of the gateway's `api` and in Anthropic's, and the checks of the response."""

    deltas: int
    buffered: bool = False
    api: Api = "chat"
    model: str = MODEL
    key: str = KEY

    @property
    def _prompt(self) -> str:
        return f"{_QUESTION}Tell it in {self.deltas} deltas."

    def to_gateway(self) -> bytes:
        common = {"model": self.model, "stream": not self.buffered}
        message = {"role": "user", "content": self._prompt}
        if self.api == "messages":
            return to_request("/v1/messages", json.dumps({**self._messages_body, **common}).encode(), self.key)
        body: dict[str, Any]
        if self.api == "responses":
            path = "/v1/responses"
            body = {
                "instructions": _SYSTEM,
                "input": [message],
                "store": False,
                "max_output_tokens": self.deltas,
            }
        else:
            path = "/v1/chat/completions"
            system = {"role": "system", "content": _SYSTEM}
            body = {"messages": [system, message], "max_tokens": self.deltas}
        return to_request(path, json.dumps({**common, **body}).encode(), self.key)

    def to_pass_through(self) -> bytes:
        return self._to_messages("/buffered" if self.buffered else "/stream")

    def to_upstream(self) -> bytes:
        return self._to_messages("/v1/messages")

    @property
    def _messages_body(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "max_tokens": self.deltas,
            "messages": [{"role": "user", "content": self._prompt}],
            "system": _SYSTEM,
            "stream": True,
        }

    def _to_messages(self, path: str) -> bytes:
        return to_request(path, json.dumps(self._messages_body).encode(), KEY)

    def check_gateway(self, answer: Answer) -> None:
        """Raises LostDataError."""
        read = _READERS[self.api, self.buffered]
        _check(answer, read, ["".join(words(self.deltas))] if self.buffered else words(self.deltas))

    def check_messages(self, answer: Answer) -> None:
        """Raises LostDataError; for the pass-through and for the upstream itself."""
        _check(answer, _events, words(self.deltas))


def _check(answer: Answer, read: Callable[[bytes], list[str]], expected: list[str]) -> None:
    try:
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        got = read(answer.body)
        if got != expected:
            lengths = [(len(texts), len("".join(texts))) for texts in (got, expected)]
            raise ValueError(f"(deltas, characters) are {lengths[0]} and not {lengths[1]}")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        shown = f"{answer.body[:300]!r} ... {answer.body[-300:]!r}"
        raise LostDataError(f"{error!r} in {shown}") from error


def _completion(body: bytes) -> list[str]:
    choice = json.loads(body)["choices"][0]
    if choice["finish_reason"] != "stop":
        raise ValueError("the answer has no end")
    return [choice["message"]["content"]]


def _chunks(body: bytes) -> list[str]:
    *data, done = _data(body)
    choices = [json.loads(item)["choices"][0] for item in data]
    if done != b"[DONE]" or choices[-1]["finish_reason"] != "stop":
        raise ValueError("the stream has no end")
    return [choice["delta"]["content"] for choice in choices if choice["delta"].get("content")]


def _events(body: bytes) -> list[str]:
    events = [json.loads(item) for item in _data(body)]
    if events[-1]["type"] != "message_stop":
        raise ValueError("the stream has no end")
    return [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]


def _response_events(body: bytes) -> list[str]:
    events = [json.loads(item) for item in _data(body)]
    if events[-1]["type"] != "response.completed":
        raise ValueError("the stream has no end")
    return [event["delta"] for event in events if event["type"] == "response.output_text.delta"]


def _response(body: bytes) -> list[str]:
    response = json.loads(body)
    if response["status"] != "completed":
        raise ValueError("the answer has no end")
    return [response["output"][0]["content"][0]["text"]]


def _message(body: bytes) -> list[str]:
    message = json.loads(body)
    if message["stop_reason"] != "end_turn":
        raise ValueError("the answer has no end")
    return [message["content"][0]["text"]]


def _data(body: bytes) -> list[bytes]:
    return [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]


# By the API, and whether the response is whole.
_READERS: dict[tuple[Api, bool], Callable[[bytes], list[str]]] = {
    ("chat", False): _chunks,
    ("chat", True): _completion,
    ("responses", False): _response_events,
    ("responses", True): _response,
    ("messages", False): _events,
    ("messages", True): _message,
}
