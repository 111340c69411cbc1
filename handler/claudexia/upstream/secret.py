"""A secret of the gateway: from its environment, or from AWS Secrets Manager.

Secrets Manager is called lazily, so that a cold start needs no credentials and no network, and again after five
minutes, so that a rotated secret needs no deployment.

Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import asyncio
import time
from typing import Protocol

from claudexia.aws.client import SECRETS_MANAGER, AWSClient, AWSError
from claudexia.errors import APIError
from claudexia.observability.log import log_bug

_MAX_AGE = 300  # seconds
_UNSET = "unset"  # the template's placeholder for a missing value


class Secret(Protocol):
    async def get(self) -> str:
        """Raises APIError 502 if the secret is not available."""

    def forget(self) -> None:
        """Call after the secret was refused: the next get() fetches it again."""


class StaticSecret:
    """A secret from the process's environment."""

    def __init__(self, value: str) -> None:
        self._value = value

    async def get(self) -> str:
        return self._value

    def forget(self) -> None:
        pass


class SecretsManagerSecret:
    """The secret with the name or ARN `name`. Concurrent callers share one call to Secrets Manager."""

    def __init__(self, name: str, client: AWSClient | None = None) -> None:
        self._name = name
        self._client = client or AWSClient()
        self._value = ""
        self._fetched_at = 0.0  # in seconds since 1970, since the event loop's time stops with the process
        self._fetching: asyncio.Task[str] | None = None

    async def get(self) -> str:
        if not self._value or time.time() - self._fetched_at >= _MAX_AGE:
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._fetch())
            self._value = await asyncio.shield(self._fetching)
        return self._value

    def forget(self) -> None:
        self._value = ""

    async def _fetch(self) -> str:
        at = time.time()
        try:
            result = await self._client.call(
                SECRETS_MANAGER, "GetSecretValue", {"SecretId": self._name}, repeatable=True
            )
            value = str(result["SecretString"])
        except (AWSError, KeyError) as error:  # KeyError: a binary secret
            log_bug(error)
            raise _unavailable(
                "could not read one of its own secrets; its logs have the reason for its operator"
            ) from None
        if value == _UNSET:
            raise _unavailable("has no key for Anthropic yet; its operator has to store one")
        self._fetched_at = at
        return value


def _unavailable(reason: str) -> APIError:
    return APIError(502, f"The gateway {reason}.", type="server_error", code="secret_unavailable")
