"""The command `claudexia usage`: tokens and cost of one month, per key, model and day.

The output is a table with a bar per day, a page with charts, CSV for spreadsheets, or JSON for scripts.
"""

import csv
import re
import shutil
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from claudexia.access.ledger import DayUsage, Ledger, Totals, totals
from claudexia.access.limits import MICROS
from claudexia_cli.console import CommandError, print_json, print_note, print_table
from claudexia_cli.deployed_table import TableLocation, open_table, run_on_table, table_options
from claudexia_cli.usage_page import assumed_prices_note, usage_page

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
_MIN_BAR_WIDTH = 10


def _print_report(month: str, days: Sequence[DayUsage]) -> None:
    if not days:
        click.echo(f"There is no usage in {month}.")
        return
    click.echo(f"Usage in {month}, in UTC\n")
    total = totals(days)
    print_table(_right_aligned(_table(days), text_columns=2))
    click.echo()
    _print_bars(days)
    if total.unpriced:
        models = sorted({day.model for day in days if day.totals.unpriced})
        click.echo(
            f"\nThe cost excludes {total.unpriced:,} requests: there is no price for {', '.join(models)}; "
            "set one with PRICES."
        )
    if note := assumed_prices_note(days):
        click.echo(f"\n{note}")


def _print_csv(days: Sequence[DayUsage]) -> None:
    """The header is printed even without usage."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*_NAMES, *_totals_record(Totals())])
    for day in days:
        # Not every spreadsheet reads an exponent, as in 1e-06.
        writer.writerow(
            f"{value:.6f}" if isinstance(value, float) else value for value in _record(day).values()
        )


def _print_json(month: str, days: Sequence[DayUsage]) -> None:
    print_json({"month": month, "days": [_record(day) for day in days], "total": _totals_record(totals(days))})


def _write_page(month: str, days: Sequence[DayUsage], path: Path | None, opens: bool) -> None:
    if not days:
        raise CommandError(f"There is no usage in {month}.")
    path = path or Path(tempfile.mkdtemp(prefix="claudexia-")) / f"usage-{month}.html"
    try:
        path.write_text(usage_page(month, days, _table(days)), "utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
    print_note(f"Usage in {month}: {path}")
    if opens and not webbrowser.open(path.resolve().as_uri()):
        raise CommandError("No browser could be opened; open the file yourself.")


def _record(day: DayUsage) -> dict[str, object]:
    values = [day.day.isoformat(), day.key_id, day.key_name, day.model]
    return {**dict(zip(_NAMES, values, strict=True)), **_totals_record(day.totals)}


def _totals_record(used: Totals) -> dict[str, object]:
    record = asdict(used)
    dollars = record.pop("cost_micros") / MICROS
    return {**record, "cost_usd": dollars}


def _table(days: Sequence[DayUsage]) -> list[list[str]]:
    return [_HEADERS, *_rows_by_key_and_model(days), ["Total", "", *_numbers(totals(days))]]


def _rows_by_key_and_model(days: Sequence[DayUsage]) -> list[list[str]]:
    """One row per key and model. A renamed key has its latest name; keys of the same name stay separate."""
    names = {day.key_id: day.key_name for day in days}
    groups: dict[tuple[str, str, str], Totals] = {}
    for day in days:
        group = (names[day.key_id], day.key_id, day.model)
        groups[group] = groups.get(group, Totals()) + day.totals
    return [[name, model, *_numbers(groups[name, key_id, model])] for name, key_id, model in sorted(groups)]


def _numbers(used: Totals) -> list[str]:
    counts = [
        used.requests,
        used.errors,
        used.input_tokens,
        used.cached_tokens,
        used.cache_write_tokens,
        used.output_tokens,
        used.thinking_tokens,
    ]
    return [*(f"{count:,}" for count in counts), _usd(used)]


def _usd(used: Totals) -> str:
    if used.unpriced and not used.cost_micros:
        return "unknown"
    return f"{used.cost_micros / MICROS:,.4f}"


def _right_aligned(rows: Sequence[Sequence[str]], text_columns: int) -> list[list[str]]:
    """`rows` with all columns after the first `text_columns` aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [cell if index < text_columns else cell.rjust(widths[index]) for index, cell in enumerate(row)]
        for row in rows
    ]


def _print_bars(days: Sequence[DayUsage]) -> None:
    """A bar per day, from the first day with usage to the last, of the cost or, without a cost, of tokens."""
    first, last = days[0].day, days[-1].day
    calendar = [first + timedelta(number) for number in range((last - first).days + 1)]
    used_by_day = [totals(day for day in days if day.day == date) for date in calendar]
    cells = [
        [date.isoformat(), _usd(used), f"{used.tokens:,}"]
        for date, used in zip(calendar, used_by_day, strict=True)
    ]
    rows = _right_aligned([["Day", "USD", "Tokens"], *cells], text_columns=1)
    free_width = shutil.get_terminal_size().columns - sum(len(cell) + 2 for cell in rows[-1])
    values = [used.cost_micros for used in used_by_day]
    if not any(values):
        values = [used.tokens for used in used_by_day]
    bars = [_bar(value, max(values), max(free_width, _MIN_BAR_WIDTH)) for value in values]
    print_table([[*row, bar] for row, bar in zip(rows, ["", *bars], strict=True)])


def _bar(value: int, largest: int, width: int) -> str:
    """At least one mark if `value` is not zero."""
    return "#" * -(-value * width // largest) if value else ""


def _month(text: str) -> str:
    if not re.fullmatch(r"2[0-9]{3}-(0[1-9]|1[0-2])", text):
        raise click.BadParameter(f"{text!r} is not a month like 2026-11.")
    return text


@click.command(name="usage")
@click.option("--key", metavar="NAME", help="Only the key with this name or id.")
@click.option(
    "--month",
    type=_month,
    default=lambda: f"{datetime.now(UTC):%Y-%m}",
    show_default="this month",
    metavar="YYYY-MM",
    help="Month to show.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: one line per day, key and model.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: one object per day, key and model, and the total."
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write a page with charts to FILE.",
)
@click.option(
    "--open", "opens", is_flag=True, help="Open that page in a browser; without --html, a temporary file."
)
@table_options
def command(  # noqa: PLR0913, PLR0917  # click passes each option
    key: str | None,
    month: str,
    as_csv: bool,
    as_json: bool,
    html_path: Path | None,
    opens: bool,
    location: TableLocation,
) -> None:
    """Show tokens and cost per key, model and day, in UTC."""
    outputs = {"--csv": as_csv, "--json": as_json, "--html": html_path, "--open": opens and not html_path}
    chosen = [option for option, value in outputs.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} cannot be combined.")
    ledger = Ledger(open_table(location), lambda kind: None)
    days = run_on_table(ledger.month(month))
    if key:
        days = _of_key(days, key, month)
    if as_csv:
        _print_csv(days)
    elif as_json:
        _print_json(month, days)
    elif html_path or opens:
        _write_page(month, days, html_path, opens)
    else:
        _print_report(month, days)


def _of_key(days: Sequence[DayUsage], key: str, month: str) -> list[DayUsage]:
    """The days of the keys with the name or id `key`, including those under an earlier or later name."""
    ids = {day.key_id for day in days if key in (day.key_id, day.key_name)}
    if not ids:
        raise CommandError(f"There is no usage of a key {key!r} in {month}; 'claudexia usage' shows all keys.")
    return [day for day in days if day.key_id in ids]
