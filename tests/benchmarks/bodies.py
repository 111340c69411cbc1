"""The cost of translating large request bodies, compared with `json.loads` of the same JSON, per generator and size.

The generators are those of tests/unit/translate/test_linear.py, which counts steps and not the work inside of C
calls. Here that work is measured: the ratio of a generator must not grow with the size. json.loads reads the JSON
inside of `arguments`, too, which the translation has to read. Bodies with the same tools share their translation,
so the agent's request has a row for its first turn and one for the later ones; all other rows are first turns.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence

from tests.benchmarks.cells import Pair
from tests.helpers.large_bodies import BODIES, agent_request, forget_tools, load_all, translate, translate_agent

# In kB. A generator's largest bodies may be refused, at a part of the cost.
SIZES, SMALLEST_SIZES = (100, 1000, 5000), (1,)
_PASSES, _AGENT_PASSES = 3, 20


def measure_bodies(sizes: Sequence[int], turn: int) -> Iterator[Pair]:
    """CPU milliseconds per generator and size (in kB, approximately). Only in the first passes, since they take long."""
    if turn >= _PASSES:
        return
    yield from _measure_agent()
    for name, generator in BODIES.items():
        for size in sizes:
            body = generator(size)
            loads = min(_cpu_ms(load_all, body) for _ in range(3))
            forget_tools()
            yield Pair(f"{name}, {size} kB", _cpu_ms(translate, body), loads)


def _measure_agent() -> Iterator[Pair]:
    """The least of several passes, since one takes a millisecond."""
    first: list[float] = []
    later: list[float] = []
    loads: list[float] = []
    for _ in range(_AGENT_PASSES):
        body = agent_request()
        forget_tools()
        first.append(_cpu_ms(translate_agent, body))
        later.append(_cpu_ms(translate_agent, body))
        loads.append(_cpu_ms(json.loads, body))
    yield Pair("agent's request, 143 kB, first turn", min(first), min(loads))
    yield Pair("agent's request, 143 kB, later turns", min(later), min(loads))


def _cpu_ms(work: Callable[[bytes], object], body: bytes) -> float:
    before = time.process_time_ns()
    work(body)
    return (time.process_time_ns() - before) / 1e6
