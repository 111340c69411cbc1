"""The prompt cache of the server: which part of a prompt is read, written or paid in full.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.fakes.anthropic.models import ModelFacts
from tests.fakes.anthropic.walk import Json, Params, as_blocks, entries, record, schema_format, turns

_LOOK_BACK = 20
_SECONDS = {"5m": 300.0, "1h": 3600.0}
_UNMARKABLE = ("thinking", "redacted_thinking")


class Segment(NamedTuple):
    """One block of the prompt with all before it: their hash, their tokens, and the mark on this one."""

    prefix: str
    tokens: int
    ttl: str | None


@dataclass
class _Entry:
    ttl: str
    expires: float


class PromptCache:
    """Remembers prefixes of prompts; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def usage(self, params: Params, model: ModelFacts, account: str) -> dict[str, Json]:
        """The input side of `usage` for this request, which is remembered."""
        segments = _segments(params, model, account)
        marks = [index for index, segment in enumerate(segments) if segment.ttl]
        read = max((self._found(segments, mark) for mark in marks), default=-1)
        ends = [segments[mark] for mark in marks if segments[mark].tokens >= model.minimum_prefix]
        for segment in ends:
            self._write(segment)
        start = segments[read].tokens if read >= 0 else 0
        hour = max([start, *(segment.tokens for segment in ends if segment.ttl == "1h")])
        end = max([hour, *(segment.tokens for segment in ends)])
        return {
            "input_tokens": segments[-1].tokens - end if segments else 0,
            "cache_read_input_tokens": start,
            "cache_creation_input_tokens": end - start,
            "cache_creation": {
                "ephemeral_5m_input_tokens": end - hour,
                "ephemeral_1h_input_tokens": hour - start,
            },
        }

    def _found(self, segments: list[Segment], mark: int) -> int:
        """The last remembered block from a mark backwards, which stays remembered; -1 for none."""
        now = self._clock()
        for index in range(mark, max(mark - _LOOK_BACK, -1), -1):
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
    """The prompt block by block, in the order the cache sees it: tools, system, messages."""
    parts: list[tuple[Json, Json]] = [(["tool"], tool) for _, tool in entries(params.get("tools"))]
    # A schema is told to Claude in a system prompt; these parameters only come into play with the messages.
    parts += [
        (["system", schema_format(params)], block) for _, block in entries(as_blocks(params.get("system")))
    ]
    effort = record(params.get("output_config")).get("effort")
    later = [schema_format(params), effort, params.get("thinking"), params.get("tool_choice")]
    parts += [([turn.role, later], block) for turn in turns(params) for _, block in turn.blocks]
    automatic = _automatic(params, [block for _, block in parts])
    running = hashlib.sha256(f"{account} {model.id}".encode())
    characters = 0
    result: list[Segment] = []
    for index, (context, block) in enumerate(parts):
        text = json.dumps(_unmarked(block), sort_keys=True, ensure_ascii=False)
        running.update(json.dumps([context, text], sort_keys=True).encode())
        characters += len(text)
        ttl = _ttl(block) or (automatic[1] if automatic and automatic[0] == index else None)
        result.append(Segment(running.hexdigest(), characters // 4, ttl))
    return result


def _automatic(params: Params, blocks: list[Json]) -> tuple[int, str] | None:
    """Where the mark of the whole request falls: on the last block that can carry one."""
    control = record(params.get("cache_control"))
    marked = [index for index, block in enumerate(blocks) if block.get("type") not in _UNMARKABLE]
    return (marked[-1], str(control.get("ttl") or "5m")) if control and marked else None


def _ttl(block: Json) -> str | None:
    """The ttl of the mark on a block, or of the last one within it."""
    inner = [_ttl(one) for _, one in entries(block.get("content"))] if isinstance(block, dict) else []
    control = record(record(block).get("cache_control"))
    own = str(control.get("ttl") or "5m") if control else None
    return own or next((ttl for ttl in reversed(inner) if ttl), None)


def _unmarked(value: Json) -> Json:
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    if isinstance(value, dict):
        return {key: _unmarked(item) for key, item in value.items() if key != "cache_control"}
    return value
