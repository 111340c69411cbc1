"""The command `claudexia usage`: what the keys of a deployed gateway used and cost in a month."""

import argparse
import csv
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from claudexia.access.ledger import DayUsage, Ledger, Totals, totals
from claudexia_cli.cli import CommandError, CommandParser, print_json, print_line, print_table
from claudexia_cli.stack import add_table_options, open_table, wait_for

# --- claudexia.local.usage_report
# What `claudexia usage` prints: a table and bars for people, CSV for spreadsheets, JSON for scripts.

_NAMES = ["day", "key_id", "key", "model"]
_HEADERS = [
    "Key",
    "Model",
    "Requests",
    "Errors",
    "Input",
    "Cached",
    "Cache writes",
    "Output",
    "Thinking",
    "USD",
]
_NARROWEST_BAR = 10


def print_report(month: str, days: Sequence[DayUsage]) -> None:
    if not days:
        print_line(f"Nothing was used in {month}.")
        return
    print_line(f"Usage in {month}, in UTC\n")
    total = totals(days)
    rows = [*_rows_by_key_and_model(days), ["Total", "", *_numbers(total)]]
    print_table(*_right_aligned(_HEADERS, rows, texts=2))
    print_line("")
    _print_bars(days)
    if total.unpriced:
        models = sorted({day.model for day in days if day.totals.unpriced})
        print_line(
            f"\n{total.unpriced:,} of the requests are not in the USD, for lack of a price for "
            f"{', '.join(models)}; the setting PRICES can give one."
        )


def print_csv(month: str, days: Sequence[DayUsage]) -> None:
    """The header comes even where nothing was used, so that a script need not ask."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*_NAMES, *_sums(Totals())])
    for day in days:
        # As it is, a float may come out as 1e-06, which not every spreadsheet reads.
        writer.writerow(f"{fact:.6f}" if isinstance(fact, float) else fact for fact in _facts(day).values())


def print_usage_json(month: str, days: Sequence[DayUsage]) -> None:
    print_json({"month": month, "days": [_facts(day) for day in days], "total": _sums(totals(days))})


def _facts(day: DayUsage) -> dict[str, object]:
    names = [day.day.isoformat(), day.key_id, day.key_name, day.model]
    return {**dict(zip(_NAMES, names, strict=True)), **_sums(day.totals)}


def _sums(sums: Totals) -> dict[str, object]:
    facts = asdict(sums)
    dollars = facts.pop("cost_micros") / 1_000_000
    return {**facts, "cost_usd": dollars}


def _rows_by_key_and_model(days: Sequence[DayUsage]) -> list[list[str]]:
    """Each key under the name that it had last; two keys which had one name in turn stay two."""
    names = {day.key_id: day.key_name for day in days}
    groups: dict[tuple[str, str, str], Totals] = {}
    for day in days:
        group = (names[day.key_id], day.key_id, day.model)
        groups[group] = groups.get(group, Totals()) + day.totals
    return [[name, model, *_numbers(groups[name, key_id, model])] for name, key_id, model in sorted(groups)]


def _numbers(sums: Totals) -> list[str]:
    counts = [
        sums.requests,
        sums.errors,
        sums.input_tokens,
        sums.cached_tokens,
        sums.cache_write_tokens,
        sums.output_tokens,
        sums.thinking_tokens,
    ]
    return [*(f"{count:,}" for count in counts), _usd(sums)]


def _usd(sums: Totals) -> str:
    if sums.unpriced and not sums.cost_micros:
        return "unknown"
    return f"{sums.cost_micros / 1_000_000:,.4f}"


def _right_aligned(
    headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The columns after the first `texts` hold numbers."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    aligned = [
        [cell if index < texts else cell.rjust(widths[index]) for index, cell in enumerate(line)]
        for line in [headers, *rows]
    ]
    return aligned[0], aligned[1:]


def _print_bars(days: Sequence[DayUsage]) -> None:
    """A bar per day, from the first to the last with usage: of what it cost, or of tokens without a price."""
    first, last = days[0].day, days[-1].day
    calendar = [first + timedelta(number) for number in range((last - first).days + 1)]
    sums = [totals(day for day in days if day.day == date) for date in calendar]
    rows = [
        [date.isoformat(), _usd(used), f"{used.tokens:,}"] for date, used in zip(calendar, sums, strict=True)
    ]
    headers, aligned = _right_aligned(["Day", "USD", "Tokens"], rows, texts=1)
    room = shutil.get_terminal_size().columns - sum(len(cell) + 2 for cell in headers) - len("YYYY-MM-DD") + 3
    heights = [used.cost_micros for used in sums]
    if not any(heights):
        heights = [used.tokens for used in sums]
    bars = [_bar(height, max(heights), max(room, _NARROWEST_BAR)) for height in heights]
    print_table([*headers, ""], [[*row, bar] for row, bar in zip(aligned, bars, strict=True)])


def _bar(height: int, highest: int, width: int) -> str:
    """At least one mark for anything at all."""
    return "#" * -(-height * width // highest) if height else ""


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
