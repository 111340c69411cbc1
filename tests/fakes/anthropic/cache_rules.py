"""Rules for `cache_control`, on blocks and on the whole request.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from claudexia_cli.echo.params import Json, Params, as_object, places, tools
from claudexia_cli.echo.rules import Rule, Violation
from tests.fakes.anthropic.models import ModelFacts


class Breakpoint(NamedTuple):
    path: str
    control: Json
    block: dict[str, Json]

    @property
    def ttl(self) -> str:
        return str(as_object(self.control).get("ttl") or "5m")


def _breakpoints(params: Params) -> list[Breakpoint]:
    """The breakpoints on blocks, in the order of the prompt: tools, system, messages."""
    found = [*tools(params), *((place.path, place.block) for place in places(params))]
    return [
        Breakpoint(path, block["cache_control"], block)
        for path, block in found
        if block.get("cache_control") is not None
    ]


def _automatic(params: Params) -> list[Breakpoint]:
    control = params.get("cache_control")
    return [] if control is None else [Breakpoint("cache_control", control, {})]


def _shape(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for breakpoint_ in _breakpoints(params) + _automatic(params):
        control = as_object(breakpoint_.control)
        path = breakpoint_.path if breakpoint_.path == "cache_control" else f"{breakpoint_.path}.cache_control"
        if control.get("type") != "ephemeral" or (breakpoint_.block and control.keys() - {"type", "ttl"}):
            yield path
        elif control.get("ttl") not in (None, "5m", "1h"):
            yield f"{path}.ttl"


def _too_many(params: Params, _: ModelFacts) -> Iterator[Violation]:
    if len(_breakpoints(params) + _automatic(params)) > 4:
        yield ""


def _thinking(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in places(params):
        if block.get("type") in ("thinking", "redacted_thinking") and "cache_control" in block:
            yield f"{path}.cache_control"


def _empty_text(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in places(params):
        if block.get("type") == "text" and not block.get("text") and block.get("cache_control"):
            yield f"{path}.cache_control"


def _order(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for before, breakpoint_ in pairwise(_breakpoints(params)):
        if before.ttl == "5m" and breakpoint_.ttl == "1h":
            yield f"{breakpoint_.path}.cache_control.ttl"


def _automatic_ttl(params: Params, _: ModelFacts) -> Iterator[Violation]:
    # The automatic breakpoint is the last one. The last block may already have an explicit one.
    explicit = _breakpoints(params)[-1:]
    for breakpoint_ in _automatic(params):
        last = [place.path for place in places(params)][-1:]
        same_block = [one for one in explicit if [one.path] == last]
        if any(one.ttl != breakpoint_.ttl for one in same_block) or any(
            (one.ttl, breakpoint_.ttl) == ("5m", "1h") for one in explicit
        ):
            yield "cache_control.ttl"


RULES = (
    Rule("breakpoint shape", "Input should be of type 'ephemeral' with a ttl of '5m' or '1h'", _shape),
    Rule("breakpoint count", "A maximum of 4 blocks with cache_control may be provided.", _too_many),
    Rule("breakpoint on thinking", "`cache_control` cannot be set for thinking blocks", _thinking),
    Rule("breakpoint on empty text", "cache_control cannot be set for empty text blocks", _empty_text),
    Rule(
        "breakpoint order",
        "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.",
        _order,
    ),
    Rule(
        "automatic breakpoint", "a block or an earlier one has a cache_control with another ttl", _automatic_ttl
    ),
)
