"""Settings from the environment, and the errors for invalid ones."""

from typing import Any

import pytest

from claudexia.settings import Settings, SettingsError, read_origins

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
    ({"METRICS_PER_KEY": "off"}, {"metrics_per_key": False}),
    ({"MODEL_ALIASES": "gpt-4o=claude-opus-5.5"}, {"model_aliases": {"gpt-4o": "claude-opus-5.5"}}),
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
        ({"MODEL_ALIASES": "gpt-4o"}, "entry 1 does not have the form name=value"),
        ({"MODEL_ALIASES": "gpt-4o=gpt-5"}, "'gpt-5', the target of 'gpt-4o', is not a Claude model id"),
    ],
)
def test_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.from_env(environ)
    assert "secret" not in str(caught.value)


def test_secrets_are_not_in_the_repr() -> None:
    shown = repr(Settings(anthropic_api_key="sk-ant-1", api_keys={"a": "sk_cdx_2"}))
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
