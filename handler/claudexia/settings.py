"""Settings: what the operator configures, read once from environment variables."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from claudexia.errors import APIError
from claudexia.models import find_model

KEY_PREFIX = "sk_cdx_"
OnFailure = Literal["open", "closed"]
UnpricedModels = Literal["dearest", "refuse"]


# A scheme and a host, perhaps with a port; apps have schemes of their own.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(:\d{1,5})?")
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


class SettingsError(ValueError):
    """A setting is invalid. The message names the setting and the reason, never a secret."""


@dataclass(frozen=True)
class Settings:
    """The gateway's configuration. `repr` omits secrets.

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
    max_body                    the largest request body, in bytes
    """

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
    max_body: int = 32 * 1024 * 1024

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Reads ANTHROPIC_API_KEY, ANTHROPIC_API_KEY_SECRET, ANTHROPIC_BASE_URL, ANTHROPIC_VERSION,
        CLAUDEXIA_API_KEYS, CLAUDEXIA_METRICS, CLAUDEXIA_TABLE, CORS_ORIGIN, COST_HEADERS, KEYS_ON_FAILURE,
        LIMITS_ON_FAILURE, MAX_CHOICES, MESSAGES_PROMPT_CACHING, METRICS_PER_KEY, MODEL_ALIASES, PRICES,
        PROMPT_CACHING, RESPONSES_DAYS, SERVE_DOCS, SERVE_PAGE and UNPRICED_MODELS.

        On Lambda, where AWS_LAMBDA_FUNCTION_NAME is set, metrics are on and docs are off by default. Under
        `sam local`, which sets AWS_SAM_LOCAL, CLAUDEXIA_TABLE is ignored. Raises SettingsError if a value is
        invalid.
        """
        read = _Environment(environ)
        on_lambda = bool(read.text("AWS_LAMBDA_FUNCTION_NAME"))
        emulated = read.text("AWS_SAM_LOCAL") == "true"
        return cls(
            anthropic_api_key=read.text("ANTHROPIC_API_KEY"),
            anthropic_api_key_secret=read.text("ANTHROPIC_API_KEY_SECRET"),
            anthropic_base_url=read.text("ANTHROPIC_BASE_URL", cls.anthropic_base_url),
            anthropic_version=read.text("ANTHROPIC_VERSION", cls.anthropic_version),
            api_keys=_api_keys(read.text("CLAUDEXIA_API_KEYS")),
            table="" if emulated else read.text("CLAUDEXIA_TABLE"),
            keys_on_failure=read.on_failure("KEYS_ON_FAILURE", cls.keys_on_failure),
            limits_on_failure=read.on_failure("LIMITS_ON_FAILURE", cls.limits_on_failure),
            model_aliases=_model_aliases(read.text("MODEL_ALIASES")),
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
        return self._one_of(name, "on", "off", "on" if default else "off") == "on"

    def on_failure(self, name: str, default: OnFailure) -> OnFailure:
        return "open" if self._one_of(name, "open", "closed", default) == "open" else "closed"

    def unpriced_models(self, name: str, default: UnpricedModels) -> UnpricedModels:
        return "refuse" if self._one_of(name, "dearest", "refuse", default) == "refuse" else "dearest"

    def _one_of(self, name: str, one: str, other: str, default: str) -> str:
        text = self.text(name, default).lower()
        if text not in (one, other):
            raise SettingsError(f"{name}: expected '{one}' or '{other}'.")
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


def _model_aliases(text: str) -> dict[str, str]:
    aliases = _pairs("MODEL_ALIASES", text, "=")
    for name, target in aliases.items():
        try:
            find_model(target, {})
        except APIError:
            raise SettingsError(
                f"MODEL_ALIASES: {target!r}, the target of {name!r}, is not a Claude model id."
            ) from None
    return aliases


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
