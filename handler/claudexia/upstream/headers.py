"""The upstream's response headers, as OpenAI's clients read them.

Anthropic tells when a limit resets, OpenAI how long that will take (`1s`, `6m0s`).
Source: https://platform.claude.com/docs/en/api/rate-limits
"""

from collections.abc import Mapping
from datetime import UTC, datetime

# Beyond this, the Python SDK does not retry at all and the Node SDK retries at once, without waiting.
_LONGEST_WAIT = 60.0
_RETRY = ("retry-after", "retry-after-ms", "x-should-retry")


def relayed_headers(headers: Mapping[str, str], now: datetime) -> dict[str, str]:
    """What goes with every answer. `now` has a time zone; `headers` are looked up in lower case."""
    relayed: dict[str, str] = {}
    if "request-id" in headers:
        relayed["x-request-id"] = headers["request-id"]
    for kind in ("requests", "tokens"):
        for figure in ("limit", "remaining", "reset"):
            value = headers.get(f"anthropic-ratelimit-{kind}-{figure}")
            told = _duration(value, now) if value and figure == "reset" else value
            if told:
                relayed[f"x-ratelimit-{figure}-{kind}"] = told
    return relayed


def retry_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What goes with a failure only: the upstream sends `retry-after` with many a success as well."""
    relayed = {name: headers[name] for name in _RETRY if name in headers}
    if _seconds(relayed.get("retry-after")) > _LONGEST_WAIT:
        relayed["x-should-retry"] = "false"
    return relayed


def _seconds(retry_after: str | None) -> float:
    try:
        return float(retry_after or 0)
    except ValueError:  # a date, which the SDKs read as well
        return 0.0


def _duration(timestamp: str, now: datetime) -> str | None:
    try:
        reset = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if reset.tzinfo is None:
        reset = reset.replace(tzinfo=UTC)
    left = max(0.0, (reset - now).total_seconds())
    if left < 1:
        return f"{round(left * 1000)}ms"
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"
