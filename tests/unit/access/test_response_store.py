"""Stored responses in memory and in the table: bound to a key, for their time, in parts if they are large."""

import asyncio
import random
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from claudexia.access.response_store import (
    MAX_BYTES,
    MemoryResponseStore,
    ResponseStore,
    StoredResponse,
    TableResponseStore,
)
from claudexia.errors import APIError
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import ItemKey
from tests.helpers.tables import Clock, FaultyTable

KEPT = timedelta(days=2)


def stored(size: int = 10, id_: str = "resp_1") -> StoredResponse:
    """A response with `size` characters that cannot be compressed to fewer than half as many bytes."""
    text = random.Random(size).randbytes(-(-size // 2)).hex()[:size]  # noqa: S311  # no secret
    return StoredResponse({"id": id_, "output": [{"text": "é"}]}, [{"role": "user", "content": text}])


class Stores:
    def __init__(self, kind: str) -> None:
        self.clock = Clock()
        self.kept = MemoryTable(self.clock)
        self.table = FaultyTable(self.kept)
        self.errors: list[str] = []
        self.store: ResponseStore = (
            TableResponseStore(self.table, KEPT, self.errors.append)
            if kind == "table"
            else MemoryResponseStore(KEPT, self.errors.append)
        )

    def save(self, response: StoredResponse, key: str = "me") -> bool:
        return asyncio.run(self.store.save(key, response, self.clock()))

    def load(self, id_: str = "resp_1", key: str = "me") -> StoredResponse | None:
        return asyncio.run(self.store.load(key, id_, self.clock()))

    def delete(self, id_: str = "resp_1", key: str = "me") -> None:
        asyncio.run(self.store.delete(key, id_))

    def items(self) -> list[Any]:
        return asyncio.run(self.kept.query("RESPONSE#me#resp_1"))


@pytest.fixture(params=["memory", "table"])
def stores(request: pytest.FixtureRequest) -> Stores:
    return Stores(request.param)


@pytest.mark.parametrize("size", [0, 10, 400_000, 2_000_000])
def test_what_was_saved_is_loaded(stores: Stores, size: int) -> None:
    assert stores.save(stored(size))
    assert stores.load() == stored(size)
    assert stores.load(key="other") is None
    assert stores.load("resp_2") is None


@pytest.mark.parametrize("id_", ["", "me#resp_1", "resp_" + "x" * 5000, "resp_é", "resp_1#000"])
def test_an_id_of_another_kind_is_not_found(stores: Stores, id_: str) -> None:
    """With the key "a" and the id "b#resp_1", nothing of the key "a#b" is found."""
    stores.save(stored(), key="it#me")
    assert stores.load(id_, key="it") is None
    assert stores.errors == []


def test_it_is_kept_for_its_time(stores: Stores) -> None:
    stores.save(stored())
    stores.clock.advance(hours=47)
    assert stores.load() == stored()
    stores.clock.advance(hours=2)
    assert stores.load() is None


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_deleted_one_is_gone(stores: Stores, size: int) -> None:
    stores.save(stored(size))
    stores.delete(key="other")
    assert stores.load() == stored(size)
    stores.delete()
    assert stores.load() is None
    assert stores.items() == []
    stores.delete()


def test_one_that_is_too_large_is_not_kept(stores: Stores) -> None:
    assert not stores.save(stored(2 * MAX_BYTES))
    assert stores.load() is None
    assert stores.errors == ["too_large"]


@pytest.mark.parametrize(("size", "goes_on"), [(10, False), (600_000, True)])
def test_the_event_loop_goes_on_while_a_large_response_is_stored_and_loaded(size: int, goes_on: bool) -> None:
    """Compressing 5 MB of text takes 100 ms."""
    store, now = MemoryResponseStore(KEPT, lambda kind: None), Clock()()

    async def turns_during(work: Awaitable[object]) -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        assert await work
        counting.cancel()
        return turns

    async def run() -> tuple[int, int]:
        saving = await turns_during(store.save("me", stored(size), now))
        return saving, await turns_during(store.load("me", "resp_1", now))

    assert [turns > 0 for turns in asyncio.run(run())] == [goes_on, goes_on]


def test_memory_is_bounded() -> None:
    errors: list[str] = []
    store, now = MemoryResponseStore(KEPT, errors.append, max_bytes=2_000_000), Clock()()
    for number in range(5):
        asyncio.run(store.save("me", stored(1_000_000, f"resp_{number}"), now))
    found = [number for number in range(5) if asyncio.run(store.load("me", f"resp_{number}", now))]
    assert found[-1] == 4
    assert 0 < len(found) < 5
    assert found == list(range(5 - len(found), 5))
    assert errors == []  # a response makes room for itself


def test_each_part_fits_into_an_item() -> None:
    stores = Stores("table")
    stores.save(stored(2_000_000))
    sizes = [len(item["data"]) for _, item in stores.items()]
    assert len(sizes) > 2
    assert max(sizes) < 400 * 1000


def test_a_missing_part_is_no_response() -> None:
    stores = Stores("table")
    stores.save(stored(2_000_000))
    sort, _ = stores.items()[1]
    asyncio.run(stores.kept.delete(ItemKey("RESPONSE#me#resp_1", sort)))
    assert stores.load() is None
    assert stores.errors == ["unreadable"]


def test_a_table_that_fails() -> None:
    stores = Stores("table")
    assert stores.save(stored())
    stores.table.fault = "throttled"
    assert not stores.save(stored(id_="resp_2"))
    for act in (stores.load, stores.delete):
        with pytest.raises(APIError) as caught:
            act()
        assert caught.value.status == 503
    assert stores.errors == ["throttled"] * 3
    stores.table.fault = ""
    assert stores.load() == stored()
    assert stores.load("resp_2") is None
