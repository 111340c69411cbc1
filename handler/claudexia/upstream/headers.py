"""The upstream's response headers in OpenAI's format.

Anthropic sends the time at which a limit resets, OpenAI the duration until then (`1s`, `6m0s`).
Source: https://platform.claude.com/docs/en/api/rate-limits
"""

from collections.abc import Mapping
from datetime import UTC, datetime

# Seconds. For a longer retry-after, OpenAI's Python SDK does not retry and the Node SDK retries without
# waiting.
_MAX_RETRY_AFTER = 60.0
_RETRY = ("retry-after", "retry-after-ms", "x-should-retry")


def relayed_headers(headers: Mapping[str, str], now: datetime) -> dict[str, str]:
    """For every response. `now` has a time zone; the names in `headers` are lower case."""
    relayed: dict[str, str] = {}
    if "request-id" in headers:
        relayed["x-request-id"] = headers["request-id"]
    for kind in ("requests", "tokens"):
        for figure in ("limit", "remaining", "reset"):
            value = headers.get(f"anthropic-ratelimit-{kind}-{figure}")
            relayed_value = _duration(value, now) if value and figure == "reset" else value
            if relayed_value:
                relayed[f"x-ratelimit-{figure}-{kind}"] = relayed_value
    return relayed


def retry_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """For failures only: the upstream sends `retry-after` with some successful responses too."""
    relayed = {name: headers[name] for name in _RETRY if name in headers}
    if _seconds(relayed.get("retry-after")) > _MAX_RETRY_AFTER:
        relayed["x-should-retry"] = "false"
    return relayed


def _seconds(retry_after: str | None) -> float:
    try:
        return float(retry_after or 0)
    except ValueError:  # a date, which the SDKs accept too
        return 0.0


def _duration(timestamp: str, now: datetime) -> str | None:
    try:
        reset = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if reset.tzinfo is None:
        reset = reset.replace(tzinfo=UTC)
    remaining = max(0.0, (reset - now).total_seconds())
    if remaining < 1:
        return f"{round(remaining * 1000)}ms"
    minutes, seconds = divmod(round(remaining), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"
