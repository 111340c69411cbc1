"""A secret of the gateway's own: given in its environment, or kept in AWS Secrets Manager.

Secrets Manager is asked lazily, so that a cold start needs no credentials and no network, and again after five
minutes, so that a rotated secret needs no deploy. boto3, which every Lambda runtime has, is loaded only then.
"""

import asyncio
from typing import Protocol

from claudexia.errors import APIError
from claudexia.observability.log import log_bug

_MAX_AGE = 300  # seconds
_UNSET = "unset"  # what the template stores where no value was given


class Secret(Protocol):
    async def get(self) -> str:
        """Raises APIError 502 where it cannot be had."""

    def forget(self) -> None:
        """It was refused: the next get() looks for a newer one."""


class StaticSecret:
    """A secret that the process was started with."""

    def __init__(self, value: str) -> None:
        self._value = value

    async def get(self) -> str:
        return self._value

    def forget(self) -> None:
        pass


class SecretsManagerSecret:
    """The secret `name`, a name or ARN of AWS Secrets Manager, cached by Powertools."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._refused = False

    async def get(self) -> str:
        refused, self._refused = self._refused, False
        try:
            value = await asyncio.to_thread(self._fetch, refused)
        except Exception as error:  # whatever boto3 raises: no permission, no such secret, no network
            log_bug(error)
            raise _unavailable(
                "could not read one of its own secrets; its operator finds why in its logs"
            ) from None
        if value == _UNSET:
            self.forget()
            raise _unavailable("has not been given its key for Anthropic yet; its operator has to store one")
        return value

    def forget(self) -> None:
        self._refused = True

    def _fetch(self, force: bool) -> str:
        from aws_lambda_powertools.utilities import parameters  # noqa: PLC0415 - it loads boto3

        return str(parameters.get_secret(self._name, max_age=_MAX_AGE, force_fetch=force))


def _unavailable(why: str) -> APIError:
    return APIError(502, f"The gateway {why}.", type="server_error", code="secret_unavailable")
