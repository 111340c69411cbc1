"""Hosts: Anthropic's API, Claude Platform on AWS and Amazon Bedrock. All of them speak the Messages API.

A Host says how the Messages API is reached in one of these places: address, authentication, model ids, and what
it does not take. The HTTP of all of them is in `anthropic.HTTPHostClient`.

    host       address                                             authentication
    ---------  --------------------------------------------------  --------------------------------------------
    anthropic  api.anthropic.com                                   x-api-key
    aws        aws-external-anthropic.{region}.api.aws             SigV4 or x-api-key, and the workspace's id
    bedrock    bedrock-runtime.{region}.amazonaws.com/anthropic    SigV4 or a Bedrock API key
               or bedrock-mantle.{region}.api.aws/anthropic

Bedrock's older InvokeModelWithResponseStream with its binary event stream is not needed for any model.

Sources: https://docs.aws.amazon.com/claude-platform/latest/userguide/ and
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import httpx

from claudexia.aws.credentials import CredentialsError, CredentialsProvider, EnvironmentCredentials
from claudexia.aws.signing import SigningScope, sign_request
from claudexia.models import ALL_FEATURES, ClaudeModel, HostLimits, undated
from claudexia.settings import AWSHosts, HostName, Settings
from claudexia.upstream.errors import credentials_unavailable
from claudexia.upstream.secret import Secret, SecretsManagerSecret, StaticSecret

# Bedrock's prices for a profile of one geography, and on mantle, beside those of the profile `global`.
# https://aws.amazon.com/bedrock/pricing/
_REGIONAL_PRICE, _GOVERNMENT_PRICE = 1.1, 1.2


class Authentication(Protocol):
    async def headers(self, method: str, url: str, headers: httpx.Headers, body: bytes) -> httpx.Headers:
        """`headers` of a request with its credentials. Raises APIError 502 if there are none."""

    def forget(self) -> None:
        """Call after the credentials were refused: the next headers() fetches them again."""


@dataclass(frozen=True)
class Host:
    """One place where Claude runs.

    base_url      without /v1; https unless it is a test's
    model_id      the id that is sent for a model
    limits        what the host takes of a model
    lists_models  it has GET /v1/models
    counts_tokens it has POST /v1/messages/count_tokens
    """

    name: HostName
    base_url: str
    authentication: Authentication
    headers: Mapping[str, str] = field(default_factory=dict)
    model_id: Callable[[ClaudeModel], str] = lambda model: model.id
    limits: Callable[[ClaudeModel], HostLimits] = lambda model: ALL_FEATURES
    lists_models: bool = True
    counts_tokens: bool = True
    label: str = "Anthropic"

    def adapted(self, model: ClaudeModel) -> ClaudeModel:
        """`model` as this host serves it."""
        return replace(model, host=replace(self.limits(model), host=self.name))


def base_url(name: HostName, settings: Settings) -> str:
    aws = settings.aws
    if name == "anthropic":
        url = settings.anthropic_base_url
    elif name == "aws":
        url = aws.base_url or f"https://aws-external-anthropic.{aws.region}.api.aws"
    elif aws.bedrock_endpoint == "mantle":
        url = aws.bedrock_mantle_base_url or f"https://bedrock-mantle.{aws.region}.api.aws/anthropic"
    else:
        url = aws.bedrock_base_url or f"https://bedrock-runtime.{aws.region}.amazonaws.com"
        # AWS documents the address with this path; the SDK's variable is without it.
        url = f"{url.rstrip('/').removesuffix('/anthropic')}/anthropic"
    return url.rstrip("/").removesuffix("/v1")


def price_factors(settings: Settings) -> dict[str, float]:
    """The prices of each host that is used, relative to Anthropic's."""
    return {name: _price_factor(settings.aws) if name == "bedrock" else 1.0 for name in settings.upstream}


def to_host(name: HostName, settings: Settings) -> Host:
    aws, url = settings.aws, base_url(name, settings)
    credentials = EnvironmentCredentials()
    match name:
        case "anthropic":
            return Host(name, url, _anthropic_key(settings))
        case "aws":
            return Host(
                name,
                url,
                KeyHeader("x-api-key", StaticSecret(aws.api_key))
                if aws.api_key
                else SignatureV4(credentials, SigningScope(aws.region, "aws-external-anthropic")),
                {"anthropic-workspace-id": aws.workspace_id},
            )
    return _bedrock(url, aws, credentials)


def _anthropic_key(settings: Settings) -> "KeyHeader":
    key, secret_name = settings.anthropic_api_key, settings.anthropic_api_key_secret
    secret: Secret = SecretsManagerSecret(secret_name) if secret_name and not key else StaticSecret(key)
    return KeyHeader("x-api-key", secret)


def _bedrock(url: str, aws: AWSHosts, credentials: CredentialsProvider) -> Host:
    mantle = aws.bedrock_endpoint == "mantle"
    scope = SigningScope(aws.region, "bedrock-mantle" if mantle else "bedrock")
    authentication: Authentication = SignatureV4(credentials, scope)
    if aws.bedrock_token:
        authentication = KeyHeader("authorization", StaticSecret(f"Bearer {aws.bedrock_token}"))
    return Host(
        "bedrock",
        url,
        authentication,
        model_id=_mantle_id if mantle else _profile_id(aws.inference_profile),
        limits=lambda model: bedrock_limits(model, mantle=mantle),
        lists_models=False,
        counts_tokens=mantle,
        label="Amazon Bedrock",
    )


def _mantle_id(model: ClaudeModel) -> str:
    return f"anthropic.{undated(model.id)}"


def _profile_id(profile: str) -> Callable[[ClaudeModel], str]:
    prefix = "" if profile == "none" else f"{profile}."
    return lambda model: prefix + model.bedrock.id


def _price_factor(aws: AWSHosts) -> float:
    if aws.region.startswith("us-gov-"):
        return _GOVERNMENT_PRICE
    is_global = aws.bedrock_endpoint == "runtime" and aws.inference_profile == "global"
    return 1.0 if is_global else _REGIONAL_PRICE


def bedrock_limits(model: ClaudeModel, *, mantle: bool = False) -> HostLimits:
    """mantle takes no output format for any model."""
    return HostLimits(
        name="Amazon Bedrock",
        url_sources=False,
        server_tools=False,
        structured_output=model.bedrock.structured_output and not mantle,
        strict_tools=model.bedrock.strict_tools,
    )


class KeyHeader:
    """A secret in one header."""

    def __init__(self, name: str, secret: Secret) -> None:
        self._name = name
        self._secret = secret

    async def headers(self, method: str, url: str, headers: httpx.Headers, body: bytes) -> httpx.Headers:
        value = await self._secret.get()
        # In the first request, and in the first after a rotation; `headers` are those of all requests.
        # There is no header without a key, as for an upstream that needs none.
        if value and headers.get(self._name) != value:
            headers[self._name] = value
        return headers

    def forget(self) -> None:
        self._secret.forget()


class SignatureV4:
    """Signs each request with AWS credentials. `now` returns an aware datetime, close to the host's clock."""

    def __init__(
        self,
        credentials: CredentialsProvider,
        scope: SigningScope,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._credentials = credentials
        self._scope = scope
        self._now = now

    async def headers(self, method: str, url: str, headers: httpx.Headers, body: bytes) -> httpx.Headers:
        try:
            credentials = await self._credentials.get()
        except CredentialsError as error:
            raise credentials_unavailable(str(error)) from None
        signed = headers.copy()
        signed.update(
            sign_request(
                method,
                url,
                headers,
                body,
                credentials=credentials,
                scope=self._scope,
                now=self._now(),
            )
        )
        return signed

    def forget(self) -> None:
        """The provider refreshes credentials before they expire."""
