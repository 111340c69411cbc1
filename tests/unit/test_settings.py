"""Settings from the environment, and the errors for invalid ones."""

from typing import Any

import pytest

from claudexia.settings import AWSHosts, Settings, SettingsError, read_origins

READ: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({"ANTHROPIC_API_KEY": " k "}, {"anthropic_api_key": "k"}),
    ({"ANTHROPIC_BASE_URL": ""}, {"anthropic_base_url": "https://api.anthropic.com"}),
    ({"CLAUDEXIA_API_KEYS": "a:sk_cdx_1, b:sk_cdx_2,"}, {"api_keys": {"a": "sk_cdx_1", "b": "sk_cdx_2"}}),
    ({"AWS_LAMBDA_FUNCTION_NAME": "f"}, {"metrics": True, "docs": False}),
    ({"AWS_LAMBDA_FUNCTION_NAME": "f", "CLAUDEXIA_METRICS": "off"}, {"metrics": False, "docs": False}),
    ({"CLAUDEXIA_METRICS": " On "}, {"metrics": True}),
    ({"AWS_LAMBDA_FUNCTION_NAME": "f", "SERVE_DOCS": "on"}, {"metrics": True, "docs": True}),
    ({"SERVE_DOCS": "off"}, {"docs": False}),
    ({"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, {"prepares": True}),
    ({"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}, {"prepares": True}),
    ({"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}, {"prepares": False}),
    ({"METRICS_PER_KEY": "off"}, {"metrics_per_key": False}),
    ({"MODEL_ALIASES": "gpt-4o=claude-opus-5.5"}, {"model_aliases": {"gpt-4o": "claude-opus-5.5"}}),
    (
        {"MODEL_FALLBACKS": "claude-opus-5.5>claude-sonnet-5.5"},
        {"model_fallbacks": {"claude-opus-5-5": "claude-sonnet-5-5"}},
    ),
    ({"UPSTREAM": "Anthropic"}, {"upstream": ("anthropic",)}),
    ({"UPSTREAM_RETRY": "off", "UPSTREAM_MAX_WAIT": "9"}, {"upstream_retry": False, "upstream_max_wait": 9}),
    (
        {"UPSTREAM": "bedrock, anthropic", "AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": "t"},
        {"upstream": ("bedrock", "anthropic"), "aws": AWSHosts("us-east-1", bedrock_token="t")},
    ),
    (
        {"UPSTREAM": "aws", "AWS_DEFAULT_REGION": "eu-west-1", "ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_1"},
        {"upstream": ("aws",), "aws": AWSHosts("eu-west-1", workspace_id="wrkspc_1")},
    ),
    (
        {"BEDROCK_ENDPOINT": "mantle", "BEDROCK_INFERENCE_PROFILE": "EU"},
        {"aws": AWSHosts(bedrock_endpoint="mantle", inference_profile="eu")},
    ),
]


@pytest.mark.parametrize(("environ", "expected"), READ, ids=[str(list(environ)) for environ, _ in READ])
def test_valid_settings_are_read(environ: dict[str, str], expected: dict[str, Any]) -> None:
    assert Settings.from_env(environ) == Settings(**expected)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CLAUDEXIA_API_KEYS": "sk_cdx_secret"}, "entry 1 does not have the form name:value"),
        ({"CLAUDEXIA_API_KEYS": "a:sk_cdx_secret,b:"}, "entry 2"),
        ({"CLAUDEXIA_API_KEYS": "a:secret"}, "'a' must start with 'sk_cdx_'"),
        ({"CLAUDEXIA_API_KEYS": "a:sk_cdx_secret,a:sk_cdx_secret2"}, "'a' is given twice"),
        ({"CLAUDEXIA_METRICS": "yes"}, "CLAUDEXIA_METRICS: expected 'on' or 'off'"),
        ({"METRICS_PER_KEY": "secret"}, "METRICS_PER_KEY: expected 'on' or 'off'"),
        ({"UPSTREAM": "vertex"}, "UPSTREAM: expected anthropic, aws, bedrock"),
        ({"UPSTREAM": "anthropic,anthropic"}, "each once"),
        ({"UPSTREAM": "bedrock"}, "AWS_REGION"),
        ({"UPSTREAM": "bedrock", "AWS_REGION": "evil.example/"}, "AWS_REGION"),
        ({"UPSTREAM": "aws", "AWS_REGION": "us-east-1"}, "ANTHROPIC_AWS_WORKSPACE_ID"),
        ({"BEDROCK_ENDPOINT": "classic"}, "BEDROCK_ENDPOINT: expected 'runtime' or 'mantle'"),
        ({"BEDROCK_INFERENCE_PROFILE": "mars"}, "BEDROCK_INFERENCE_PROFILE"),
        ({"MODEL_FALLBACKS": "claude-opus-5-5>gpt-5"}, "is not a Claude model id"),
        ({"MODEL_FALLBACKS": "gpt-5>claude-opus-5-5"}, "both Claude model ids"),
        ({"UPSTREAM_MAX_WAIT": "0"}, "UPSTREAM_MAX_WAIT"),
        ({"MODEL_ALIASES": "gpt-4o"}, "entry 1 does not have the form name=value"),
        ({"MODEL_ALIASES": "gpt-4o=gpt-5"}, "'gpt-5', the target of 'gpt-4o', is not a Claude model id"),
    ],
)
def test_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.from_env(environ)
    assert "secret" not in str(caught.value)


def test_secrets_are_not_in_the_repr() -> None:
    aws = AWSHosts(api_key="key-3", bedrock_token="token-4")
    shown = repr(Settings(anthropic_api_key="sk-ant-1", api_keys={"a": "sk_cdx_2"}, aws=aws))
    assert "key-3" not in shown
    assert "token-4" not in shown
    assert "sk-ant-1" not in shown
    assert "sk_cdx_2" not in shown


ORIGINS = [
    ("", []),
    ("*", ["*"]),
    ("https://Chat.Example.com/", ["https://chat.example.com"]),
    ("https://a.example:443, http://a.example:80,http://a.example:8080", ["https://a.example", "http://a.example", "http://a.example:8080"]),
    ("app://obsidian.md,chrome-extension://abc/", ["app://obsidian.md", "chrome-extension://abc"]),
    ("tauri://localhost, capacitor://localhost,", ["tauri://localhost", "capacitor://localhost"]),
    ("http://[::1]:3000,http://[::1]:3000", ["http://[::1]:3000"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "origins"), ORIGINS)
def test_origins(text: str, origins: list[str]) -> None:
    assert read_origins(text) == origins
    assert Settings.from_env({"CORS_ORIGIN": text}).cors_origin == ",".join(origins)


@pytest.mark.parametrize(
    "text",
    ["chat.example.com", "https://*.example.com", "https://a.example/page", "null", "*, https://a.example", "https://a.example https://b.example", "://x"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="CORS_ORIGIN"):
        Settings.from_env({"CORS_ORIGIN": text})
