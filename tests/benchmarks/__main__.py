"""What the gateway costs beside a raw httpx-to-Starlette pass-through: `uv run python -m tests.benchmarks`.

Both relay the same fake upstream's answers in the same run, under the same uvicorn. Ratios are what counts:
the absolute figures are this machine's. Nothing is held against a limit, but an answer that lost a word ends
the run.
"""

import argparse
import asyncio
import platform
import sys
import tempfile

from tests.benchmarks.cells import FULL, SMALLEST, Pair, Sizes, measure
from tests.benchmarks.cold_import import ColdImport
from tests.benchmarks.processes import running
from tests.benchmarks.table import to_table

_PASSES = 15


def main() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("The benchmarks read other processes' CPU clocks, which only Linux offers.")
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--passes", type=int, default=_PASSES, help="how often (default: %(default)s)")
    parser.add_argument(
        "--smallest", action="store_true", help="only show that it runs: the figures mean nothing"
    )
    options = parser.parse_args()
    pairs = asyncio.run(_run(max(1, options.passes), SMALLEST if options.smallest else FULL))
    sys.stdout.write(
        f"{platform.python_implementation()} {platform.python_version()}, {options.passes} passes; the cold "
        f"import stands beside that of fastapi, httpx and mangum\n\n{to_table(pairs)}\n"
    )


async def _run(passes: int, sizes: Sizes) -> list[Pair]:
    with tempfile.TemporaryDirectory() as cache, running() as servers:
        imports = ColdImport(cache)
        return [pair for turn in range(passes) async for pair in measure(servers, imports, sizes, turn)]


if __name__ == "__main__":
    main()
