"""FakeAnthropic: an ASGI app that behaves like Anthropic's API.

It rejects the requests that the API rejects, and replies with thinking, tool calls and usage like Claude.
"""

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from claudexia_cli.echo.events import error_body, message_events, sse_frame
from claudexia_cli.echo.params import Json, Params, merged_turns
from tests.fakes.anthropic.cache import PromptCache
from tests.fakes.anthropic.claude import Claude, ClaudeReply, last_prompt, split
from tests.fakes.anthropic.model_list import model_info, model_list
from tests.fakes.anthropic.models import MODELS, facts_of, is_served
from tests.fakes.anthropic.rules import rejections
from tests.fakes.anthropic.signing import MODIFIED, Signer
from tests.fakes.strict_json import strict_json

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
_MAX_BODY_BYTES = 32 * 1024 * 1024
_KEY = re.compile(r"(?:bearer\s+)?(\S+)", re.IGNORECASE)
# Input tokens that search results add.
_SEARCH_TOKENS = 40
# Parameters that need a beta. https://platform.claude.com/docs/en/build-with-claude/context-editing
_BETA_PARAMS = {"context_management": "context-management-2025-06-27"}


_REQUEST_ID = "req_fake"


class StatusError(Exception):
    """The response has another status than 200."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(error_type, message, _REQUEST_ID)


class FakeAnthropic:
    """Serves /v1/messages, /v1/messages/count_tokens and /v1/models, and records the requests.

    With `bound`, the signature of a thinking block is valid only in its conversation and account. A fake of
    another `host` has other ids, such as `toolu_bdrk_01`, and refuses its thinking. `clock` returns seconds, for the prompt cache. `delay` is the pause before each event, in seconds. Markers in the last prompt:
    `[overloaded]` returns 529, `[overloaded-later]` sends an error event in the middle of the stream, and `[break]`
    closes the connection there.
    """

    def __init__(
        self,
        *,
        bound: bool = False,
        host: str = "",
        clock: Callable[[], float] = time.monotonic,
        delay: float = 0,
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.model_requests = 0
        self._delay = delay
        self._host = host
        self._ids: Counter[str] = Counter()
        self._signer = Signer(f"secret of the fake {host}".encode(), bound)
        self._claude = Claude(self._signer, self._new_id)
        self._cache = PromptCache(clock)
        self._paused_turns: set[str] = set()

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
                await self._message(body, headers, account, send)
            elif (scope["method"], scope["path"]) == ("POST", "/v1/messages/count_tokens"):
                await _send_json(send, 200, self._count_tokens(body, headers, account))
            else:
                await _send_json(send, 200, self._models(scope["method"], scope["path"]))
        except StatusError as error:
            await _send_json(send, error.status, error.body)

    def _models(self, method: str, path: str) -> Json:
        name = path.removeprefix("/v1/models").removeprefix("/")
        if method != "GET" or not path.startswith("/v1/models"):
            raise StatusError(404, "not_found_error", "Not found")
        self.model_requests += 1
        found = facts_of(name)
        if name and found not in MODELS:
            raise StatusError(404, "not_found_error", f"model: {name}")
        return model_info(found) if name else model_list()

    def _count_tokens(self, body: bytes, headers: dict[str, str], account: str) -> Json:
        params = _parsed(body)
        self.bodies.append(params)
        for extra in ("max_tokens", "stream"):
            if extra in params:
                raise StatusError(400, "invalid_request_error", f"{extra}: Extra inputs are not permitted")
        self._check({**_without_betas(params, headers), "max_tokens": 1}, headers["anthropic-version"], account)
        return {"input_tokens": len(json.dumps(params)) // 4}

    async def _message(self, body: bytes, headers: dict[str, str], account: str, send: Send) -> None:
        params = _parsed(body)
        self.bodies.append(params)
        params = _without_betas(params, headers)
        self._check(params, headers["anthropic-version"], account)
        prompt = last_prompt(params)
        if "[overloaded]" in prompt or ("[overloaded-later]" in prompt and not params.get("stream")):
            raise StatusError(529, "overloaded_error", "Overloaded")
        message, usage_at_start = self._reply(params, account)
        if not params.get("stream") and "[break]" not in prompt:
            await _send_json(send, 200, message)
            return
        events = list(message_events(message, usage_at_start, split))
        await _start(send, 200, "text/event-stream")
        broken = "[break]" in prompt or "[overloaded-later]" in prompt
        for event in events[: len(events) // 2] if broken else events:
            await asyncio.sleep(self._delay)
            await send({"type": "http.response.body", "body": sse_frame(event), "more_body": True})
        if "[break]" in prompt:
            raise ConnectionAbortedError
        if broken:
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            await send({"type": "http.response.body", "body": sse_frame(error), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _check(self, params: Params, version: str, account: str) -> None:
        if isinstance(params.get("model"), str) and not is_served(params["model"]):
            raise StatusError(404, "not_found_error", f"model: {params['model']}")
        for rejection in rejections(params, version):
            raise StatusError(400, "invalid_request_error", rejection.message)
        if error := self._signer.error(params, account):
            raise StatusError(400, "invalid_request_error", error)
        last = merged_turns(params)[-1]
        if (
            last.role == "assistant"
            and last.of_type("server_tool_use")
            and _fingerprint([block for _, block in last.blocks]) not in self._paused_turns
        ):
            raise StatusError(400, "invalid_request_error", f"{last.path}: {MODIFIED}")

    def _reply(self, params: Params, account: str) -> tuple[Json, Json]:
        """The message, and the usage at its start."""
        model = facts_of(params["model"])
        reply, id_ = self._claude.reply(params, model), self._new_id("msg")
        usage = self._cache.usage(params, model, account)
        message = {
            "id": id_, "type": "message", "role": "assistant", "model": params["model"],
            "content": self._signer.sign(id_, params, account, reply.content),
            "stop_reason": reply.stop_reason, "stop_sequence": reply.stop_sequence,
            "stop_details": reply.stop_details, "usage": {**usage, **_output(usage, reply)},
        }  # fmt: skip
        if reply.stop_reason == "pause_turn":
            self._paused_turns.add(_fingerprint(message["content"]))
        return message, {**usage, "output_tokens": 1, "service_tier": "standard"}

    def _new_id(self, prefix: str) -> str:
        self._ids[prefix] += 1
        host = f"{self._host}_" if self._host else ""
        return f"{prefix}_{host}01{self._ids[prefix]:022d}"


def _output(usage: Json, reply: ClaudeReply) -> Json:
    """The fields of `usage` that the reply adds or changes. A token is estimated as four characters."""
    tokens = len(json.dumps(reply.content)) // 4 if reply.content else 0
    output: Json = {"output_tokens": tokens + reply.thinking_tokens, "service_tier": "standard"}
    if reply.thinking_tokens:
        output["output_tokens_details"] = {"thinking_tokens": reply.thinking_tokens}
    if reply.searches:
        output["server_tool_use"] = {"web_search_requests": reply.searches, "web_fetch_requests": 0}
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
    if len(body) > _MAX_BODY_BYTES:
        raise StatusError(413, "request_too_large", "Request exceeds the maximum size")
    try:
        params = strict_json(body)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise StatusError(400, "invalid_request_error", "The request body is not valid JSON")
    return params


def _without_betas(params: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """`params` without the parameters that the header `anthropic-beta` adds to the API."""
    betas = [beta.strip() for beta in headers.get("anthropic-beta", "").split(",")]
    added = {name for name, beta in _BETA_PARAMS.items() if beta in betas}
    return {name: value for name, value in params.items() if name not in added}


def _fingerprint(content: list[Json]) -> str:
    blocks = [{key: value for key, value in block.items() if key != "cache_control"} for block in content]
    return hashlib.sha256(json.dumps(blocks, sort_keys=True).encode()).hexdigest()


async def _start(send: Send, status: int, content_type: str) -> None:
    pairs = [(b"content-type", content_type.encode()), (b"request-id", _REQUEST_ID.encode())]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _send_json(send: Send, status: int, body: Json) -> None:
    await _start(send, status, "application/json")
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
