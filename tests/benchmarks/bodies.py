"""The cost of translating large request bodies, compared with `json.loads` of the same body, per generator and size.

The generators are those of tests/unit/translate/test_linear.py, which counts steps and not the work inside of C
calls. Here that work is measured: the ratio of a generator must not grow with the size.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence

from tests.benchmarks.cells import Pair
from tests.helpers.large_bodies import BODIES, translate

SIZES, SMALLEST_SIZES = (50, 200, 400), (1,)
_PASSES = 3


def measure_bodies(sizes: Sequence[int], turn: int) -> Iterator[Pair]:
    """CPU milliseconds per generator and size (in kB, approximately). Only in the first passes, since they take long."""
    if turn >= _PASSES:
        return
    for name, generator in BODIES.items():
        for size in sizes:
            body = generator(size)
            loads = min(_cpu_ms(json.loads, body) for _ in range(3))
            yield Pair(f"{name}, {size} kB", _cpu_ms(translate, body), loads)


def _cpu_ms(work: Callable[[bytes], object], body: bytes) -> float:
    before = time.process_time_ns()
    work(body)
    return (time.process_time_ns() - before) / 1e6
