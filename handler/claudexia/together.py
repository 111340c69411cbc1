"""Several things at once, where the first failure of one of them is the failure of all."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

T = TypeVar("T")
U = TypeVar("U")


async def gathered(jobs: Sequence[Coroutine[object, object, T]]) -> list[T]:
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
    first, second = await gathered([cast("Coroutine[object, object, object]", each) for each in (job, other)])
    return cast("T", first), cast("U", second)


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None = None


async def interleaved(sources: Sequence[AsyncIterable[T]]) -> AsyncGenerator[tuple[int, T], None]:
    """What `sources` yield, each with its source's index, in the order it comes.

    No source gets ahead of the reader by more than one item.
    """
    if len(sources) == 1:
        async for only in sources[0]:
            yield 0, only
        return
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
