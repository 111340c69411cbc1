"""Marks of the prompt cache on a translated request: where they may stand, reading them, moving them.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

from claudexia.translate.anthropic_params import CacheControlParam, MessageCreateParams

# The way to one block: ("tools", 0), ("messages", 2, "content", 1).
Path = tuple[str | int, ...]
Block = Mapping[str, object]
TTL = Literal["5m", "1h"]

_BYTES_A_TOKEN = 4
_ENDLESS = 2**40  # bytes, more than any request has
# Rough and rather too small: a page of a PDF takes more.
_TOKENS = {"image": 300, "document": 1500, "thinking": 0, "redacted_thinking": 0}


def blocks(sent: MessageCreateParams) -> Iterator[tuple[Path, Block]]:
    """All that may carry a mark, in the order of the cached prefix: tools, system, messages."""
    for index, tool in enumerate(sent.get("tools", ())):
        yield ("tools", index), cast("Block", tool)
    for index, text in enumerate(sent.get("system", ())):
        yield ("system", index), cast("Block", text)
    for turn, message in enumerate(sent["messages"]):
        for index, block in enumerate(message["content"]):
            path = ("messages", turn, "content", index)
            if block["type"] == "tool_result":
                for inner, part in enumerate(block.get("content", ())):
                    yield (*path, "content", inner), cast("Block", part)
            yield path, cast("Block", block)


def takes_mark(block: Block) -> bool:
    """The API refuses marks on thinking and on empty text."""
    match block:
        case {"type": "thinking" | "redacted_thinking"}:
            return False
        case {"type": "text", "text": str(text)}:
            return bool(text.strip())
    return True


def put_mark(sent: MessageCreateParams, path: Path, control: CacheControlParam | None) -> None:
    """Marks the block at `path`, or takes its mark away. The block is copied: others may hold it as well."""
    parts = cast("dict[str, object]", sent)
    name, way = str(path[0]), path[1:]
    parts[name] = _with_mark(parts[name], way, control)


def ephemeral(ttl: TTL) -> CacheControlParam:
    return {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}


def reaches(parts: object, tokens: int) -> bool:
    """Whether `parts`, any JSON, hold at least `tokens` by a cheap estimate that stops as soon as it knows."""
    return _missing(parts, tokens * _BYTES_A_TOKEN) <= 0


def estimated_tokens(parts: object) -> int:
    """Roughly how many tokens `parts`, any JSON, are."""
    return (_ENDLESS - _missing(parts, _ENDLESS)) // _BYTES_A_TOKEN


def _with_mark(value: object, way: Path, control: CacheControlParam | None) -> object:
    if not way:
        plain = {name: item for name, item in cast("Block", value).items() if name != "cache_control"}
        return {**plain, "cache_control": control} if control else plain
    step, rest = way[0], way[1:]
    if isinstance(step, int):
        items = cast("Sequence[object]", value)
        return [*items[:step], _with_mark(items[step], rest, control), *items[step + 1 :]]
    fields = cast("Mapping[str, object]", value)
    return {**fields, step: _with_mark(fields[step], rest, control)}


def _missing(value: object, wanted: int) -> int:
    """What the text in `value` leaves of `wanted` bytes; once that is nothing, no more is read."""
    if isinstance(value, str):
        return wanted - (len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass")))
    if isinstance(value, list | tuple):
        for item in value:
            if wanted <= 0:
                break
            wanted = _missing(item, wanted)
    elif isinstance(value, dict):
        return _missing_fields(value, wanted)
    return wanted


def _missing_fields(value: Mapping[str, object], wanted: int) -> int:
    match value:
        case {"type": "document", "source": {"type": "text", "data": text}}:
            return _missing(text, wanted)
        case {"type": "image" | "document" | "thinking" | "redacted_thinking" as kind}:
            return wanted - _TOKENS[kind] * _BYTES_A_TOKEN
    for name, item in value.items():
        wanted = _missing(item, wanted - len(name))
        if wanted <= 0:
            break
    return wanted
