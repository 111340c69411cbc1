"""settle_cache(): the client's own cache marks as the API takes them, or automatic marks where it set none.

    tools            the last one, where the tools alone are worth a cache entry or no system prompt follows
    system           the last block
    user turn - 1    the last block: where the call before this one ended, however many blocks came since
    user turn        the last block: what the next call will find

A lookup goes back 20 blocks from each mark, which one turn with many tool calls exceeds; hence the third mark,
which also serves when the newest message is written anew. Marks that move do not change the cached prefix.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Mapping
from typing import cast

from claudexia.translate.anthropic_params import CacheControlParam, MessageCreateParams
from claudexia.translate.cache_marks import TTL, Path, blocks, ephemeral, put_mark, reaches, takes_mark
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.models import Model

_MAX_MARKS = 4
_TOP_LEVEL: Path = ()  # the request's own mark, which the API puts on the last block
# OpenAI's lifetimes as Claude's. 30m is the only ttl that OpenAI documents; an hour keeps that promise.
_TTLS: Mapping[str | None, TTL] = {
    None: "5m", "in_memory": "5m", "in-memory": "5m", "5m": "5m", "30m": "1h", "1h": "1h",
}  # fmt: skip


def settle_cache(
    sent: MessageCreateParams, params: CompletionCreateParams, model: Model, automatic: bool, report: Report
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
