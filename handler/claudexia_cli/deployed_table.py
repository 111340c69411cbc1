"""The DynamoDB table of a deployed gateway: found by its stack, opened with the credentials of the AWS CLI."""

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar

import click
import httpx

from claudexia.aws.client import AWSClient, AWSError
from claudexia.aws.credentials import Credentials, CredentialsError
from claudexia.aws.transport import Response, TransportError
from claudexia.storage.dynamodb import DynamoTable
from claudexia.storage.table import TableError
from claudexia_cli.console import CommandError, is_http_url

T = TypeVar("T")

_TIMEOUT = 10.0  # seconds, more than a request to the gateway may wait

_NO_CREDENTIALS = "There are no AWS credentials; log in as for the AWS CLI, or select a profile with --profile."
_NO_REGION = "No AWS region is selected; select one with --region or AWS_REGION."
# By the class name of botocore's exception.
_CLIENT_ERRORS = {
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "CredentialRetrievalError": _NO_CREDENTIALS,
    "NoRegionError": _NO_REGION,
    "InvalidRegionError": "The selected AWS region is not the name of a region; select another with --region.",
    "ProfileNotFound": "There is no such AWS profile; 'aws configure list-profiles' lists them.",
    "TokenRetrievalError": "The AWS login has expired; log in again with 'aws sso login'.",
    "SSOTokenLoadError": "The AWS login has expired; log in again with 'aws sso login'.",
    "UnauthorizedSSOTokenError": "The AWS login has expired; log in again with 'aws sso login'.",
}
_EXPIRED = "The AWS credentials are invalid or expired; log in again as for the AWS CLI."
_DENIED = "AWS denied access to {resource}; the credentials do not permit it."
# By the error code in AWS's response.
_SERVICE_ERRORS = {
    "UnrecognizedClientException": _EXPIRED,
    "InvalidClientTokenId": _EXPIRED,
    "InvalidSignatureException": _EXPIRED,
    "SignatureDoesNotMatch": _EXPIRED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "ResourceNotFoundException": "There is no such table in this region and account; "
    "select another with --stack, --table, --region or --profile.",
}


def _url(text: str) -> str:
    if not is_http_url(text):
        raise click.BadParameter(f"{text!r} is not a URL like http://localhost:8000.")
    return text


_OPTIONS = (
    click.option(
        "--stack", default="claudexia", show_default=True, metavar="NAME", help="Stack of the gateway."
    ),
    click.option("--table", metavar="NAME", help="DynamoDB table, instead of the table of a stack."),
    click.option("--region", metavar="REGION", show_default="AWS_REGION, or the profile's", help="AWS region."),
    click.option("--profile", metavar="PROFILE", show_default="AWS_PROFILE, or 'default'", help="AWS profile."),
    click.option("--endpoint-url", type=_url, metavar="URL", help="AWS endpoint, such as a local DynamoDB."),
)


@dataclass(frozen=True, slots=True)
class TableLocation:
    """The options that select a table. `table` replaces the table of `stack`; None means AWS's default."""

    stack: str
    table: str | None
    region: str | None
    profile: str | None
    endpoint_url: str | None


def table_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select a table; `command` gets them as one argument `location`."""

    @wraps(command)
    def with_location(**options: Any) -> None:
        names = [field.name for field in fields(TableLocation)]
        command(location=TableLocation(**{name: options.pop(name) for name in names}), **options)

    for option in reversed(_OPTIONS):
        with_location = option(with_location)
    return with_location


def open_session(location: TableLocation) -> Any:
    """A boto3 session with credentials and a region. Raises CommandError."""
    return _session(location)


def open_table(location: TableLocation) -> DynamoTable:
    """Raises CommandError."""
    session = _session(location)
    name = location.table or _table_of(session, location.stack, location.endpoint_url)
    endpoint = {"AWS_ENDPOINT_URL_DYNAMODB": location.endpoint_url} if location.endpoint_url else {}
    environ = {**os.environ, "AWS_REGION": session.region_name, **endpoint}
    client = AWSClient(environ, _SessionCredentials(session), _ProxiedTransport())
    return DynamoTable(name, lambda: datetime.now(UTC), client)


def run_on_table(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work`, which calls a table. Raises CommandError if a call fails."""
    try:
        return asyncio.run(work)
    except TableError as error:
        raise CommandError(_reason(error.__cause__, "the table")) from error


class _ProxiedTransport:
    """Requests as the AWS CLI sends them: through the proxies and with the certificates of the environment.

    Each has a connection of its own, since a command makes few of them.
    """

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        bundle = os.environ.get("AWS_CA_BUNDLE")
        verify = ssl.create_default_context(cafile=bundle) if bundle else True
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT, verify=verify) as client:
                response = await client.post(url, headers=dict(headers), content=body)
        except httpx.HTTPError as error:
            sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError))
            timed_out = isinstance(error, httpx.TimeoutException)
            raise TransportError(type(error).__name__, sent=sent, timed_out=timed_out) from error
        return Response(response.status_code, response.content)


class _SessionCredentials:
    """The credentials of a boto3 session, which knows profiles and logins, and refreshes them."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def get(self) -> Credentials:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import

        try:
            frozen = await asyncio.to_thread(lambda: self._session.get_credentials().get_frozen_credentials())
        except (BotoCoreError, ClientError) as error:
            raise CredentialsError(_reason(error, "the credentials")) from error
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")


def _session(location: TableLocation) -> Any:
    import boto3  # noqa: PLC0415 - slow to import
    from botocore.utils import validate_region_name  # noqa: PLC0415

    # boto3 reads only AWS_DEFAULT_REGION; the AWS CLI prefers AWS_REGION.
    # https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html
    region = location.region or os.environ.get("AWS_REGION")

    def create() -> Any:
        session = boto3.Session(profile_name=location.profile, region_name=region)
        if not session.region_name:
            raise CommandError(_NO_REGION)
        validate_region_name(session.region_name)
        if not session.get_credentials():
            raise CommandError(_NO_CREDENTIALS)
        return session

    return _call_aws(create, "this profile")


def _table_of(session: Any, stack: str, endpoint: str | None) -> str:
    """The stack's output TableName."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - slow to import

    def describe() -> Any:
        client = session.client("cloudformation", endpoint_url=endpoint)
        try:
            return client.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        except ClientError as error:
            # CloudFormation has no specific code for a stack that does not exist.
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise CommandError(
                f"There is no stack {stack!r} in {session.region_name}; "
                "select another with --stack, --region or --profile."
            ) from error

    for output in _call_aws(describe, f"the stack {stack!r}"):
        if output["OutputKey"] == "TableName":
            return str(output["OutputValue"])
    raise CommandError(f"The stack {stack!r} has no output TableName; deploy this version, or use --table.")


def _call_aws(call: Callable[[], Any], resource: str) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import

    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise CommandError(_reason(error, resource)) from error


def _reason(error: BaseException | None, resource: str) -> str:
    """What a person can do about an error of the gateway's client or of boto3."""
    if error is None:
        return "AWS is busy; try again in a moment."
    if isinstance(error, AWSError) and isinstance(error.__cause__, CredentialsError):
        return str(error.__cause__)
    if code := _service_error_code(error):
        return _SERVICE_ERRORS.get(code, f"AWS returned the error {code}; try again later.").format(
            resource=resource
        )
    name = error.code if isinstance(error, AWSError) else type(error).__name__
    return _CLIENT_ERRORS.get(name) or (
        f"AWS cannot be reached ({name}); check the network, --region and --endpoint-url."
    )


def _service_error_code(error: BaseException) -> str:
    """ "Empty if the error does not come from AWS."""
    if isinstance(error, AWSError):
        return "" if error.__cause__ else error.code
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) and "Error" in response else ""
