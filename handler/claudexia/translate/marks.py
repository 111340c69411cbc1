"""Cache marks: what clients ask to be cached, as the `cache_control` of the block it is asked for.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Sequence
from typing import TypeVar, cast

from pydantic import ValidationError

from claudexia.translate.anthropic_params import CacheControlParam, ContentBlockParam
from claudexia.translate.cache_params import CacheControl, PromptCacheBreakpoint
from claudexia.translate.errors import invalid_request
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.params import Params

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
