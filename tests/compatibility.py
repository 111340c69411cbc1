"""The README's compatibility table, printed from the same rows that the gateway acts on.

`python -m tests.compatibility` writes it into the README.
"""

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from claudexia.translate.request.build import field_rules
from claudexia.translate.types.params import (
    CompletionCreateParams,
    Composed,
    FieldRule,
    Ignored,
    Native,
    Rejected,
)

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- fields: begin -->\n", "<!-- fields: end -->\n"


def table() -> str:
    """Neighbours with the same verdict share a row."""
    rows = [
        f"| {', '.join(f'`{name}`' for name, _ in fields)} | {told} |\n"
        for told, fields in groupby(
            field_rules(CompletionCreateParams).items(), key=lambda field: _told(field[1])
        )
    ]
    return "| OpenAI field | what happens |\n|---|---|\n" + "".join(rows)


def with_table(readme: str) -> str:
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def _told(verdict: FieldRule) -> str:
    match verdict:
        case Native() | Composed():
            note = f", {verdict.note}" if verdict.note else ""
            return f"native: {verdict.target}{note}"
        case Ignored():
            return f"left out and reported{_unless(verdict.harmless)}: {verdict.reason}"
        case Rejected():
            return f"400{_unless(verdict.harmless)}: {verdict.reason}"


def _unless(harmless: Sequence[object]) -> str:
    values = ", ".join(f"`{json.dumps(value)}`" for value in harmless)
    return f" unless {values}" if values else ""


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{README.name}: {len(field_rules(CompletionCreateParams))} fields\n")
