"""The command `claudexia usage`: what the keys of a deployed gateway used and cost in a month."""

import argparse
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from claudexia.access.usage import DayUsage, Ledger
from claudexia.local.deployed import add_table_options, open_table, wait_for
from claudexia.local.printing import CommandError, CommandParser
from claudexia.local.usage_report import print_csv, print_report, print_usage_json

_PRINTERS = {"people": print_report, "csv": print_csv, "json": print_usage_json}


def main(argv: Sequence[str]) -> None:
    """Raises CommandError where there is no table to read, or no such key in it."""
    options = _parser().parse_args(argv)
    table = open_table(options)

    async def print_month() -> None:
        days = await Ledger(table, lambda kind: None).month(options.month)
        chosen = _of_key(days, options.key, options.month) if options.key else days
        _PRINTERS[options.form](options.month, chosen)

    wait_for(print_month())


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="claudexia usage", description="What was used and what it cost, by key, model and day, in UTC."
    )
    parser.add_argument("--key", metavar="NAME", help="only the key with this name or id")
    parser.add_argument(
        "--month",
        metavar="YYYY-MM",
        type=_month,
        default=f"{datetime.now(UTC):%Y-%m}",
        help="which month (default: this one, %(default)s)",
    )
    forms = parser.add_mutually_exclusive_group()
    for form, text in {
        "csv": "one line for each day, key and model, for a spreadsheet",
        "json": "the same for a script, with the total",
    }.items():
        forms.add_argument(
            f"--{form}", dest="form", action="store_const", const=form, default="people", help=text
        )
    add_table_options(parser)
    return parser


def _month(text: str) -> str:
    if not re.fullmatch(r"2[0-9]{3}-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a month like 2026-11")
    return text


def _of_key(days: Sequence[DayUsage], key: str, month: str) -> Sequence[DayUsage]:
    """A key keeps its id when it is renamed, and all its days are its own."""
    ids = {day.key_id for day in days if key in (day.key_id, day.key_name)}
    if not ids:
        raise CommandError(
            f"There is no usage of a key {key!r} in {month}; 'claudexia usage' shows every key's."
        )
    return [day for day in days if day.key_id in ids]
