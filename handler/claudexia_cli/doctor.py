"""The command `claudexia doctor`: what a deployed gateway lacks to call Claude, with the remedy for each.

It asks AWS with the credentials of the operator, and calls no model. Exit status: 0 if nothing is missing, 1 if
something is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import click
import httpx

from claudexia.aws.signing import Credentials, SigningScope, sign_request
from claudexia_cli.console import printable
from claudexia_cli.deployed_table import TableLocation, open_session

_CONSOLE = "https://{region}.console.aws.amazon.com"
_UNSET = "unset"
_TIMEOUT = 10.0  # seconds


class AWSError(Exception):
    """A call failed. `code` is AWS's, or the name of botocore's exception."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class AWS(Protocol):
    """Calls of AWS with the operator's credentials, in one region."""

    region: str

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """The response. `operation` is in boto3's spelling. Raises AWSError."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` is what to do, "" if nothing is missing."""

    subject: str
    fact: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The stack as it is deployed. `role` is the ARN of the function's role."""

    stack: str
    account: str
    role: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def upstream(self) -> Sequence[str]:
        return self.parameters.get("Upstream", "anthropic").split(",")


def diagnose(aws: AWS, stack: str) -> Iterator[Finding]:
    """The findings, one after the other. Stops if the credentials or the stack cannot be used."""
    try:
        account = aws.call("sts", "get_caller_identity")["Account"]
    except AWSError as error:
        yield Finding("credentials", str(error), "Log in as for the AWS CLI, or select one with --profile.")
        return
    yield Finding("credentials", f"account {account}, region {aws.region}")
    try:
        deployment = _deployment(aws, stack, account)
    except AWSError as error:
        remedy = f"Deploy it with 'sam deploy --guided --region {aws.region}', or select --stack and --region."
        yield Finding("stack", f"{stack} cannot be read: {error}", remedy)
        return
    yield Finding("stack", f"{stack}, Claude on {', then '.join(deployment.upstream)}")
    for host in deployment.upstream:
        yield from _HOSTS[host](aws, deployment)


def _deployment(aws: AWS, stack: str, account: str) -> Deployment:
    described = aws.call("cloudformation", "describe_stacks", StackName=stack)["Stacks"][0]
    role = _physical_id(aws, stack, "GatewayRole")
    return Deployment(
        stack,
        account,
        f"arn:{_partition(aws.region)}:iam::{account}:role/{role}",
        {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])},
        {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])},
    )


def _anthropic(aws: AWS, deployment: Deployment) -> Iterator[Finding]:
    command = deployment.outputs.get("SetAnthropicApiKey", "aws secretsmanager put-secret-value ...")
    try:
        name = _physical_id(aws, deployment.stack, "AnthropicApiKeySecret")
        value = aws.call("secretsmanager", "get_secret_value", SecretId=name)["SecretString"]
    except AWSError as error:
        yield Finding("Anthropic API key", f"the secret cannot be read: {error}", f"Set it with: {command}")
        return
    if value == _UNSET:
        yield Finding("Anthropic API key", "not set", f"Set it with: {command}")
    else:
        yield Finding("Anthropic API key", "set")


def _physical_id(aws: AWS, stack: str, logical_id: str) -> str:
    found = aws.call("cloudformation", "describe_stack_resource", StackName=stack, LogicalResourceId=logical_id)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def _claude_platform(aws: AWS, deployment: Deployment) -> Iterator[Finding]:
    workspace = deployment.parameters.get("WorkspaceId", "")
    console = f"{_CONSOLE.format(region=aws.region)}/claude-platform/home?region={aws.region}"
    if not workspace:
        yield Finding("workspace", "none", f"Copy its id from {console} to the parameter WorkspaceId.")
        return
    arn = (
        f"arn:{_partition(aws.region)}:aws-external-anthropic:{aws.region}:{deployment.account}:"
        f"workspace/{workspace}"
    )
    try:
        aws.call("aws-external-anthropic", "list_models", workspace=workspace)
        yield Finding("workspace", f"{workspace} answers in {aws.region}")
    except AWSError as error:
        remedy = f"Check in {console} that the workspace exists in this region and that you may use it."
        yield Finding("workspace", f"{workspace} does not answer you: {error}", remedy)
    yield from _permission(aws, deployment, "aws-external-anthropic:CreateInference", arn, "WorkspaceId")


def _bedrock(aws: AWS, deployment: Deployment) -> Iterator[Finding]:
    profile = deployment.parameters.get("BedrockInferenceProfile", "global")
    models = deployment.parameters.get("BedrockModels", "")
    for model in filter(None, models.split(",")):
        yield from _model_access(aws, model)
        yield from _inference_profile(aws, deployment, f"{profile}.{model}")


def _model_access(aws: AWS, model: str) -> Iterator[Finding]:
    page = f"{_CONSOLE.format(region=aws.region)}/bedrock/home?region={aws.region}#/modelaccess"
    try:
        found = aws.call("bedrock", "get_foundation_model_availability", modelId=model)
    except AWSError as error:
        yield Finding(model, f"unknown here: {error}", "Choose another region or model; see BedrockModels.")
        return
    remedies = {
        ("regionAvailability", "AVAILABLE"): f"It is not in {aws.region}: deploy in another region.",
        ("entitlementAvailability", "AVAILABLE"): f"Request access on {page}",
        ("agreementAvailability.status", "AVAILABLE"): f"Accept the agreement on {page}",
        ("authorizationStatus", "AUTHORIZED"): f"The account may not use it: request access on {page}",
    }
    missing = [
        (path, remedy) for (path, wanted), remedy in remedies.items() if _at(found, path) not in (wanted, None)
    ]
    for path, remedy in missing:
        yield Finding(model, f"{path.partition('.')[0]} is {_at(found, path)}", remedy)
    if not missing:
        yield Finding(model, "the account has access")


def _at(found: Mapping[str, Any], path: str) -> Any:
    value: Any = found
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _inference_profile(aws: AWS, deployment: Deployment, profile: str) -> Iterator[Finding]:
    try:
        found = aws.call("bedrock", "get_inference_profile", inferenceProfileIdentifier=profile)
    except AWSError as error:
        remedy = (
            "Choose another BedrockInferenceProfile; 'aws bedrock list-inference-profiles "
            f"--region {aws.region}' lists them."
        )
        yield Finding(profile, f"there is no such inference profile: {error}", remedy)
        return
    yield Finding(profile, f"the inference profile is {found['status']}")
    yield from _permission(
        aws, deployment, "bedrock:InvokeModelWithResponseStream", found["inferenceProfileArn"], "BedrockModels"
    )


def _permission(
    aws: AWS, deployment: Deployment, action: str, resource: str, parameter: str
) -> Iterator[Finding]:
    """Whether the function's role may do `action`; `parameter` names what it may be used for."""
    try:
        results = aws.call(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=deployment.role,
            ActionNames=[action],
            ResourceArns=[resource],
        )["EvaluationResults"]
    except AWSError as error:
        yield Finding("permission", f"unknown: you may not simulate the role's policies ({error.code})")
        return
    decision = results[0]["EvalDecision"]
    if decision == "allowed":
        yield Finding("permission", f"{action} on {resource.rpartition('/')[2]}")
        return
    remedy = f"Deploy with it in the parameter {parameter}"
    if decision == "explicitDeny":
        remedy = "A policy of your organization denies it: ask its administrator"
    yield Finding("permission", f"{action} on {resource} is denied to the function", f"{remedy}.")


_HOSTS: Mapping[str, Callable[[AWS, Deployment], Iterator[Finding]]] = {
    "anthropic": _anthropic,
    "aws": _claude_platform,
    "bedrock": _bedrock,
}


def _partition(region: str) -> str:
    return "aws-us-gov" if region.startswith("us-gov-") else "aws-cn" if region.startswith("cn-") else "aws"


class Session:
    """AWS through a boto3 session; Claude Platform on AWS by a signed request."""

    def __init__(self, session: Any, endpoint_url: str | None) -> None:
        self._session = session
        self._endpoint_url = endpoint_url
        self.region: str = session.region_name

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import

        if service == "aws-external-anthropic":
            return self._list_models(**arguments)
        try:
            client = self._session.client(service, endpoint_url=self._endpoint_url)
            return getattr(client, operation)(**arguments)
        except ClientError as error:
            details = error.response["Error"]
            raise AWSError(details.get("Code", ""), details.get("Message", "")) from error
        except BotoCoreError as error:
            raise AWSError(type(error).__name__) from error

    def _list_models(self, workspace: str) -> Any:
        frozen = self._session.get_credentials().get_frozen_credentials()
        base = self._endpoint_url or f"https://aws-external-anthropic.{self.region}.api.aws"
        url = f"{base}/v1/models?limit=1"
        headers = {"anthropic-version": "2023-06-01", "anthropic-workspace-id": workspace}
        signature = sign_request(
            "GET",
            url,
            headers,
            b"",
            credentials=Credentials(frozen.access_key, frozen.secret_key, frozen.token or ""),
            scope=SigningScope(self.region, "aws-external-anthropic"),
            now=datetime.now(UTC),
        )
        try:
            response = httpx.get(url, headers={**headers, **signature}, timeout=_TIMEOUT)
        except httpx.HTTPError as error:
            raise AWSError(type(error).__name__) from error
        if response.status_code != 200:
            kind = response.headers.get("x-amzn-errortype", "").partition(":")[0]
            raise AWSError(kind or f"HTTP {response.status_code}")
        return response.json()


def _print(line: str) -> None:
    click.echo("\n".join(printable(part) for part in line.split("\n")))


@click.command(name="doctor")
@click.option("--stack", default="claudexia", show_default=True, metavar="NAME", help="Stack of the gateway.")
@click.option("--region", metavar="REGION", show_default="AWS_REGION, or the profile's", help="AWS region.")
@click.option("--profile", metavar="PROFILE", show_default="AWS_PROFILE, or 'default'", help="AWS profile.")
@click.option("--endpoint-url", metavar="URL", hidden=True)
@click.pass_context
def command(
    context: click.Context, stack: str, region: str | None, profile: str | None, endpoint_url: str | None
) -> None:
    """Find what a deployed gateway lacks to call Claude: access, region, workspace, permission.

    Uses your AWS credentials and calls no model. The exit status is 1 if something is missing.
    """
    session = open_session(TableLocation(stack, None, region, profile, endpoint_url))
    missing = 0
    for finding in diagnose(Session(session, endpoint_url), stack):
        missing += bool(finding.remedy)
        _print(f"{'MISSING' if finding.remedy else 'ok     '} {finding.subject}: {finding.fact}")
        if finding.remedy:
            _print(f"  {finding.remedy}")
    _print(f"\n{missing} things are missing." if missing else "\nNothing is missing.")
    if missing:
        context.exit(1)
