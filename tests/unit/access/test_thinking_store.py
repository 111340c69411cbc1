"""Thoughts are recalled byte for byte, by who had them, for a day; in memory and on both tables."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from claudexia.access.thinking_store import Blocks, MemoryThinkingStore, TableThinkingStore, ThinkingStore
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import ItemKey, Table
from tests.helpers.tables import Clock, FaultyTable, dynamo_table, memory_table

CONTENT: Blocks = [
    {"type": "thinking", "thinking": "Is 1.0 a café? \u2028 \U0001f600", "signature": "c2ln+/=="},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1.0, "n": None, "big": 2**60, "": []}},
]
OTHER: Blocks = [{"type": "text", "text": "other"}]

OpenStore = Callable[[Clock], Any]


@contextmanager
def in_memory(clock: Clock) -> Iterator[ThinkingStore]:
    yield MemoryThinkingStore()


@contextmanager
def on_memory_table(clock: Clock) -> Iterator[ThinkingStore]:
    with memory_table(clock) as table:
        yield TableThinkingStore(table, unexpected)


@contextmanager
def on_dynamodb(clock: Clock) -> Iterator[ThinkingStore]:
    with dynamo_table(clock) as table:
        yield TableThinkingStore(table, unexpected)


class Cold:
    """A TableThinkingStore that starts anew with every call, as if each met another process."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:
        return getattr(TableThinkingStore(self._table, unexpected), name)


@contextmanager
def on_cold_memory_table(clock: Clock) -> Iterator[Any]:
    with memory_table(clock) as table:
        yield Cold(table)


@contextmanager
def on_cold_dynamodb(clock: Clock) -> Iterator[Any]:
    with dynamo_table(clock) as table:
        yield Cold(table)


def unexpected(kind: str) -> None:
    raise AssertionError(kind)


stores = pytest.mark.parametrize(
    "open_store",
    [
        pytest.param(in_memory, id="memory"),
        pytest.param(on_memory_table, id="table-memory"),
        pytest.param(on_cold_memory_table, id="table-memory-cold"),
        pytest.param(on_dynamodb, id="table-dynamodb"),
        pytest.param(on_cold_dynamodb, id="table-dynamodb-cold"),
    ],
)


def play(open_store: OpenStore, scenario: Callable[[ThinkingStore, Clock], Coroutine[Any, Any, None]]) -> None:
    clock = Clock()
    with open_store(clock) as store:
        asyncio.run(scenario(store, clock))


@stores
def test_an_answer_is_recalled_as_it_was(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", "toolu_1", CONTENT, clock())
        await store.save("k1", "toolu_2", OTHER, clock())
        assert await store.load("k1", ["toolu_2", "toolu_1", "toolu_3", "toolu_1"], clock()) == {
            "toolu_1": CONTENT,
            "toolu_2": OTHER,
        }
        assert await store.load("k1", [], clock()) == {}

    play(open_store, scenario)


@stores
def test_nobody_recalls_what_another_key_was_told(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", "toolu_1", CONTENT, clock())
        assert await store.load("k2", ["toolu_1"], clock()) == {}
        await store.delete("k2", ["toolu_1"])
        assert await store.load("k1", ["toolu_1"], clock()) == {"toolu_1": CONTENT}

    play(open_store, scenario)


@stores
def test_an_answer_is_kept_for_a_day_however_often_it_is_recalled(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", "toolu_1", CONTENT, clock())
        clock.advance(hours=23)
        assert await store.load("k1", ["toolu_1"], clock()) == {"toolu_1": CONTENT}
        clock.advance(hours=1)
        assert await store.load("k1", ["toolu_1"], clock()) == {}

    play(open_store, scenario)


@stores
def test_an_answer_is_replaced_and_forgotten(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        for turn in ("a", "b", "c"):
            await store.save("k1", turn, CONTENT, clock())
        await store.save("k1", "a", OTHER, clock())
        await store.delete("k1", ["b", "c", "unknown"])
        assert await store.load("k1", ["a", "b", "c"], clock()) == {"a": OTHER}

    play(open_store, scenario)


@stores
def test_a_long_loop_is_recalled_whole(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        turns = [f"toolu_{number}" for number in range(120)]
        for turn in turns:
            await store.save("k1", turn, [{"type": "text", "text": turn}], clock())
        assert (await store.load("k1", turns, clock())).keys() == set(turns)

    play(open_store, scenario)


class Scene:
    """A table that fails as it is told, one process that is warm, and what it told of failures."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = FaultyTable(MemoryTable(self.clock))
        self.failures: list[str] = []
        self.warm = self.process()

    def process(self, max_bytes: int = 2**20) -> TableThinkingStore:
        return TableThinkingStore(self.table, self.failures.append, max_bytes)


def test_a_warm_process_reads_nothing_again() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.warm.save("k1", "a", CONTENT, scene.clock())
        cold = scene.process()
        for process in (scene.warm, cold, cold):
            assert await process.load("k1", ["a"], scene.clock()) == {"a": CONTENT}
        assert scene.table.calls == {"put": 1, "get_many": 1}
        scene.clock.advance(days=1)  # what was read from the table is not kept for longer than the table does
        assert await cold.load("k1", ["a"], scene.clock()) == {}

    asyncio.run(scenario(Scene()))


def test_what_a_process_keeps_near_is_bounded() -> None:
    async def scenario(scene: Scene) -> None:
        process = scene.process(max_bytes=1000)
        for turn in ("a", "b"):
            await process.save("k1", turn, [{"type": "text", "text": turn * 600}], scene.clock())
        await process.load("k1", ["b"], scene.clock())
        assert "get_many" not in scene.table.calls
        assert await process.load("k1", ["a"], scene.clock())
        assert scene.table.calls["get_many"] == 1

    asyncio.run(scenario(Scene()))


@pytest.mark.parametrize("fault", ["missing", "denied", "throttled", "timeout", "failed"])
def test_a_failing_table_fails_no_request(fault: str) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.process().save("k1", "far", CONTENT, scene.clock())
        scene.table.fault = fault
        await scene.warm.save("k1", "near", OTHER, scene.clock())
        assert await scene.warm.load("k1", ["near", "far"], scene.clock()) == {"near": OTHER}
        await scene.warm.delete("k1", ["near", "far"])
        assert await scene.warm.load("k1", ["near"], scene.clock()) == {}
        assert set(scene.failures) == {fault}
        assert len(scene.failures) >= 4

    asyncio.run(scenario(Scene()))


def test_what_does_not_fit_into_an_item_is_kept_near_only() -> None:
    # Noise in base 64, as signatures are: it compresses to three quarters.
    digits = b64encode(b"".join(sha256(b"%d" % number).digest() for number in range(14_100))).decode()
    large: Blocks = [{"type": "redacted_thinking", "data": digits}]
    fitting: Blocks = [{"type": "redacted_thinking", "data": digits[:500_000]}]

    async def scenario(scene: Scene) -> None:
        await scene.warm.save("k1", "large", large, scene.clock())
        assert scene.failures == ["too_large"]
        assert scene.table.calls == {}
        assert await scene.warm.load("k1", ["large"], scene.clock()) == {"large": large}
        with dynamo_table(scene.clock) as table:  # which refuses what is larger than 400 KB
            await TableThinkingStore(table, unexpected).save("k1", "fitting", fitting, scene.clock())
            cold = TableThinkingStore(table, unexpected)
            assert await cold.load("k1", ["fitting"], scene.clock()) == {"fitting": fitting}

    asyncio.run(scenario(Scene()))


@pytest.mark.parametrize("content", [b"", b"no zlib", "a text"])
def test_an_item_that_nobody_can_read_is_told_and_left_out(content: bytes | str) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.table.put(ItemKey("THOUGHT#k1", "a"), {"content": content})
        assert await scene.warm.load("k1", ["a"], scene.clock()) == {}
        assert scene.failures == ["unreadable"]

    asyncio.run(scenario(Scene()))
