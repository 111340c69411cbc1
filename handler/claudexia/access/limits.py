"""Limits: how much one key may ask for, and what it is told when that is used up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Literal

from claudexia.access.meters import Claim, Period, Reading, Window, always, day, minute, month
from claudexia.translate import APIError
from claudexia.translate.errors import NO_RETRY, invalid_request

MICROS = 1_000_000  # in a US dollar
# Until a stream ends, or a running request tells what it cost, nobody knows how long that takes.
_WAIT = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit. Money is in micros, millionths of a US dollar; days and months are UTC's."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_streams: int | None = None
    usd_per_day_micros: int | None = None
    usd_per_month_micros: int | None = None
    max_tokens: int | None = None


Unit = Literal["requests", "tokens", "streams", "micros"]


@dataclass(frozen=True, slots=True)
class Metered:
    """A limit that is counted: where it is set, in what unit and period, and how it is called."""

    of: Callable[[Limits], int | None]
    unit: Unit
    period: Period
    name: str

    @property
    def meter(self) -> str:
        return "usd" if self.unit == "micros" else self.unit

    def claim(self, amount: int, limit: int, lasts: int) -> Claim:
        """What to reserve for a request that may need `amount`.

        An estimate alone shuts no key out. What is larger than a limit of tokens passes in a minute in which
        nothing else was asked. What is larger than the money left takes all of it, while no other request is
        running. So a limit is exceeded by one request at most, by what it needs beyond its reservation.
        """
        amount = max(amount, 1)  # even what costs nothing is refused where all is spent
        least = 1 if self.unit == "micros" else min(amount, max(limit, 1))
        return Claim(amount, least, limit, None if self.unit == "requests" else lasts)


# The one that takes longest to reset comes first: it is the one to be told of.
METERED = (
    Metered(lambda limits: limits.usd_per_month_micros, "micros", month, "month"),
    Metered(lambda limits: limits.usd_per_day_micros, "micros", day, "day"),
    Metered(lambda limits: limits.tokens_per_minute, "tokens", minute, "tokens per minute"),
    Metered(lambda limits: limits.requests_per_minute, "requests", minute, "requests per minute"),
    Metered(lambda limits: limits.concurrent_streams, "streams", always, "concurrent streams"),
)


def bounded_max_tokens(limits: Limits, asked: int | None, default: int) -> int:
    """What to send as max_tokens. Raises APIError 400 where more is `asked` than the key may have."""
    most = limits.max_tokens
    if most is None:
        return default if asked is None else asked
    if asked is None:
        return min(default, most)
    if asked > most:
        raise invalid_request(
            f"max_tokens is too large: {asked}. This API key may ask for at most {most} tokens in one answer.",
            "max_tokens",
            "integer_above_max_value",
        )
    return asked


def over_limit(metered: Metered, claim: Claim, window: Window, reading: Reading, now: datetime) -> APIError:
    """The 429 for `claim`, that found no room in `window`."""
    left = max(1, ceil(window.ends - now.timestamp()))
    if metered.unit == "streams":
        return _rate_limited(f"{claim.limit} {metered.name}. Wait until one of them has ended.", _WAIT)
    if metered.unit == "micros":
        return _over_budget(f"{_usd(claim.limit)} per {metered.name}", claim.limit, reading, window, left)
    need = f" {reading.claimed} are used or reserved, and this request may need {claim.amount}."
    told = need if metered.unit == "tokens" else ""
    headers = ratelimit_headers(metered.unit, claim.limit, reading.claimed, left)
    return _rate_limited(f"{claim.limit} {metered.name}.{told} The limit resets in {left} s.", left, headers)


def ratelimit_headers(unit: Unit, limit: int, claimed: int, resets: int) -> dict[str, str]:
    """A limit in the words of OpenAI's API; `resets` is in seconds.

    Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    """
    return {
        f"x-ratelimit-limit-{unit}": str(limit),
        f"x-ratelimit-remaining-{unit}": str(max(0, limit - claimed)),
        f"x-ratelimit-reset-{unit}": f"{resets}s",
    }


def _over_budget(budget: str, limit: int, reading: Reading, window: Window, left: int) -> APIError:
    if reading.claimed - reading.held < limit:
        return _rate_limited(
            f"{budget}. Too little of that is left while other requests are running. "
            "Try again when they have ended.",
            _WAIT,
        )
    return APIError(
        429,
        f"This API key may spend {budget}, and has spent it. "
        f"The limit resets at {datetime.fromtimestamp(window.ends, UTC):%Y-%m-%d %H:%M} UTC.",
        type="insufficient_quota",
        code="insufficient_quota",
        headers={"retry-after": str(left), **NO_RETRY},
    )


def _rate_limited(limit: str, wait: int, headers: dict[str, str] | None = None) -> APIError:
    return APIError(
        429,
        f"Rate limit reached: this API key is limited to {limit}",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"retry-after": str(wait), **(headers or {})},
    )


def _usd(micros: int) -> str:
    """At least the cents, and of less what there is."""
    dollars, rest = divmod(micros, MICROS)
    decimals = f"{rest:06}".rstrip("0")
    return f"${dollars:,}.{decimals:0<2}"
