"""AWS credentials of a Lambda function or a container: from the environment, or from a local endpoint.

Lambda with SnapStart, ECS and EKS have such an endpoint. Profiles and logins of people are not read here.

Sources: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-activate.html
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import httpx
from pydantic_core import from_json

from claudexia.aws.signing import Credentials

__all__ = [
    "ContainerCredentials",
    "Credentials",
    "CredentialsError",
    "CredentialsProvider",
    "EnvironmentCredentials",
    "StaticCredentials",
]

_ECS_ENDPOINT = "http://169.254.170.2"
# Besides loopback addresses; any other host needs TLS.
_PLAIN_HTTP_HOSTS = {"localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"}
_TIMEOUT = 2.0  # seconds
_ATTEMPTS = 3
_REFRESH_BEFORE = timedelta(minutes=10)  # before the expiry
_RETRY_AFTER = timedelta(minutes=1)  # after a failed refresh, while the credentials are valid


class CredentialsError(Exception):
    """There are no credentials. The message says why, without any secret."""


class CredentialsProvider(Protocol):
    async def get(self) -> Credentials:
        """Valid credentials. Call it for each request. Raises CredentialsError."""


class StaticCredentials:
    """Credentials that do not change."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def get(self) -> Credentials:
        return self._credentials


class EnvironmentCredentials:
    """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or else the container endpoint.

    `transport` is used for the endpoint. Each get() reads the environment: Lambda may set it after the start.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._environ = environ
        self._container = ContainerCredentials(transport, environ)

    async def get(self) -> Credentials:
        read = self._environ.get
        if (key_id := read("AWS_ACCESS_KEY_ID")) and (secret := read("AWS_SECRET_ACCESS_KEY")):
            # A line break, which files often end with, would break the header that it is sent in.
            return Credentials(key_id.strip(), secret.strip(), read("AWS_SESSION_TOKEN", "").strip())
        return await self._container.get()


class ContainerCredentials:
    """Credentials of the endpoint that AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI names.

    They are fetched again ten minutes before they expire, by one request at a time. If that fails, they are
    used until they expire. `now` returns an aware datetime.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport | None = None,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = transport
        self._environ = environ
        self._now = now
        self._credentials: Credentials | None = None
        self._refresh_at = datetime.min.replace(tzinfo=UTC)
        self._refreshing: asyncio.Task[Credentials] | None = None

    async def get(self) -> Credentials:
        now, current = self._now(), self._credentials
        if current and now < self._refresh_at:
            return current
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())
            self._refreshing.add_done_callback(self._refreshed)
        try:
            # Not cancelled with this caller: others may wait for it.
            return await asyncio.shield(self._refreshing)
        except CredentialsError:
            if current is None or (current.expires and current.expires <= now):
                raise
            self._refresh_at = now + _RETRY_AFTER
            return current

    def _refreshed(self, task: asyncio.Task[Credentials]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # else asyncio reports it if the caller was cancelled

    async def _refresh(self) -> Credentials:
        fetched = await self._fetch()
        self._credentials = fetched
        # Credentials that live shorter than that are fetched again at half their life.
        expires = fetched.expires or datetime.max.replace(tzinfo=UTC)
        self._refresh_at = expires - min(_REFRESH_BEFORE, (expires - self._now()) / 2)
        return fetched

    async def _fetch(self) -> Credentials:
        url, authorization = self._endpoint(), self._authorization()
        headers = {"accept": "application/json"} | ({"authorization": authorization} if authorization else {})
        reason = ""
        for _ in range(_ATTEMPTS):
            try:
                status, body = await self._get(url, headers)
            except httpx.HTTPError as error:
                reason = type(error).__name__
                continue
            if status == 200:
                return _parse(body)
            reason = f"status {status}"
            if status < 500:
                break
        raise CredentialsError(f"The container endpoint for AWS credentials failed: {reason}.")

    async def _get(self, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        timeout = {"timeout": httpx.Timeout(_TIMEOUT).as_dict()}
        request = httpx.Request("GET", url, headers=headers, extensions=timeout)
        if self._transport:
            return await _read(self._transport, request)
        # Opened for one request, which is made every few hours.
        async with httpx.AsyncHTTPTransport(verify=url.startswith("https:"), trust_env=False) as transport:
            return await _read(transport, request)

    def _endpoint(self) -> str:
        if relative := self._environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return _ECS_ENDPOINT + relative
        url = self._environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
        if not url:
            raise CredentialsError("There are no AWS credentials in the environment.")
        if not _is_allowed(url):
            raise CredentialsError(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must use https, or the host of a container's endpoint."
            )
        return url

    def _authorization(self) -> str:
        """The file wins over the variable, and is read for each fetch, since its content is rotated."""
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        if path := self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            try:
                token = Path(path).read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise CredentialsError("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read.") from error
        if "\r" in token or "\n" in token:
            raise CredentialsError("The container authorization token has more than one line.")
        return token


async def _read(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> tuple[int, bytes]:
    response = await transport.handle_async_request(request)
    try:
        return response.status_code, await response.aread()
    finally:
        await response.aclose()


def _is_allowed(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    if parts.scheme == "https" or parts.host in _PLAIN_HTTP_HOSTS:
        return True
    try:
        return ip_address(parts.host).is_loopback
    except ValueError:
        return False


def _parse(body: bytes) -> Credentials:
    """The endpoint's response; `Expiration` is missing from credentials that do not expire."""
    try:
        fields = from_json(body)
        expiration = fields.get("Expiration")
        expires = datetime.fromisoformat(expiration) if expiration else None
        if expires and expires.tzinfo is None:
            expires = expires.replace(tzinfo=UTC)
        return Credentials(
            str(fields["AccessKeyId"]), str(fields["SecretAccessKey"]), str(fields.get("Token") or ""), expires
        )
    except (ValueError, TypeError, AttributeError, KeyError):
        # Without the cause, whose text may hold a secret.
        raise CredentialsError("The container endpoint's response holds no AWS credentials.") from None
