"""The command `claudexia keys`: the API keys of a deployed gateway, or of any table."""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import wraps
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from claudexia.access.key_store import KeyStoreError, TableKeyStore
from claudexia.access.keys import Key
from claudexia.access.limits import MICROS, Limits
from claudexia_cli.console import CommandError, print_json, print_note, print_table
from claudexia_cli.deployed_table import TableLocation, open_table, run_on_table, table_options

T = TypeVar("T")

_NONE = "none"  # as the value of an option: clears the attribute
_MAX_LIMIT = 10**12
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LIMITS = frozenset(limit.name for limit in fields(Limits))
_SHOWN_ONCE = "The secret above is shown only once; the gateway stores only its SHA-256."
_WHEN = "everywhere within a minute"


def _now() -> datetime:
    return datetime.now(UTC)


def _duration(text: str) -> timedelta:
    """24h, 90d."""
    match = re.fullmatch(r"([0-9]{1,5})([smhdw])", text)
    if not match:
        raise click.BadParameter(f"{text!r} is not a duration like 30m, 24h or 90d.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _text(text: str) -> str:
    return "" if text == _NONE else text


def _expiry(text: str) -> datetime | None:
    if text == _NONE:
        return None
    try:
        is_day = "-" in text
        expiry = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if is_day else _now() + _duration(text)
    except (ValueError, click.BadParameter):
        raise click.BadParameter(
            f"{text!r} is neither a duration like 90d nor a day like 2027-01-31."
        ) from None
    if expiry <= _now():
        raise click.BadParameter(f"{text!r} is in the past.")
    return expiry


def _patterns(text: str) -> tuple[str, ...]:
    return () if text == _NONE else tuple(filter(None, map(str.strip, text.split(","))))


def _count(text: str) -> int | None:
    if text == _NONE:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= _MAX_LIMIT):
        raise click.BadParameter(f"{text!r} is neither a number from 1 nor 'none'.")
    return int(text)


def _micros(text: str) -> int | None:
    if text == _NONE:
        return None
    try:
        micros = Decimal(text) * MICROS
    except InvalidOperation:
        micros = Decimal()
    if not (micros.is_finite() and 1 <= micros <= _MAX_LIMIT and micros == int(micros)):
        raise click.BadParameter(f"{text!r} is neither an amount of US dollars like 5 or 0.50 nor 'none'.")
    return int(micros)


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute or limit of a key, and the option that sets it."""

    name: str
    option: str
    metavar: str
    help: str
    parse: Callable[[str], object]


_ATTRIBUTES = (
    _Attribute("owner", "--owner", "TEXT", "The key's owner.", _text),
    _Attribute("note", "--note", "TEXT", "The key's purpose.", _text),
    _Attribute(
        "expires", "--expires", "TIME", "Expiry: 90d from now, or the day 2027-01-31, 0:00 UTC.", _expiry
    ),
    _Attribute("models", "--models", "A,B", "Models the key may use; * matches any characters.", _patterns),
    _Attribute("requests_per_minute", "--rpm", "N", "Requests per minute.", _count),
    _Attribute("tokens_per_minute", "--tpm", "N", "Tokens per minute, input and output.", _count),
    _Attribute("concurrent_streams", "--streams", "N", "Concurrent streams.", _count),
    _Attribute("usd_per_day_micros", "--usd-per-day", "USD", "Cost per day (UTC).", _micros),
    _Attribute("usd_per_month_micros", "--usd-per-month", "USD", "Cost per month (UTC).", _micros),
    _Attribute("max_tokens", "--max-tokens", "N", "Largest max_tokens of a request.", _count),
)
_Changes = Mapping[str, Any]  # attribute to its new value; absent attributes stay


def _key_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds an option per attribute; `command` gets those that were given as one argument `changes`."""

    @wraps(command)
    def with_changes(**options: Any) -> None:
        values = {attribute.name: options.pop(attribute.name) for attribute in _ATTRIBUTES}
        source = click.get_current_context().get_parameter_source
        given = {name: value for name, value in values.items() if source(name) is ParameterSource.COMMANDLINE}
        command(changes=given, **options)

    for attribute in reversed(_ATTRIBUTES):
        option = click.option(
            attribute.option,
            attribute.name,
            type=attribute.parse,
            metavar=attribute.metavar,
            help=attribute.help,
        )
        with_changes = option(with_changes)
    return with_changes


def _apply(changes: _Changes, key: Key) -> Key:
    limits = {name: value for name, value in changes.items() if name in _LIMITS}
    attributes = {name: value for name, value in changes.items() if name not in _LIMITS}
    return replace(key, limits=replace(key.limits, **limits), **attributes)


_HEADERS = ("NAME", "ID", "STATE", "LAST 4", "OWNER", "CREATED", "EXPIRES", "MODELS", "LIMITS")

_LIMIT_TEXTS = {
    "requests_per_minute": "{} requests/minute",
    "tokens_per_minute": "{} tokens/minute",
    "concurrent_streams": "{} streams",
    "usd_per_day_micros": "${}/day",
    "usd_per_month_micros": "${}/month",
    "max_tokens": "{} max_tokens",
}


def _as_json(key: Key, now: datetime) -> dict[str, object]:
    """All attributes; times are ISO 8601."""
    times = {"created": key.created.isoformat(), "expires": key.expires.isoformat() if key.expires else None}
    return {**asdict(key), **times, "state": _state(key, now)}


def _as_row(key: Key, now: datetime) -> list[str]:
    """One row under _HEADERS."""
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


def _as_lines(key: Key, now: datetime) -> list[tuple[str, str]]:
    """All attributes with their names."""
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
    """Without trailing zeros: 5, 0.5."""
    return f"{(Decimal(micros) / MICROS).normalize():f}"


@click.group(name="keys", no_args_is_help=False)
def command() -> None:
    """Manage the API keys of a deployed gateway."""


def _with_store(location: TableLocation, call: Callable[[TableKeyStore], Coroutine[Any, Any, T]]) -> T:
    """The result of `call`. Raises CommandError."""
    store = TableKeyStore(open_table(location), _now)
    try:
        return run_on_table(call(store))
    except KeyStoreError as error:
        raise CommandError(str(error)) from error


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_name_argument = click.argument("name", metavar="NAME")


@command.command("create")
@click.argument("name", metavar="NAME")
@_key_options
@_json_option
@table_options
def create(name: str, changes: _Changes, as_json: bool, location: TableLocation) -> None:
    """Create a key and print its secret.

    NAME is a name that no other key has. Limits that are not set do not apply.
    """
    draft = _apply(changes, Key(id="", name=name))
    key, secret = _with_store(
        location,
        lambda store: store.create(
            name,
            owner=draft.owner,
            note=draft.note,
            expires=draft.expires,
            models=draft.models,
            limits=draft.limits,
        ),
    )
    _print_secret(key, secret, as_json)


@command.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Include revoked keys.")
@_json_option
@table_options
def list_keys(with_revoked: bool, as_json: bool, location: TableLocation) -> None:
    """List the keys."""
    every = _with_store(location, TableKeyStore.list)
    keys = [key for key in every if with_revoked or not key.disabled]
    if as_json:
        print_json([_as_json(key, _now()) for key in keys])
    elif keys:
        print_table([_HEADERS, *(_as_row(key, _now()) for key in keys)])
    else:
        print_note("There are no keys; 'claudexia keys create NAME' creates one.")


@command.command("show")
@_name_argument
@_json_option
@table_options
def show(name: str, as_json: bool, location: TableLocation) -> None:
    """Show a key.

    NAME is the key's name or id.
    """
    _print_key(_with_store(location, lambda store: store.get(name)), as_json)


@command.command("update")
@_name_argument
@_key_options
@_json_option
@table_options
def update(name: str, changes: _Changes, as_json: bool, location: TableLocation) -> None:
    """Change the attributes or limits of a key.

    NAME is the key's name or id. The value 'none' removes an attribute or a limit. The first limits of a key
    count from now on: what it used before is not subtracted.
    """
    if not changes:
        raise CommandError("There is nothing to change; 'claudexia keys update --help' lists the options.")
    key = _with_store(location, lambda store: store.update(name, lambda key: _apply(changes, key)))
    _print_key(key, as_json)
    if not as_json:
        print_note(f"The change takes effect {_WHEN}.")


@command.command("rotate")
@_name_argument
@click.option(
    "--grace",
    type=_duration,
    metavar="TIME",
    show_default="none",
    help="How long the old secret stays valid, such as 24h.",
)
@_json_option
@table_options
def rotate(name: str, grace: timedelta | None, as_json: bool, location: TableLocation) -> None:
    """Create a new secret for a key and print it.

    NAME is the key's name or id.
    """
    key, secret = _with_store(location, lambda store: store.rotate(name, grace or timedelta()))
    _print_secret(key, secret, as_json)
    if not as_json:
        end = f"is valid until {_now() + grace:%Y-%m-%d %H:%M} UTC" if grace else f"becomes invalid {_WHEN}"
        print_note(f"The old secret {end}.")


@command.command("revoke")
@_name_argument
@_json_option
@table_options
def revoke(name: str, as_json: bool, location: TableLocation) -> None:
    """Revoke a key permanently.

    NAME is the key's name or id.
    """
    key = _with_store(location, lambda store: store.revoke(name))
    if as_json:
        print_json(_as_json(key, _now()))
    else:
        click.echo(f"The key {key.name!r} is revoked; this takes effect {_WHEN}.")


def _print_secret(key: Key, secret: str, as_json: bool) -> None:
    """The secret is alone on standard output, so that a script can read it."""
    if as_json:
        print_json({**_as_json(key, _now()), "secret": secret})
    else:
        click.echo(secret)
        print_note(_SHOWN_ONCE)


def _print_key(key: Key, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(key, _now()))
    else:
        print_table(_as_lines(key, _now()))
