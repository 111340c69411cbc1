"""The cost of large requests, compared with `json.loads` of the same JSON, per API, kind and size.

The kinds are those of tests/integration/test_request_costs.py, which counts steps and not the work inside of C calls.
Here that work is measured: the ratio of a kind must not grow with the size. A request goes through the whole gateway,
in this process and without sockets; above 256 kB in its threads, in which no garbage is collected. What the smallest
request of the same API costs is subtracted. json.loads reads the JSON inside of strings, too, which the gateway has to
read. Bodies with the same tools share their translation, so the agent's request has a row for its first turn and one
for the later ones; all other rows are first turns.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from tests.benchmarks.cells import Pair
from tests.helpers.in_process import InProcessGateway, in_process_gateway
from tests.helpers.large_bodies import agent_request, forget_tools, translate_agent
from tests.helpers.large_requests import APIS, LARGE_REQUESTS, json_texts, load_all

_T = TypeVar("_T")

# In kB. A generator's largest bodies may be refused, at a part of the cost.
SIZES, SMALLEST_SIZES = (100, 1000, 5000), (1,)
_PASSES, _AGENT_PASSES, _SMALL_PASSES = 3, 20, 10
_LARGE = 1000  # kB; larger bodies are measured in the first pass only


def measure_bodies(sizes: Sequence[int], turn: int) -> Iterator[Pair]:
    """CPU milliseconds per kind and size (in kB, approximately). Only in the first passes, since they take long."""
    if turn >= _PASSES:
        return
    yield from _measure_agent()
    with in_process_gateway() as gateway:
        smallest = _smallest(gateway)
        for name, request in LARGE_REQUESTS.items():
            for size in sizes:
                if turn and size > _LARGE:
                    continue
                body = request.generator(size)
                texts = json_texts(body)
                loads = min(_cpu_ms(load_all, texts) for _ in range(3))
                forget_tools()
                taken = _sent_ms(gateway, request.path, body) - smallest[request.path]
                yield Pair(f"{name}, {size} kB", max(taken, 0.0), loads)


def highest_ratio(pairs: Iterable[Pair]) -> str:
    """A line with the row whose ratio, the median of its passes, is the highest."""
    ratios: dict[str, list[float]] = {}
    for pair in pairs:
        ratios.setdefault(pair.row, []).append(pair.gateway / pair.baseline)
    medians = {row: statistics.median(each) for row, each in ratios.items()}
    row = max(medians, key=lambda name: medians[name])
    return f"highest ratio: {medians[row]:.1f} ({row})"


def _smallest(gateway: InProcessGateway) -> Mapping[str, float]:
    """CPU milliseconds of the smallest request by path."""
    bodies = {path: next(iter(generators.values()))(1) for path, generators in APIS.items()}
    return {
        path: min(_sent_ms(gateway, path, body) for _ in range(_SMALL_PASSES)) for path, body in bodies.items()
    }


def _sent_ms(gateway: InProcessGateway, path: str, body: bytes) -> float:
    gc.collect()  # what is left of the request before it is not a part of this one's cost
    return _cpu_ms(lambda sent: gateway.send(path, sent), body)


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


def _cpu_ms(work: Callable[[_T], object], argument: _T) -> float:
    before = time.process_time_ns()
    work(argument)
    return (time.process_time_ns() - before) / 1e6
