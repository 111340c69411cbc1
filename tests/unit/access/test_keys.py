"""Who is let in, what is said to who is not, and with which models."""

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
    """One key, of SECRET, and how often it was looked for."""

    key: Key = ALICE
    checksummed: bool = True
    asked: list[str] = field(default_factory=list)

    async def find(self, digest_: str) -> Key | None:
        self.asked.append(digest_)
        return self.key if digest_ == digest(SECRET) else None


def let_in(store: KeyStore, headers: Mapping[str, str]) -> Key:
    return asyncio.run(authenticate(headers, store, NOW))


def refusal(store: KeyStore, headers: Mapping[str, str]) -> str:
    with pytest.raises(APIError) as caught:
        let_in(store, headers)
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
        pytest.param({"authorization": "Basic x", "api-key": SECRET}, id="another-scheme-beside"),
    ],
)
def test_who_is_let_in(headers: Mapping[str, str]) -> None:
    store = Store()
    assert let_in(store, headers) is ALICE
    assert store.asked == [digest(SECRET)]


@pytest.mark.parametrize(
    ("store", "secret", "words", "reads"),
    [
        pytest.param(Store(), "", "You didn't provide an API key", 0, id="none"),
        pytest.param(Store(), TYPO, "mistyped", 0, id="mistyped"),
        pytest.param(Store(), SECRET[:-1], "Incorrect API key", 0, id="cut-off"),
        pytest.param(Store(), "sk-ant-something", "Incorrect API key", 0, id="of-another-house"),
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
def test_what_is_said_to_who_is_not(store: Store, secret: str, words: str, reads: int) -> None:
    assert words in refusal(store, {"authorization": f"Bearer {secret}"})
    assert len(store.asked) == reads


def test_a_key_is_good_up_to_the_moment_it_expires() -> None:
    key = replace(ALICE, expires=NOW + timedelta(microseconds=1))
    assert let_in(Store(key), {"api-key": SECRET}) is key


@pytest.mark.parametrize("chosen", ["sk_cdx_test", TYPO], ids=["chosen", "chosen-as-if-made-here"])
def test_a_key_of_the_settings_needs_no_checksum(chosen: str) -> None:
    key = let_in(MemoryKeyStore({"bob": chosen, "carol": "sk_cdx_other"}), {"api-key": chosen})
    assert (key.id, key.name, key.last4, key.limits, key.models) == (
        "bob",
        "bob",
        chosen[-4:],
        ALICE.limits,
        (),
    )


@pytest.mark.parametrize(
    ("models", "asked", "model_id", "allowed"),
    [
        pytest.param((), "gpt-4o", "claude-opus-5-5", True, id="all"),
        pytest.param(("claude-haiku-*",), "claude-haiku-4-5", "claude-haiku-4-5", True, id="pattern"),
        pytest.param(("claude-haiku-*",), "claude-opus-5-5", "claude-opus-5-5", False, id="another"),
        pytest.param(("a", "claude-opus-5-5"), "claude-opus-5.5", "claude-opus-5-5", True, id="by-id"),
        pytest.param(("gpt-4o",), "gpt-4o", "claude-opus-5-5", True, id="by-alias"),
        pytest.param(("Claude-Haiku-*",), "CLAUDE-HAIKU-4-5", "claude-haiku-4-5", True, id="case"),
        pytest.param(("claude-haiku",), "claude-haiku-4-5", "claude-haiku-4-5", False, id="whole-names-only"),
    ],
)
def test_models(models: tuple[str, ...], asked: str, model_id: str, allowed: bool) -> None:
    key = replace(ALICE, models=models)
    assert may_use(key, asked, model_id) is allowed
    if allowed:
        permit_model(key, asked, model_id)
        return
    with pytest.raises(APIError, match="You are not allowed to sample from this model") as caught:
        permit_model(key, asked, model_id)
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (403, "invalid_request_error", "model", None)
    assert models[0] in error.message
