"""The thinking store returns content unchanged, per key, for a day; in memory and on both tables."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from claudexia.access.thinking_store import (
    Blocks,
    CallerThinking,
    MemoryThinkingStore,
    TableThinkingStore,
    ThinkingStore,
)
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
    """A new TableThinkingStore for each call, as if each call were in another process."""

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
def test_stored_content_is_recalled_unchanged(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", ["toolu_1"], CONTENT, clock())
        await store.save("k1", ["toolu_2"], OTHER, clock())
        assert await store.load("k1", ["toolu_2", "toolu_1", "toolu_3", "toolu_1"], clock()) == {
            "toolu_1": CONTENT,
            "toolu_2": OTHER,
        }
        assert await store.load("k1", [], clock()) == {}

    play(open_store, scenario)


@stores
def test_content_is_recalled_by_the_same_key_only(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", ["toolu_1"], CONTENT, clock())
        assert await store.load("k2", ["toolu_1"], clock()) == {}
        await store.delete("k2", ["toolu_1"])
        assert await store.load("k1", ["toolu_1"], clock()) == {"toolu_1": CONTENT}

    play(open_store, scenario)


@stores
def test_stored_content_expires_after_a_day_even_if_recalled(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", ["toolu_1"], CONTENT, clock())
        clock.advance(hours=23)
        assert await store.load("k1", ["toolu_1"], clock()) == {"toolu_1": CONTENT}
        clock.advance(hours=1)
        assert await store.load("k1", ["toolu_1"], clock()) == {}

    play(open_store, scenario)


@stores
def test_content_can_be_replaced_and_deleted(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        for turn in ("a", "b", "c"):
            await store.save("k1", [turn], CONTENT, clock())
        await store.save("k1", ["a"], OTHER, clock())
        await store.delete("k1", ["b", "c", "unknown"])
        assert await store.load("k1", ["a", "b", "c"], clock()) == {"a": OTHER}

    play(open_store, scenario)


@stores
def test_all_turns_of_a_long_loop_are_recalled(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        turns = [f"toolu_{number}" for number in range(120)]
        for turn in turns:
            await store.save("k1", [turn], [{"type": "text", "text": turn}], clock())
        assert (await store.load("k1", turns, clock())).keys() == set(turns)

    play(open_store, scenario)


@stores
def test_content_is_recalled_by_each_of_its_keys(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", ["toolu_1", "digest"], CONTENT, clock())
        await store.save("k2", ["toolu_1", "digest"], OTHER, clock())
        for keys in (["digest"], ["toolu_1"], ["digest", "toolu_1"], ["digest", "unknown"]):
            found = await store.load("k1", keys, clock())
            assert found == dict.fromkeys({*keys} - {"unknown"}, CONTENT)
        assert await store.load("k3", ["digest"], clock()) == {}
        clock.advance(days=1)
        assert await store.load("k1", ["digest", "toolu_1"], clock()) == {}

    play(open_store, scenario)


@stores
def test_content_is_gone_once_all_its_keys_are_deleted(open_store: OpenStore) -> None:
    async def scenario(store: ThinkingStore, clock: Clock) -> None:
        await store.save("k1", ["toolu_1", "digest"], CONTENT, clock())
        await store.delete("k1", ["digest"])
        assert await store.load("k1", ["digest", "toolu_1"], clock()) == {"toolu_1": CONTENT}
        await store.delete("k1", ["toolu_1"])
        assert await store.load("k1", ["digest", "toolu_1"], clock()) == {}

    play(open_store, scenario)


def test_the_table_holds_content_once() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.warm.save("k1", ["toolu_1", "digest"], CONTENT, scene.clock())
        items = await scene.table.get_many([ItemKey("THOUGHT#k1", key) for key in ("toolu_1", "digest")])
        holding = [key.sort for key, item in items.items() if "content" in item]
        assert (len(items), holding) == (2, ["toolu_1"])
        await scene.warm.delete("k1", ["toolu_1"])
        assert await scene.process().load("k1", ["digest"], scene.clock()) == {}
        assert scene.failures == []

    asyncio.run(scenario(Scene()))


class Scene:
    """A table with injectable faults, one warm process, and the failures that it reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = FaultyTable(MemoryTable(self.clock))
        self.failures: list[str] = []
        self.warm = self.process()

    def process(self, max_bytes: int = 2**20) -> TableThinkingStore:
        return TableThinkingStore(self.table, self.failures.append, max_bytes)


def test_a_warm_process_reads_from_its_cache() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.warm.save("k1", ["a"], CONTENT, scene.clock())
        cold = scene.process()
        for process in (scene.warm, cold, cold):
            assert await process.load("k1", ["a"], scene.clock()) == {"a": CONTENT}
        assert scene.table.calls == {"put": 1, "get_many": 1}
        scene.clock.advance(days=1)  # content read from the table is not cached longer than the table stores it
        assert await cold.load("k1", ["a"], scene.clock()) == {}

    asyncio.run(scenario(Scene()))


def test_the_cache_of_a_process_is_bounded() -> None:
    async def scenario(scene: Scene) -> None:
        process = scene.process(max_bytes=1000)
        for turn in ("a", "b"):
            await process.save("k1", [turn], [{"type": "text", "text": turn * 600}], scene.clock())
        await process.load("k1", ["b"], scene.clock())
        assert "get_many" not in scene.table.calls
        assert await process.load("k1", ["a"], scene.clock())
        assert scene.table.calls["get_many"] == 1

    asyncio.run(scenario(Scene()))


@pytest.mark.parametrize("fault", ["missing", "denied", "throttled", "timeout", "failed"])
def test_a_failing_table_raises_nothing(fault: str) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.process().save("k1", ["far"], CONTENT, scene.clock())
        scene.table.fault = fault
        await scene.warm.save("k1", ["near"], OTHER, scene.clock())
        assert await scene.warm.load("k1", ["near", "far"], scene.clock()) == {"near": OTHER}
        await scene.warm.delete("k1", ["near", "far"])
        assert await scene.warm.load("k1", ["near"], scene.clock()) == {}
        assert set(scene.failures) == {fault}
        assert len(scene.failures) >= 4

    asyncio.run(scenario(Scene()))


def test_content_too_large_for_an_item_is_cached_only() -> None:
    # Random base64, like signatures: it compresses to three quarters of its size.
    digits = b64encode(b"".join(sha256(b"%d" % number).digest() for number in range(14_100))).decode()
    large: Blocks = [{"type": "redacted_thinking", "data": digits}]
    fitting: Blocks = [{"type": "redacted_thinking", "data": digits[:500_000]}]

    async def scenario(scene: Scene) -> None:
        await scene.warm.save("k1", ["large"], large, scene.clock())
        assert scene.failures == ["too_large"]
        assert scene.table.calls == {}
        assert await scene.warm.load("k1", ["large"], scene.clock()) == {"large": large}
        with dynamo_table(scene.clock) as table:  # DynamoDB refuses items above 400 KB
            await TableThinkingStore(table, unexpected).save("k1", ["fitting"], fitting, scene.clock())
            cold = TableThinkingStore(table, unexpected)
            assert await cold.load("k1", ["fitting"], scene.clock()) == {"fitting": fitting}

    asyncio.run(scenario(Scene()))


@pytest.mark.parametrize("content", [b"", b"no zlib", "a text"])
def test_an_unreadable_item_is_reported_and_left_out(content: bytes | str) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.table.put(ItemKey("THOUGHT#k1", "a"), {"content": content})
        assert await scene.warm.load("k1", ["a"], scene.clock()) == {}
        assert scene.failures == ["unreadable"]

    asyncio.run(scenario(Scene()))


def test_thinking_that_a_host_refused_is_deleted_but_not_what_another_host_signed() -> None:
    async def run() -> None:
        store, now = MemoryThinkingStore(), Clock()()
        for turn, host in (("toolu_1", "anthropic"), ("toolu_2", "bedrock"), ("toolu_3", None)):
            thinking = {
                "type": "thinking",
                "thinking": "",
                "signature": "s",
                **({"host": host} if host else {}),
            }
            await store.save("k1", [turn], [thinking, {"type": "tool_use", "id": turn}], now)
        caller = CallerThinking(store, "k1", now)
        turns = ["toolu_1", "toolu_2", "toolu_3"]
        await caller.load(turns)
        await caller.delete_refused("bedrock")
        assert [*await caller.load(turns)] == ["toolu_1"]

    asyncio.run(run())
