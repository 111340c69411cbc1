"""Authentication, its error messages, and the models of a key."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from claudexia.access.keys import (
    Key,
    KeyStore,
    MemoryKeyStore,
    authenticate,
    digest,
    may_use,
    new_secret,
    permit_model,
)
from claudexia.errors import APIError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = new_secret()
TYPO = SECRET[:-1] + ("a" if SECRET[-1] != "a" else "b")
ALICE = Key("abcdefghij23", "alice")


@dataclass
class Store:
    """A store with one key, found by SECRET. Records the lookups."""

    key: Key = ALICE
    checksummed: bool = True
    lookups: list[str] = field(default_factory=list)

    async def find(self, digest_: str) -> Key | None:
        self.lookups.append(digest_)
        return self.key if digest_ == digest(SECRET) else None


def authenticate_now(store: KeyStore, headers: Mapping[str, str]) -> Key:
    return asyncio.run(authenticate(headers, store, NOW))


def refusal_message(store: KeyStore, headers: Mapping[str, str]) -> str:
    with pytest.raises(APIError) as caught:
        authenticate_now(store, headers)
    error = caught.value
    assert (error.status, error.code, error.type) == (401, "invalid_api_key", "invalid_request_error")
    assert error.headers == {"www-authenticate": "Bearer"}
    assert not any(secret in error.message for secret in (SECRET, TYPO))
    return error.message


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": f"Bearer {SECRET}"}, id="bearer"),
        pytest.param({"authorization": f"bearer  {SECRET} "}, id="loose"),
        pytest.param({"api-key": SECRET}, id="api-key"),
        pytest.param({"authorization": "Basic x", "api-key": SECRET}, id="api-key-with-another-scheme"),
    ],
)
def test_authentication_succeeds(headers: Mapping[str, str]) -> None:
    store = Store()
    assert authenticate_now(store, headers) is ALICE
    assert store.lookups == [digest(SECRET)]


@pytest.mark.parametrize(
    ("store", "secret", "words", "reads"),
    [
        pytest.param(Store(), "", "You didn't provide an API key", 0, id="none"),
        pytest.param(Store(), TYPO, "mistyped", 0, id="mistyped"),
        pytest.param(Store(), SECRET[:-1], "Incorrect API key", 0, id="cut-off"),
        pytest.param(Store(), "sk-ant-something", "Incorrect API key", 0, id="key-of-another-vendor"),
        pytest.param(Store(), new_secret(), "Incorrect API key", 1, id="unknown"),
        pytest.param(
            Store(replace(ALICE, disabled=True)), SECRET, "This API key has been revoked.", 1, id="revoked"
        ),
        pytest.param(Store(replace(ALICE, expires=NOW)), SECRET, "This API key has expired.", 1, id="expired"),
        pytest.param(
            Store(checksummed=False), "sk_cdx_chosen", "Incorrect API key", 1, id="chosen-and-unknown"
        ),
        pytest.param(Store(checksummed=False), TYPO, "mistyped", 1, id="mistyped-among-chosen"),
    ],
)
def test_authentication_fails(store: Store, secret: str, words: str, reads: int) -> None:
    assert words in refusal_message(store, {"authorization": f"Bearer {secret}"})
    assert len(store.lookups) == reads


def test_a_key_is_valid_until_it_expires() -> None:
    key = replace(ALICE, expires=NOW + timedelta(microseconds=1))
    assert authenticate_now(Store(key), {"api-key": SECRET}) is key


@pytest.mark.parametrize("chosen", ["sk_cdx_test", TYPO], ids=["chosen", "chosen-in-our-format"])
def test_a_key_of_the_settings_needs_no_checksum(chosen: str) -> None:
    key = authenticate_now(MemoryKeyStore({"bob": chosen, "carol": "sk_cdx_other"}), {"api-key": chosen})
    assert (key.id, key.name, key.last4, key.limits, key.models) == (
        "bob",
        "bob",
        chosen[-4:],
        ALICE.limits,
        (),
    )


@pytest.mark.parametrize(
    ("models", "lookups", "model_id", "allowed"),
    [
        pytest.param((), "gpt-4o", "claude-opus-5-5", True, id="all"),
        pytest.param(("claude-haiku-*",), "claude-haiku-4-5", "claude-haiku-4-5", True, id="pattern"),
        pytest.param(("claude-haiku-*",), "claude-opus-5-5", "claude-opus-5-5", False, id="another"),
        pytest.param(("a", "claude-opus-5-5"), "claude-opus-5.5", "claude-opus-5-5", True, id="by-id"),
        pytest.param(("gpt-4o",), "gpt-4o", "claude-opus-5-5", True, id="by-alias"),
        pytest.param(("Claude-Haiku-*",), "CLAUDE-HAIKU-4-5", "claude-haiku-4-5", True, id="case"),
        pytest.param(("claude-haiku",), "claude-haiku-4-5", "claude-haiku-4-5", False, id="no-prefix-match"),
    ],
)
def test_models(models: tuple[str, ...], lookups: str, model_id: str, allowed: bool) -> None:
    key = replace(ALICE, models=models)
    assert may_use(key, lookups, model_id) is allowed
    if allowed:
        permit_model(key, lookups, model_id)
        return
    with pytest.raises(APIError, match="You are not allowed to sample from this model") as caught:
        permit_model(key, lookups, model_id)
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (403, "invalid_request_error", "model", None)
    assert models[0] in error.message
