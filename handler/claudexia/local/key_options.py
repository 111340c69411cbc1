"""What a key can be given on the command line, from text to values; the word `none` clears it."""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from claudexia.access.keys import Key
from claudexia.access.limits import MICROS, Limits

_NONE = "none"
_MOST = 10**12
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FACTS = ("owner", "note", "expires", "models")
_LIMITS = tuple(limit.name for limit in fields(Limits))


@dataclass(frozen=True, slots=True)
class _Option:
    """An option, the fact or limit of a key that it sets, and how its text is read."""

    name: str
    sets: str
    metavar: str
    help: str
    read: Callable[[str, datetime], object]


def duration(text: str) -> timedelta:
    """24h, 90d."""
    found = re.fullmatch(r"([0-9]{1,5})([smhdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 30m, 24h or 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _text(text: str, now: datetime) -> str:
    return "" if text == _NONE else text


def _moment(text: str, now: datetime) -> datetime | None:
    if text == _NONE:
        return None
    try:
        moment = (
            datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if "-" in text else now + duration(text)
        )
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time like 90d nor a day like 2027-01-31"
        ) from None
    if moment <= now:
        raise argparse.ArgumentTypeError(f"{text!r} is over already")
    return moment


def _patterns(text: str, now: datetime) -> tuple[str, ...]:
    return () if text == _NONE else tuple(filter(None, map(str.strip, text.split(","))))


def _whole(text: str, now: datetime) -> int | None:
    if text == _NONE:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= _MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1, nor 'none'")
    return int(text)


def _micros(text: str, now: datetime) -> int | None:
    if text == _NONE:
        return None
    try:
        micros = Decimal(text) * MICROS
    except InvalidOperation:
        micros = Decimal()
    if not (micros.is_finite() and 1 <= micros <= _MOST and micros == int(micros)):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of US dollars like 5 or 0.50, nor 'none'")
    return int(micros)


_OPTIONS = (
    _Option("--owner", "owner", "TEXT", "who answers for the key", _text),
    _Option("--note", "note", "TEXT", "what it is for", _text),
    _Option(
        "--expires", "expires", "TIME", "when it ends: 90d from now, or the day 2027-01-31, 0:00 UTC", _moment
    ),
    _Option("--models", "models", "A,B", "models it may ask; * stands for any characters", _patterns),
    _Option("--rpm", "requests_per_minute", "N", "requests per minute", _whole),
    _Option("--tpm", "tokens_per_minute", "N", "tokens per minute, input and output", _whole),
    _Option("--streams", "concurrent_streams", "N", "streams at once", _whole),
    _Option("--usd-per-day", "usd_per_day_micros", "USD", "spend per day of UTC", _micros),
    _Option("--usd-per-month", "usd_per_month_micros", "USD", "spend per month of UTC", _micros),
    _Option("--max-tokens", "max_tokens", "N", "largest max_tokens of a request", _whole),
)


def add_key_options(parser: argparse.ArgumentParser, now: datetime) -> None:
    """Those that are not given are not in the namespace, so that `none` differs from them."""
    group = parser.add_argument_group(
        "the key", "Without one of these, or with the word none, it is not limited so."
    )
    for option in _OPTIONS:
        group.add_argument(
            option.name,
            dest=option.sets,
            metavar=option.metavar,
            help=option.help,
            type=_reader(option.read, now),
            default=argparse.SUPPRESS,
        )


def is_given(options: argparse.Namespace) -> bool:
    """Whether add_key_options() found anything."""
    return not vars(options).keys().isdisjoint((*_FACTS, *_LIMITS))


def edited(key: Key, options: argparse.Namespace) -> Key:
    """`key` with what add_key_options() found."""
    given = vars(options)
    limits = replace(key.limits, **{name: given[name] for name in _LIMITS if name in given})
    return replace(key, limits=limits, **{name: given[name] for name in _FACTS if name in given})


def _reader(read: Callable[[str, datetime], object], now: datetime) -> Callable[[str], object]:
    return lambda text: read(text, now)
