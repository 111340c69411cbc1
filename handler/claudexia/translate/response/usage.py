"""Tokens: those of one answer as they become known, those of several together, and in OpenAI's words."""

from collections.abc import Mapping
from typing import cast

from claudexia.translate.types.anthropic import Usage
from claudexia.translate.types.openai import CompletionUsage


def merge_usage(known: Usage, newer: Usage) -> Usage:
    """A message_delta's counts are totals and win; what it leaves out or has as null stays as it was."""
    update: Usage = {key: value for key, value in newer.items() if value is not None}  # type: ignore[assignment]  # keys of a Usage
    return {**known, **update}


def add_usage(*usages: Usage) -> Usage:
    """The sum of several answers' tokens, nested counts too; what is no number is the first answer's."""
    total: Mapping[str, object] = {}
    for usage in usages:
        total = _sum(total, cast("Mapping[str, object]", usage))
    return cast("Usage", total)


def _sum(one: Mapping[str, object], other: Mapping[str, object]) -> Mapping[str, object]:
    total = dict(one)
    for key, more in other.items():
        known = total.get(key)
        if known is None:
            total[key] = more
        elif isinstance(known, int | float) and isinstance(more, int | float):
            total[key] = known + more
        elif isinstance(known, Mapping) and isinstance(more, Mapping):
            total[key] = _sum(known, more)
    return total


def to_completion_usage(usage: Usage) -> CompletionUsage:
    """Anthropic counts cached input beside `input_tokens`, OpenAI inside `prompt_tokens`."""
    read = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    prompt = (usage.get("input_tokens") or 0) + read + written
    completion = usage.get("output_tokens") or 0
    thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
