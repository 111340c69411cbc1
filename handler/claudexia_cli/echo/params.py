"""Read access to the parameters of POST /v1/messages, whatever their JSON types are.

Values of an unexpected type are skipped: a separate check of the types reports them. Paths have the form of the
API's error messages, such as `messages.0.content.1`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Json = Any
Params = Mapping[str, Json]


class Turn(NamedTuple):
    """A message, or adjacent messages of one role. `path` names the first; each block has its own path."""

    path: str
    role: str
    blocks: list[tuple[str, dict[str, Json]]]

    def of_type(self, *types: str) -> list[dict[str, Json]]:
        return [block for _, block in self.blocks if block.get("type") in types]


class Place(NamedTuple):
    """A content block and its parent: a role, or `tool_result` or `search_result` for a nested block."""

    path: str
    parent: str
    block: dict[str, Json]


def as_object(value: Json) -> dict[str, Json]:
    """`value` if it is an object, else an empty object."""
    return value if isinstance(value, dict) else {}


def objects(value: Json) -> list[tuple[int, dict[str, Json]]]:
    """The objects in a list, each with its index."""
    items = enumerate(value) if isinstance(value, list) else ()
    return [(index, item) for index, item in items if isinstance(item, dict)]


def as_blocks(content: Json) -> Json:
    """Content as a list: a string is short for one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def message_turns(params: Params) -> list[Turn]:
    """One turn per message."""
    return [
        Turn(path, str(message.get("role")), _blocks(path, message.get("content")))
        for index, message in objects(params.get("messages"))
        for path in [f"messages.{index}"]
    ]


def merged_turns(params: Params) -> list[Turn]:
    """The turns as the API reads them: adjacent messages of one role are one turn."""
    result: list[Turn] = []
    for turn in message_turns(params):
        if result and result[-1].role == turn.role:
            result[-1].blocks.extend(turn.blocks)
        else:
            result.append(turn)
    return result


def places(params: Params) -> Iterator[Place]:
    """Every content block of the system prompt and the messages. Nested blocks follow their parent."""
    for index, block in objects(as_blocks(params.get("system"))):
        yield Place(f"system.{index}", "system", block)
    for turn in message_turns(params):
        for path, block in turn.blocks:
            yield Place(path, turn.role, block)
            if block.get("type") in ("tool_result", "search_result"):
                nested = _blocks(path, block.get("content"))
                yield from (Place(place, str(block["type"]), item) for place, item in nested)


def tools(params: Params) -> list[tuple[str, dict[str, Json]]]:
    """Each tool definition with its path."""
    return [(f"tools.{index}", tool) for index, tool in objects(params.get("tools"))]


def is_custom(tool: dict[str, Json]) -> bool:
    """Whether the tool is a client tool with a schema, not one that Anthropic defines."""
    return tool.get("type") in (None, "custom")


def is_forced(params: Params) -> bool:
    """Whether `tool_choice` forces a tool call."""
    return as_object(params.get("tool_choice")).get("type") in ("any", "tool")


def output_format(params: Params) -> dict[str, Json]:
    """`output_config.format`; empty if it is not set."""
    return as_object(as_object(params.get("output_config")).get("format"))


def _blocks(path: str, content: Json) -> list[tuple[str, dict[str, Json]]]:
    return [(f"{path}.content.{index}", block) for index, block in objects(as_blocks(content or []))]
