"""AWSClient: calls of AWS's JSON APIs, signed, with timeouts and retries.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json

from claudexia.aws.credentials import CredentialsError, CredentialsProvider, EnvironmentCredentials
from claudexia.aws.signing import SigningScope, sign_request
from claudexia.aws.transport import ConnectionPool, Response, Transport, TransportError

_TIMEOUT = 1.0  # seconds
_ATTEMPTS = 3
_ATTEMPTS_AFTER_TIMEOUT = 2
_LONGEST_PAUSE = 0.05  # seconds before the first repetition; the pause is random, and doubles with each
_THROTTLED = {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}

# Arguments or result of a call, as JSON.
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is that of the host and the signature, `variable` the end of the endpoint's variable name."""

    name: str
    variable: str
    target: str
    json_version: str


DYNAMODB = Service("dynamodb", "DYNAMODB", "DynamoDB_20120810", "1.0")
SECRETS_MANAGER = Service("secretsmanager", "SECRETS_MANAGER", "secretsmanager", "1.1")


class AWSError(Exception):
    """A call failed.

    `code` is AWS's error code, such as `AccessDeniedException`, and `details` the rest of its response. If
    there is none, `code` is `Timeout`, `ConnectionFailed`, `InvalidResponse`, `NoCredentials` or `NoRegion`.
    `executed` is whether the operation may have been executed. The message is without arguments and secrets.
    """

    def __init__(self, code: str, reason: str, *, executed: bool = False, details: Json | None = None) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.executed = executed
        self.details: Json = details or {}

    @property
    def throttled(self) -> bool:
        return self.code in _THROTTLED


class AWSClient:
    """Calls AWS with the region and the endpoints of `environ`: AWS_REGION or AWS_DEFAULT_REGION,
    AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL.

    The defaults are the credentials of the environment, and connections with a timeout of one second.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        credentials: CredentialsProvider | None = None,
        transport: Transport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
        self._environ = environ
        self._credentials = credentials or EnvironmentCredentials(environ=environ)
        self._transport = transport or ConnectionPool(_TIMEOUT)
        self._now = now

    async def prepare(self, service: Service) -> None:
        """Opens a connection for the first call. If it fails, that call opens one and raises what fails."""
        if isinstance(self._transport, ConnectionPool):
            with contextlib.suppress(AWSError, TransportError):
                await self._transport.open(self._url(service))

    async def call(self, service: Service, operation: str, arguments: Json, *, repeatable: bool) -> Json:
        """The result of `operation`. Raises AWSError.

        What AWS has not executed is repeated. What it may have executed is repeated only if the operation is
        `repeatable`, so that twice has the effect of once.
        """
        body = to_json(arguments)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._call_once(service, operation, body)
            except AWSError as error:
                most = _ATTEMPTS_AFTER_TIMEOUT if error.code == "Timeout" else _ATTEMPTS
                if attempt >= most or not (_is_temporary(error) and (repeatable or not error.executed)):
                    raise
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE * 2 ** (attempt - 1)))  # noqa: S311 - jitter
        raise AssertionError  # the last attempt returns or raises

    async def _call_once(self, service: Service, operation: str, body: bytes) -> Json:
        url = self._url(service)
        headers = {
            "accept-encoding": "identity",
            "content-type": f"application/x-amz-json-{service.json_version}",
            "x-amz-target": f"{service.target}.{operation}",
        }
        try:
            credentials = await self._credentials.get()
        except CredentialsError as error:
            raise AWSError("NoCredentials", str(error)) from error
        scope = SigningScope(self._region, service.name)
        headers |= sign_request(
            "POST", url, headers, body, credentials=credentials, scope=scope, now=self._now()
        )
        try:
            response = await self._transport.post(url, headers, body)
        except TransportError as error:
            code = "Timeout" if error.timed_out else "ConnectionFailed"
            raise AWSError(code, str(error), executed=error.sent) from error
        return _result(response)

    def _url(self, service: Service) -> str:
        if not self._region:
            raise AWSError("NoRegion", "AWS_REGION is not set")
        for name in (f"AWS_ENDPOINT_URL_{service.variable}", "AWS_ENDPOINT_URL"):
            if endpoint := self._environ.get(name):
                return endpoint
        domain = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"
        return f"https://{service.name}.{self._region}.{domain}/"


def _is_temporary(error: AWSError) -> bool:
    return error.throttled or error.executed or error.code in ("Timeout", "ConnectionFailed")


def _result(response: Response) -> Json:
    """Raises AWSError unless the status is 200."""
    try:
        fields = from_json(response.body) if response.body else {}
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        fields = {}
        if response.status == 200:
            raise AWSError("InvalidResponse", "the response is not a JSON object", executed=True)
    if response.status == 200:
        return fields
    code = str(fields.get("__type") or f"Status{response.status}").rpartition("#")[2]
    # After a 5xx, a write may have been executed.
    executed = response.status >= 500 and code not in _THROTTLED
    raise AWSError(code, f"status {response.status}", executed=executed, details=fields)
