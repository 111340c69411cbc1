"""Damaged request bodies and damaged upstream streams against the gateway: `uv run python -m tests.campaign`.

The gateway runs in process, without sockets. Known-good requests between the damaged ones have to be
answered correctly. The rules are in tests/campaign/judge.py. The exit status is 1 if a rule is broken; each
is shown with its number of cases and with one case in its smallest form. `--case ID` shows one case again.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.campaign.run import CHUNK, Kind, Outcome, Part, reduce_case, run_part

COUNTS: dict[Kind, tuple[str, str]] = {
    "body": ("--bodies", "damaged bodies of chat and text completions"),
    "stream": ("--streams", "damaged streams for chat completions"),
    "text-stream": ("--text-streams", "damaged streams for text completions"),
    "responses-body": ("--responses-bodies", "damaged bodies of the Responses API"),
    "responses-stream": ("--responses-streams", "damaged streams for the Responses API"),
    "messages-stream": ("--messages-streams", "damaged answers for the Messages API, whole and streamed"),
    "messages-body": ("--messages-bodies", "damaged bodies of the Messages API"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    for kind, (option, what) in COUNTS.items():
        parser.add_argument(
            option, type=int, default=3000, dest=kind, help=f"{what} and controls (default: %(default)s)"
        )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--largest",
        type=int,
        default=20_000,
        metavar="BYTES",
        help="of the bodies that repeat one thing (default: %(default)s)",
    )
    parser.add_argument(
        "--timed", action="store_true", help="judge the CPU time of bodies, as a ratio to json.loads"
    )
    parser.add_argument(
        "--case", metavar="ID", help="one case, such as stream:1:42, or a range of them, such as stream:1:40-42"
    )
    options = parser.parse_args()
    started = time.perf_counter()
    outcome = _campaign(list(_parts(options)), options.processes)
    sys.stdout.write(_report(outcome, time.perf_counter() - started))
    sys.exit(bool(outcome.failures))


def _parts(options: argparse.Namespace) -> Iterator[Part]:
    if options.case:
        kind, seed, indices = options.case.split(":")
        first, _, last = indices.partition("-")
        yield Part(kind, int(seed), int(first), int(last or first) + 1, options.largest, options.timed)
        return
    for kind in COUNTS:
        count = getattr(options, kind)
        for first in range(0, count, CHUNK):
            yield Part(kind, options.seed, first, min(first + CHUNK, count), options.largest, options.timed)


def _campaign(parts: list[Part], processes: int) -> Outcome:
    """All parts; the first case for each broken rule is reduced."""
    total = Outcome()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for outcome in pool.map(run_part, parts):
            total.add(outcome)
        kinds: dict[str, Part] = {part.kind: part for part in parts}
        failed = list(total.failed.values())
        of_each = [kinds[each.id.partition(":")[0]] for each in failed]
        total.failed = {each.rule: each for each in pool.map(reduce_case, of_each, failed)}
    return total


def _report(outcome: Outcome, seconds: float) -> str:
    cases = sum(outcome.counts.values())
    lines = [f"{cases} cases in {seconds:.1f} s, {cases / seconds:.0f} a second"]
    lines += [f"{count:8}  {what}" for what, count in sorted(outcome.counts.items())]
    if outcome.slowest[1]:
        lines.append(f"slowest: {outcome.slowest[0]:.0f} times json.loads, {outcome.slowest[1]}")
    for rule, count in outcome.failures.most_common():
        failed = outcome.failed[rule]
        lines += ["", f"BROKEN in {count}: {rule}", f"--case {failed.id}", failed.example]
    return "\n".join([*lines, "" if outcome.failures else "No rule is broken.", ""])


if __name__ == "__main__":
    main()
