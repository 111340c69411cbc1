"""Secrets from AWS Secrets Manager, with moto in AWS's place: fetched late, cached, rotated, missing."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS
from moto import mock_aws

from tests.serving import Reply, Upstream, error_body, gateway, sse, text_events

BODY: dict[str, Any] = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi"}]}
SETTINGS = {"anthropic_api_key_secret": "upstream", "api_keys_secret": "keys"}
AUTH = {"authorization": "Bearer sk_cdx_abc"}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.client("secretsmanager")
    parameters.clear_caches()  # type: ignore[no-untyped-call]
    DEFAULT_PROVIDERS.clear()


def ask(url: str, headers: dict[str, str] = AUTH) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json=BODY, headers=headers)


def test_both_secrets_come_from_the_store(store: Any) -> None:
    upstream = Upstream()
    with gateway(upstream, **SETTINGS) as url:  # nothing is fetched before the first request
        store.create_secret(Name="upstream", SecretString="sk-ant-stored")
        store.create_secret(Name="keys", SecretString=json.dumps({"a": "abc", "b": "sk_cdx_def"}))
        assert ask(url).status_code == 200
        assert ask(url, {"api-key": "sk_cdx_def"}).status_code == 200
        assert ask(url, {"api-key": "abc"}).status_code == 401
    assert upstream.headers[0]["x-api-key"] == "sk-ant-stored"


def test_a_refused_key_is_fetched_anew(store: Any) -> None:
    store.create_secret(Name="upstream", SecretString="sk-ant-old")
    store.create_secret(Name="keys", SecretString='{"a": "abc"}')
    upstream = Upstream(Reply([error_body("authentication_error", "old")], 401), Reply([sse(*text_events())]))
    with gateway(upstream, **SETTINGS) as url:
        store.put_secret_value(SecretId="upstream", SecretString="sk-ant-old")
        assert ask(url).status_code == 502
        store.put_secret_value(SecretId="upstream", SecretString="sk-ant-new")
        assert ask(url).status_code == 200
    assert [headers["x-api-key"] for headers in upstream.headers] == ["sk-ant-old", "sk-ant-new"]


@pytest.mark.parametrize("missing", ["upstream", "keys"])
def test_a_missing_secret_is_the_gateways_fault(
    store: Any, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"upstream": "sk-ant-stored", "keys": '{"a": "abc"}'}.items():
        if name != missing:
            store.create_secret(Name=name, SecretString=value)
    with gateway(Upstream(), **SETTINGS) as url, caplog.at_level(logging.DEBUG, "claudexia"):
        response = ask(url)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "secret_unavailable"
    assert "sk-ant-stored" not in caplog.text


def test_a_key_that_was_not_stored_yet_is_asked_for(store: Any) -> None:
    store.create_secret(Name="upstream", SecretString="unset")
    store.create_secret(Name="keys", SecretString='{"a": "abc"}')
    with gateway(Upstream(), **SETTINGS) as url:
        assert "operator has to store one" in ask(url).json()["error"]["message"]
        store.put_secret_value(SecretId="upstream", SecretString="sk-ant-new")
        assert ask(url).status_code == 200


def test_what_is_given_directly_wins() -> None:
    given = {"anthropic_api_key": "sk-ant-given", "api_keys": {"a": "sk_cdx_abc"}}
    upstream = Upstream()
    with gateway(upstream, **{**SETTINGS, **given}) as url:
        assert ask(url).status_code == 200
    assert upstream.headers[0]["x-api-key"] == "sk-ant-given"
