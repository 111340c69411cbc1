"""What the commands share: output for people and for scripts, errors in one line, URLs as arguments."""

import json
import re
from collections.abc import Sequence

import click

from claudexia.settings import KEY_PREFIX

_SECRET = re.compile(rf"{KEY_PREFIX}\w+")


class CommandError(click.ClickException):
    """A command failed. The message is one sentence with the reason and the remedy; the exit status is 1."""


class StartError(click.ClickException):
    """The local gateway cannot start. The message is one sentence with the reason and the remedy."""

    exit_code = 2


def redact_secrets(text: str) -> str:
    """`text` without API keys, because error messages end up in tickets and in CI logs."""
    return _SECRET.sub(f"{KEY_PREFIX}...", text)


def print_note(text: str) -> None:
    """Prints to standard error, for people; scripts read standard output."""
    click.echo(text, err=True)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints `rows` in columns that are two spaces apart. Control characters are replaced by `?`."""
    lines = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def printable(text: str) -> str:
    """`text` with `?` for each control character, which could move or hide other output."""
    return "".join(char if char.isprintable() else "?" for char in text)


def is_http_url(text: str) -> bool:
    """Whether `text` is an http or https URL with a host."""
    import httpx  # noqa: PLC0415 - slow to import

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)
