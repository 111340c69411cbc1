"""The AWS credentials of a person, put where the gateway looks for them: into the environment."""

import os
import threading
from collections.abc import Mapping
from typing import Any

# Variables of the gateway that make it call AWS.
_USES_AWS = ("CLAUDEXIA_TABLE", "ANTHROPIC_API_KEY_SECRET", "UPSTREAM")
_OWN_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
_REFRESH_SECONDS = 60  # boto3 fetches new credentials minutes before the old ones expire


def export_aws_login() -> None:
    """Exports the credentials and the region of the profile or login that the AWS CLI would use.

    They are kept fresh while the process runs. Does nothing if the gateway has no use for them, if the
    environment has credentials, or if there is no login: then the gateway reports what it misses.
    """
    if any(map(os.environ.get, _OWN_CREDENTIALS)) or not any(map(os.environ.get, _USES_AWS)):
        return
    import boto3  # noqa: PLC0415 - slow to import
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            return
        os.environ.update(_variables(credentials))
    except (BotoCoreError, ClientError):
        return
    if session.region_name:
        os.environ.setdefault("AWS_REGION", session.region_name)
    threading.Thread(target=_refresh, args=(credentials,), daemon=True).start()


def _refresh(credentials: Any) -> None:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    never = threading.Event()
    while not never.wait(_REFRESH_SECONDS):
        try:
            os.environ.update(_variables(credentials))
        except (BotoCoreError, ClientError):  # the old ones may still be valid
            continue


def _variables(credentials: Any) -> Mapping[str, str]:
    frozen = credentials.get_frozen_credentials()
    return {
        "AWS_ACCESS_KEY_ID": frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
        "AWS_SESSION_TOKEN": frozen.token or "",
    }
