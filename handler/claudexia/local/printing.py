"""What commands print: tables for people, JSON for scripts, one sentence for whatever went wrong."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from claudexia.settings import KEY_PREFIX

_SECRET = re.compile(rf"{KEY_PREFIX}\w+")


class CommandError(Exception):
    """A command cannot do what it was asked; the message is one sentence that says why and what to do."""


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong with an argument in one sentence, without the usage of every option before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {without_secrets(message)}; '{self.prog} --help' tells more.\n")


def without_secrets(text: str) -> str:
    """A key in the wrong place is not repeated: what goes wrong is pasted into tickets, and kept by CI."""
    return _SECRET.sub(f"{KEY_PREFIX}...", text)


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def print_note(text: str) -> None:
    """What a person should know and a script, which reads the output, should not find there."""
    sys.stderr.write(f"{text}\n")


def print_json(value: object) -> None:
    print_line(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print_rows([headers, *rows])


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell, two spaces apart."""
    lines = [[_visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print_line("  ".join(padded).rstrip())


def _visible(cell: str) -> str:
    """A control character could move what comes after it, or hide it."""
    return "".join(char if char.isprintable() else "?" for char in cell)
