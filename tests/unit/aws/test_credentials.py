"""Credentials of the environment, and of a container endpoint over a socket."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from claudexia.aws.credentials import (
    ContainerCredentials,
    Credentials,
    CredentialsError,
    EnvironmentCredentials,
)
from tests.helpers.serving import serving
from tests.helpers.tables import Clock
from tests.helpers.waiting import turns


@dataclass
class Endpoint:
    """An ASGI app in place of a container's endpoint. The credentials' id is the number of the request."""

    clock: Clock
    lifetime: timedelta | None = timedelta(hours=6)
    statuses: list[int] = field(default_factory=list)  # of the next responses, then 200
    body: bytes | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)  # path with query, authorization

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self.requests.append((scope["path"] + ("?" if query else "") + query, headers.get("authorization", "")))
        await turns(20)  # others may ask meanwhile
        status = self.statuses.pop(0) if self.statuses else 200
        fields = {"AccessKeyId": f"key-{len(self.requests)}", "SecretAccessKey": "secret", "Token": "token"}
        if self.lifetime is not None:
            fields["Expiration"] = f"{self.clock() + self.lifetime:%Y-%m-%dT%H:%M:%SZ}"
        body = json.dumps(fields).encode() if self.body is None else self.body
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def endpoint(clock: Clock, **behaviour: Any) -> Iterator[tuple[Endpoint, dict[str, str]]]:
    """Yields the environment that names it, too."""
    app = Endpoint(clock, **behaviour)
    with serving(app) as url:
        yield (
            app,
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/2021-10-22/credentials?a=b",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token-of-the-process",
            },
        )


def test_the_environment_comes_first() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token\n"}
    with endpoint(Clock()) as (app, container):
        found = asyncio.run(EnvironmentCredentials(environ={**environ, **container}).get())
    assert found == Credentials("id", "secret", "token")
    assert app.requests == []


def test_the_environment_may_be_set_later() -> None:
    environ: dict[str, str] = {}
    provider = EnvironmentCredentials(environ=environ)
    with pytest.raises(CredentialsError, match="no AWS credentials in the environment"):
        asyncio.run(provider.get())
    environ |= {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert asyncio.run(provider.get()) == Credentials("id", "secret")


def test_the_endpoint_is_asked_once_for_many_and_again_before_the_expiry() -> None:
    clock = Clock()

    async def work(provider: ContainerCredentials) -> list[str]:
        ids = [each.access_key_id for each in await asyncio.gather(*(provider.get() for _ in range(20)))]
        clock.advance(hours=5, minutes=49)
        ids.append((await provider.get()).access_key_id)
        clock.advance(minutes=2)
        ids += [each.access_key_id for each in await asyncio.gather(*(provider.get() for _ in range(20)))]
        return ids

    with endpoint(clock) as (app, environ):
        ids = asyncio.run(work(ContainerCredentials(None, environ, clock)))
        found = asyncio.run(EnvironmentCredentials(environ=environ).get())
    assert ids == ["key-1"] * 21 + ["key-2"] * 20
    assert app.requests == [("/2021-10-22/credentials?a=b", "token-of-the-process")] * 3
    assert (found.secret_access_key, found.session_token) == ("secret", "token")
    assert found.expires == (clock() + timedelta(hours=6)).replace(microsecond=0)


def test_credentials_without_an_expiry_are_kept() -> None:
    clock = Clock()

    async def work(provider: ContainerCredentials) -> None:
        for _ in range(3):
            assert (await provider.get()).expires is None
            clock.advance(days=10)

    with endpoint(clock, lifetime=None) as (app, environ):
        asyncio.run(work(ContainerCredentials(None, environ, clock)))
    assert len(app.requests) == 1


def test_short_lived_credentials_are_not_fetched_for_each_request() -> None:
    clock = Clock()

    async def work(provider: ContainerCredentials) -> None:
        await provider.get()
        clock.advance(minutes=2)
        await provider.get()
        clock.advance(minutes=1)
        await provider.get()

    with endpoint(clock, lifetime=timedelta(minutes=5)) as (app, environ):
        asyncio.run(work(ContainerCredentials(None, environ, clock)))
    assert len(app.requests) == 2


def test_valid_credentials_outlast_a_failed_refresh_and_expired_ones_do_not() -> None:
    clock = Clock()

    async def work(provider: ContainerCredentials) -> None:
        assert (await provider.get()).access_key_id == "key-1"
        app.statuses = [400, 400, 400]
        clock.advance(hours=5, minutes=55)
        assert (await provider.get()).access_key_id == "key-1"
        assert (await provider.get()).access_key_id == "key-1"
        assert len(app.requests) == 2  # not again within a minute
        clock.advance(minutes=5)
        with pytest.raises(CredentialsError, match="status 400"):
            await provider.get()
        with pytest.raises(CredentialsError, match="status 400"):
            await provider.get()
        assert (await provider.get()).access_key_id == "key-5"

    with endpoint(clock) as (app, environ):
        asyncio.run(work(ContainerCredentials(None, environ, clock)))


def test_a_caller_who_leaves_does_not_cancel_the_others() -> None:
    async def work(provider: ContainerCredentials) -> None:
        first, second = (asyncio.create_task(provider.get()) for _ in range(2))
        while not app.requests:
            await asyncio.sleep(0.001)
        first.cancel()
        assert (await second).access_key_id == "key-1"

    with endpoint(Clock()) as (app, environ):
        asyncio.run(work(ContainerCredentials(None, environ)))


@pytest.mark.parametrize("statuses", [[500], [503, 500]])
def test_a_server_error_is_tried_again(statuses: list[int]) -> None:
    with endpoint(Clock(), statuses=list(statuses)) as (app, environ):
        asyncio.run(ContainerCredentials(None, environ).get())
    assert len(app.requests) == len(statuses) + 1


def test_the_token_file_wins_and_is_read_for_each_fetch(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "token"

    async def work(provider: ContainerCredentials) -> None:
        for token in ("first", "second"):
            path.write_text(token)
            await provider.get()
            clock.advance(hours=6)

    with endpoint(clock) as (app, environ):
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(path)
        asyncio.run(work(ContainerCredentials(None, environ, clock)))
    assert [authorization for _, authorization in app.requests] == ["first", "second"]


FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
REFUSED = [
    ("another host", {FULL: "http://example.com/credentials"}, "must use https"),
    ("an address of the network", {FULL: "http://10.0.0.1/credentials"}, "must use https"),
    ("a host that looks local", {FULL: "http://localhost.example.com/"}, "must use https"),
    ("no URL", {FULL: "http://["}, "must use https"),
    ("two lines in the token", {TOKEN: "a\r\nx-injected: b"}, "more than one line"),
    ("no such token file", {f"{TOKEN}_FILE": "/nowhere/token"}, "cannot be read"),
    ("nobody listens", {FULL: "http://127.0.0.1:9/"}, "ConnectError"),
]


@pytest.mark.parametrize(("changed", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_not_sent_or_not_answered(changed: dict[str, str], reason: str) -> None:
    with endpoint(Clock()) as (app, environ), pytest.raises(CredentialsError, match=reason):
        asyncio.run(ContainerCredentials(None, {**environ, **changed}).get())
    assert app.requests == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"AccessKeyId": "SECRET"}', b'{"AccessKeyId": "a", "SecretAccessKey": "SECRET", "Expiration": "SECRET"}'],
)  # fmt: skip
def test_an_answer_without_credentials(body: bytes) -> None:
    with endpoint(Clock(), body=body) as (_, environ), pytest.raises(CredentialsError) as raised:
        asyncio.run(ContainerCredentials(None, environ).get())
    assert str(raised.value) == "The container endpoint's response holds no AWS credentials."
    assert raised.value.__cause__ is None


def test_a_time_without_a_zone_is_utc() -> None:
    body = b'{"AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "2126-01-01T00:00:00"}'
    with endpoint(Clock(), body=body) as (_, environ):
        found = asyncio.run(ContainerCredentials(None, environ).get())
    assert found.expires == datetime(2126, 1, 1, tzinfo=UTC)
