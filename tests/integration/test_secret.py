"""Secrets from AWS Secrets Manager, as moto provides it: fetched on first use, cached, rotated, missing."""

from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from tests.fakes.aws import REGION, fake_aws
from tests.helpers.serving import KEY, Reply, Upstream, error_body, gateway, sse, text_events
from tests.helpers.waiting import PATIENCE

BODY: dict[str, Any] = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi"}]}
SETTINGS = {"anthropic_api_key": "", "anthropic_api_key_secret": "upstream"}
AUTH = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with fake_aws() as (_, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        yield boto3.client("secretsmanager")


def send_request(url: str) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json=BODY, headers=AUTH, timeout=PATIENCE)


def test_the_key_comes_from_secrets_manager(secrets_manager: Any) -> None:
    upstream = Upstream()
    with gateway(upstream, **SETTINGS) as url:  # nothing is fetched before the first request
        secrets_manager.create_secret(Name="upstream", SecretString="sk-ant-stored")
        assert send_request(url).status_code == 200
    assert upstream.headers[0]["x-api-key"] == "sk-ant-stored"


def test_the_key_is_fetched_at_the_start(secrets_manager: Any) -> None:
    secrets_manager.create_secret(Name="upstream", SecretString="sk-ant-first")
    upstream = Upstream()
    with gateway(upstream, **SETTINGS, prepares=True) as url:
        secrets_manager.put_secret_value(SecretId="upstream", SecretString="sk-ant-second")
        assert send_request(url).status_code == 200
    assert upstream.headers[0]["x-api-key"] == "sk-ant-first"


def test_a_key_that_is_missing_at_the_start_is_fetched_by_the_first_request(secrets_manager: Any) -> None:
    with gateway(Upstream(), **SETTINGS, prepares=True) as url:
        assert send_request(url).status_code == 502
        secrets_manager.create_secret(Name="upstream", SecretString="sk-ant-stored")
        assert send_request(url).status_code == 200


def test_a_refused_key_is_fetched_again(secrets_manager: Any) -> None:
    secrets_manager.create_secret(Name="upstream", SecretString="sk-ant-old")
    upstream = Upstream(Reply([error_body("authentication_error", "old")], 401), Reply([sse(*text_events())]))
    with gateway(upstream, **SETTINGS) as url:
        secrets_manager.put_secret_value(SecretId="upstream", SecretString="sk-ant-old")
        assert send_request(url).status_code == 502
        secrets_manager.put_secret_value(SecretId="upstream", SecretString="sk-ant-new")
        assert send_request(url).status_code == 200
    assert [headers["x-api-key"] for headers in upstream.headers] == ["sk-ant-old", "sk-ant-new"]


def test_a_missing_secret_is_a_502(secrets_manager: Any) -> None:
    with gateway(Upstream(), **SETTINGS) as url:
        response = send_request(url)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "secret_unavailable"


def test_an_unset_secret_is_fetched_again_until_it_is_set(secrets_manager: Any) -> None:
    secrets_manager.create_secret(Name="upstream", SecretString="unset")
    with gateway(Upstream(), **SETTINGS) as url:
        assert "operator has to store one" in send_request(url).json()["error"]["message"]
        secrets_manager.put_secret_value(SecretId="upstream", SecretString="sk-ant-new")
        assert send_request(url).status_code == 200


def test_an_explicit_key_takes_precedence() -> None:
    upstream = Upstream()
    with gateway(upstream, **{**SETTINGS, "anthropic_api_key": "sk-ant-given"}) as url:
        assert send_request(url).status_code == 200
    assert upstream.headers[0]["x-api-key"] == "sk-ant-given"
