"""Runs real, unmodified clients against the gateway: `uv run python -m tests.clients`.

Each client runs in a separate environment, so this needs uv, npm and a package index. The upstream is the fake
Anthropic API, which validates requests like the real one. `--write` writes the table into the README.
"""

import argparse
import sys
from collections.abc import Mapping

from tests.clients.matrix import CLIENTS, README, Client, Outcome, table, with_table
from tests.clients.running import outcome_of
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the matrix into README.md")
    parser.add_argument("names", nargs="*", metavar="client", help="only these, by the start of their names")
    options = parser.parse_args()
    chosen = [client for client in CLIENTS if client.name.startswith(tuple(options.names) or "")]
    if not chosen:
        parser.error("no client's name starts so")
    if options.write and len(chosen) < len(CLIENTS):
        parser.error("--write needs all clients")
    outcomes = _outcomes(chosen)
    sys.stdout.write(f"\n{table(outcomes)}")
    if options.write:
        absent = [name for name, outcome in outcomes.items() if not outcome.version]
        if absent:
            sys.exit(f"Nothing is written, since these did not start: {', '.join(absent)}.")
        README.write_text(with_table(README.read_text("utf-8"), table(outcomes)), "utf-8")
    sys.exit(any(failures for each in outcomes.values() for failures in each.failures.values()))


def _outcomes(clients: list[Client]) -> Mapping[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    with gateway(FakeAnthropic()) as base_url:
        for client in clients:
            outcomes[client.name] = outcome_of(client, base_url, KEY)
            _print_outcome(client.name, outcomes[client.name])
    return outcomes


def _print_outcome(name: str, outcome: Outcome) -> None:
    sys.stdout.write(f"{name} {outcome.version}\n")
    for case, failures in outcome.failures.items():
        for failure in failures:
            sys.stdout.write(f"  {case} failed with {failure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
