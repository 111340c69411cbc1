"""API keys: only their SHA-256 is held, and looked up in constant time."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from pydantic import TypeAdapter

from claudexia.secret import Secret
from claudexia.settings import KEY_PREFIX
from claudexia.translate import APIError

_KEYS = TypeAdapter(dict[str, str])
_CHALLENGE = {"www-authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Key:
    """Who calls. `name` may be logged, unlike the secret, which is not kept."""

    name: str


class KeyStore(Protocol):
    async def find(self, digest: bytes) -> Key | None:
        """The key whose secret has the SHA-256 `digest`."""


class MemoryKeyStore:
    """Keys from settings: name -> secret."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._keys = [(_digest(secret), Key(name)) for name, secret in secrets.items()]

    async def find(self, digest: bytes) -> Key | None:
        found = None
        for known, key in self._keys:  # all of them: which one matches must not show in the time
            if hmac.compare_digest(known, digest):
                found = key
        return found


class SecretKeyStore:
    """Keys from a secret: a JSON object name -> secret, where the prefix sk_cdx_ may be left out."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._text = ""
        self._keys = MemoryKeyStore({})

    async def find(self, digest: bytes) -> Key | None:
        text = await self._secret.get()
        if text != self._text:
            stored = _KEYS.validate_json(text)
            prefixed = {name: KEY_PREFIX + value.removeprefix(KEY_PREFIX) for name, value in stored.items()}
            self._text, self._keys = text, MemoryKeyStore(prefixed)
        return await self._keys.find(digest)


async def authenticate(headers: Mapping[str, str], store: KeyStore) -> Key:
    """The caller's key, from `authorization: Bearer` or `api-key`. Raises APIError 401 without a valid one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    secret = token.strip() if scheme.lower() == "bearer" else headers.get("api-key", "")
    if not secret:
        raise _unauthorized(
            "You didn't provide an API key. Send it in an Authorization header with Bearer auth "
            "(Authorization: Bearer sk_cdx_...)."
        )
    key = await store.find(_digest(secret))
    if key is None:
        raise _unauthorized("Incorrect API key provided. Keys of this gateway begin with sk_cdx_.")
    return key


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _unauthorized(message: str) -> APIError:
    return APIError(401, message, code="invalid_api_key", headers=_CHALLENGE)
