"""The rules of `cache_control`, on blocks and on the request as a whole.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from tests.fakes.anthropic.models import ModelFacts
from tests.fakes.anthropic.walk import Json, Params, Rule, places, record, tools


class Mark(NamedTuple):
    path: str
    control: Json
    owner: dict[str, Json]

    @property
    def ttl(self) -> str:
        return str(record(self.control).get("ttl") or "5m")


def _marks(params: Params) -> list[Mark]:
    """The explicit marks in the order of the prompt: tools, system, messages."""
    found = [*tools(params), *((place.path, place.block) for place in places(params))]
    return [
        Mark(path, block["cache_control"], block)
        for path, block in found
        if block.get("cache_control") is not None
    ]


def _automatic(params: Params) -> list[Mark]:
    control = params.get("cache_control")
    return [] if control is None else [Mark("cache_control", control, {})]


def _shape(params: Params, _: ModelFacts) -> Iterator[str]:
    for mark in _marks(params) + _automatic(params):
        control = record(mark.control)
        path = mark.path if mark.path == "cache_control" else f"{mark.path}.cache_control"
        if control.get("type") != "ephemeral" or (mark.owner and control.keys() - {"type", "ttl"}):
            yield path
        elif control.get("ttl") not in (None, "5m", "1h"):
            yield f"{path}.ttl"


def _too_many(params: Params, _: ModelFacts) -> Iterator[str]:
    if len(_marks(params) + _automatic(params)) > 4:
        yield ""


def _thinking(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in places(params):
        if block.get("type") in ("thinking", "redacted_thinking") and "cache_control" in block:
            yield f"{path}.cache_control"


def _empty_text(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in places(params):
        if block.get("type") == "text" and not block.get("text") and block.get("cache_control"):
            yield f"{path}.cache_control"


def _order(params: Params, _: ModelFacts) -> Iterator[str]:
    for before, mark in pairwise(_marks(params)):
        if before.ttl == "5m" and mark.ttl == "1h":
            yield f"{mark.path}.cache_control.ttl"


def _automatic_ttl(params: Params, _: ModelFacts) -> Iterator[str]:
    # The automatic mark is the last one of all, and may stand where an explicit one already does.
    explicit = _marks(params)[-1:]
    for mark in _automatic(params):
        last = [place.path for place in places(params)][-1:]
        same_block = [one for one in explicit if [one.path] == last]
        if any(one.ttl != mark.ttl for one in same_block) or any(
            (one.ttl, mark.ttl) == ("5m", "1h") for one in explicit
        ):
            yield "cache_control.ttl"


RULES = (
    Rule("mark shape", "Input should be of type 'ephemeral' with a ttl of '5m' or '1h'", _shape),
    Rule("marks", "A maximum of 4 blocks with cache_control may be provided.", _too_many),
    Rule("mark on thinking", "`cache_control` cannot be set for thinking blocks", _thinking),
    Rule("mark on empty text", "cache_control cannot be set for empty text blocks", _empty_text),
    Rule(
        "mark order",
        "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.",
        _order,
    ),
    Rule("automatic mark", "a block or an earlier one has a cache_control with another ttl", _automatic_ttl),
)
