"""The table of a deployed gateway, as commands open it: by its stack, and with the AWS CLI's credentials."""

import argparse
import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from claudexia.storage.dynamodb import DynamoTable, make_client
from claudexia.storage.table import TableError
from claudexia_cli.cli import CommandError

STACK = "claudexia"
_TIMEOUT = 10.0  # seconds; a person waits longer than a request

_NO_CREDENTIALS = "There are no AWS credentials; log in as for the AWS CLI, or choose some with --profile."
_NO_REGION = "No AWS region is chosen; give one with --region, or set AWS_REGION."
# By the name of botocore's exception.
_SESSION_FAILURES = {
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "CredentialRetrievalError": _NO_CREDENTIALS,
    "NoRegionError": _NO_REGION,
    "InvalidRegionError": "The AWS region that is chosen is no region's name; give another with --region.",
    "ProfileNotFound": "There is no such AWS profile; 'aws configure list-profiles' tells which there are.",
    "TokenRetrievalError": "The AWS login has expired; log in again with 'aws sso login'.",
    "SSOTokenLoadError": "The AWS login has expired; log in again with 'aws sso login'.",
    "UnauthorizedSSOTokenError": "The AWS login has expired; log in again with 'aws sso login'.",
}
_EXPIRED = "The AWS credentials are not valid, or no longer; log in again as for the AWS CLI."
_DENIED = "AWS denied access to {what}; the credentials that are used do not allow it."
# By AWS's error code.
_REFUSALS = {
    "UnrecognizedClientException": _EXPIRED,
    "InvalidClientTokenId": _EXPIRED,
    "InvalidSignatureException": _EXPIRED,
    "SignatureDoesNotMatch": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "ResourceNotFoundException": "There is no such table in this region and account; "
    "choose with --stack, --table, --region or --profile.",
}


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """--stack or --table, and --region, --profile and --endpoint-url as the AWS CLI takes them."""
    group = parser.add_argument_group("which table")
    group.add_argument(
        "--stack", default=STACK, metavar="NAME", help="stack that was deployed (default: %(default)s)"
    )
    group.add_argument("--table", metavar="NAME", help="DynamoDB table, in place of a stack's")
    group.add_argument("--region", help="AWS region (default: AWS_REGION, or the profile's)")
    group.add_argument("--profile", help="AWS profile (default: AWS_PROFILE, or 'default')")
    group.add_argument("--endpoint-url", metavar="URL", type=_url, help="where AWS is, as a local DynamoDB")


def open_table(options: argparse.Namespace) -> DynamoTable:
    """The table that the options of add_table_options() mean. Raises CommandError."""
    session = _session(options)
    name = options.table or _table_of(session, options.stack, options.endpoint_url)
    return DynamoTable(
        name, lambda: datetime.now(UTC), lambda: make_client(session, options.endpoint_url, _TIMEOUT)
    )


def wait_for(work: Coroutine[Any, Any, None]) -> None:
    """Runs what asks a table. Raises CommandError where that fails."""
    try:
        asyncio.run(work)
    except TableError as error:
        raise CommandError(_sentence(error.__cause__, "the table")) from error


def _session(options: argparse.Namespace) -> Any:
    import boto3  # noqa: PLC0415 - slow to import

    # boto3 knows AWS_DEFAULT_REGION only; the AWS CLI prefers AWS_REGION.
    # https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html
    region = options.region or os.environ.get("AWS_REGION")

    def look() -> Any:
        session = boto3.Session(profile_name=options.profile, region_name=region)
        if not session.region_name:
            raise CommandError(_NO_REGION)
        if not session.get_credentials():
            raise CommandError(_NO_CREDENTIALS)
        return session

    return _asked(look, "this profile")


def _table_of(session: Any, stack: str, endpoint: str | None) -> str:
    """The stack's output TableName."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - slow to import

    def describe() -> Any:
        client = session.client("cloudformation", endpoint_url=endpoint)
        try:
            return client.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        except ClientError as error:
            # CloudFormation has no code of its own for a stack that is not there.
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise CommandError(
                f"There is no stack {stack!r} in {session.region_name}; "
                "choose another with --stack, --region or --profile."
            ) from error

    for output in _asked(describe, f"the stack {stack!r}"):
        if output["OutputKey"] == "TableName":
            return str(output["OutputValue"])
    raise CommandError(f"The stack {stack!r} has no output TableName; deploy this version, or give --table.")


def _asked(ask: Callable[[], Any], what: str) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import

    try:
        return ask()
    except (BotoCoreError, ClientError) as error:
        raise CommandError(_sentence(error, what)) from error


def _sentence(error: BaseException | None, what: str) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        code = response["Error"].get("Code", "")
        return _REFUSALS.get(code, f"AWS answered {code}; try again later.").format(what=what)
    if error is None:
        return "AWS is busy; try again in a moment."
    name = type(error).__name__
    return _SESSION_FAILURES.get(name) or (
        f"AWS cannot be reached ({name}); look at the network, --region and --endpoint-url."
    )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL like http://localhost:8000")
    return text
