"""The work of calls as numbers that are the same on every machine.

count_steps() does not see what C code does in one call, count_copied() sees what is copied there.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any


def count_steps(work: Callable[[], object]) -> int:
    """Lines of Python and calls into C that `work` takes.

    Garbage is not collected meanwhile: a collection runs gc.callbacks, such as Hypothesis's, and finalizers.
    """
    steps = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal steps
        steps += 1
        return trace

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal steps
        steps += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    collects = gc.isenabled()
    gc.disable()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
        if collects:
            gc.enable()
    return steps


def count_copied(calls: Iterable[Callable[[], object]]) -> int:
    """Bytes that each call takes at its peak beyond what was taken before it, added over all `calls`.

    A call that copies what earlier calls have left takes as much, even if it frees the original.
    """
    copied = 0
    collects = gc.isenabled()
    gc.disable()
    tracemalloc.start()
    try:
        for call in calls:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            call()
            copied += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
        if collects:
            gc.enable()
    return copied
