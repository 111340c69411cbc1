"""A stand-in for Anthropic's API: refuses what the server refuses, and answers like Claude."""

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tests.fakes.anthropic.cache import PromptCache
from tests.fakes.anthropic.events import events, framed
from tests.fakes.anthropic.listing import model_info, model_list
from tests.fakes.anthropic.model import Answer, Claude, question
from tests.fakes.anthropic.models import MODELS, facts_of, is_served
from tests.fakes.anthropic.rules import refusals
from tests.fakes.anthropic.signing import MODIFIED, Signer
from tests.fakes.anthropic.walk import Json, Params, merged

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
_LARGEST = 32 * 1024 * 1024
_KEY = re.compile(r"(?:bearer\s+)?(\S+)", re.IGNORECASE)
# What a search's results add to the input.
_SEARCH_TOKENS = 40


class StatusError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_stand_in"}


class StandIn:
    """An ASGI app in Anthropic's place, which remembers what it was asked.

    `bound` holds thinking blocks to their conversation and account; `clock` gives the cache its seconds; `delay`
    is the pause in seconds before each event. `[overloaded]` in a question is a 529, `[overloaded-later]` an error
    in the middle of the stream, and `[break]` cuts the connection there.
    """

    def __init__(
        self, *, bound: bool = False, clock: Callable[[], float] = time.monotonic, delay: float = 0
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.listed = 0
        self._delay = delay
        self._ids: Counter[str] = Counter()
        self._signer = Signer(b"only the stand-in knows", bound)
        self._claude = Claude(self._signer, self._new_id)
        self._cache = PromptCache(clock)
        self._paused: set[str] = set()

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.headers.append(headers)
        try:
            account = _account(headers)
            if (scope["method"], scope["path"]) == ("POST", "/v1/messages"):
                await self._message(body, headers["anthropic-version"], account, send)
            else:
                await _send_json(send, 200, self._models(scope["method"], scope["path"]))
        except StatusError as error:
            await _send_json(send, error.status, error.body)

    def _models(self, method: str, path: str) -> Json:
        name = path.removeprefix("/v1/models").removeprefix("/")
        if method != "GET" or not path.startswith("/v1/models"):
            raise StatusError(404, "not_found_error", "Not found")
        self.listed += 1
        found = facts_of(name)
        if name and found not in MODELS:
            raise StatusError(404, "not_found_error", f"model: {name}")
        return model_info(found) if name else model_list()

    async def _message(self, body: bytes, version: str, account: str, send: Send) -> None:
        params = _parsed(body)
        self.bodies.append(params)
        self._check(params, version, account)
        asked = question(params)
        if "[overloaded]" in asked or ("[overloaded-later]" in asked and not params.get("stream")):
            raise StatusError(529, "overloaded_error", "Overloaded")
        message, usage_at_start = self._answered(params, account)
        if not params.get("stream") and "[break]" not in asked:
            await _send_json(send, 200, message)
            return
        told = list(events(message, usage_at_start))
        await _start(send, 200, "text/event-stream")
        broken = "[break]" in asked or "[overloaded-later]" in asked
        for event in told[: len(told) // 2] if broken else told:
            await asyncio.sleep(self._delay)
            await send({"type": "http.response.body", "body": framed(event), "more_body": True})
        if "[break]" in asked:
            raise ConnectionAbortedError
        if broken:
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            await send({"type": "http.response.body", "body": framed(error), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _check(self, params: Params, version: str, account: str) -> None:
        if isinstance(params.get("model"), str) and not is_served(params["model"]):
            raise StatusError(404, "not_found_error", f"model: {params['model']}")
        for refusal in refusals(params, version):
            raise StatusError(400, "invalid_request_error", refusal.message)
        if said := self._signer.refusal(params, account):
            raise StatusError(400, "invalid_request_error", said)
        last = merged(params)[-1]
        if (
            last.role == "assistant"
            and last.of("server_tool_use")
            and _fingerprint([block for _, block in last.blocks]) not in self._paused
        ):
            raise StatusError(400, "invalid_request_error", f"{last.path}: {MODIFIED}")

    def _answered(self, params: Params, account: str) -> tuple[Json, Json]:
        """The message, and the usage that is known when it starts."""
        model = facts_of(params["model"])
        answer, id_ = self._claude.answer(params, model), self._new_id("msg")
        usage = self._cache.usage(params, model, account)
        message = {
            "id": id_, "type": "message", "role": "assistant", "model": params["model"],
            "content": self._signer.sign(id_, params, account, answer.content),
            "stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence,
            "stop_details": answer.stop_details, "usage": {**usage, **_output(usage, answer)},
        }  # fmt: skip
        if answer.stop_reason == "pause_turn":
            self._paused.add(_fingerprint(message["content"]))
        return message, {**usage, "output_tokens": 1, "service_tier": "standard"}

    def _new_id(self, prefix: str) -> str:
        self._ids[prefix] += 1
        return f"{prefix}_01{self._ids[prefix]:022d}"


def _output(usage: Json, answer: Answer) -> Json:
    """The parts of usage that an answer adds to or changes."""
    words = len(json.dumps(answer.content)) // 4 if answer.content else 0
    output: Json = {"output_tokens": words + answer.thinking_tokens, "service_tier": "standard"}
    if answer.thinking_tokens:
        output["output_tokens_details"] = {"thinking_tokens": answer.thinking_tokens}
    if answer.searches:
        output["server_tool_use"] = {"web_search_requests": answer.searches, "web_fetch_requests": 0}
        output["input_tokens"] = usage["input_tokens"] + _SEARCH_TOKENS
    return output


def _account(headers: dict[str, str]) -> str:
    key = _KEY.fullmatch(headers.get("x-api-key") or headers.get("authorization", ""))
    if not key:
        raise StatusError(401, "authentication_error", "x-api-key header is required")
    if "anthropic-version" not in headers:
        raise StatusError(400, "invalid_request_error", "anthropic-version: header is required")
    return key[1]


def _parsed(body: bytes) -> dict[str, Any]:
    if len(body) > _LARGEST:
        raise StatusError(413, "request_too_large", "Request exceeds the maximum size")
    try:
        params = json.loads(body)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise StatusError(400, "invalid_request_error", "The request body is not valid JSON")
    return params


def _fingerprint(content: list[Json]) -> str:
    blocks = [{key: value for key, value in block.items() if key != "cache_control"} for block in content]
    return hashlib.sha256(json.dumps(blocks, sort_keys=True).encode()).hexdigest()


async def _start(send: Send, status: int, kind: str) -> None:
    pairs = [(b"content-type", kind.encode()), (b"request-id", b"req_stand_in")]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _send_json(send: Send, status: int, body: Json) -> None:
    await _start(send, status, "application/json")
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
