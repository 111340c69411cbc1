"""A person's AWS login, as the local gateway finds it."""

import asyncio
import os
from pathlib import Path

import pytest

from claudexia.aws.credentials import Credentials, EnvironmentCredentials
from claudexia_cli.aws_login import export_aws_login

CREDENTIALS = """
[default]
aws_access_key_id = of-default
aws_secret_access_key = secret
[work]
aws_access_key_id = of-work
aws_secret_access_key = secret
aws_session_token = token
"""
CONFIG = """
[profile work]
region = eu-west-3
"""
TABLE = {"CLAUDEXIA_TABLE": "t"}
DEFAULT, WORK = Credentials("of-default", "secret"), Credentials("of-work", "secret", "token")
GIVEN = {"AWS_ACCESS_KEY_ID": "given", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.startswith(("AWS_", "CLAUDEXIA_", "ANTHROPIC_")) or name == "UPSTREAM":
            monkeypatch.delenv(name)
    # What is exported is removed after the test.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, text in (("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS), ("AWS_CONFIG_FILE", CONFIG)):
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


CASES = [
    ("default profile", TABLE, DEFAULT, None),
    ("named profile", {**TABLE, "AWS_PROFILE": "work"}, WORK, "eu-west-3"),
    ("a region of one's own", {**TABLE, "AWS_PROFILE": "work", "AWS_REGION": "eu-west-1"}, WORK, "eu-west-1"),
    ("a secret", {"ANTHROPIC_API_KEY_SECRET": "s"}, DEFAULT, None),
    ("credentials in the environment", {**TABLE, **GIVEN}, Credentials("given", "secret"), None),
    ("no use for AWS", {}, None, None),
    ("no such profile", {**TABLE, "AWS_PROFILE": "nobody"}, None, None),
]


@pytest.mark.parametrize(
    ("environ", "found", "region"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_the_gateway_finds_the_login(
    environ: dict[str, str], found: Credentials | None, region: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    export_aws_login()
    if found is None:
        assert "AWS_ACCESS_KEY_ID" not in os.environ
    else:
        assert asyncio.run(EnvironmentCredentials().get()) == found
    assert os.environ.get("AWS_REGION") == region


def test_nothing_is_exported_without_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("CLAUDEXIA_TABLE", "t")
    export_aws_login()
    assert "AWS_ACCESS_KEY_ID" not in os.environ
