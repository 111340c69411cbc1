"""apply_cache_control(): the client's own cache marks as the API takes them, or automatic marks where it set none.

    tools            the last one, where the tools alone are worth a cache entry or no system prompt follows
    system           the last block
    user turn - 1    the last block: where the call before this one ended, however many blocks came since
    user turn        the last block: what the next call will find

A lookup goes back 20 blocks from each mark, which one turn with many tool calls exceeds; hence the third mark,
which also serves when the newest message is written anew. Marks that move do not change the cached prefix.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeVar, cast

from pydantic import ValidationError

from claudexia.errors import invalid_request
from claudexia.models import ClaudeModel
from claudexia.translate.report import Report, check_extras
from claudexia.translate.types.anthropic import CacheControlParam, ContentBlockParam, MessageCreateParams
from claudexia.translate.types.base import CacheControl, Params, PromptCacheBreakpoint
from claudexia.translate.types.params import CompletionCreateParams

# --- claudexia.translate.cache_marks
# Marks of the prompt cache on a translated request: where they may stand, reading them, moving them.
#
# Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching

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


def estimate_tokens(parts: object) -> int:
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


_MAX_MARKS = 4
_TOP_LEVEL: Path = ()  # the request's own mark, which the API puts on the last block
# OpenAI's lifetimes as Claude's. 30m is the only ttl that OpenAI documents; an hour keeps that promise.
_TTLS: Mapping[str | None, TTL] = {
    None: "5m", "in_memory": "5m", "in-memory": "5m", "5m": "5m", "30m": "1h", "1h": "1h",
}  # fmt: skip


def apply_cache_control(
    sent: MessageCreateParams,
    params: CompletionCreateParams,
    model: ClaudeModel,
    automatic: bool,
    report: Report,
) -> None:
    """Marks `sent`, an already translated request; `automatic` is the operator's setting.

    A client that marked something itself, or asked for mode `explicit`, gets no further marks. One that asked
    for mode `implicit` gets automatic ones whatever the setting.
    """
    ttl = _asked_ttl(params, report)
    given = {
        path: cast("CacheControlParam", block["cache_control"])
        for path, block in blocks(sent)
        if "cache_control" in block
    }
    if given or params.cache_control:
        _settle_given(sent, params, given, ttl, report)
        return
    mode = params.prompt_cache_options.mode if params.prompt_cache_options else None
    if mode == "explicit":
        return
    if not automatic and mode is None:
        if ttl != "5m":
            report.warn(_ttl_field(params), "automatic caching is switched off here, and no part is marked")
    elif reaches((sent["messages"], sent.get("system"), sent.get("tools")), model.min_cache_tokens):
        for path in _automatic(sent, model.min_cache_tokens):
            put_mark(sent, path, ephemeral(ttl))


def _asked_ttl(params: CompletionCreateParams, report: Report) -> TTL:
    """The lifetime for marks that name none."""
    options, retention = params.prompt_cache_options, params.prompt_cache_retention
    if options:
        check_extras(options, "prompt_cache_options", report)
    asked = (options.ttl if options else None) or retention
    ttl = _TTLS.get(asked, "1h")
    if asked not in _TTLS:
        report.warn(_ttl_field(params), "Claude keeps what is cached for an hour at most")
    if retention and asked != retention and _TTLS.get(retention) != ttl:
        report.warn("prompt_cache_retention", "prompt_cache_options.ttl was taken instead")
    return ttl


def _ttl_field(params: CompletionCreateParams) -> str:
    options = params.prompt_cache_options
    return "prompt_cache_options.ttl" if options and options.ttl else "prompt_cache_retention"


def _automatic(sent: MessageCreateParams, minimum: int) -> list[Path]:
    tools, system = sent.get("tools", ()), sent.get("system", ())
    paths: list[Path] = []
    if tools and (not system or reaches(tools, minimum)):
        paths.append(("tools", len(tools) - 1))
    if system:
        paths.append(("system", len(system) - 1))
    turns = [turn for turn, message in enumerate(sent["messages"]) if message["role"] == "user"]
    for turn in turns[-2:]:
        content = sent["messages"][turn]["content"]
        able = [index for index, block in enumerate(content) if takes_mark(block)]
        paths += [("messages", turn, "content", index) for index in able[-1:]]
    return paths


def _settle_given(
    sent: MessageCreateParams,
    params: CompletionCreateParams,
    given: Mapping[Path, CacheControlParam],
    default: TTL,
    report: Report,
) -> None:
    able = [path for path, block in blocks(sent) if takes_mark(block)]
    ttls: dict[Path, TTL] = {path: given[path].get("ttl", default) for path in able if path in given}
    if len(ttls) < len(given):
        report.warn("cache_control", "Claude takes no mark on thinking or empty text, so it was left out")
    if params.cache_control:
        check_extras(params.cache_control, "cache_control", report)
        ttls[_TOP_LEVEL] = params.cache_control.ttl or default
        _merge_top_level(ttls, able[-1], report)
    ttls = _kept(ttls, report)
    _settle_order(ttls, report)
    for path, control in given.items():
        ttl = ttls.get(path)
        if ttl != control.get("ttl", "5m"):
            put_mark(sent, path, ephemeral(ttl) if ttl else None)
    if _TOP_LEVEL in ttls:
        sent["cache_control"] = ephemeral(ttls[_TOP_LEVEL])


def _merge_top_level(ttls: dict[Path, TTL], last: Path, report: Report) -> None:
    """The top-level mark falls on the last block, where another one with another ttl would be a 400."""
    if last not in ttls:
        return
    if ttls.pop(last) != ttls[_TOP_LEVEL]:
        ttls[_TOP_LEVEL] = "1h"
        report.warn("cache_control", "the last block is marked with two lifetimes, and 1h was taken")


def _kept(ttls: dict[Path, TTL], report: Report) -> dict[Path, TTL]:
    """As many as the API takes: the top-level one, those on tools and system, then the newest."""
    if len(ttls) <= _MAX_MARKS:
        return ttls
    newest_first = list(reversed(ttls))
    by_use = sorted(newest_first, key=lambda path: (path != _TOP_LEVEL, path[:1] == ("messages",)))
    useful = by_use[:_MAX_MARKS]
    report.warn(
        "cache_control",
        f"Claude takes {_MAX_MARKS} marks, so {len(ttls) - _MAX_MARKS} of {len(ttls)} were left out",
    )
    return {path: ttl for path, ttl in ttls.items() if path in useful}


def _settle_order(ttls: dict[Path, TTL], report: Report) -> None:
    """Marks of an hour must come before those of five minutes: whatever stands before one is raised to it."""
    hour_follows = False
    for path in reversed(ttls):
        if hour_follows and ttls[path] == "5m":
            ttls[path] = "1h"
            report.warn("cache_control", "a mark of 5m before one of 1h was raised to 1h, as Claude wants it")
        hour_follows = hour_follows or ttls[path] == "1h"


# --- claudexia.translate.marks
# Cache marks: what clients ask to be cached, as the `cache_control` of the block it is asked for.
#
# Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching

_Block = TypeVar("_Block", bound=ContentBlockParam)
_Mark = TypeVar("_Mark", bound=Params)

_HOUR: CacheControlParam = {"type": "ephemeral", "ttl": "1h"}
# OpenAI's lifetimes, each by the shortest of Claude's that lasts as long, or by the longest there is.
_LIFETIMES: dict[str, CacheControlParam] = {"5m": {"type": "ephemeral", "ttl": "5m"}, "30m": _HOUR, "1h": _HOUR}
_UNMARKABLE = ("thinking", "redacted_thinking")


def client_mark(given: Params, path: str, report: Report) -> CacheControlParam | None:
    """The mark on a message, part or tool: its `cache_control`, else its `prompt_cache_breakpoint`.

    Both are read whether the model of `given` names them or not. Raises APIError 400 for one that is malformed.
    """
    own = _read(CacheControl, given, "cache_control", path, report)
    point = _read(PromptCacheBreakpoint, given, "prompt_cache_breakpoint", path, report)
    if own:
        return {"type": "ephemeral", "ttl": own.ttl} if own.ttl else {"type": "ephemeral"}
    if point is None:
        return None
    if point.ttl is None:
        return {"type": "ephemeral"}
    if point.ttl not in _LIFETIMES:
        report.warn(f"{path}.prompt_cache_breakpoint.ttl", "Claude caches for 5m or 1h, so it was taken as 1h")
    return _LIFETIMES.get(point.ttl, _HOUR)


def mark_last(blocks: list[_Block], mark: CacheControlParam | None, path: str, report: Report) -> None:
    """Puts `mark` on the last of `blocks` that can carry one; `path` is where the client wrote it."""
    if mark is None:
        return
    for index in reversed(range(len(blocks))):
        block = blocks[index]
        if block["type"] not in _UNMARKABLE:
            blocks[index] = cast("_Block", {"cache_control": mark, **block})
            return
    report.warn(f"{path}.cache_control", "nothing stands before it in its message that could be cached")


def newest_mark(blocks: Sequence[ContentBlockParam]) -> CacheControlParam | None:
    """The mark that stands last among `blocks`."""
    marks = [block.get("cache_control") for block in blocks]
    return cast("CacheControlParam | None", next((mark for mark in reversed(marks) if mark), None))


def unmarked(blocks: Sequence[_Block]) -> list[_Block]:
    """Blocks that stand inside another one, which carries their mark for them."""
    return [cast("_Block", {k: v for k, v in block.items() if k != "cache_control"}) for block in blocks]


def _read(kind: type[_Mark], given: Params, name: str, path: str, report: Report) -> _Mark | None:
    value: object = getattr(given, name, None)
    if value is None:
        return None
    where = f"{path}.{name}"
    try:
        mark = value if isinstance(value, kind) else kind.model_validate(value)
    except ValidationError as error:
        raise invalid_request(
            f"Invalid '{where}': {error.errors()[0]['msg']}.", where, "invalid_value"
        ) from None
    check_extras(mark, where, report)
    return mark
