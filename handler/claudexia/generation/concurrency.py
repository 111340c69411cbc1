"""Several things at once, where the first failure of one of them is the failure of all."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

T = TypeVar("T")
U = TypeVar("U")


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


async def both(job: Coroutine[object, object, T], other: Coroutine[object, object, U]) -> tuple[T, U]:
    """The results of two jobs of different kinds."""
    first, second = await gather_or_cancel(
        [cast("Coroutine[object, object, object]", each) for each in (job, other)]
    )
    return cast("T", first), cast("U", second)


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None = None


def interleave(sources: Sequence[AsyncIterable[T]]) -> AsyncIterator[tuple[int, T]]:
    """What `sources` yield, each with its source's index, in the order it comes.

    No source gets ahead of the reader by more than one item.
    """
    return _Alone(sources[0]) if len(sources) == 1 else _interleaved(sources)


class _Alone(Generic[T]):
    """No generator, as the readers of one answer leave it midway: asyncio would make a task to close it."""

    def __init__(self, source: AsyncIterable[T]) -> None:
        self._items = aiter(source)

    def __aiter__(self) -> "_Alone[T]":
        return self

    async def __anext__(self) -> tuple[int, T]:
        return 0, await anext(self._items)


async def _interleaved(sources: Sequence[AsyncIterable[T]]) -> AsyncGenerator[tuple[int, T], None]:
    items: asyncio.Queue[tuple[int, T | _End]] = asyncio.Queue(maxsize=1)

    async def read(index: int, source: AsyncIterable[T]) -> None:
        end = _End()
        try:
            async for item in source:
                await items.put((index, item))
        except Exception as error:
            end = _End(error)
        await items.put((index, end))

    readers = [asyncio.create_task(read(index, source)) for index, source in enumerate(sources)]
    try:
        left = len(readers)
        while left:
            index, item = await items.get()
            if not isinstance(item, _End):
                yield index, item
            elif item.error:
                raise item.error
            else:
                left -= 1
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
