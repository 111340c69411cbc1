"""Keys in the table: made, found, listed, changed, revoked, given a new secret; on both tables."""

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


def play(open_table: OpenTable, scenario: Scenario) -> None:
    clock = Clock()
    with open_table(clock) as table:
        asyncio.run(scenario(TableKeyStore(table, clock), table, clock))


async def says(store: TableKeyStore, secret: str, clock: Clock) -> str:
    """The name of who is let in, or why nobody is."""
    try:
        return (await authenticate({"api-key": secret}, store, clock())).name
    except APIError as error:
        return error.message


@tables
def test_a_key_is_found_by_its_secret_as_it_was_made(open_table: OpenTable) -> None:
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
        counted = FaultyTable(table)
        assert await TableKeyStore(counted, clock).find(digest(secret)) == key
        assert counted.calls == {"get": 1}
        assert await store.find(digest("sk_cdx_other")) is None
        assert await store.get("alice") == await store.get(key.id) == key

    play(open_table, scenario)


@tables
def test_the_secret_is_not_stored(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, secret = await store.create("alice")
        _, newer = await store.rotate("alice")
        stored = str(await table.query(KEYS_PARTITION))
        assert digest(secret) in stored
        assert not any(made[7:-4] in stored for made in (secret, newer))

    play(open_table, scenario)


@tables
def test_live_keys_have_names_of_their_own(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        first, _ = await store.create("alice", expires=clock() + timedelta(days=1))
        await store.create("bob")
        clock.advance(days=2)  # an expired key can be prolonged, so its name is still taken
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

    play(open_table, scenario)


@tables
def test_of_ten_who_create_one_name_at_once_at_most_one_does(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        made = await asyncio.gather(*(store.create("alice") for _ in range(10)), return_exceptions=True)
        keys = [one for one in made if not isinstance(one, KeyStoreError)]
        assert len(keys) == len(await store.list()) <= 1

    play(open_table, scenario)


@pytest.mark.parametrize("name", ["", "a b", "-x", "a\nb", "é", "a" * 65, "a:b", "a#b"])
def test_a_name_fits_into_a_header(name: str) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        with pytest.raises(KeyStoreError, match="is not a valid key name"):
            await store.create(name)

    play(memory_table, scenario)


@tables
def test_a_change_holds_for_every_secret_and_none_clears(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        made, old = await store.create("alice", owner="a", expires=clock() + timedelta(days=9), limits=LIMITS)
        _, new = await store.rotate("alice", timedelta(hours=1))
        limits = replace(LIMITS, requests_per_minute=None, max_tokens=100)
        changed = await store.update(
            "alice", lambda key: replace(key, owner="", note="n", expires=None, models=("x",), limits=limits)
        )
        assert changed == replace(
            made, owner="", note="n", expires=None, models=("x",), limits=limits, last4=new[-4:]
        )
        assert await store.find(digest(new)) == changed
        earlier = await store.find(digest(old))
        assert earlier == replace(changed, last4=old[-4:], expires=clock() + timedelta(hours=1))

    play(open_table, scenario)


@tables
def test_what_makes_a_key_the_same_cannot_be_changed(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        made, _ = await store.create("alice")
        edited = await store.update(
            "alice", lambda key: replace(key, id="x", name="y", disabled=True, last4="z", created=clock())
        )
        assert edited == made

    play(open_table, scenario)


@tables
def test_a_revoked_key_is_told_so_with_every_secret_it_had(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, old = await store.create("alice")
        _, new = await store.rotate("alice", timedelta(hours=1))
        assert [await says(store, secret, clock) for secret in (old, new)] == ["alice", "alice"]
        assert (await store.revoke("alice")).disabled
        assert {await says(store, secret, clock) for secret in (old, new)} == {"This API key has been revoked."}
        for refused in (store.revoke("alice"), store.rotate("alice"), store.update("alice", lambda key: key)):
            with pytest.raises(KeyStoreError, match="'alice' has been revoked"):
                await refused
        clock.advance(days=401)
        assert "Incorrect" in await says(store, new, clock)
        assert await store.list() == []

    play(open_table, scenario)


@tables
def test_a_new_secret_leaves_the_key_what_it_is(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        made, first = await store.create("alice", owner="a", models=["m"], limits=LIMITS)
        clock.advance(days=1)
        rotated, second = await store.rotate("alice", timedelta(hours=24))
        assert rotated == replace(made, last4=second[-4:])
        assert await store.list() == [rotated]
        clock.advance(hours=23)
        assert [await says(store, secret, clock) for secret in (first, second)] == ["alice", "alice"]
        clock.advance(hours=1)
        assert [await says(store, secret, clock) for secret in (first, second)] == [
            "This API key has expired.",
            "alice",
        ]
        _, third = await store.rotate("alice")
        assert [await says(store, secret, clock) for secret in (second, third)] == [
            "This API key has expired.",
            "alice",
        ]

    play(open_table, scenario)


@tables
def test_an_earlier_secret_does_not_outlive_its_key(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, old = await store.create("alice", expires=clock() + timedelta(hours=1))
        await store.rotate("alice", timedelta(days=9))
        clock.advance(hours=2)
        assert "expired" in await says(store, old, clock)

    play(open_table, scenario)


class RevokedMeanwhile(FaultyTable):
    """Somebody revokes the key alice just before a new secret of hers is put."""

    async def _delay_and_fail(self, method: str) -> None:
        await super()._delay_and_fail(method)
        if method == "put":
            await TableKeyStore(self.table, Clock()).revoke("alice")


@tables
def test_a_key_that_is_revoked_meanwhile_gets_no_new_secret(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        await store.create("alice")
        with pytest.raises(KeyStoreError, match="revoked"):
            await TableKeyStore(RevokedMeanwhile(table), clock).rotate("alice")
        items = await table.query(KEYS_PARTITION)
        assert [item["disabled"] for _, item in items] == [True]

    play(open_table, scenario)


@tables
def test_a_rotation_that_broke_off_can_be_made_again(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        _, old = await store.create("alice")
        item = await table.get(item_key(digest(old)))
        assert item
        # The new secret was put, the old one not yet ended.
        await table.put(item_key("0" * 64), {**item, "last4": "lost"})
        assert len(await store.list()) == 1
        _, new = await store.rotate("alice")
        assert [await says(store, secret, clock) for secret in (old, new)] == [
            "This API key has expired.",
            "alice",
        ]
        lost = await store.find("0" * 64)
        assert lost
        assert lost.expires == clock()

    play(open_table, scenario)


@tables
def test_who_is_not_there(open_table: OpenTable) -> None:
    async def scenario(store: TableKeyStore, table: Table, clock: Clock) -> None:
        for refused in (
            store.get("x"),
            store.revoke("x"),
            store.rotate("x"),
            store.update("x", lambda key: key),
        ):
            with pytest.raises(KeyStoreError, match="There is no key named 'x'"):
                await refused

    play(open_table, scenario)
