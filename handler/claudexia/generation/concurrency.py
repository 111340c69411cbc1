"""Run several tasks or read several streams concurrently; the first failure cancels the rest. Large bodies."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import cache
from threading import Lock
from time import monotonic
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Bytes of a request's body. Below, its translation takes the event loop at most 5 ms, 25 for the worst bodies.
# Above, other streams go on meanwhile; an agent's request of 140 kB takes 0.05 ms longer.
LARGE_BODY = 64 * 1024
# From here on a body may have so many objects that collections of garbage halt all threads.
MANY_OBJECTS = 256 * 1024


async def in_thread_if_large(size: int, work: Callable[[*Ts], T], *args: *Ts) -> T:
    """`work(*args)`, in a thread if it is on a body of LARGE_BODY bytes or more."""
    if size < LARGE_BODY:
        return work(*args)
    loop = asyncio.get_running_loop()
    if size < MANY_OBJECTS:
        return await loop.run_in_executor(_threads(), work, *args)
    return await loop.run_in_executor(_threads(), _without_collections, work, *args)


@cache
def _threads() -> ThreadPoolExecutor:
    """Few, because each one that works delays the event loop by the interpreter's switch interval of 5 ms."""
    return ThreadPoolExecutor(2, "large-body")


# Seconds. What other requests leave in cycles is not collected meanwhile.
_MAX_PAUSE = 1.0
# After so many, garbage among the frozen objects is collected. A request leaves about 5 objects in cycles.
_PAUSES_PER_COLLECTION = 1000
_collecting = Lock()
_paused = 0
_paused_at = 0.0
_pauses = 0


def _without_collections(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """`work(*args)` without collections of cyclic garbage, of which it makes none: while a large body has many
    objects, each collection halts all threads for up to 100 ms. Where such bodies follow each other without a
    gap, a body that begins after _MAX_PAUSE does not prolong the pause.
    """
    global _paused, _paused_at  # noqa: PLW0603  # the collector is one for the process, too
    with _collecting:
        if not _paused:
            _paused_at = monotonic()
        late = monotonic() - _paused_at > _MAX_PAUSE
        if not late:
            _paused += 1
            gc.disable()
    if late:
        return work(*args)
    try:
        return work(*args)
    finally:
        with _collecting:
            _paused -= 1
            if not _paused:
                _end_pause()


def _end_pause() -> None:
    """Lets the collector run again, but not on the objects of the body, which are all new: the next collection
    would halt all threads for as long as the pause spared. It leaves out frozen objects, which are freed like
    others when nothing refers to them any more.
    """
    global _pauses  # noqa: PLW0603
    _pauses += 1
    if _pauses % _PAUSES_PER_COLLECTION == 0:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
    gc.enable()


async def gather_or_cancel(jobs: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """The results of `jobs` in their order; the first failure cancels the others and is raised."""
    if len(jobs) == 1:
        return [await jobs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


class _End:
    """Marks the end of a source, with its exception if it failed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


def merge(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Yields the items of all `sources` as they arrive. Each source is at most one item ahead of the reader.

    Close the generator (`aclosing`) if it may be left before its end: it closes the sources. Otherwise asyncio
    starts a task to close each of them.
    """
    return sources[0] if len(sources) == 1 else _merge(sources)


async def _merge(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    queue: asyncio.Queue[T | _End] = asyncio.Queue(maxsize=1)
    readers = [asyncio.create_task(_read(source, queue)) for source in sources]
    try:
        open_sources = len(readers)
        while open_sources:
            item = await queue.get()
            if not isinstance(item, _End):
                yield item
            elif item.error:
                raise item.error
            else:
                open_sources -= 1
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _read(source: AsyncGenerator[T, None], queue: "asyncio.Queue[T | _End]") -> None:
    end = _End()
    try:
        async with aclosing(source) as items:
            async for item in items:
                await queue.put(item)
    except Exception as error:
        end = _End(error)
    await queue.put(end)
