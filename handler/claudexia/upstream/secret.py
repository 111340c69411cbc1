"""A secret of the gateway: from its environment, or from AWS Secrets Manager.

Secrets Manager is called lazily, so that a cold start needs no credentials and no network, and again after five
minutes, so that a rotated secret needs no deployment. boto3, which every Lambda runtime has, is loaded only
then.
"""

import asyncio
from typing import Protocol

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
    """The secret with the name or ARN `name`, cached by Powertools."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._refused = False

    async def get(self) -> str:
        refused, self._refused = self._refused, False
        try:
            value = await asyncio.to_thread(self._fetch, refused)
        except Exception as error:  # boto3 raises many types: no permission, no such secret, no network
            log_bug(error)
            raise _unavailable(
                "could not read one of its own secrets; its logs have the reason for its operator"
            ) from None
        if value == _UNSET:
            self.forget()
            raise _unavailable("has no key for Anthropic yet; its operator has to store one")
        return value

    def forget(self) -> None:
        self._refused = True

    def _fetch(self, force: bool) -> str:
        from aws_lambda_powertools.utilities import parameters  # noqa: PLC0415  # it loads boto3

        return str(parameters.get_secret(self._name, max_age=_MAX_AGE, force_fetch=force))


def _unavailable(reason: str) -> APIError:
    return APIError(502, f"The gateway {reason}.", type="server_error", code="secret_unavailable")
