"""Keys are looked up once a minute; what happens while the table cannot be asked."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from claudexia.access.key_store import TableKeyStore
from claudexia.access.keys import CachedKeyStore, authenticate, digest, new_secret
from claudexia.errors import APIError
from claudexia.settings import OnFailure
from claudexia.storage.memory import MemoryTable
from tests.helpers.tables import Clock, FaultyTable, OpenTable, table_at, tables
from tests.helpers.waiting import turns

FAULTS = ["missing", "denied", "throttled", "timeout", "failed"]


class House:
    """A table with one key, alice's, and a process of the gateway that caches what it looks up."""

    def __init__(self, on_failure: OnFailure = "closed", table: FaultyTable | None = None) -> None:
        self.clock = Clock()
        self.table = table or FaultyTable(MemoryTable(self.clock))
        self.store = TableKeyStore(self.table, self.clock)
        self.failures: list[str] = []
        self.process = CachedKeyStore(
            self.store, self.clock, on_failure=on_failure, on_error=self.failures.append
        )

    @property
    def reads(self) -> int:
        return self.table.calls.get("get", 0)

    async def ask(self, secret: str) -> str:
        """The name of who is let in, or the status of who is not."""
        try:
            return (await authenticate({"api-key": secret}, self.process, self.clock())).name
        except APIError as error:
            return str(error.status)


def test_a_key_is_read_once_a_minute() -> None:
    async def scenario() -> None:
        house = House()
        _, secret = await house.store.create("alice")
        for seconds, reads in ((0, 1), (59, 1), (1, 2), (59, 2), (1, 3)):
            house.clock.advance(seconds=seconds)
            assert await house.ask(secret) == "alice"
            assert house.reads == reads, seconds

    asyncio.run(scenario())


@tables
def test_a_revoked_key_is_refused_within_a_minute(open_table: OpenTable) -> None:
    async def scenario(house: House) -> None:
        _, secret = await house.store.create("alice")
        assert await house.ask(secret) == "alice"
        house.clock.advance(seconds=1)
        await house.store.revoke("alice")
        house.clock.advance(seconds=58)
        assert await house.ask(secret) == "alice"
        house.clock.advance(seconds=1)
        assert await house.ask(secret) == "401"

    clock = Clock()
    with open_table(clock) as table:
        house = House(table=FaultyTable(table))
        house.clock.time = clock.time
        asyncio.run(scenario(house))


def test_a_key_expires_to_the_moment_though_it_is_cached() -> None:
    async def scenario() -> None:
        house = House()
        _, secret = await house.store.create("alice", expires=house.clock() + timedelta(seconds=10))
        assert await house.ask(secret) == "alice"
        house.clock.advance(seconds=10)
        assert await house.ask(secret) == "401"
        assert house.reads == 1

    asyncio.run(scenario())


def test_an_unknown_key_is_read_every_five_seconds() -> None:
    async def scenario() -> None:
        house, secret = House(), new_secret()
        for seconds, reads in ((0, 1), (4, 1), (1, 2)):
            house.clock.advance(seconds=seconds)
            assert await house.ask(secret) == "401"
            assert house.reads == reads, seconds

    asyncio.run(scenario())


def test_wrong_keys_without_end_drive_out_none_that_is_right() -> None:
    async def scenario() -> None:
        house = House()
        _, secret = await house.store.create("alice")
        await house.ask(secret)
        for number in range(10_001):
            assert await house.process.find(f"{number:064x}") is None
        reads = house.reads
        assert await house.ask(secret) == "alice"
        await house.process.find(f"{10_000:064x}")  # the last is remembered, the first is not
        assert house.reads == reads
        await house.process.find(f"{0:064x}")
        assert house.reads == reads + 1

    asyncio.run(scenario())


def test_those_who_ask_at_once_share_one_read() -> None:
    async def scenario() -> None:
        house = House()
        _, secret = await house.store.create("alice")
        _, other = await house.store.create("bob")
        house.table.delay = 0.01  # so that all have asked before it answers
        names = await asyncio.gather(*(house.ask(one) for one in [secret, other] * 50))
        assert names == ["alice", "bob"] * 50
        assert house.reads == 2

    asyncio.run(scenario())


def test_who_leaves_takes_the_read_from_nobody() -> None:
    async def scenario() -> None:
        house = House()
        _, secret = await house.store.create("alice")
        house.table.held = True
        first = asyncio.create_task(house.ask(secret))
        await turns()
        second = asyncio.create_task(house.ask(secret))
        await turns()
        first.cancel()
        house.table.held = False
        assert await second == "alice"
        assert house.reads == 1
        assert first.cancelled()

    asyncio.run(scenario())


def test_a_read_that_its_loop_broke_off_is_made_again() -> None:
    house = House()

    async def create() -> str:
        return (await house.store.create("alice"))[1]

    async def leave(secret: str) -> None:
        house.table.held = True
        asking = asyncio.create_task(house.ask(secret))
        await asyncio.sleep(0)
        asking.cancel()

    secret = asyncio.run(create())
    asyncio.run(leave(secret))
    house.table.held = False
    assert asyncio.run(house.ask(secret)) == "alice"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("on_failure", ["closed", "open"])
def test_while_the_table_fails(on_failure: OnFailure, fault: str) -> None:
    async def scenario() -> None:
        house = House(on_failure)
        _, known = await house.store.create("alice")
        _, unknown = await house.store.create("bob")
        assert await house.ask(known) == "alice"
        house.table.fault = fault
        assert await house.ask(known) == "alice"  # cached
        assert house.failures == []
        house.clock.advance(seconds=60)
        assert await house.ask(known) == ("alice" if on_failure == "open" else "503")
        assert await house.ask(unknown) == "503"
        assert house.failures == [fault, fault]
        house.table.fault = ""
        house.clock.advance(seconds=5)
        assert [await house.ask(secret) for secret in (known, unknown)] == ["alice", "bob"]

    asyncio.run(scenario())


def test_open_does_not_ask_a_failing_table_for_every_request_and_trusts_for_an_hour() -> None:
    async def scenario() -> None:
        house = House("open")
        _, secret = await house.store.create("alice")
        await house.ask(secret)
        house.table.fault = "timeout"
        house.clock.advance(seconds=60)
        assert [await house.ask(secret) for _ in range(3)] == ["alice"] * 3
        assert house.reads == 2
        house.clock.advance(minutes=58)
        assert await house.ask(secret) == "alice"
        house.clock.advance(minutes=1)
        assert await house.ask(secret) == "503"

    asyncio.run(scenario())


def test_open_lets_nobody_in_who_was_revoked_or_has_expired() -> None:
    async def scenario() -> None:
        house = House("open")
        _, revoked = await house.store.create("alice")
        _, expiring = await house.store.create("bob", expires=house.clock() + timedelta(minutes=2))
        await house.store.revoke("alice")
        assert [await house.ask(secret) for secret in (revoked, expiring)] == ["401", "bob"]
        house.table.fault = "failed"
        house.clock.advance(minutes=3)
        assert [await house.ask(secret) for secret in (revoked, expiring)] == ["401", "401"]

    asyncio.run(scenario())


def test_the_refusal_can_be_retried_and_tells_nothing_of_the_table() -> None:
    async def scenario() -> None:
        house = House()
        house.table.fault = "denied"
        with pytest.raises(APIError) as caught:
            await house.process.find(digest("x"))
        error = caught.value
        assert (error.status, error.code, error.type) == (
            503,
            "service_unavailable",
            "service_unavailable_error",
        )
        assert error.headers == {"retry-after": "1"}
        assert "operator" in error.message
        assert not any(word in error.message.lower() for word in ("dynamo", "denied", "table"))

    asyncio.run(scenario())


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_table_that_is_slow_is_given_up() -> None:
    clock = Clock()
    failures: list[str] = []
    with silent_server() as url:
        table = table_at(url, clock, 0.05)
        process = CachedKeyStore(TableKeyStore(table, clock), clock, on_error=failures.append)
        with pytest.raises(APIError, match="cannot look up API keys right now"):
            asyncio.run(process.find(digest("x")))
    assert failures == ["timeout"]
