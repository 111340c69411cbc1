"""The command `claudexia`: the gateway on this machine, in front of Claude, another upstream or an echo.

Exit status: 0 after Ctrl-C or SIGTERM, which is how a server is meant to end; 2 where it could not start.
"""

import argparse
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import NoReturn

import httpx

from claudexia import __version__
from claudexia.app import create_app
from claudexia.settings import KEY_PREFIX, Settings, SettingsError
from claudexia_cli.echo import EchoTransport
from claudexia_cli.emulator.server import TIMEOUT, FunctionConfiguration, InitError, serve_lambda
from claudexia_cli.serve import ListenError, base_url, listen, serve

# --- claudexia.local.printing
# What commands print: tables for people, JSON for scripts, one sentence for whatever went wrong.

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


# --- claudexia.local.commands
# The commands for a deployed gateway, beside the one that runs it on this machine.

# Each is a module with a main(argv) that raises CommandError, and is loaded only when it is asked for.
COMMANDS: Mapping[str, str] = {
    "keys": "claudexia_cli.keys",
    "usage": "claudexia_cli.usage",
    "check": "claudexia_cli.check",
}
HINT = (
    "Of a deployed gateway: 'claudexia keys --help' for its keys, 'claudexia usage --help' for what they used "
    "and cost, 'claudexia check --help' to prove that it works."
)


def run_command(name: str, arguments: Sequence[str]) -> int:
    """The exit status: 0, 1 where it failed, and as a shell tells it, 130 after Ctrl-C."""
    try:
        import_module(COMMANDS[name]).main(arguments)
    except CommandError as error:
        sys.stderr.write(f"claudexia {name}: {without_secrets(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


MODEL = "claude-sonnet-5-5"
_AS_LAMBDA = "They go through the Lambda runtime, in a process of its own, behind a stand-in for API Gateway."


@dataclass(frozen=True, slots=True)
class _Upstream:
    """Who answers, and the sentence that says so."""

    sentence: str
    settings: Settings
    transport: httpx.AsyncBaseTransport | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    """The key that opens the gateway, what there is to say about it, and the header as a shell writes it."""

    shown: str
    note: str
    header: str
    settings: Settings


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in COMMANDS:
        return run_command(arguments[0], arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (SettingsError, ListenError, InitError) as error:
        sys.stderr.write(f"claudexia: {error}\n")
        return 2
    except KeyboardInterrupt:  # it came before the server handled signals
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="claudexia",
        description="An OpenAI-compatible endpoint for Claude, on this machine.",
        epilog=HINT,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=_whole(0, 2**16 - 1),
        default=8000,
        help="port to listen on; 0 picks a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--upstream",
        metavar="URL|echo",
        help="who answers: a base URL that speaks the Messages API, or the built-in echo "
        "(default: Claude where ANTHROPIC_API_KEY is set, else echo)",
    )
    parser.add_argument(
        "--lambda",
        dest="as_lambda",
        action="store_true",
        help="run the Lambda runtime as it is deployed, behind a stand-in for API Gateway",
    )
    parser.add_argument(
        "--timeout",
        type=_whole(1, 900),
        metavar="SECONDS",
        help=f"with --lambda: what the function has for each request (default: {TIMEOUT})",
    )
    parser.add_argument(
        "--concurrency",
        type=_whole(1, 64),
        metavar="N",
        help="with --lambda: requests at once in its one process, as on Managed Instances (default: 1)",
    )
    parser.add_argument("--version", action="version", version=f"claudexia {__version__}")
    return parser


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return parse


def _run(options: argparse.Namespace) -> None:
    for name in ("timeout", "concurrency"):
        if getattr(options, name) and not options.as_lambda:
            raise SettingsError(f"--{name} says how a Lambda function runs; give --lambda with it.")
    upstream = _upstream(options.upstream, Settings.from_env(os.environ))
    key = _key(upstream.settings)
    with listen(options.host, options.port) as listener:
        greeting = _greeting(upstream, key, base_url(listener), as_lambda=options.as_lambda)
        if options.as_lambda:
            function = FunctionConfiguration(
                {**os.environ, **_environ(key.settings)},
                options.timeout or TIMEOUT,
                options.concurrency or 1,
                upstream.transport,
            )
            serve_lambda(function, listener, partial(_say, greeting))
        else:
            app = create_app(key.settings, transport=upstream.transport)
            _say(greeting)
            serve(app, listener)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _environ(settings: Settings) -> Mapping[str, str]:
    """What was decided here, for a process that reads its settings itself."""
    return {
        "ANTHROPIC_API_KEY": settings.anthropic_api_key,
        "ANTHROPIC_API_KEY_SECRET": settings.anthropic_api_key_secret,
        "ANTHROPIC_BASE_URL": settings.anthropic_base_url,
        "CLAUDEXIA_API_KEYS": ",".join(f"{name}:{secret}" for name, secret in settings.api_keys.items()),
    }


def _upstream(wanted: str | None, settings: Settings) -> _Upstream:
    if wanted == "echo":
        return _echo("As --upstream says, answers come from a built-in echo, not from Claude.", settings)
    if wanted is None and not (settings.anthropic_api_key or settings.anthropic_api_key_secret):
        return _echo(
            "Answers come from a built-in echo, not from Claude; set ANTHROPIC_API_KEY for the real thing.",
            settings,
        )
    if wanted is None:
        url = _checked("ANTHROPIC_BASE_URL", settings.anthropic_base_url)
    else:
        url = _checked("--upstream", wanted)
    return _Upstream(f"Answers come from {url}.", replace(settings, anthropic_base_url=url))


def _echo(sentence: str, settings: Settings) -> _Upstream:
    # A real key has no business here, and a base URL no say.
    keyless = replace(
        settings,
        anthropic_api_key="",
        anthropic_api_key_secret="",
        anthropic_base_url="http://echo.invalid",
    )
    return _Upstream(sentence, keyless, EchoTransport())


def _checked(setting: str, text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"{setting}: {text!r} is not a URL like https://api.anthropic.com.")
    return text


def _key(settings: Settings) -> _Key:
    """The first key of the environment, by its name only, or one that is made for this run."""
    if settings.api_keys:
        name = next(iter(settings.api_keys))
        return _Key(
            f"the one named {name!r} in CLAUDEXIA_API_KEYS",
            "its secret is not shown; the line below takes it from the variable CLAUDEXIA_KEY",
            # Pasted where the variable is missing, this says so instead of sending a wrong key.
            '"Authorization: Bearer ${CLAUDEXIA_KEY:?is not set to the secret of your key}"',
            settings,
        )
    secret = KEY_PREFIX + secrets.token_hex(32)
    return _Key(
        secret,
        f"made for this run; CLAUDEXIA_API_KEYS=name:{KEY_PREFIX}... sets one that stays",
        f"'Authorization: Bearer {secret}'",
        replace(settings, api_keys={"local": secret}),
    )


def _greeting(upstream: _Upstream, key: _Key, url: str, *, as_lambda: bool) -> str:
    second = f"{_AS_LAMBDA}\n" if as_lambda else ""
    return f"""{upstream.sentence}
{second}
Base URL: {url}
API key:  {key.shown}
          ({key.note})

curl -N '{url}/chat/completions' \\
  -H {key.header} \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "{MODEL}", "stream": true, "messages": [{{"role": "user", "content": "Hello there"}}]}}'

Ctrl-C ends it.
"""


if __name__ == "__main__":
    sys.exit(main())
