"""Runs real, unmodified clients against the gateway: `uv run python -m tests.clients`.

Each client runs in a separate environment, so this needs uv, npm and a package index. The upstream is the fake
Anthropic API, which validates requests like the real one. `--write` writes the table into the README; the rows
of clients that did not run stay. After each client come the
warnings that it got. `--forced-tools` repeats only the tool calls that clients force (tests/clients/forced.py).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping

from tests.clients.forced import forced_report, forced_results
from tests.clients.matrix import (
    CLIENTS,
    FORCED_CLIENTS,
    README,
    Client,
    Outcome,
    renewed_rows,
    row_of,
    table,
    with_table,
)
from tests.clients.recording import Exchange, Recorder
from tests.clients.running import outcome_of
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the matrix into README.md")
    parser.add_argument("--forced-tools", action="store_true", help="repeat forced tool calls instead")
    parser.add_argument("--runs", type=int, default=20, help="of each forced tool call (%(default)s)")
    parser.add_argument("names", nargs="*", metavar="client", help="only these, by the start of their names")
    options = parser.parse_args()
    if options.forced_tools:
        sys.exit(_forced_calls_fail(tuple(options.names) or ("",), options.runs))
    chosen = [client for client in CLIENTS if client.name.startswith(tuple(options.names) or "")]
    if not chosen:
        parser.error("no client's name starts so")
    outcomes = _outcomes(chosen)
    rows = [row_of(name, outcome) for name, outcome in outcomes.items()]
    sys.stdout.write(f"\n{table(rows)}")
    if options.write:
        absent = [name for name, outcome in outcomes.items() if not outcome.version]
        if absent:
            sys.exit(f"Nothing is written, since these did not start: {', '.join(absent)}.")
        readme = README.read_text("utf-8")
        README.write_text(with_table(readme, table(renewed_rows(readme, rows))), "utf-8")
    sys.exit(any(outcome.failed for outcome in outcomes.values()))


def _forced_calls_fail(names: tuple[str, ...], runs: int) -> bool:
    failed = False
    for client in FORCED_CLIENTS:
        for result in forced_results(client, runs) if client.client.name.startswith(names) else ():
            sys.stdout.write(forced_report(result))
            sys.stdout.flush()
            failed = failed or bool(result.broken)
    return failed


def _outcomes(clients: list[Client]) -> Mapping[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    recorder = Recorder()
    with gateway(FakeAnthropic(), wrap=recorder.wrap) as base_url:
        for client in clients:
            outcomes[client.name] = outcome_of(client, base_url, KEY)
            _print_outcome(client.name, outcomes[client.name])
            _print_warnings(recorder.taken())
    return outcomes


def _print_warnings(exchanges: list[Exchange]) -> None:
    """Each warning with the number of requests that got it."""
    for warnings, count in Counter(exchange.warnings for exchange in exchanges if exchange.warnings).items():
        sys.stdout.write(f"  {count} of {len(exchanges)} requests got the warning: {warnings}\n")
    sys.stdout.flush()


def _print_outcome(name: str, outcome: Outcome) -> None:
    sys.stdout.write(f"{name} {outcome.version}\n")
    for case, failures in outcome.failures.items():
        for failure in failures:
            sys.stdout.write(f"  {case} failed with {failure}\n")
    for failure in outcome.responses or ():
        sys.stdout.write(f"  Responses API: {failure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
