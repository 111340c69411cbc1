"""The commands for a deployed gateway, beside the one that runs it on this machine."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from claudexia.local.printing import CommandError, without_secrets

# Each is a module with a main(argv) that raises CommandError, and is loaded only when it is asked for.
COMMANDS: Mapping[str, str] = {
    "keys": "claudexia.local.keys_cli",
    "usage": "claudexia.local.usage_cli",
    "check": "claudexia.local.check",
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
