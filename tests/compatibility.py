"""The README's compatibility tables, printed from the same rows that the gateway acts on.

`python -m tests.compatibility` writes it into the README.
"""

import json
import sys
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
from claudexia.translate.types.response_params import ResponseCreateParams

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- fields: begin -->\n", "<!-- fields: end -->\n"


def table() -> str:
    """Neighbours with the same verdict share a row."""
    rows = [
        f"| {', '.join(f'`{name}`{_unless(rule)}' for name, rule in fields)} | {told} |\n"
        for told, fields in groupby(
            field_rules(CompletionCreateParams).items(), key=lambda field: _told(field[1])
        )
    ]
    return "| OpenAI field | what happens |\n|---|---|\n" + "".join(rows) + response_rows()


def response_rows() -> str:
    """The fields of a Responses request, one row per verdict."""
    rules = field_rules(ResponseCreateParams).items()
    native = [f"`{name}`" for name, rule in rules if isinstance(rule, Native | Composed)]
    ignored = [f"`{name}`{_unless(rule)}" for name, rule in rules if isinstance(rule, Ignored)]
    rejected = [f"`{name}`{_unless(rule)}" for name, rule in rules if isinstance(rule, Rejected)]
    return (
        f"| Responses API | native: {', '.join(native)} |\n"
        f"| | left out and reported: {', '.join(ignored)} |\n"
        f"| | 400: {', '.join(rejected)} |\n"
    )


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
            return f"left out and reported: {verdict.reason}"
        case Rejected():
            return f"400: {verdict.reason}"


def _unless(verdict: FieldRule) -> str:
    """The values of a field that are accepted."""
    harmless = verdict.harmless if isinstance(verdict, Ignored | Rejected) else ()
    values = ", ".join(f"`{json.dumps(value)}`" for value in harmless)
    return f" unless {values}" if values else ""


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
    for model in (CompletionCreateParams, ResponseCreateParams):
        sys.stdout.write(f"{README.name}: {len(field_rules(model))} fields of {model.__name__}\n")
