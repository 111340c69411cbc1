"""Token counts: merged within one message, added over several, and as OpenAI's usage object."""

from collections.abc import Mapping
from typing import cast

from claudexia.translate.types.anthropic import Usage
from claudexia.translate.types.openai import CompletionUsage


def update_usage(known: Usage, newer: Usage) -> None:
    """Updates `known`, in place, with `newer` without its nulls.

    Counts are cumulative: those of a message_delta are totals.
    """
    known.update({key: value for key, value in newer.items() if value is not None})  # type: ignore[typeddict-item]  # keys of a Usage


def add_usage(*usages: Usage) -> Usage:
    """The sum of several usages, nested counts too. A value that is not a number is the first one's."""
    total: Mapping[str, object] = {}
    for usage in usages:
        total = _sum(total, cast("Mapping[str, object]", usage))
    return cast("Usage", total)


def _sum(first: Mapping[str, object], second: Mapping[str, object]) -> Mapping[str, object]:
    total = dict(first)
    for key, value in second.items():
        known = total.get(key)
        if known is None:
            total[key] = value
        elif isinstance(known, (int, float)) and isinstance(value, (int, float)):
            total[key] = known + value
        elif isinstance(known, dict) and isinstance(value, dict):
            total[key] = _sum(known, value)
    return total


def to_completion_usage(usage: Usage) -> CompletionUsage:
    """Anthropic's `input_tokens` exclude cached input; OpenAI's `prompt_tokens` include it."""
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
