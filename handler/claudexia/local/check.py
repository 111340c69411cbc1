"""The command `claudexia check`: proves that a gateway answers as it should, a line for each thing it does.

Exit status: 0 where all of it does, 1 where something does not.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import httpx

from claudexia.local.check_client import CheckClient, StepError, UnreachableError
from claudexia.local.check_steps import CHECKS
from claudexia.local.printing import CommandParser, print_json, print_line

MODEL = "claude-haiku-5-5"  # the cheapest one
_KEY = "CLAUDEXIA_KEY"
_WORDS = {True: "ok  ", False: "FAIL"}
_LONGEST = 300  # characters of a fact; others have a say in some


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    passed: bool
    fact: str
    ms: int


def main(argv: Sequence[str]) -> None:
    """Ends the process with 1 where a check failed."""
    options = _options(argv)
    results: list[Result] = []
    with CheckClient(options.url, options.key, options.model) as client:
        for result in _run(client):
            results.append(result)
            if not options.json:
                _print_result(result)
    failed = sum(not result.passed for result in results)
    if options.json:
        about = {"url": options.url, "model": options.model, "passed": not failed}
        spent = {"tokens": client.tokens, "cost_usd": client.cost}
        print_json({**about, "checks": [asdict(result) for result in results], **spent})
    else:
        verdict = (
            f"{failed} of {len(results)} checks failed." if failed else f"All {len(results)} checks passed."
        )
        cost = "" if client.cost is None else f" and ${client.cost:.4f}"
        print_line(f"\n{verdict} They took {client.tokens:,} tokens{cost}.")
    if failed:
        sys.exit(1)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        prog="claudexia check",
        description="Proves that a gateway answers as it should, with a few short requests.",
    )
    parser.add_argument(
        "url", metavar="URL", type=_url, help="the gateway's base URL, with or without /v1 at its end"
    )
    parser.add_argument(
        "--key",
        default=os.environ.get(_KEY, ""),
        metavar="sk_cdx_...",
        help=f"a key of the gateway (default: the variable {_KEY})",
    )
    parser.add_argument("--model", default=MODEL, help="model to ask (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, at the end")
    options = parser.parse_args(argv)
    options.key = options.key.strip()
    if not options.key.isascii() or not options.key.isprintable() or not options.key:
        parser.error(f"give a key with --key, or in the variable {_KEY}")
    return options


def _url(text: str) -> str:
    """With /v1 at its end."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL like https://example.com/v1")
    base = str(url.copy_with(query=None, fragment=None)).rstrip("/").removesuffix("/chat/completions")
    return f"{base.removesuffix('/v1')}/v1"


def _run(client: CheckClient) -> Iterator[Result]:
    """The checks do not need each other, but all of them need somebody who answers."""
    for name, check in CHECKS.items():
        began = time.perf_counter()
        gone = False
        try:
            passed, said = True, check(client)
        except StepError as error:
            passed, said = False, str(error)
            gone = isinstance(error, UnreachableError)
        yield Result(name, passed, _plain(said), round((time.perf_counter() - began) * 1000))
        if gone:
            return


def _plain(said: str) -> str:
    """One line; what a stranger's server says might be more, or steer the terminal."""
    line = " ".join(said.split())
    visible = "".join(char if char.isprintable() else "?" for char in line)
    return visible if len(visible) <= _LONGEST else f"{visible[:_LONGEST]}..."


def _print_result(result: Result) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    mark = ("✓" if result.passed else "✗").encode(encoding, "ignore").decode(encoding)
    # A pipe on Windows has neither.
    line = f"{mark or _WORDS[result.passed]} {result.name.ljust(max(map(len, CHECKS)))}  {result.fact}"
    print_line(line.encode(encoding, "replace").decode(encoding))
