"""Settings: everything an operator can choose, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from claudexia.translate import APIError, find_model

KEY_PREFIX = "sk_cdx_"


class SettingsError(ValueError):
    """A setting cannot be used; the message says which and why, and never repeats a secret."""


@dataclass(frozen=True)
class Settings:
    """What the gateway runs with. Secrets are left out of `repr`.

    `api_keys` maps a key's name to its secret, `model_aliases` a name clients ask for (`*` matches any run of
    characters) to a Claude model id. The settings ending in `_secret` name a secret in AWS Secrets Manager that
    holds the same: the key itself, or a JSON object name -> secret; what is given directly wins. `cors_origin`
    is the origin of a web page that may call, or `*`. `metrics` says whether any are written, and
    `metrics_per_key` whether each key has some of its own. `upstream_timeout` bounds the silence
    between two pieces of an upstream answer; it and `keepalive` are seconds, `max_body` is bytes.
    """

    anthropic_api_key: str = field(default="", repr=False)
    anthropic_api_key_secret: str = ""
    anthropic_base_url: str = "https://api.anthropic.com"
    # The newer 2026-10-21 removes temperature, top_p and top_k for every model.
    # https://platform.claude.com/docs/en/api/versioning
    anthropic_version: str = "2023-06-01"
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_keys_secret: str = ""
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    cors_origin: str = ""
    metrics: bool = False
    metrics_per_key: bool = True
    upstream_timeout: float = 600.0
    keepalive: float = 15.0
    max_body: int = 32 * 1024 * 1024

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Reads ANTHROPIC_API_KEY, ANTHROPIC_API_KEY_SECRET, ANTHROPIC_BASE_URL, ANTHROPIC_VERSION,
        CLAUDEXIA_API_KEYS, CLAUDEXIA_API_KEYS_SECRET, CLAUDEXIA_METRICS, CORS_ORIGIN, METRICS_PER_KEY and
        MODEL_ALIASES. Metrics are on where AWS_LAMBDA_FUNCTION_NAME says that this is Lambda.

        Raises SettingsError where one of them cannot be read.
        """
        on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in environ
        return cls(
            anthropic_api_key=environ.get("ANTHROPIC_API_KEY", "").strip(),
            anthropic_api_key_secret=environ.get("ANTHROPIC_API_KEY_SECRET", "").strip(),
            anthropic_base_url=environ.get("ANTHROPIC_BASE_URL", "").strip() or cls.anthropic_base_url,
            anthropic_version=environ.get("ANTHROPIC_VERSION", "").strip() or cls.anthropic_version,
            api_keys=_api_keys(environ.get("CLAUDEXIA_API_KEYS", "")),
            api_keys_secret=environ.get("CLAUDEXIA_API_KEYS_SECRET", "").strip(),
            cors_origin=environ.get("CORS_ORIGIN", "").strip(),
            metrics=_switch("CLAUDEXIA_METRICS", environ.get("CLAUDEXIA_METRICS", ""), on_lambda),
            metrics_per_key=_switch("METRICS_PER_KEY", environ.get("METRICS_PER_KEY", ""), cls.metrics_per_key),
            model_aliases=_model_aliases(environ.get("MODEL_ALIASES", "")),
        )


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
                f"MODEL_ALIASES: {target!r}, meant by {name!r}, is no Claude model id."
            ) from None
    return aliases


def _switch(setting: str, text: str, default: bool) -> bool:
    if not text.strip():
        return default
    if text.strip().lower() not in ("on", "off"):
        raise SettingsError(f"{setting}: expected 'on' or 'off'.")
    return text.strip().lower() == "on"


def _pairs(setting: str, text: str, separator: str) -> dict[str, str]:
    """`a=b,c=d` as a dict; entry numbers stand in for their text, which may hold a secret."""
    pairs: dict[str, str] = {}
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        name, found, value = (part.strip() for part in entry.partition(separator))
        if not (name and found and value):
            raise SettingsError(f"{setting}: entry {number} is not of the form name{separator}value.")
        if name in pairs:
            raise SettingsError(f"{setting}: the name {name!r} stands there twice.")
        pairs[name] = value
    return pairs
