"""Settings: what the operator configures, read once from environment variables."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from claudexia.errors import APIError
from claudexia.models import find_model

KEY_PREFIX = "sk_cdx_"
OnFailure = Literal["open", "closed"]
HostName = Literal["anthropic", "aws", "bedrock"]
UnpricedModels = Literal["dearest", "refuse"]
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
INFERENCE_PROFILES = ("global", "us", "eu", "apac", "jp", "au", "us-gov", "none")


# A scheme and a host, perhaps with a port; apps have schemes of their own.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(:\d{1,5})?")
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


class SettingsError(ValueError):
    """A setting is invalid. The message names the setting and the reason, never a secret."""


@dataclass(frozen=True)
class AWSHosts:
    """Where Claude runs in AWS: Claude Platform on AWS and Amazon Bedrock. Secrets are not in `repr`.

    The names of the variables are those of Anthropic's SDKs. Requests are signed with the process's AWS
    credentials, unless there is an API key (Claude Platform) or a Bedrock API key (`bedrock_token`).

    region                  for both, and for the default URLs
    workspace_id, api_key   of Claude Platform on AWS
    bedrock_endpoint        "runtime" or "mantle"
    inference_profile       the prefix of the model's id on bedrock-runtime, "none" for no profile
    """

    region: str = ""
    workspace_id: str = ""
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    bedrock_token: str = field(default="", repr=False)
    bedrock_base_url: str = ""
    bedrock_mantle_base_url: str = ""
    bedrock_endpoint: str = "runtime"
    inference_profile: str = "global"


@dataclass(frozen=True)
class Settings:
    """The gateway's configuration. `repr` omits secrets.

    upstream                    where Claude runs, in the order in which the hosts are tried
    aws                         the hosts in AWS
    upstream_retry              one retry of an overloaded host that asks to wait for a moment only
    upstream_max_wait           if a host asks for a longer wait, in seconds, the next host is tried
    model_fallbacks             model id -> the model that answers while it is overloaded or retired
    anthropic_api_key_secret    the AWS Secrets Manager secret with the key; `anthropic_api_key` overrides it
    api_keys                    client keys, name -> secret; if there are any, no others are accepted
    table                       the DynamoDB table for keys, limits, usage, thinking; if empty, memory is used
    keys_on_failure             if a key cannot be read from the table: "closed" refuses the request, "open"
                                accepts keys read within the last hour
    limits_on_failure           if limits cannot be counted in the table: "closed" refuses the request, "open"
                                accepts it
    model_aliases               client model name (`*` matches any characters) -> Claude model id
    prices                      JSON, or a JSON file's path, that replaces prices of models.json; see Prices
    unpriced_models             if a key with a money limit requests a model without a price: "dearest" counts
                                it at the highest known price, "refuse" refuses the request
    shows_cost                  send the cost and the key's name in response headers
    prompt_caching              set cache breakpoints if the client sets none
    messages_prompt_caching     the same for requests of the Messages API
    max_choices                 the largest `n`
    responses_days              how many days responses of the Responses API are kept, 0 for none, at most 30
    cors_origin                 the origins of web pages and apps that may call the gateway, with commas between
                                them, or `*`
    metrics, metrics_per_key    write metrics; also write metrics per key
    upstream_timeout            the longest pause between two reads from the upstream, in seconds
    keepalive                   the longest pause in a client's stream before an empty frame is sent, in seconds
    docs                        serve /docs, /redoc and /openapi.json
    page                        serve a page at / to browsers
    prepares                    fetch secrets and open connections at the start, not in the first request
    max_body                    the largest request body, in bytes
    """

    upstream: tuple[HostName, ...] = ("anthropic",)
    aws: AWSHosts = AWSHosts()
    upstream_retry: bool = True
    upstream_max_wait: int = 5
    model_fallbacks: Mapping[str, str] = field(default_factory=dict)
    anthropic_api_key: str = field(default="", repr=False)
    anthropic_api_key_secret: str = ""
    anthropic_base_url: str = "https://api.anthropic.com"
    # The newer 2026-10-21 removes temperature, top_p and top_k for every model.
    # https://platform.claude.com/docs/en/api/versioning
    anthropic_version: str = "2023-06-01"
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    table: str = ""
    keys_on_failure: OnFailure = "closed"
    limits_on_failure: OnFailure = "open"
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    prices: str = ""
    unpriced_models: UnpricedModels = "dearest"
    shows_cost: bool = False
    prompt_caching: bool = True
    messages_prompt_caching: bool = False
    max_choices: int = 8
    responses_days: int = 30
    cors_origin: str = ""
    metrics: bool = False
    metrics_per_key: bool = True
    upstream_timeout: float = 600.0
    keepalive: float = 15.0
    docs: bool = True
    page: bool = True
    prepares: bool = False
    max_body: int = 32 * 1024 * 1024

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Reads ANTHROPIC_API_KEY, ANTHROPIC_API_KEY_SECRET, ANTHROPIC_BASE_URL, ANTHROPIC_VERSION,
        CLAUDEXIA_API_KEYS, CLAUDEXIA_METRICS, CLAUDEXIA_TABLE, CORS_ORIGIN, COST_HEADERS, KEYS_ON_FAILURE,
        LIMITS_ON_FAILURE, MAX_CHOICES, MESSAGES_PROMPT_CACHING, METRICS_PER_KEY, MODEL_ALIASES,
        MODEL_FALLBACKS, PRICES, PROMPT_CACHING, RESPONSES_DAYS, SERVE_DOCS, SERVE_PAGE, UNPRICED_MODELS,
        UPSTREAM, UPSTREAM_MAX_WAIT and UPSTREAM_RETRY; for hosts in AWS also ANTHROPIC_AWS_API_KEY,
        ANTHROPIC_AWS_BASE_URL, ANTHROPIC_AWS_WORKSPACE_ID, AWS_BEARER_TOKEN_BEDROCK,
        ANTHROPIC_BEDROCK_BASE_URL, ANTHROPIC_BEDROCK_MANTLE_BASE_URL, AWS_REGION or AWS_DEFAULT_REGION,
        BEDROCK_ENDPOINT and BEDROCK_INFERENCE_PROFILE.

        On Lambda, where AWS_LAMBDA_FUNCTION_NAME is set, metrics are on and docs are off by default. Under
        `sam local`, which sets AWS_SAM_LOCAL, CLAUDEXIA_TABLE is ignored. Raises SettingsError if a value is
        invalid.
        """
        read = _Environment(environ)
        on_lambda = bool(read.text("AWS_LAMBDA_FUNCTION_NAME"))
        emulated = read.text("AWS_SAM_LOCAL") == "true"
        upstream = _upstream(read.text("UPSTREAM", "anthropic"))
        return cls(
            upstream=upstream,
            aws=_aws_hosts(read, upstream),
            upstream_retry=read.switch("UPSTREAM_RETRY", cls.upstream_retry),
            upstream_max_wait=read.count("UPSTREAM_MAX_WAIT", cls.upstream_max_wait),
            model_fallbacks=_model_fallbacks(read.text("MODEL_FALLBACKS")),
            anthropic_api_key=read.text("ANTHROPIC_API_KEY"),
            anthropic_api_key_secret=read.text("ANTHROPIC_API_KEY_SECRET"),
            anthropic_base_url=read.text("ANTHROPIC_BASE_URL", cls.anthropic_base_url),
            anthropic_version=read.text("ANTHROPIC_VERSION", cls.anthropic_version),
            api_keys=_api_keys(read.text("CLAUDEXIA_API_KEYS")),
            table="" if emulated else read.text("CLAUDEXIA_TABLE"),
            keys_on_failure=read.on_failure("KEYS_ON_FAILURE", cls.keys_on_failure),
            limits_on_failure=read.on_failure("LIMITS_ON_FAILURE", cls.limits_on_failure),
            model_aliases=_model_names("MODEL_ALIASES", read.text("MODEL_ALIASES"), "="),
            prices=read.text("PRICES"),
            unpriced_models=read.unpriced_models("UNPRICED_MODELS", cls.unpriced_models),
            shows_cost=read.switch("COST_HEADERS", cls.shows_cost),
            prompt_caching=read.switch("PROMPT_CACHING", cls.prompt_caching),
            messages_prompt_caching=read.switch("MESSAGES_PROMPT_CACHING", cls.messages_prompt_caching),
            max_choices=read.count("MAX_CHOICES", cls.max_choices),
            responses_days=read.days("RESPONSES_DAYS", cls.responses_days),
            cors_origin=",".join(read_origins(read.text("CORS_ORIGIN"))),
            metrics=read.switch("CLAUDEXIA_METRICS", on_lambda),
            metrics_per_key=read.switch("METRICS_PER_KEY", cls.metrics_per_key),
            docs=read.switch("SERVE_DOCS", not on_lambda),
            page=read.switch("SERVE_PAGE", cls.page),
            # Lambda's init phase has more CPU than the requests of most functions. A snapshot must hold neither
            # secrets nor connections.
            prepares=read.text("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start") != "snap-start",
        )


class _Environment:
    """Typed access to environment variables. An empty or missing variable takes the default."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str = "") -> str:
        return self._environ.get(name, "").strip() or default

    def count(self, name: str, default: int) -> int:
        text = self.text(name)
        if text and (not text.isdecimal() or int(text) < 1):
            raise SettingsError(f"{name}: expected a whole number of at least 1.")
        return int(text) if text else default

    def days(self, name: str, most: int) -> int:
        """`most` is the default."""
        text = self.text(name, str(most))
        if not text.isdecimal() or int(text) > most:
            raise SettingsError(f"{name}: expected a whole number from 0 to {most}.")
        return int(text)

    def switch(self, name: str, default: bool) -> bool:
        return self.one_of(name, ("on", "off"), "on" if default else "off") == "on"

    def on_failure(self, name: str, default: OnFailure) -> OnFailure:
        return "open" if self.one_of(name, ("open", "closed"), default) == "open" else "closed"

    def unpriced_models(self, name: str, default: UnpricedModels) -> UnpricedModels:
        return "refuse" if self.one_of(name, ("dearest", "refuse"), default) == "refuse" else "dearest"

    def one_of(self, name: str, accepted: Sequence[str], default: str) -> str:
        text = self.text(name, default).lower()
        if text not in accepted:
            raise SettingsError(f"{name}: expected {' or '.join(map(repr, accepted))}.")
        return text


def read_origins(text: str) -> list[str]:
    """The origins of the setting CORS_ORIGIN as browsers send them: in lower case, no slash, no default port.

    Raises SettingsError for what is not an origin. https://fetch.spec.whatwg.org/#origin-header
    """
    origins: list[str] = []
    for entry in filter(None, map(str.strip, text.split(","))):
        origin = entry.lower().removesuffix("/")
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"CORS_ORIGIN: {entry!r} is not an origin like https://chat.example.com or app://obsidian.md."
            )
        scheme = origin.partition(":")[0]
        origins.append(origin.removesuffix(_DEFAULT_PORTS.get(scheme, "/")))
    if "*" in origins and len(origins) > 1:
        raise SettingsError("CORS_ORIGIN: '*' allows every origin, so it stands alone.")
    return list(dict.fromkeys(origins))


def _api_keys(text: str) -> dict[str, str]:
    keys = _pairs("CLAUDEXIA_API_KEYS", text, ":")
    for name, secret in keys.items():
        if not secret.startswith(KEY_PREFIX):
            raise SettingsError(f"CLAUDEXIA_API_KEYS: the key named {name!r} must start with {KEY_PREFIX!r}.")
    return keys


_HOSTS: tuple[HostName, ...] = ("anthropic", "aws", "bedrock")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def _upstream(text: str) -> tuple[HostName, ...]:
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in _HOSTS or names.count(name) > 1:
            raise SettingsError("UPSTREAM: expected anthropic, aws, bedrock, or several of them, each once.")
    return tuple(host for name in names for host in _HOSTS if host == name)


def _aws_hosts(read: _Environment, upstream: Sequence[HostName]) -> AWSHosts:
    """Raises SettingsError if a host that is used lacks what it needs."""
    region = read.text("AWS_REGION") or read.text("AWS_DEFAULT_REGION")
    hosts = AWSHosts(
        region=region,
        workspace_id=read.text("ANTHROPIC_AWS_WORKSPACE_ID"),
        api_key=read.text("ANTHROPIC_AWS_API_KEY"),
        base_url=read.text("ANTHROPIC_AWS_BASE_URL"),
        bedrock_token=read.text("AWS_BEARER_TOKEN_BEDROCK"),
        bedrock_base_url=read.text("ANTHROPIC_BEDROCK_BASE_URL"),
        bedrock_mantle_base_url=read.text("ANTHROPIC_BEDROCK_MANTLE_BASE_URL"),
        bedrock_endpoint=read.one_of("BEDROCK_ENDPOINT", ("runtime", "mantle"), AWSHosts.bedrock_endpoint),
        inference_profile=read.one_of(
            "BEDROCK_INFERENCE_PROFILE", INFERENCE_PROFILES, AWSHosts.inference_profile
        ),
    )
    if set(upstream) == {"anthropic"}:
        return hosts
    if not _REGION.fullmatch(region):
        raise SettingsError("AWS_REGION: UPSTREAM needs a region, such as us-east-1.")
    if "aws" in upstream and not hosts.workspace_id:
        raise SettingsError("ANTHROPIC_AWS_WORKSPACE_ID: UPSTREAM aws needs the workspace, wrkspc_...")
    return hosts


def _model_fallbacks(text: str) -> dict[str, str]:
    """Ids without a date, as in models.json."""
    pairs = _model_names("MODEL_FALLBACKS", text, ">")
    try:
        return {find_model(name, {}).id: find_model(target, {}).id for name, target in pairs.items()}
    except APIError:
        raise SettingsError("MODEL_FALLBACKS: expected model>model, both Claude model ids.") from None


def _model_names(setting: str, text: str, separator: str) -> dict[str, str]:
    """Parses `name=model,name=model`."""
    names = _pairs(setting, text, separator)
    for name, target in names.items():
        try:
            find_model(target, {})
        except APIError:
            raise SettingsError(
                f"{setting}: {target!r}, the target of {name!r}, is not a Claude model id."
            ) from None
    return names


def _pairs(setting: str, text: str, separator: str) -> dict[str, str]:
    """Parses `a=b,c=d`. Errors give an entry's number, not its text, which may contain a secret."""
    pairs: dict[str, str] = {}
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        name, found, value = (part.strip() for part in entry.partition(separator))
        if not (name and found and value):
            raise SettingsError(f"{setting}: entry {number} does not have the form name{separator}value.")
        if name in pairs:
            raise SettingsError(f"{setting}: the name {name!r} is given twice.")
        pairs[name] = value
    return pairs
