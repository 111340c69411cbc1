"""API keys: who calls, until when, with which models. Only the SHA-256 of a secret is looked for."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Protocol

from claudexia.access.key_format import checksum_holds, digest, is_formatted
from claudexia.access.limits import Limits
from claudexia.translate import APIError

_CHALLENGE = {"www-authenticate": "Bearer"}
_EVER = datetime.min.replace(tzinfo=UTC)

_ABSENT = (
    "You didn't provide an API key. Send it in an Authorization header with Bearer auth "
    "(Authorization: Bearer sk_cdx_...)."
)
_INCORRECT = "Incorrect API key provided. Keys of this gateway begin with sk_cdx_."
_MISTYPED = "This API key was mistyped: its last six characters do not fit those before them."
_REVOKED = "This API key has been revoked."
_EXPIRED = "This API key has expired."


@dataclass(frozen=True, slots=True)
class Key:
    """Who calls. Everything here may be logged or shown, unlike the secret, which is not kept.

    `id` stays when the secret is replaced, `name`, `owner` and `note` are for people. `models` are patterns,
    as of a shell, of the models it may ask; none is all.
    """

    id: str
    name: str
    owner: str = ""
    note: str = ""
    created: datetime = _EVER
    expires: datetime | None = None
    disabled: bool = False
    last4: str = ""
    models: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


class KeyStore(Protocol):
    @property
    def checksummed(self) -> bool:
        """Whether all its secrets were made here, so that a mistyped one need not be looked for."""

    async def find(self, digest: str) -> Key | None:
        """The key whose secret has the SHA-256 `digest`, in hexadecimal."""


class MemoryKeyStore:
    """Keys from settings: name -> secret, a text of the operator's choosing after sk_cdx_."""

    checksummed = False

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._keys = [(digest(secret), Key(name, name, last4=secret[-4:])) for name, secret in secrets.items()]

    async def find(self, digest: str) -> Key | None:
        found = None
        for known, key in self._keys:  # all of them: which one matches must not show in the time
            if hmac.compare_digest(known, digest):
                found = key
        return found


async def authenticate(headers: Mapping[str, str], store: KeyStore, now: datetime) -> Key:
    """The caller's key, from `authorization: Bearer` or `api-key`. Raises APIError 401 without a valid one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    secret = token.strip() if scheme.lower() == "bearer" else headers.get("api-key", "")
    if not secret:
        raise _unauthorized(_ABSENT)
    whole = checksum_holds(secret)
    key = await store.find(digest(secret)) if whole or not store.checksummed else None
    if key is None:
        raise _unauthorized(_MISTYPED if is_formatted(secret) and not whole else _INCORRECT)
    if key.disabled:
        raise _unauthorized(_REVOKED)
    if key.expires and key.expires <= now:
        raise _unauthorized(_EXPIRED)
    return key


def may_use(key: Key, *names: str) -> bool:
    """Whether one of `names`, which mean the same model, is among the models that `key` may ask."""
    patterns = [pattern.lower() for pattern in key.models]
    return not patterns or any(fnmatchcase(name.lower(), pattern) for name in names for pattern in patterns)


def permit_model(key: Key, asked_name: str, model_id: str) -> None:
    """A model is permitted by the name it was asked by, or by its id. Raises APIError 403, as OpenAI does."""
    if not may_use(key, asked_name.strip(), model_id):
        raise APIError(
            403,
            f"You are not allowed to sample from this model. This API key is for: {', '.join(key.models)}.",
            param="model",
        )


def _unauthorized(message: str) -> APIError:
    return APIError(401, message, code="invalid_api_key", headers=_CHALLENGE)
