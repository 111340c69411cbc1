"""Reads, writes and expiry of the fake API's prompt cache."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes.anthropic.cache import PromptCache
from tests.fakes.anthropic.models import facts_of

NEW = "claude-opus-5-5"
LONG = "word " * 600  # 750 tokens plus a few for its block


@dataclass
class Clock:
    now: float = 0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> PromptCache:
    return PromptCache(clock)


def text(words: str, ttl: str | None = None) -> dict[str, Any]:
    breakpoint_ = {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}
    return {"type": "text", "text": words, **breakpoint_}


def cache_tokens(
    cache: PromptCache, *blocks: Any, model: str = NEW, account: str = "a", **fields: Any
) -> tuple[int, ...]:
    """Tokens read, written for five minutes, and written for an hour."""
    params = {"model": model, "messages": [{"role": "user", "content": list(blocks)}], **fields}
    usage = cache.usage(params, facts_of(model), account)
    written = usage["cache_creation"]
    assert sum(written.values()) == usage["cache_creation_input_tokens"]
    return (
        usage["cache_read_input_tokens"],
        written["ephemeral_5m_input_tokens"],
        written["ephemeral_1h_input_tokens"],
    )


def test_breakpoint_writes_once_and_is_read_until_it_expires(cache: PromptCache, clock: Clock) -> None:
    marked = [text(LONG, "5m"), text("a")]
    size = cache_tokens(cache, *marked)[1]
    assert size > 750
    clock.now = 299
    assert cache_tokens(cache, *marked) == (size, 0, 0)
    clock.now = 299 + 299  # a read renews the entry
    assert cache_tokens(cache, *marked) == (size, 0, 0)
    clock.now += 301
    assert cache_tokens(cache, *marked) == (0, size, 0)


def test_each_ttl_expires_on_its_own(cache: PromptCache, clock: Clock) -> None:
    marked = [text(LONG, "1h"), text(LONG, "5m")]
    read, minutes, hour = cache_tokens(cache, *marked)
    assert (read, minutes > 0, hour > 0) == (0, True, True)
    clock.now = 301
    assert cache_tokens(cache, *marked) == (hour, minutes, 0)


def test_no_breakpoint_or_a_short_prompt_is_not_cached(cache: PromptCache) -> None:
    assert cache_tokens(cache, text(LONG)) == (0, 0, 0)
    assert cache_tokens(cache, text("short", "5m")) == (0, 0, 0)
    assert cache_tokens(cache, text(LONG, "5m"), model="claude-haiku-4-5") == (0, 0, 0)


@pytest.mark.parametrize(
    "change",
    [{"account": "b"}, {"model": "claude-fable-5-2"}, {"system": "s"}, {"tool_choice": {"type": "auto"}},
     {"output_config": {"effort": "low"}}, {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}],
    ids=str,
)  # fmt: skip
def test_changed_parameter_makes_another_prefix(cache: PromptCache, change: Any) -> None:
    assert cache_tokens(cache, text(LONG, "5m"))[1] > 0
    read, written, _ = cache_tokens(cache, text(LONG, "5m"), **change)
    assert (read, written > 0) == (0, True)
    assert cache_tokens(cache, text(LONG, "5m"))[0] > 0


def test_lookup_goes_back_twenty_blocks(cache: PromptCache) -> None:
    cache_tokens(cache, text(LONG, "5m"))
    assert cache_tokens(cache, text(LONG), *[text("a")] * 19, text("b", "5m"))[0] == 0
    assert cache_tokens(cache, text(LONG), *[text("c")] * 18, text("d", "5m"))[0] > 0


def test_string_content_and_automatic_breakpoint_match_explicit_ones(cache: PromptCache) -> None:
    automatic: Any = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    written = cache_tokens(cache, text(LONG), system="s", **automatic)[2]
    assert written > 0
    assert cache_tokens(cache, text(LONG, "1h"), system=[text("s")]) == (written, 0, 0)
