"""Keys in the table: create, find, list, update, revoke, rotate; on both tables."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from claudexia.access.key_store import KEYS_PARTITION, KeyStoreError, TableKeyStore, item_key
from claudexia.access.keys import Key, authenticate, checksum_holds, digest
from claudexia.access.limits import Limits
from claudexia.errors import APIError
from claudexia.storage.table import Table
from tests.helpers.tables import Clock, FaultyTable, OpenTable, memory_table, tables

LIMITS = Limits(requests_per_minute=60, usd_per_day_micros=2_500_000)
Scenario = Callable[[TableKeyStore, Table, Clock], Coroutine[Any, Any, None]]


def run_scenario(open_table: OpenTable, scenario: Scenario) -> None:
    clock = Clock()
    with open_table(clock) as table:
        asyncio.run(scenario(TableKeyStore(table, clock), table, clock))


async def authenticate_or_error(store: TableKeyStore, secret: str, clock: Clock) -> str:
    """The name of the key, or the error message."""
    try:
        return (await authenticate({"api-key": secret}, store, clock())).name
    except APIError as error:
        return error.message


@tables
def test_a_created_key_is_found_by_its_secret(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        expires = clock() + timedelta(days=90)
        key, secret = await store.create(
            "alice",
            owner="Alice <a@example.com>",
            note="the café's bot",
            expires=expires,
            models=["claude-haiku-*", "gpt-4o"],
            limits=LIMITS,
        )
        assert checksum_holds(secret)
        assert key == Key(
            key.id,
            "alice",
            "Alice <a@example.com>",
            "the café's bot",
            clock(),
            expires,
            False,
            secret[-4:],
            ("claude-haiku-*", "gpt-4o"),
            LIMITS,
        )
        assert len(key.id) == 12
        counting_table = FaultyTable(table)
        assert await TableKeyStore(counting_table, clock).find(digest(secret)) == key
        assert counting_table.calls == {"get": 1}
        assert await store.find(digest("sk_cdx_other")) is None
        assert await store.get("alice") == await store.get(key.id) == key

    run_scenario(open_table, scenario)


@tables
def test_the_secret_is_not_stored(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, secret = await store.create("alice")
        _, newer = await store.rotate("alice")
        stored = str(await table.query(KEYS_PARTITION))
        assert digest(secret) in stored
        assert not any(created[7:-4] in stored for created in (secret, newer))

    run_scenario(open_table, scenario)


@tables
def test_names_of_live_keys_are_unique(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        first, _ = await store.create("alice", expires=clock() + timedelta(days=1))
        await store.create("bob")
        clock.advance(days=2)  # an expired key can be extended, so its name is still taken
        for name in ("alice", first.id):
            with pytest.raises(KeyStoreError, match=f"named '{name}' already"):
                await store.create(name)
        await store.revoke("alice")
        second, _ = await store.create("alice")
        assert second.id != first.id
        assert [(key.name, key.disabled) for key in await store.list()] == [
            ("alice", True),
            ("alice", False),
            ("bob", False),
        ]
        assert await store.get("alice") == second
        assert (await store.get(first.id)).disabled

    run_scenario(open_table, scenario)


@tables
def test_concurrent_creations_of_one_name_make_at_most_one_key(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        created = await asyncio.gather(*(store.create("alice") for _ in range(10)), return_exceptions=True)
        keys = [one for one in created if not isinstance(one, KeyStoreError)]
        assert len(keys) == len(await store.list()) <= 1

    run_scenario(open_table, scenario)


@pytest.mark.parametrize("name", ["", "a b", "-x", "a\nb", "é", "a" * 65, "a:b", "a#b"])
def test_invalid_names_are_refused(name: str) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        with pytest.raises(KeyStoreError, match="is not a valid key name"):
            await store.create(name)

    run_scenario(memory_table, scenario)


@tables
def test_an_update_holds_for_every_secret_and_none_clears_a_field(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        created, old = await store.create(
            "alice", owner="a", expires=clock() + timedelta(days=9), limits=LIMITS
        )
        _, new = await store.rotate("alice", timedelta(hours=1))
        limits = replace(LIMITS, requests_per_minute=None, max_tokens=100)
        changed = await store.update(
            "alice", lambda key: replace(key, owner="", note="n", expires=None, models=("x",), limits=limits)
        )
        assert changed == replace(
            created, owner="", note="n", expires=None, models=("x",), limits=limits, last4=new[-4:]
        )
        assert await store.find(digest(new)) == changed
        earlier = await store.find(digest(old))
        assert earlier == replace(changed, last4=old[-4:], expires=clock() + timedelta(hours=1))

    run_scenario(open_table, scenario)


@tables
def test_an_update_cannot_change_identity_fields(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        created, _ = await store.create("alice")
        edited = await store.update(
            "alice", lambda key: replace(key, id="x", name="y", disabled=True, last4="z", created=clock())
        )
        assert edited == created

    run_scenario(open_table, scenario)


@tables
def test_every_secret_of_a_revoked_key_is_refused_as_revoked(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, old = await store.create("alice")
        _, new = await store.rotate("alice", timedelta(hours=1))
        assert [await authenticate_or_error(store, secret, clock) for secret in (old, new)] == [
            "alice",
            "alice",
        ]
        assert (await store.revoke("alice")).disabled
        assert {await authenticate_or_error(store, secret, clock) for secret in (old, new)} == {
            "This API key has been revoked."
        }
        for refused in (store.revoke("alice"), store.rotate("alice"), store.update("alice", lambda key: key)):
            with pytest.raises(KeyStoreError, match="'alice' has been revoked"):
                await refused
        clock.advance(days=401)
        assert "Incorrect" in await authenticate_or_error(store, new, clock)
        assert await store.list() == []

    run_scenario(open_table, scenario)


@tables
def test_rotation_changes_the_secret_only(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        created, first = await store.create("alice", owner="a", models=["m"], limits=LIMITS)
        clock.advance(days=1)
        rotated, second = await store.rotate("alice", timedelta(hours=24))
        assert rotated == replace(created, last4=second[-4:])
        assert await store.list() == [rotated]
        clock.advance(hours=23)
        assert [await authenticate_or_error(store, secret, clock) for secret in (first, second)] == [
            "alice",
            "alice",
        ]
        clock.advance(hours=1)
        assert [await authenticate_or_error(store, secret, clock) for secret in (first, second)] == [
            "This API key has expired.",
            "alice",
        ]
        _, third = await store.rotate("alice")
        assert [await authenticate_or_error(store, secret, clock) for secret in (second, third)] == [
            "This API key has expired.",
            "alice",
        ]

    run_scenario(open_table, scenario)


@tables
def test_an_earlier_secret_expires_with_its_key(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, old = await store.create("alice", expires=clock() + timedelta(hours=1))
        await store.rotate("alice", timedelta(days=9))
        clock.advance(hours=2)
        assert "expired" in await authenticate_or_error(store, old, clock)

    run_scenario(open_table, scenario)


class RevokedBeforePut(FaultyTable):
    """The key alice is revoked just before its new secret is stored."""

    async def _delay_and_fail(self, method: str) -> None:
        await super()._delay_and_fail(method)
        if method == "put":
            await TableKeyStore(self.table, Clock()).revoke("alice")


@tables
def test_rotation_fails_if_the_key_is_revoked_meanwhile(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        await store.create("alice")
        with pytest.raises(KeyStoreError, match="revoked"):
            await TableKeyStore(RevokedBeforePut(table), clock).rotate("alice")
        items = await table.query(KEYS_PARTITION)
        assert [item["disabled"] for _, item in items] == [True]

    run_scenario(open_table, scenario)


@tables
def test_an_interrupted_rotation_can_be_repeated(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, old = await store.create("alice")
        item = await table.get(item_key(digest(old)))
        assert item
        # The new secret was stored; the expiry of the old one was not.
        await table.put(item_key("0" * 64), {**item, "last4": "lost"})
        assert len(await store.list()) == 1
        _, new = await store.rotate("alice")
        assert [await authenticate_or_error(store, secret, clock) for secret in (old, new)] == [
            "This API key has expired.",
            "alice",
        ]
        lost = await store.find("0" * 64)
        assert lost
        assert lost.expires == clock()

    run_scenario(open_table, scenario)


@tables
def test_unknown_names_are_errors(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        for refused in (
            store.get("x"),
            store.revoke("x"),
            store.rotate("x"),
            store.update("x", lambda key: key),
        ):
            with pytest.raises(KeyStoreError, match="There is no key named 'x'"):
                await refused

    run_scenario(open_table, scenario)
