"""The upstream's response headers, in OpenAI's format and in Anthropic's own.

Anthropic sends the time at which a limit resets, OpenAI the duration until then (`1s`, `6m0s`).
Source: https://platform.claude.com/docs/en/api/rate-limits
"""

from collections.abc import Mapping
from datetime import UTC, datetime

# Seconds. For a longer retry-after, OpenAI's Python SDK does not retry and the Node SDK retries without
# waiting.
_MAX_RETRY_AFTER = 60.0
# Characters of one relayed value. Lambda takes 16 kB of response headers; x-claudexia-warnings has up to 4 kB.
_MAX_VALUE = 256
_RETRY = ("retry-after", "retry-after-ms", "x-should-retry")
_NATIVE = {*_RETRY, "request-id"}


def relayed_headers(headers: Mapping[str, str], now: datetime) -> dict[str, str]:
    """For every response. `now` has a time zone; the names in `headers` are lower case.

    Values that are empty, longer than 256 characters or not printable ASCII are left out.
    """
    relayed: dict[str, str] = {}
    if request_id := _relayable(headers.get("request-id")):
        relayed["x-request-id"] = request_id
    for kind in ("requests", "tokens"):
        for figure in ("limit", "remaining", "reset"):
            value = _relayable(headers.get(f"anthropic-ratelimit-{kind}-{figure}"))
            relayed_value = _duration(value, now) if value and figure == "reset" else value
            if relayed_value:
                relayed[f"x-ratelimit-{figure}-{kind}"] = relayed_value
    return relayed


def host_request_id(headers: Mapping[str, str]) -> dict[str, str]:
    """The request id of AWS, for a response that has none of Anthropic's."""
    request_id = _relayable(headers.get("x-amzn-requestid"))
    return {"x-request-id": request_id} if request_id else {}


def native_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """For responses of the Messages API: as received, without those that concern the gateway's own account.

    `x-request-id` repeats `request-id`.
    """
    relayed = {
        name: value
        for name, value in headers.items()
        if (name in _NATIVE or name.startswith("anthropic-ratelimit-")) and _relayable(value)
    }
    if request_id := relayed.get("request-id"):
        relayed["x-request-id"] = request_id
    return relayed


def retry_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """For failures only: the upstream sends `retry-after` with some successful responses too."""
    relayed = {name: value for name in _RETRY if (value := _relayable(headers.get(name)))}
    if _seconds(relayed.get("retry-after")) > _MAX_RETRY_AFTER:
        relayed["x-should-retry"] = "false"
    return relayed


def _relayable(value: str | None) -> str | None:
    usable = value and len(value) <= _MAX_VALUE and value.isascii() and value.isprintable()
    return value if usable else None


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
