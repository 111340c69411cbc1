"""Ways through a request that hold for any JSON: what has an unexpected shape is passed over.

The rule about the types of the SDK names what is passed over here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.fakes.anthropic.models import ModelFacts

Json = Any
Params = Mapping[str, Json]
# Yields the path of each violation, such as `messages.0.content.1`; an empty path is the request as a whole.
Check = Callable[[Params, ModelFacts], Iterator[str]]


@dataclass(frozen=True)
class Rule:
    """One thing the server refuses, in its words."""

    name: str
    words: str
    check: Check


class Turn(NamedTuple):
    path: str
    role: str
    blocks: list[tuple[str, dict[str, Json]]]

    def of(self, *kinds: str) -> list[dict[str, Json]]:
        return [block for _, block in self.blocks if block.get("type") in kinds]


class Place(NamedTuple):
    """A block, and whose it is: a role's, or `tool_result` for what a tool answered."""

    path: str
    owner: str
    block: dict[str, Json]


def record(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def entries(value: Json) -> list[tuple[int, dict[str, Json]]]:
    """The objects of a list with their indices."""
    items = enumerate(value) if isinstance(value, list) else ()
    return [(index, item) for index, item in items if isinstance(item, dict)]


def strings(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def as_blocks(content: Json) -> Json:
    """Content as a list: a string is one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def turns(params: Params) -> list[Turn]:
    """The messages as they were sent."""
    return [
        Turn(path, str(message.get("role")), _located(path, message.get("content")))
        for index, message in entries(params.get("messages"))
        for path in [f"messages.{index}"]
    ]


def merged(params: Params) -> list[Turn]:
    """The messages as the server reads them: neighbors of one role are one turn."""
    result: list[Turn] = []
    for turn in turns(params):
        if result and result[-1].role == turn.role:
            result[-1].blocks.extend(turn.blocks)
        else:
            result.append(turn)
    return result


def places(params: Params) -> Iterator[Place]:
    """Every content block of a request, those inside others right after them."""
    for index, block in entries(as_blocks(params.get("system"))):
        yield Place(f"system.{index}", "system", block)
    for turn in turns(params):
        for path, block in turn.blocks:
            yield Place(path, turn.role, block)
            if block.get("type") in ("tool_result", "search_result"):
                inner = _located(path, block.get("content"))
                yield from (Place(place, str(block["type"]), item) for place, item in inner)


def tools(params: Params) -> list[tuple[str, dict[str, Json]]]:
    return [(f"tools.{index}", tool) for index, tool in entries(params.get("tools"))]


def is_custom(tool: dict[str, Json]) -> bool:
    """Whether the client runs this tool and gave its schema."""
    return tool.get("type") in (None, "custom")


def thinking_type(params: Params, model: ModelFacts) -> str:
    """What the model does on this request, said or by default."""
    return str(record(params.get("thinking")).get("type", model.thinking_by_default))


def forced(params: Params) -> bool:
    return record(params.get("tool_choice")).get("type") in ("any", "tool")


def schema_format(params: Params) -> dict[str, Json]:
    return record(record(params.get("output_config")).get("format"))


def _located(path: str, content: Json) -> list[tuple[str, dict[str, Json]]]:
    return [(f"{path}.content.{index}", block) for index, block in entries(as_blocks(content or []))]
