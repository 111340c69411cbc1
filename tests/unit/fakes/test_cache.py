"""What the stand-in's prompt cache reads, writes and forgets."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes.anthropic.cache import PromptCache
from tests.fakes.anthropic.models import facts_of

NEW = "claude-opus-5-5"
LONG = "word " * 600  # 750 tokens and a few for its block


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
    mark = {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}
    return {"type": "text", "text": words, **mark}


def used(
    cache: PromptCache, *blocks: Any, model: str = NEW, account: str = "a", **fields: Any
) -> tuple[int, ...]:
    """Tokens read, written for five minutes, written for an hour."""
    params = {"model": model, "messages": [{"role": "user", "content": list(blocks)}], **fields}
    usage = cache.usage(params, facts_of(model), account)
    written = usage["cache_creation"]
    assert sum(written.values()) == usage["cache_creation_input_tokens"]
    return (
        usage["cache_read_input_tokens"],
        written["ephemeral_5m_input_tokens"],
        written["ephemeral_1h_input_tokens"],
    )


def test_a_mark_writes_once_and_is_read_while_it_lives(cache: PromptCache, clock: Clock) -> None:
    marked = [text(LONG, "5m"), text("a")]
    size = used(cache, *marked)[1]
    assert size > 750
    clock.now = 299
    assert used(cache, *marked) == (size, 0, 0)
    clock.now = 299 + 299  # being read keeps it alive
    assert used(cache, *marked) == (size, 0, 0)
    clock.now += 301
    assert used(cache, *marked) == (0, size, 0)


def test_two_ttls(cache: PromptCache, clock: Clock) -> None:
    marked = [text(LONG, "1h"), text(LONG, "5m")]
    read, minutes, hour = used(cache, *marked)
    assert (read, minutes > 0, hour > 0) == (0, True, True)
    clock.now = 301
    assert used(cache, *marked) == (hour, minutes, 0)


def test_what_is_not_cached(cache: PromptCache) -> None:
    assert used(cache, text(LONG)) == (0, 0, 0)
    assert used(cache, text("short", "5m")) == (0, 0, 0)
    assert used(cache, text(LONG, "5m"), model="claude-haiku-4-5") == (0, 0, 0)


@pytest.mark.parametrize(
    "change",
    [{"account": "b"}, {"model": "claude-fable-5-2"}, {"system": "s"}, {"tool_choice": {"type": "auto"}},
     {"output_config": {"effort": "low"}}, {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}],
    ids=str,
)  # fmt: skip
def test_what_makes_another_prefix(cache: PromptCache, change: Any) -> None:
    assert used(cache, text(LONG, "5m"))[1] > 0
    read, written, _ = used(cache, text(LONG, "5m"), **change)
    assert (read, written > 0) == (0, True)
    assert used(cache, text(LONG, "5m"))[0] > 0


def test_a_lookup_goes_back_twenty_blocks(cache: PromptCache) -> None:
    used(cache, text(LONG, "5m"))
    assert used(cache, text(LONG), *[text("a")] * 19, text("b", "5m"))[0] == 0
    assert used(cache, text(LONG), *[text("c")] * 18, text("d", "5m"))[0] > 0


def test_the_spelling_of_text_and_an_automatic_mark(cache: PromptCache) -> None:
    automatic: Any = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    written = used(cache, text(LONG), system="s", **automatic)[2]
    assert written > 0
    assert used(cache, text(LONG, "1h"), system=[text("s")]) == (written, 0, 0)
