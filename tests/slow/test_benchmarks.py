"""The benchmarks run and print their rows. The figures are not checked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.waiting import PATIENCE

ROWS = (
    "CPU µs per event, 5 deltas",
    "CPU µs per request, 3 deltas streamed",
    "CPU µs per request, 3 deltas buffered",
    "added ms to first token",
    "cold import, CPU ms",
    "warm, memory, no limits",
    "warm, memory, five limits",
    "warm, DynamoDB, no limits",
    "warm, DynamoDB, five limits",
    "cold, first request, no limits",
    "cold, first request, five limits",
    "cold, from the start, no limits",
    "cold, from the start, five limits",
    "/chat/completions: user-and-system, 1 kB",
    "/responses: base64-file, 1 kB",
    "/messages: text-blocks, 1 kB",
    "CPU µs per request, 3 deltas streamed, logged",
    "CPU µs per event, 2 streams at once",
    "resident kB, 2 open streams",
    "resident kB after 20 and 2 requests",
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's CPU clocks of processes")
def test_the_smallest_run_prints_all_rows() -> None:
    process = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "tests.benchmarks", "--smallest", "--passes", "1"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        encoding="utf-8",
        timeout=10 * PATIENCE,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    for row in ROWS:
        figures = re.search(rf"^{row} +(.+)$", process.stdout, re.MULTILINE)
        assert figures, f"no row {row!r} in\n{process.stdout}"
        assert len(figures[1].split()) == 5
    assert re.search(r"^highest ratio: [\d.]+ \(.+\)$", process.stdout, re.MULTILINE)
    by_memory = re.findall(r"^ *(256|512|1,024|1,769)((?: +[\d.,]+){5})$", process.stdout, re.MULTILINE)
    assert [memory for memory, _ in by_memory] == ["256", "512", "1,024", "1,769"]
