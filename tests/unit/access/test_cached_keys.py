"""The cache of API keys: one read a minute, and its behaviour while the table fails."""

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


class KeyCacheSetup:
    """A key store on a table with injectable faults, and the cache of one gateway process in front of it."""

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

    async def authenticate(self, secret: str) -> str:
        """The name of the key, or the HTTP status of the refusal."""
        try:
            return (await authenticate({"api-key": secret}, self.process, self.clock())).name
        except APIError as error:
            return str(error.status)


def test_a_key_is_read_once_a_minute() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup()
        _, secret = await setup.store.create("alice")
        for seconds, reads in ((0, 1), (59, 1), (1, 2), (59, 2), (1, 3)):
            setup.clock.advance(seconds=seconds)
            assert await setup.authenticate(secret) == "alice"
            assert setup.reads == reads, seconds

    asyncio.run(scenario())


@tables
def test_a_revoked_key_is_refused_within_a_minute(open_table: OpenTable) -> None:
    async def scenario(setup: KeyCacheSetup) -> None:
        _, secret = await setup.store.create("alice")
        assert await setup.authenticate(secret) == "alice"
        setup.clock.advance(seconds=1)
        await setup.store.revoke("alice")
        setup.clock.advance(seconds=58)
        assert await setup.authenticate(secret) == "alice"
        setup.clock.advance(seconds=1)
        assert await setup.authenticate(secret) == "401"

    clock = Clock()
    with open_table(clock) as table:
        setup = KeyCacheSetup(table=FaultyTable(table))
        setup.clock.time = clock.time
        asyncio.run(scenario(setup))


def test_a_cached_key_expires_on_time() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup()
        _, secret = await setup.store.create("alice", expires=setup.clock() + timedelta(seconds=10))
        assert await setup.authenticate(secret) == "alice"
        setup.clock.advance(seconds=10)
        assert await setup.authenticate(secret) == "401"
        assert setup.reads == 1

    asyncio.run(scenario())


def test_an_unknown_key_is_read_every_five_seconds() -> None:
    async def scenario() -> None:
        setup, secret = KeyCacheSetup(), new_secret()
        for seconds, reads in ((0, 1), (4, 1), (1, 2)):
            setup.clock.advance(seconds=seconds)
            assert await setup.authenticate(secret) == "401"
            assert setup.reads == reads, seconds

    asyncio.run(scenario())


def test_many_unknown_keys_do_not_evict_a_known_one() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup()
        _, secret = await setup.store.create("alice")
        await setup.authenticate(secret)
        for number in range(10_001):
            assert await setup.process.find(f"{number:064x}") is None
        reads = setup.reads
        assert await setup.authenticate(secret) == "alice"
        await setup.process.find(f"{10_000:064x}")  # the last is cached, the first was evicted
        assert setup.reads == reads
        await setup.process.find(f"{0:064x}")
        assert setup.reads == reads + 1

    asyncio.run(scenario())


def test_concurrent_lookups_share_one_read() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup()
        _, secret = await setup.store.create("alice")
        _, other = await setup.store.create("bob")
        setup.table.delay = 0.01  # so that all lookups begin before the first one ends
        names = await asyncio.gather(*(setup.authenticate(one) for one in [secret, other] * 50))
        assert names == ["alice", "bob"] * 50
        assert setup.reads == 2

    asyncio.run(scenario())


def test_a_cancelled_lookup_does_not_cancel_the_shared_read() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup()
        _, secret = await setup.store.create("alice")
        setup.table.blocked = True
        first = asyncio.create_task(setup.authenticate(secret))
        await turns()
        second = asyncio.create_task(setup.authenticate(secret))
        await turns()
        first.cancel()
        setup.table.blocked = False
        assert await second == "alice"
        assert setup.reads == 1
        assert first.cancelled()

    asyncio.run(scenario())


def test_a_read_cancelled_with_its_loop_is_repeated() -> None:
    setup = KeyCacheSetup()

    async def create() -> str:
        return (await setup.store.create("alice"))[1]

    async def cancel_lookup(secret: str) -> None:
        setup.table.blocked = True
        lookup = asyncio.create_task(setup.authenticate(secret))
        await asyncio.sleep(0)
        lookup.cancel()

    secret = asyncio.run(create())
    asyncio.run(cancel_lookup(secret))
    setup.table.blocked = False
    assert asyncio.run(setup.authenticate(secret)) == "alice"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("on_failure", ["closed", "open"])
def test_lookups_while_the_table_fails(on_failure: OnFailure, fault: str) -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup(on_failure)
        _, known = await setup.store.create("alice")
        _, unknown = await setup.store.create("bob")
        assert await setup.authenticate(known) == "alice"
        setup.table.fault = fault
        assert await setup.authenticate(known) == "alice"  # cached
        assert setup.failures == []
        setup.clock.advance(seconds=60)
        assert await setup.authenticate(known) == ("alice" if on_failure == "open" else "503")
        assert await setup.authenticate(unknown) == "503"
        assert setup.failures == [fault, fault]
        setup.table.fault = ""
        setup.clock.advance(seconds=5)
        assert [await setup.authenticate(secret) for secret in (known, unknown)] == ["alice", "bob"]

    asyncio.run(scenario())


def test_open_reads_a_failing_table_seldom_and_accepts_cached_keys_for_an_hour() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup("open")
        _, secret = await setup.store.create("alice")
        await setup.authenticate(secret)
        setup.table.fault = "timeout"
        setup.clock.advance(seconds=60)
        assert [await setup.authenticate(secret) for _ in range(3)] == ["alice"] * 3
        assert setup.reads == 2
        setup.clock.advance(minutes=58)
        assert await setup.authenticate(secret) == "alice"
        setup.clock.advance(minutes=1)
        assert await setup.authenticate(secret) == "503"

    asyncio.run(scenario())


def test_open_refuses_revoked_and_expired_keys() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup("open")
        _, revoked = await setup.store.create("alice")
        _, expiring = await setup.store.create("bob", expires=setup.clock() + timedelta(minutes=2))
        await setup.store.revoke("alice")
        assert [await setup.authenticate(secret) for secret in (revoked, expiring)] == ["401", "bob"]
        setup.table.fault = "failed"
        setup.clock.advance(minutes=3)
        assert [await setup.authenticate(secret) for secret in (revoked, expiring)] == ["401", "401"]

    asyncio.run(scenario())


def test_the_503_can_be_retried_and_does_not_mention_the_table() -> None:
    async def scenario() -> None:
        setup = KeyCacheSetup()
        setup.table.fault = "denied"
        with pytest.raises(APIError) as caught:
            await setup.process.find(digest("x"))
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
    """Accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_slow_table_times_out() -> None:
    clock = Clock()
    failures: list[str] = []
    with silent_server() as url:
        table = table_at(url, clock, 0.05)
        process = CachedKeyStore(TableKeyStore(table, clock), clock, on_error=failures.append)
        with pytest.raises(APIError, match="cannot look up API keys right now"):
            asyncio.run(process.find(digest("x")))
    assert failures == ["timeout"]
