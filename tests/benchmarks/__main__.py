"""The gateway's cost compared with a plain httpx-to-Starlette pass-through: `uv run python -m tests.benchmarks`.

Both relay the responses of the same fake upstream in the same run, under the same uvicorn. A second table shows the
time that keys and limits in a table add to the first token, a third large requests of all APIs compared with
json.loads, a fourth one process with many requests compared with few, and a fifth what follows for the function's
memory setting. Compare the ratios: the absolute figures depend on the machine. No figure is checked, but a response
that lost a word ends the run.
"""

import argparse
import asyncio
import platform
import sys
import tempfile

from tests.benchmarks.access_cells import measure_access
from tests.benchmarks.access_servers import running_with_keys
from tests.benchmarks.bodies import SIZES, SMALLEST_SIZES, highest_ratio, measure_bodies
from tests.benchmarks.cells import FULL, SMALLEST, Pair, Sizes, measure
from tests.benchmarks.cold_import import ColdImport
from tests.benchmarks.many import measure_many
from tests.benchmarks.memory_sizes import to_memory_table
from tests.benchmarks.processes import running
from tests.benchmarks.table import to_table

_PASSES = 15


def main() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("The benchmarks read other processes' CPU clocks, which only Linux offers.")
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--passes", type=int, default=_PASSES, help="how often (default: %(default)s)")
    parser.add_argument(
        "--smallest", action="store_true", help="only check that it runs: the figures are meaningless"
    )
    options = parser.parse_args()
    sizes = SMALLEST if options.smallest else FULL
    relayed, accessed, many = asyncio.run(_run(max(1, options.passes), sizes))
    body_sizes = SMALLEST_SIZES if options.smallest else SIZES
    bodies = [pair for turn in range(options.passes) for pair in measure_bodies(body_sizes, turn)]
    sys.stdout.write(
        f"{platform.python_implementation()} {platform.python_version()}, {options.passes} passes; the cold "
        f"import is compared with that of fastapi, httpx and mangum\n\n"
        f"{to_table(relayed, '', 'gateway', 'pass-through')}\n\n"
        f"{to_table(accessed, 'ms to first token, key and limits', 'in a table', 'in settings')}\n\n"
        f"{to_table(bodies, 'CPU ms per request, by its kind', 'gateway', 'json.loads')}\n"
        f"{highest_ratio(bodies)}\n\n"
        f"{to_table(many, 'one process', 'many', 'few')}\n\n"
        f"{to_memory_table(relayed, max(sizes.events))}\n"
    )


async def _run(passes: int, sizes: Sizes) -> tuple[list[Pair], list[Pair], list[Pair]]:
    relayed: list[Pair] = []
    accessed: list[Pair] = []
    with tempfile.TemporaryDirectory() as cache, running() as servers:
        imports = ColdImport(cache)
        async with running_with_keys(servers) as access:
            for turn in range(passes):
                relayed += [pair async for pair in measure(servers, imports, sizes, turn)]
                accessed += [pair async for pair in measure_access(servers, access, sizes.timed, turn)]
            many = [pair async for pair in measure_many(servers, sizes)]  # once, since it takes long
    return relayed, accessed, many


if __name__ == "__main__":
    main()
