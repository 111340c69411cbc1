"""The command `claudexia`: the gateway on this machine, and subcommands for a deployed gateway.

Exit status: 0 after success, which includes the end of the local gateway by Ctrl-C or SIGTERM; 1 if a
subcommand fails; 2 if an argument is wrong or the local gateway cannot start; 130 after Ctrl-C in a subcommand.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from claudexia import __version__
from claudexia_cli.console import CommandError, StartError, redact_secrets

# Name: the module, whose attribute `command` is the click command, and the summary.
SUBCOMMANDS: Mapping[str, tuple[str, str]] = {
    "keys": ("claudexia_cli.keys", "Manage the API keys of a deployed gateway."),
    "usage": ("claudexia_cli.usage", "Show tokens and cost per key, model and day."),
    "check": ("claudexia_cli.check", "Test a running gateway with a few short requests."),
}
# Shorter than API Gateway's longest integration timeout of 900 s, so that the function notices its end first.
_DEFAULT_TIMEOUT = 890


class _LazyGroup(click.Group):
    """A group that imports the module of a subcommand when the subcommand runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = import_module(SUBCOMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands for a deployed gateway"):
            formatter.write_dl([(f"claudexia {name} --help", text) for name, (_, text) in SUBCOMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND ...]",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 2**16 - 1),
    default=8000,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--upstream",
    metavar="URL|echo",
    show_default="Claude if ANTHROPIC_API_KEY is set, else echo",
    help="Base URL of a server with Anthropic's Messages API, or the built-in echo.",
)
@click.option(
    "--lambda",
    "as_lambda",
    is_flag=True,
    help="Run the Lambda runtime as it is deployed, behind a local API Gateway.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 900),
    default=_DEFAULT_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="With --lambda: the function's time limit for a request.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="With --lambda: concurrent requests in the one process, as on Managed Instances.",
)
@click.option(
    "--base-path",
    default="",
    metavar="PATH",
    help="With --lambda: base path of a custom domain that is mapped to the API, such as 'claude'.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """An OpenAI-compatible endpoint for Claude, on this machine.

    Without a command, the gateway runs until Ctrl-C.
    """
    if context.invoked_subcommand:
        if any(_is_given(context, name) for name in options):
            raise click.UsageError(f"Options before {context.invoked_subcommand!r} have no effect.")
        return
    for name in ("timeout", "concurrency", "base_path"):
        if _is_given(context, name) and not options["as_lambda"]:
            raise StartError(f"--{name.replace('_', '-')} configures a Lambda function; use it with --lambda.")
    local_gateway = import_module("claudexia_cli.local_gateway")
    local_gateway.run(local_gateway.Options(**options))


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status, or raises SystemExit: wrong argument, failed check, --help, --version."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        status = command.main(arguments, prog_name="claudexia", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "claudexia"
        _print_error(path, f"{_sentence(error.format_message())} See '{path} --help'.")
        sys.exit(error.exit_code)
    except CommandError as error:
        _print_error(f"claudexia {arguments[0]}", error.format_message())
        return error.exit_code
    except StartError as error:
        _print_error("claudexia", error.format_message())
        return error.exit_code
    except click.Abort:
        return 130
    if isinstance(status, int):
        sys.exit(status)
    return 0


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _print_error(path: str, message: str) -> None:
    click.echo(f"{path}: {redact_secrets(message)}", err=True)


if __name__ == "__main__":
    sys.exit(main())
