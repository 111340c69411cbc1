"""The command `claudexia keys`: the keys of a deployed gateway, or of any table."""

import argparse
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta

from claudexia.access.key_store import KeyStoreError, TableKeyStore
from claudexia.access.keys import Key
from claudexia.local.deployed import add_table_options, open_table, wait_for
from claudexia.local.key_facts import HEADERS, as_cells, as_json, as_lines
from claudexia.local.key_options import add_key_options, duration, edited, is_given
from claudexia.local.printing import (
    CommandError,
    CommandParser,
    print_json,
    print_line,
    print_note,
    print_rows,
    print_table,
)

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
