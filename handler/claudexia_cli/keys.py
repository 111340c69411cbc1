"""The command `claudexia keys`: the keys of a deployed gateway, or of any table."""

import argparse
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from claudexia.access.key_store import KeyStoreError, TableKeyStore
from claudexia.access.keys import Key
from claudexia.access.limits import MICROS, Limits
from claudexia_cli.cli import (
    CommandError,
    CommandParser,
    print_json,
    print_line,
    print_note,
    print_rows,
    print_table,
)
from claudexia_cli.stack import add_table_options, open_table, wait_for

# --- claudexia.local.key_options
# What a key can be given on the command line, from text to values; the word `none` clears it.

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


# --- claudexia.local.key_facts
# A key as people and scripts read it.

HEADERS = ("NAME", "ID", "STATE", "LAST 4", "OWNER", "CREATED", "EXPIRES", "MODELS", "LIMITS")

# How a limit reads: 60 requests/minute.
_LIMIT_TEXTS = {
    "requests_per_minute": "{} requests/minute",
    "tokens_per_minute": "{} tokens/minute",
    "concurrent_streams": "{} streams",
    "usd_per_day_micros": "${}/day",
    "usd_per_month_micros": "${}/month",
    "max_tokens": "{} max_tokens",
}


def as_json(key: Key, now: datetime) -> dict[str, object]:
    """Every fact under its own name; moments as ISO 8601."""
    moments = {"created": key.created.isoformat(), "expires": key.expires.isoformat() if key.expires else None}
    return {**asdict(key), **moments, "state": _state(key, now)}


def as_cells(key: Key, now: datetime) -> list[str]:
    """One row under HEADERS."""
    return [
        key.name,
        key.id,
        _state(key, now),
        key.last4,
        key.owner or "-",
        f"{key.created:%Y-%m-%d}",
        f"{key.expires:%Y-%m-%d}" if key.expires else "never",
        ",".join(key.models) or "all",
        _limits(key) or "none",
    ]


def as_lines(key: Key, now: datetime) -> list[tuple[str, str]]:
    """Every fact with its name."""
    return [
        ("name", key.name),
        ("id", key.id),
        ("state", _state(key, now)),
        ("last four", key.last4),
        ("owner", key.owner or "-"),
        ("note", key.note or "-"),
        ("created", f"{key.created:%Y-%m-%d %H:%M} UTC"),
        ("expires", f"{key.expires:%Y-%m-%d %H:%M} UTC" if key.expires else "never"),
        ("models", ", ".join(key.models) or "all"),
        ("limits", _limits(key) or "none"),
    ]


def _state(key: Key, now: datetime) -> str:
    if key.disabled:
        return "revoked"
    return "expired" if key.expires and key.expires <= now else "active"


def _limits(key: Key) -> str:
    limits = asdict(key.limits)
    return ", ".join(
        text.format(_dollars(limits[name]) if name.endswith("_micros") else limits[name])
        for name, text in _LIMIT_TEXTS.items()
        if limits[name] is not None
    )


def _dollars(micros: int) -> str:
    """Without zeros that say nothing: 5, 0.5."""
    return f"{(Decimal(micros) / 1_000_000).normalize():f}"


_ONCE = "The secret above is shown only this once; the gateway keeps no more than its SHA-256."
_SOON = "within a minute everywhere"

_Work = Callable[[TableKeyStore, argparse.Namespace], Coroutine[None, None, None]]


def main(argv: Sequence[str]) -> None:
    """Raises CommandError, and SystemExit with 2 for wrong arguments."""
    options = _parser(_now()).parse_args(argv)
    store = TableKeyStore(open_table(options), _now)
    try:
        wait_for(options.work(store, options))
    except KeyStoreError as error:
        raise CommandError(str(error)) from error


def _parser(now: datetime) -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="claudexia keys", description="The keys that clients of a deployed gateway use."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, work: _Work, told: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
        command.set_defaults(work=work)
        command.add_argument("--json", action="store_true", help="print JSON, for scripts")
        add_table_options(command)
        return command

    create = add("create", _create, "make a key, and print its secret")
    create.add_argument("name", metavar="NAME", help="a name that no other key has")
    add_key_options(create, now)
    every = add("list", _list, "list the keys")
    every.add_argument("--all", action="store_true", help="those that were revoked too")
    update = add("update", _update, "change what is known of a key, or its limits")
    add_key_options(update, now)
    rotate = add("rotate", _rotate, "give a key a new secret, and print that")
    rotate.add_argument(
        "--grace",
        type=duration,
        default=timedelta(),
        metavar="TIME",
        help="how long the old secret works still, as 24h (default: it ends at once)",
    )
    show = add("show", _show, "show all that is known of a key")
    revoke = add("revoke", _revoke, "end a key for ever")
    for command in (update, rotate, show, revoke):
        command.add_argument("name", metavar="NAME", help="the key's name, or its id")
    return parser


async def _create(store: TableKeyStore, options: argparse.Namespace) -> None:
    asked = edited(Key(id="", name=options.name), options)
    key, secret = await store.create(
        asked.name,
        owner=asked.owner,
        note=asked.note,
        expires=asked.expires,
        models=asked.models,
        limits=asked.limits,
    )
    _print_secret(key, secret, options)


async def _list(store: TableKeyStore, options: argparse.Namespace) -> None:
    keys = [key for key in await store.list() if options.all or not key.disabled]
    if options.json:
        print_json([as_json(key, _now()) for key in keys])
    elif keys:
        print_table(HEADERS, [as_cells(key, _now()) for key in keys])
    else:
        print_note("There are no keys yet; 'claudexia keys create NAME' makes one.")


async def _show(store: TableKeyStore, options: argparse.Namespace) -> None:
    _print_key(await store.get(options.name), options)


async def _update(store: TableKeyStore, options: argparse.Namespace) -> None:
    if not is_given(options):
        raise CommandError("There is nothing to change; 'claudexia keys update --help' tells what can be.")
    _print_key(await store.update(options.name, lambda key: edited(key, options)), options)
    _note(f"The change holds {_SOON}.", options)


async def _revoke(store: TableKeyStore, options: argparse.Namespace) -> None:
    key = await store.revoke(options.name)
    if options.json:
        print_json(as_json(key, _now()))
    else:
        print_line(f"The key {key.name!r} is revoked; it is refused {_SOON}.")


async def _rotate(store: TableKeyStore, options: argparse.Namespace) -> None:
    key, secret = await store.rotate(options.name, options.grace)
    _print_secret(key, secret, options)
    ends = f"works until {_now() + options.grace:%Y-%m-%d %H:%M} UTC" if options.grace else f"ends {_SOON}"
    _note(f"The old secret {ends}.", options)


def _print_secret(key: Key, secret: str, options: argparse.Namespace) -> None:
    """Alone on its line, and in the output: what is said of it is not for who reads that."""
    if options.json:
        print_json({**as_json(key, _now()), "secret": secret})
    else:
        print_line(secret)
        print_note(_ONCE)


def _print_key(key: Key, options: argparse.Namespace) -> None:
    if options.json:
        print_json(as_json(key, _now()))
    else:
        print_rows(as_lines(key, _now()))


def _note(text: str, options: argparse.Namespace) -> None:
    if not options.json:
        print_note(text)


def _now() -> datetime:
    return datetime.now(UTC)
