"""apply_cache_control(): the client's cache breakpoints as the API takes them, or automatic ones.

A cache breakpoint is a block with `cache_control`: the prompt up to and including that block is cached. If the
client set none and automatic caching is on, breakpoints are set on

    tools                  the last one, if the tools alone are long enough for a cache entry or there is no
                           system prompt
    system                 the last block
    next to last user turn the last block: there the previous request ended, however many blocks came since
    last user turn         the last block: there the next request will look

The API looks back 20 blocks from each breakpoint, and one turn with many tool calls has more; the next to last
user turn covers that case, and also that in which the newest message is replaced. Breakpoints that move do not
change the cached prefix.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cache, partial
from itertools import islice
from typing import Any, Literal, TypeVar, cast

from pydantic import ValidationError

from claudexia.errors import shorten
from claudexia.models import ClaudeModel
from claudexia.translate.report import Report, Step, check_extras
from claudexia.translate.tokens import BYTES_PER_TOKEN, utf8_length
from claudexia.translate.types.anthropic import (
    THINKING_TYPES,
    CacheControlParam,
    ContentBlockParam,
    MessageCreateParams,
)
from claudexia.translate.types.base import CacheControl, Params, PromptCacheBreakpoint
from claudexia.translate.types.params import CompletionCreateParams

# The place of one block in the upstream request: ("tools", 0), ("messages", 2, "content", 1).
Path = tuple[Step, ...]
Block = Mapping[str, object]
TTL = Literal["5m", "1h"]
_BlockT = TypeVar("_BlockT", bound=ContentBlockParam)
_FieldT = TypeVar("_FieldT", bound=Params)

_MAX_BREAKPOINTS = 4
_BREAKPOINT_FIELDS = ("cache_control", "prompt_cache_breakpoint")
# How many blocks before a breakpoint the API looks at; the gateway looks no further for a block to carry it.
_LOOKBACK = 20
_TOP_LEVEL: Path = ()  # the request's own `cache_control`, which the API applies to the last block
# OpenAI's lifetimes as Claude's: the shortest that lasts as long. 30m is the only one that OpenAI documents.
_TTLS: Mapping[str, TTL] = {"5m": "5m", "30m": "1h", "1h": "1h"}
# `prompt_cache_retention` has names of its own beside 24h, which is longer than Claude's longest.
_RETENTION_TTLS: Mapping[str, TTL] = {**_TTLS, "in_memory": "5m", "in-memory": "5m"}
_LONGEST_TTL: TTL = "1h"

_PLAIN_TEXT_BYTES = len("typetexttext")
_CONTAINERS = frozenset({dict, list, tuple})
_WITH_TEXT = _CONTAINERS | {str}
_FEW = 20
_UNLIMITED = 2**40  # bytes, more than any request has
# Rough estimates at the lower end: a page of a PDF takes more.
_TOKENS = {"image": 300, "document": 1500, "thinking": 0, "redacted_thinking": 0}


def estimate_tokens(parts: object) -> int:
    """A rough number of tokens in `parts`, any JSON."""
    return _text_bytes(parts, _UNLIMITED) // BYTES_PER_TOKEN


def _has_tokens(parts: object, minimum: int) -> bool:
    """Whether `parts`, any JSON, have about `minimum` tokens or more; reads little more than needed."""
    limit = minimum * BYTES_PER_TOKEN
    return _text_bytes(parts, limit) >= limit


def _text_bytes(parts: object, limit: int) -> int:
    """The bytes of text in `parts`; stops after the object or array in which `limit` is reached.

    This loop sees every value of a request, so it compares exact types, which is faster than isinstance().
    """
    total, pending = 0, [parts]
    while pending and total < limit:
        container: Any = pending.pop()
        if type(container) is dict:
            block_type = container.get("type")
            if block_type == "text" and type(text := container.get("text")) is str and len(container) == 2:
                total += _PLAIN_TEXT_BYTES + utf8_length(text)
                continue
            if type(block_type) is str and block_type in _TOKENS:
                container, tokens = _block_text(container, block_type)
                total += tokens * BYTES_PER_TOKEN
            else:
                total += len("".join(container))
                container = container.values()
        if len(container) > _FEW and _WITH_TEXT.isdisjoint(map(type, container)):
            continue  # numbers, of which there may be very many
        for item in container:
            kind = type(item)
            if kind is str:
                total += len(item) if item.isascii() else utf8_length(item)
            elif item and kind in _CONTAINERS:
                pending.append(item)
    return total


def _block_text(block: Mapping[str, object], block_type: str) -> tuple[Sequence[object], int]:
    """What counts of a block in _TOKENS: its text, or a number of tokens."""
    match block:
        case {"type": "document", "source": {"type": "text", "data": text}}:
            return [text], 0
    return [], _TOKENS[block_type]


def is_plain(given: Params) -> bool:
    """Whether `given` has neither a cache breakpoint nor a field beside those of its model."""
    fields = given.__dict__
    return not (
        given.__pydantic_extra__ or fields.get("cache_control") or fields.get("prompt_cache_breakpoint")
    )


def client_cache_control(given: Params, report: Report) -> CacheControlParam | None:
    """The breakpoint on a message, part or tool: its `cache_control`, else its `prompt_cache_breakpoint`.

    Both are read even if the model of `given` does not name them. Raises APIError 400 for a malformed one.
    """
    if is_plain(given):
        return None
    control = _read(CacheControl, given, "cache_control", report)
    breakpoint_ = _read(PromptCacheBreakpoint, given, "prompt_cache_breakpoint", report)
    if control:
        return {"type": "ephemeral", "ttl": control.ttl} if control.ttl else {"type": "ephemeral"}
    if breakpoint_ is None:
        return None
    if breakpoint_.ttl is None:
        return {"type": "ephemeral"}
    if breakpoint_.ttl not in _TTLS:
        report.at("prompt_cache_breakpoint", "ttl").warn(
            "Claude's cache lifetimes are 5m and 1h, so it was sent as 1h"
        )
    return {"type": "ephemeral", "ttl": _TTLS.get(breakpoint_.ttl, _LONGEST_TTL)}


def _read(model: type[_FieldT], given: Params, name: str, report: Report) -> _FieldT | None:
    # Not getattr(), which takes pydantic microseconds for a field that `given` does not have.
    value: object = given.__dict__.get(name)
    if value is None and (extra := given.__pydantic_extra__):
        value = extra.get(name)
    if value is None:
        return None
    if type(value) is model and not value.__pydantic_extra__:
        return value
    report = report.at(name)
    try:
        read = value if isinstance(value, model) else model.model_validate(value)
    except ValidationError as error:
        raise report.invalid(shorten(error.errors()[0]["msg"])) from None
    check_extras(read, report)
    return read


def set_client_breakpoint(blocks: list[_BlockT], given: Params, report: Report) -> None:
    """Sets the breakpoint of `given`, if it has one, on the last of `blocks` that can carry it."""
    if control := client_cache_control(given, report):
        set_breakpoint(blocks, control, report)


def set_breakpoint(blocks: list[_BlockT], control: CacheControlParam | None, report: Report) -> None:
    """Sets `control` on the last of `blocks` that can carry it; warns if none of the last 20 can."""
    if control is None:
        return
    for index in range(len(blocks) - 1, max(len(blocks) - _LOOKBACK, 0) - 1, -1):
        block = blocks[index]
        if block["type"] not in THINKING_TYPES and _can_carry_breakpoint(cast("Block", block)):
            blocks[index] = cast("_BlockT", {"cache_control": control, **block})
            return
    report.at("cache_control").warn("no block before it in its message can be cached")


def last_cache_control(blocks: Sequence[ContentBlockParam]) -> CacheControlParam | None:
    """The last breakpoint among `blocks`."""
    controls = [block.get("cache_control") for block in blocks]
    return cast("CacheControlParam | None", next((each for each in reversed(controls) if each), None))


def without_cache_control(blocks: Sequence[_BlockT]) -> list[_BlockT]:
    """For blocks inside another one, which carries the breakpoint instead."""
    return [cast("_BlockT", _uncontrolled(cast("Block", block))) for block in blocks]


def apply_cache_control(
    sent: MessageCreateParams,
    params: CompletionCreateParams,
    model: ClaudeModel,
    automatic: bool,
    report: Report,
) -> None:
    """Sets the breakpoints of `sent`, a translated request; `automatic` is the operator's setting.

    A client that set a breakpoint, or the mode `explicit`, gets no automatic ones. The mode `implicit` gets
    them whatever the setting.
    """
    ttl = _default_ttl(params, report)
    given = _client_breakpoints(sent)
    if given or params.cache_control:
        _apply_client_breakpoints(sent, params, given, ttl, report)
        return
    mode = params.prompt_cache_options.mode if params.prompt_cache_options else None
    if mode == "explicit":
        return
    if not automatic and mode is None:
        if ttl != "5m":
            _ttl_report(params, report).warn(
                "automatic caching is off, and the request has no cache breakpoint"
            )
    # The last one is read first: often it is one long text.
    elif _has_tokens((sent.get("tools"), sent["messages"], sent.get("system")), model.min_cache_tokens):
        control = _ephemeral(ttl)
        _put_cache_controls(sent, dict.fromkeys(_automatic_breakpoints(sent, model.min_cache_tokens), control))


def _client_breakpoints(sent: MessageCreateParams) -> dict[Path, Block]:
    """All blocks with a `cache_control`, in the order of the cached prefix: tools, system, messages."""
    found: dict[Path, Block] = {}
    for name in ("tools", "system"):
        for index, block in enumerate(cast("Sequence[Block]", sent.get(name, ()))):
            if "cache_control" in block:
                found[name, index] = block
    for turn, message in enumerate(sent["messages"]):
        for index, block in enumerate(cast("Sequence[Block]", message["content"])):
            if block["type"] == "tool_result":
                for inner, part in enumerate(cast("Sequence[Block]", block.get("content", ()))):
                    if "cache_control" in part:
                        found["messages", turn, "content", index, "content", inner] = part
            if "cache_control" in block:
                found["messages", turn, "content", index] = block
    return found


def _last_cacheable(sent: MessageCreateParams) -> Path | None:
    """The last block that can carry a breakpoint."""
    messages = sent["messages"]
    lists: list[tuple[Path, Any]] = [
        (("tools",), sent.get("tools", ())),
        (("system",), sent.get("system", ())),
        *((("messages", turn, "content"), message["content"]) for turn, message in enumerate(messages)),
    ]
    for path, blocks in reversed(lists):
        for index in reversed(range(len(blocks))):
            if _can_carry_breakpoint(blocks[index]):
                return (*path, index)
    return None


def _can_carry_breakpoint(block: Block) -> bool:
    """The API rejects breakpoints on thinking and on blank text."""
    kind = block.get("type")
    if kind == "text":
        text = block.get("text")
        return not isinstance(text, str) or bool(text.strip())
    return kind not in THINKING_TYPES


def _ephemeral(ttl: TTL) -> CacheControlParam:
    return {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}


def _put_cache_controls(sent: MessageCreateParams, controls: Mapping[Path, CacheControlParam | None]) -> None:
    """Sets or, with None, removes the breakpoint at each path.

    Copies the changed blocks and what they are in, once: others may hold them as well.
    """
    copies: dict[Path, Any] = {(): sent}
    # An inner block before the one around it, whose copy then holds it.
    for path, control in controls.items():
        parent = _copied(copies, path[:-1])
        block = _uncontrolled(parent[path[-1]])
        parent[path[-1]] = {**block, "cache_control": control} if control else block


def _copied(copies: dict[Path, Any], path: Path) -> Any:
    """The copy of the list or object at `path`, made and put in its place at the first call."""
    if path not in copies:
        parent = _copied(copies, path[:-1])
        parent[path[-1]] = copies[path] = copy(parent[path[-1]])
    return copies[path]


def _uncontrolled(block: Block) -> dict[str, object]:
    rest = {**block}
    rest.pop("cache_control", None)
    return rest


def _default_ttl(params: CompletionCreateParams, report: Report) -> TTL:
    """The lifetime of breakpoints that name none."""
    options, retention = params.prompt_cache_options, params.prompt_cache_retention
    if options:
        check_extras(options, report.at("prompt_cache_options"))
    requested = (options.ttl if options else None) or retention
    if requested is None:
        return "5m"
    ttl = _RETENTION_TTLS.get(requested, _LONGEST_TTL)
    if requested not in _RETENTION_TTLS:
        _ttl_report(params, report).warn("Claude's longest cache lifetime is 1h")
    if retention and requested != retention and _RETENTION_TTLS.get(retention) != ttl:
        report.at("prompt_cache_retention").warn("prompt_cache_options.ttl was used instead")
    return ttl


def _ttl_report(params: CompletionCreateParams, report: Report) -> Report:
    """The report for the field that set the default lifetime."""
    options = params.prompt_cache_options
    if options and options.ttl:
        return report.at("prompt_cache_options", "ttl")
    return report.at("prompt_cache_retention")


def _automatic_breakpoints(sent: MessageCreateParams, minimum: int) -> list[Path]:
    tools, system = sent.get("tools", ()), sent.get("system", ())
    paths: list[Path] = []
    if tools and (not system or _has_tokens(tools, minimum)):
        paths.append(("tools", len(tools) - 1))
    if system:
        paths.append(("system", len(system) - 1))
    messages = sent["messages"]
    turns = (turn for turn in reversed(range(len(messages))) if messages[turn]["role"] == "user")
    for turn in reversed([*islice(turns, 2)]):
        content = cast("Sequence[Block]", messages[turn]["content"])
        usable = (index for index in reversed(range(len(content))) if _can_carry_breakpoint(content[index]))
        paths += [("messages", turn, "content", index) for index in islice(usable, 1)]
    return paths


def _apply_client_breakpoints(
    sent: MessageCreateParams,
    params: CompletionCreateParams,
    given: Mapping[Path, Block],
    default_ttl: TTL,
    report: Report,
) -> None:
    """Makes the breakpoints of the blocks `given`, and the top-level one, fit the API's rules on place, number
    and order.
    """
    controls = {path: cast("CacheControlParam", block["cache_control"]) for path, block in given.items()}
    ttls: dict[Path, TTL] = {
        path: control.get("ttl", default_ttl)
        for path, control in controls.items()
        if _can_carry_breakpoint(given[path])
    }
    first = cache(partial(_first_breakpoint, params))

    def warn(reason: str) -> None:
        report.at(*first()).warn(reason)

    if len(ttls) < len(given):
        warn("Claude takes no cache breakpoint on thinking or blank text, so it was left out")
    if params.cache_control:
        check_extras(params.cache_control, report.at("cache_control"))
        ttls[_TOP_LEVEL] = params.cache_control.ttl or default_ttl
        _merge_top_level(ttls, _last_cacheable(sent), report.at("cache_control"))
    ttls = _limited(ttls, warn)
    _raise_earlier(ttls, warn)
    changed: dict[Path, CacheControlParam | None] = {}
    for path, control in controls.items():
        ttl = ttls.get(path)
        if ttl != control.get("ttl", "5m"):
            changed[path] = _ephemeral(ttl) if ttl else None
    _put_cache_controls(sent, changed)
    if _TOP_LEVEL in ttls:
        sent["cache_control"] = _ephemeral(ttls[_TOP_LEVEL])


def _first_breakpoint(params: CompletionCreateParams) -> Path:
    """Where the client's first breakpoint is: the place of warnings about all of them together."""
    for name, items in (("messages", params.messages), ("tools", params.tools)):
        if found := _find_breakpoint(items, (name,)):
            return found
    return ("cache_control",)


def _find_breakpoint(node: object, path: Path) -> Path | None:
    if isinstance(node, list):
        steps: Iterable[tuple[Step, object]] = enumerate(node)
    elif isinstance(node, Params):
        steps = (*node.__dict__.items(), *(node.__pydantic_extra__ or {}).items())
    else:
        return None
    for step, inner in steps:
        if inner is None or type(inner) is str:
            continue  # as almost all
        if step in _BREAKPOINT_FIELDS:
            return (*path, step)
        if found := _find_breakpoint(inner, (*path, step)):
            return found
    return None


def _merge_top_level(ttls: dict[Path, TTL], last: Path | None, report: Report) -> None:
    """The top-level breakpoint applies to the last block, where a second one with another ttl is a 400."""
    if last is None or last not in ttls:
        return
    if ttls.pop(last) != ttls[_TOP_LEVEL]:
        ttls[_TOP_LEVEL] = "1h"
        report.warn("the last block has two cache lifetimes, and 1h was used")


def _limited(ttls: dict[Path, TTL], warn: Callable[[str], None]) -> dict[Path, TTL]:
    """As many as the API takes: the top-level one, those on tools and system, then the newest."""
    if len(ttls) <= _MAX_BREAKPOINTS:
        return ttls
    newest_first = [*reversed(ttls)]  # the top-level one is the newest of all
    by_use = sorted(newest_first, key=lambda path: path[:1] == ("messages",))
    kept = {*by_use[:_MAX_BREAKPOINTS]}
    warn(
        f"Claude takes {_MAX_BREAKPOINTS} cache breakpoints, so "
        f"{len(ttls) - _MAX_BREAKPOINTS} of {len(ttls)} were left out"
    )
    return {path: ttl for path, ttl in ttls.items() if path in kept}


def _raise_earlier(ttls: dict[Path, TTL], warn: Callable[[str], None]) -> None:
    """The API wants breakpoints of 1h before those of 5m: an earlier one of 5m is raised to 1h."""
    hour_follows = False
    for path in reversed(ttls):
        if hour_follows and ttls[path] == "5m":
            ttls[path] = "1h"
            warn("a cache breakpoint of 5m before one of 1h was raised to 1h, as the API requires")
        hour_follows = hour_follows or ttls[path] == "1h"
