"""Limits of one key, the time windows they count in, and the 429 errors and headers that report them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Literal

from claudexia.errors import NO_RETRY, APIError, invalid_request, shorten

MICROS = 1_000_000  # micro-dollars in a US dollar
# Seconds until a retry, if the limit frees up when a running request ends: that time is not known.
_RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Window:
    """A time span with a counter of its own. `label` is a part of its start, such as 2026-11-22; `ends` is in
    seconds since 1970.
    """

    label: str
    ends: int


def minute(now: datetime) -> Window:
    start = now.astimezone(UTC).replace(second=0, microsecond=0)
    return Window(f"{start:%Y-%m-%dT%H:%M}", int(start.timestamp()) + 60)


def day(now: datetime) -> Window:
    start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(f"{start:%Y-%m-%d}", int(start.timestamp()) + 86_400)


def month(now: datetime) -> Window:
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return Window(f"{start:%Y-%m}", int(following.timestamp()))


def unbounded(now: datetime) -> Window:
    """The only window of a counter of concurrent requests. Its label is always the same."""
    return Window("open", int(now.timestamp()))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one key; None means no limit. Money is in micro-dollars. Days and months are in UTC."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_streams: int | None = None
    usd_per_day_micros: int | None = None
    usd_per_month_micros: int | None = None
    max_tokens: int | None = None


Unit = Literal["requests", "tokens", "streams", "usd"]  # money is counted in micro-dollars


@dataclass(frozen=True, slots=True)
class CountedLimit:
    """A kind of limit with a counter: `value_of` reads its value, `label` names it in error messages."""

    value_of: Callable[[Limits], int | None]
    unit: Unit
    window_at: Callable[[datetime], Window]
    label: str

    def counter(self, window: Window) -> str:
        """The name of the counter for `window`."""
        return f"{self.unit}#{window.label}"

    def reservation(self, amount: int, expected: int, most: int, at: datetime) -> "Reservation":
        """The reservation at the time `at` for a request that may need `amount`, and probably needs `expected`.

        A high estimate alone never blocks a key. If `amount` is above the tokens left in the minute, the
        request reserves all of them, provided that `expected` or the whole limit is left and that no other
        request is running. If it is above the money left, the request reserves all of that, provided that no
        other request is running. So at most one request exceeds a limit, by the use beyond its reservation.
        Requests and streams are known numbers: all of them fit, or the request is rejected.
        """
        amount = max(amount, 1)  # a request without costs is rejected too, once the budget is spent
        minimum = {"usd": 1, "tokens": min(max(expected, 1), max(most, 1))}.get(self.unit, amount)
        return Reservation(self, self.window_at(at), amount, minimum, most)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request to reserve `amount` in the counter of `limit`, whose value is `most`, for `window`.

    If the amount does not fit and nothing else is reserved in the counter, the remainder is reserved instead,
    provided that it is at least `minimum`. The counter may exceed `most` by `overrun`.
    """

    limit: CountedLimit
    window: Window
    amount: int
    minimum: int
    most: int
    overrun: int = 0

    @property
    def counter(self) -> str:
        return self.limit.counter(self.window)

    def room(self, used: int) -> int:
        """What is left if `used` is."""
        return self.most + self.overrun - used

    def reset_seconds(self, now: datetime) -> int:
        return max(1, ceil(self.window.ends - now.timestamp()))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The `reservation` that does not fit. The counter's `total` is settled and reserved; `leased` is the part
    of it that is reserved and not settled yet.
    """

    reservation: Reservation
    total: int
    leased: int


# Ordered by the time until the reset, longest first: the first exceeded limit is reported.
COUNTED_LIMITS = (
    CountedLimit(lambda limits: limits.usd_per_month_micros, "usd", month, "month"),
    CountedLimit(lambda limits: limits.usd_per_day_micros, "usd", day, "day"),
    CountedLimit(lambda limits: limits.tokens_per_minute, "tokens", minute, "tokens per minute"),
    CountedLimit(lambda limits: limits.requests_per_minute, "requests", minute, "requests per minute"),
    CountedLimit(lambda limits: limits.concurrent_streams, "streams", unbounded, "concurrent streams"),
)


def bounded_max_tokens(limits: Limits, requested: int | None, default: int, param: str = "max_tokens") -> int:
    """The max_tokens to send. Raises APIError 400 if `requested`, in `param`, is above the limit of the key."""
    most = limits.max_tokens
    if most is None:
        return default if requested is None else requested
    if requested is None:
        return min(default, most)
    if requested > most:
        raise invalid_request(
            f"{param} is too large: {shorten(requested)}. "
            f"This API key allows at most {most} tokens per completion.",
            param,
            "integer_above_max_value",
        )
    return requested


def limit_error(refusal: Refusal, now: datetime) -> APIError:
    """The 429 for a request whose reservation does not fit."""
    reservation, total = refusal.reservation, refusal.total
    limit, most, reset_seconds = reservation.limit, reservation.most, reservation.reset_seconds(now)
    if limit.unit == "streams":
        return _rate_limit_error(f"{most} {limit.label}. Wait until one of them has ended.", _RETRY_SECONDS)
    if limit.unit == "usd":
        if total - refusal.leased >= most:
            return spent_error(reservation, now)
        return _rate_limit_error(
            f"{_usd(most)} per {limit.label}. Running requests have reserved the rest of it. "
            "Try again when they have ended.",
            _RETRY_SECONDS,
        )
    use = f" {total} are used or reserved, and this request may need {reservation.amount}."
    return _rate_limit_error(
        f"{most} {limit.label}.{use if limit.unit == 'tokens' else ''} The limit resets in {reset_seconds} s.",
        reset_seconds,
        ratelimit_headers(reservation, total, now),
    )


def choices_error(limit: CountedLimit, most: int, choices: int) -> APIError:
    """The 429 for a request with more choices than `most`, which no wait can make pass."""
    return _rate_limit_error(
        f"{most} {limit.label}, and each choice counts as one. 'n' is {choices}: use at most {most}.",
        headers=dict(NO_RETRY),
    )


def too_many_at_once_error() -> APIError:
    """The 429 for a request that cannot be counted because too many others are being counted."""
    return _rate_limit_error("as many simultaneous requests as can be counted. Try again.", _RETRY_SECONDS)


def spent_error(reservation: Reservation, now: datetime) -> APIError:
    """The 429 for a key that has used up a money limit."""
    return APIError(
        429,
        f"This API key may spend {_usd(reservation.most)} per {reservation.limit.label}, and has spent it. "
        f"The limit resets at {datetime.fromtimestamp(reservation.window.ends, UTC):%Y-%m-%d %H:%M} UTC.",
        type="insufficient_quota",
        code="insufficient_quota",
        headers={"retry-after": str(reservation.reset_seconds(now)), **NO_RETRY},
    )


def ratelimit_headers(reservation: Reservation, total: int, now: datetime) -> dict[str, str]:
    """The state of a counter with that `total` as OpenAI's response headers.

    Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    """
    unit, most = reservation.limit.unit, reservation.most
    return {
        f"x-ratelimit-limit-{unit}": str(most),
        f"x-ratelimit-remaining-{unit}": str(max(0, most - total)),
        f"x-ratelimit-reset-{unit}": f"{reservation.reset_seconds(now)}s",
    }


def _rate_limit_error(
    limit: str, retry_seconds: int | None = None, headers: dict[str, str] | None = None
) -> APIError:
    retry = {} if retry_seconds is None else {"retry-after": str(retry_seconds)}
    return APIError(
        429,
        f"Rate limit reached: this API key is limited to {limit}",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        headers={**retry, **(headers or {})},
    )


def _usd(micros: int) -> str:
    """Dollars with at least two decimals, and as many more as needed: $5.00, $0.000001."""
    dollars, rest = divmod(micros, MICROS)
    decimals = f"{rest:06}".rstrip("0")
    return f"${dollars:,}.{decimals:0<2}"
