"""The prompt cache of the API: how many input tokens are read, written or not cached.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from claudexia_cli.echo.params import Json, Params, as_blocks, as_object, message_turns, objects, output_format
from tests.fakes.anthropic.models import ModelFacts

_LOOK_BACK = 20
_SECONDS = {"5m": 300.0, "1h": 3600.0}
_NO_BREAKPOINT = ("thinking", "redacted_thinking")


class Segment(NamedTuple):
    """The prompt up to and with one block: its hash, its tokens, and the ttl of a breakpoint on the block."""

    prefix: str
    tokens: int
    ttl: str | None


@dataclass
class _Entry:
    ttl: str
    expires: float


class PromptCache:
    """Stores prefixes of prompts. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def usage(self, params: Params, model: ModelFacts, account: str) -> dict[str, Json]:
        """The input tokens of `usage` for this request. Stores its prefixes."""
        segments = _segments(params, model, account)
        breakpoints = [index for index, segment in enumerate(segments) if segment.ttl]
        read = max((self._lookup(segments, index) for index in breakpoints), default=-1)
        written = [segments[index] for index in breakpoints if segments[index].tokens >= model.minimum_prefix]
        for segment in written:
            self._write(segment)
        start = segments[read].tokens if read >= 0 else 0
        hour = max([start, *(segment.tokens for segment in written if segment.ttl == "1h")])
        end = max([hour, *(segment.tokens for segment in written)])
        return {
            "input_tokens": segments[-1].tokens - end if segments else 0,
            "cache_read_input_tokens": start,
            "cache_creation_input_tokens": end - start,
            "cache_creation": {
                "ephemeral_5m_input_tokens": end - hour,
                "ephemeral_1h_input_tokens": hour - start,
            },
        }

    def _lookup(self, segments: list[Segment], last: int) -> int:
        """The index of the last cached block up to the breakpoint at `last`, or -1. Renews its entry."""
        now = self._clock()
        for index in range(last, max(last - _LOOK_BACK, -1), -1):
            entry = self._entries.get(segments[index].prefix)
            if entry and entry.expires > now:
                entry.expires = now + _SECONDS[entry.ttl]
                return index
        return -1

    def _write(self, segment: Segment) -> None:
        ttl, known = segment.ttl or "5m", self._entries.get(segment.prefix)
        expires = self._clock() + _SECONDS[ttl]
        if not known or known.expires < expires:
            self._entries[segment.prefix] = _Entry(ttl, expires)


def _segments(params: Params, model: ModelFacts, account: str) -> list[Segment]:
    """The prompt block by block, in the order of the cache prefix: tools, system, messages."""
    parts: list[tuple[Json, Json]] = [(["tool"], tool) for _, tool in objects(params.get("tools"))]
    # A schema becomes part of the system prompt. The parameters in `later` only affect the messages.
    parts += [
        (["system", output_format(params)], block) for _, block in objects(as_blocks(params.get("system")))
    ]
    effort = as_object(params.get("output_config")).get("effort")
    later = [output_format(params), effort, params.get("thinking"), params.get("tool_choice")]
    parts += [([turn.role, later], block) for turn in message_turns(params) for _, block in turn.blocks]
    automatic = _automatic(params, [block for _, block in parts])
    running = hashlib.sha256(f"{account} {model.id}".encode())
    characters = 0
    result: list[Segment] = []
    for index, (context, block) in enumerate(parts):
        text = json.dumps(_without_breakpoints(block), sort_keys=True, ensure_ascii=False)
        running.update(json.dumps([context, text], sort_keys=True).encode())
        characters += len(text)
        ttl = _ttl(block) or (automatic[1] if automatic and automatic[0] == index else None)
        result.append(Segment(running.hexdigest(), characters // 4, ttl))
    return result


def _automatic(params: Params, blocks: list[Json]) -> tuple[int, str] | None:
    """Index and ttl of the automatic breakpoint: on the last block that allows one."""
    control = as_object(params.get("cache_control"))
    allowed = [index for index, block in enumerate(blocks) if block.get("type") not in _NO_BREAKPOINT]
    return (allowed[-1], str(control.get("ttl") or "5m")) if control and allowed else None


def _ttl(block: Json) -> str | None:
    """The ttl of the breakpoint on a block, or of the last one inside it."""
    inner = [_ttl(nested) for _, nested in objects(block.get("content"))] if isinstance(block, dict) else []
    control = as_object(as_object(block).get("cache_control"))
    own = str(control.get("ttl") or "5m") if control else None
    return own or next((ttl for ttl in reversed(inner) if ttl), None)


def _without_breakpoints(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_breakpoints(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_breakpoints(item) for key, item in value.items() if key != "cache_control"}
    return value
