"""What the function's memory setting means for time and money, computed from the CPU times of a run.

Lambda gives a function CPU in proportion to its memory, a full core at 1,769 MB, and bills the time until the response
is complete. While Claude generates, the gateway mostly waits. The figures scale with this machine's speed.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html, https://aws.amazon.com/lambda/pricing/
"""

import statistics
from collections.abc import Iterable, Sequence

from tests.benchmarks.cells import SHORT, Pair

MEMORY_SIZES = (256, 512, 1024, 1769)
_FULL_CORE = 1769
# USD in us-east-1, without the free tier.
_GB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
_MILLION_REQUESTS = 0.20
# The answer of README's cost line: Claude generates for ten seconds, at 50 events per second.
_ANSWER_SECONDS, _ANSWER_EVENTS = 10.0, 500


def to_memory_table(pairs: Sequence[Pair], deltas: int) -> str:
    """One line per memory size: ms that the gateway adds to the first token, and USD per million requests.

    Warm is a request of `CPU µs per request`, cold that and the import, both at the share of a core.
    """
    request = _median(pairs, f"CPU µs per request, {SHORT} deltas streamed") / 1000
    event = _median(pairs, f"CPU µs per event, {deltas:,} deltas") / 1000
    cold = _median(pairs, "cold import, CPU ms") + request
    lines = [
        f"{'MB':>6}{'share':>8}{'ms warm':>10}{'ms cold':>10}"
        + "".join(f"{'$/M ' + name:>12}" for name in _GB_SECOND)
    ]
    for memory in MEMORY_SIZES:
        share = min(1.0, memory / _FULL_CORE)
        busy = event * _ANSWER_EVENTS / share / 1000
        seconds = request / share / 1000 + max(_ANSWER_SECONDS, busy)
        dollars = [memory / 1024 * seconds * price * 1e6 + _MILLION_REQUESTS for price in _GB_SECOND.values()]
        lines.append(
            f"{memory:>6,}{share:>8.2f}{request / share:>10.1f}{cold / share:>10,.0f}"
            + "".join(f"{each:>12.2f}" for each in dollars)
        )
    return "\n".join(lines)


def _median(pairs: Iterable[Pair], row: str) -> float:
    return statistics.median(pair.gateway for pair in pairs if pair.row == row)
