"""Large bodies in threads: garbage is not collected meanwhile, but always after them and between many of them."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from threading import Event

import pytest

from claudexia.generation import concurrency
from claudexia.generation.concurrency import MANY_OBJECTS, in_thread_if_large
from tests.helpers.waiting import PATIENCE


class BodyError(Exception):
    pass


class Node:
    """May be in a cycle with itself."""

    me: "Node | None" = None


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


class Work:
    """Work on a large body that runs until end() is called."""

    def __init__(self) -> None:
        self._started, self._ended = Event(), Event()
        self.task = asyncio.create_task(in_thread_if_large(MANY_OBJECTS, self._run))

    async def started(self) -> "Work":
        assert await asyncio.to_thread(self._started.wait, PATIENCE)
        return self

    async def end(self) -> None:
        self._ended.set()
        await self.task

    def _run(self) -> None:
        self._started.set()
        assert self._ended.wait(PATIENCE)


@pytest.mark.parametrize(("seconds", "collects"), [(0.0, False), (0.9, False), (1.1, True), (60.0, True)])
def test_a_body_long_after_another_does_not_prolong_its_pause(
    seconds: float, collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second body begins `seconds` after the first, which ends before it."""
    now = 1000.0
    monkeypatch.setattr(concurrency, "monotonic", lambda: now)

    async def work() -> None:
        nonlocal now
        first = await Work().started()
        assert not gc.isenabled()
        now += seconds
        second = await Work().started()
        assert not gc.isenabled()
        await first.end()
        assert gc.isenabled() is collects
        await second.end()
        assert gc.isenabled()
        third = await Work().started()
        assert not gc.isenabled()
        await third.end()
        assert gc.isenabled()

    asyncio.run(work())


@pytest.mark.parametrize("error", [BodyError, MemoryError, RecursionError])
def test_the_collector_is_on_after_work_that_failed(error: type[Exception]) -> None:
    def fail() -> None:
        raise error

    async def work() -> None:
        with pytest.raises(error):
            await in_thread_if_large(MANY_OBJECTS, fail)

    asyncio.run(work())
    assert gc.isenabled()


def test_the_collector_is_on_after_the_work_of_a_cancelled_request() -> None:
    async def work() -> None:
        cancelled = await Work().started()
        cancelled.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled.task
        with pytest.raises(asyncio.CancelledError):
            await cancelled.end()
        for _ in range(2):  # one on each thread, so that the work above has ended
            await (await Work().started()).end()
        other, another = await Work().started(), await Work().started()
        await other.end()
        await another.end()
        assert gc.isenabled()

    asyncio.run(work())


def test_no_later_collection_looks_at_the_objects_of_a_body() -> None:
    """Looking at those of a body of 5 MB takes 40 to 130 ms."""

    async def work() -> list[Node]:
        return await in_thread_if_large(MANY_OBJECTS, lambda: [Node() for _ in range(10)])

    made = asyncio.run(work())
    collected = {id(each) for each in gc.get_objects()}
    assert not any(id(each) in collected for each in made)


def test_garbage_of_other_requests_is_collected_after_many_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "_PAUSES_PER_COLLECTION", 5)

    async def leave_garbage() -> weakref.ref[Node]:
        work = await Work().started()
        node = Node()
        node.me = node
        await work.end()
        return weakref.ref(node)

    async def work() -> int:
        nodes = [await leave_garbage() for _ in range(10)]
        return sum(node() is None for node in nodes)

    assert asyncio.run(work()) >= 5
