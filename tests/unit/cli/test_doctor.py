"""`claudexia doctor`: what is missing, and what to do about it."""

from typing import Any

import pytest

from claudexia_cli.cli import main
from claudexia_cli.doctor import AWSError, Finding, Session, diagnose
from tests.fakes.hosts import ACCESS_KEY, REGION, SECRET_KEY, SESSION_TOKEN, WORKSPACE, FakeHost
from tests.helpers.serving import serving
from tests.helpers.stack import PARAMETERS, TEMPLATE

MODEL = "anthropic.claude-opus-5-5"
PROFILE_ARN = f"arn:aws:bedrock:{REGION}:1:inference-profile/eu.{MODEL}"
AVAILABLE = {
    "regionAvailability": "AVAILABLE",
    "entitlementAvailability": "AVAILABLE",
    "agreementAvailability": {"status": "AVAILABLE"},
    "authorizationStatus": "AUTHORIZED",
}


def stack(**parameters: str) -> dict[str, Any]:
    assert parameters.keys() <= PARAMETERS.keys()
    outputs = [{"OutputKey": "SetAnthropicApiKey", "OutputValue": "aws secretsmanager put-secret-value X"}]
    return {
        "Stacks": [
            {
                "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
                "Outputs": outputs,
            }
        ]
    }


class FakeAWS:
    """Answers from `responses` by operation; an AWSError is raised. `calls` are the arguments by operation."""

    region = REGION

    def __init__(self, **responses: Any) -> None:
        self.responses = {
            "get_caller_identity": {"Account": "1"},
            "describe_stacks": stack(Upstream="anthropic"),
            "get_secret_value": {"SecretString": "sk-ant"},
            "get_foundation_model_availability": AVAILABLE,
            "get_inference_profile": {"status": "ACTIVE", "inferenceProfileArn": PROFILE_ARN},
            "simulate_principal_policy": {"EvaluationResults": [{"EvalDecision": "allowed"}]},
            "list_models": {"data": []},
            **responses,
        }
        self.calls: dict[str, Any] = {}

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        self.calls[operation] = arguments
        if operation == "describe_stack_resource":
            assert arguments["LogicalResourceId"] in TEMPLATE["Resources"]
            return {"StackResourceDetail": {"PhysicalResourceId": arguments["LogicalResourceId"]}}
        response = self.responses[operation]
        if isinstance(response, AWSError):
            raise response
        return response


BEDROCK = {
    "describe_stacks": stack(Upstream="bedrock", BedrockModels=MODEL, BedrockInferenceProfile="eu"),
}
PLATFORM = {"describe_stacks": stack(Upstream="aws", WorkspaceId=WORKSPACE)}
DENIED = {"EvaluationResults": [{"EvalDecision": "implicitDeny"}]}
NOT_FOUND = AWSError("ResourceNotFoundException", "m")

# What AWS answers, and the texts that the remedies contain: nothing if nothing is missing.
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("anthropic", {}, []),
    ("no credentials", {"get_caller_identity": AWSError("ExpiredToken")}, ["Log in"]),
    ("no stack", {"describe_stacks": AWSError("ValidationError")}, [f"sam deploy --guided --region {REGION}"]),
    ("key unset", {"get_secret_value": {"SecretString": "unset"}}, ["aws secretsmanager put-secret-value X"]),
    ("key unreadable", {"get_secret_value": NOT_FOUND}, ["aws secretsmanager put-secret-value X"]),
    ("bedrock", BEDROCK, []),
    (
        "no access",
        {**BEDROCK, "get_foundation_model_availability": {**AVAILABLE, "entitlementAvailability": "NOT_AVAILABLE"}},
        [f"bedrock/home?region={REGION}#/modelaccess"],
    ),
    (
        "no agreement",
        {**BEDROCK, "get_foundation_model_availability": {**AVAILABLE, "agreementAvailability": {"status": "PENDING"}}},
        ["Accept the agreement"],
    ),
    (
        "not in the region",
        {**BEDROCK, "get_foundation_model_availability": {**AVAILABLE, "regionAvailability": "NOT_AVAILABLE"}},
        ["another region"],
    ),
    ("unknown model", {**BEDROCK, "get_foundation_model_availability": NOT_FOUND}, ["BedrockModels"]),
    ("no profile", {**BEDROCK, "get_inference_profile": NOT_FOUND}, ["list-inference-profiles"]),
    ("no permission", {**BEDROCK, "simulate_principal_policy": DENIED}, ["parameter BedrockModels"]),
    (
        "denied by the organization",
        {**BEDROCK, "simulate_principal_policy": {"EvaluationResults": [{"EvalDecision": "explicitDeny"}]}},
        ["organization"],
    ),
    ("simulation not permitted", {**BEDROCK, "simulate_principal_policy": AWSError("AccessDenied")}, []),
    ("claude platform", PLATFORM, []),
    ("no workspace", {"describe_stacks": stack(Upstream="aws", WorkspaceId="")}, ["parameter WorkspaceId"]),
    ("workspace refused", {**PLATFORM, "list_models": AWSError("AccessDeniedException")}, ["claude-platform/home"]),
    ("no permission for it", {**PLATFORM, "simulate_principal_policy": DENIED}, ["parameter WorkspaceId"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "responses", "remedies"), CASES, ids=[case[0] for case in CASES])
def test_each_thing_that_is_missing_has_a_remedy(name: str, responses: Any, remedies: list[str]) -> None:
    findings = list(diagnose(FakeAWS(**responses), "claudexia"))
    missing = [finding for finding in findings if finding.remedy]
    assert len(missing) == len(remedies), findings
    for finding, text in zip(missing, remedies, strict=True):
        assert text in finding.remedy
        assert finding.fact


def test_the_permission_is_that_of_the_functions_role() -> None:
    aws = FakeAWS(**BEDROCK)
    list(diagnose(aws, "claudexia"))
    assert aws.calls["simulate_principal_policy"] == {
        "PolicySourceArn": "arn:aws:iam::1:role/GatewayRole",
        "ActionNames": ["bedrock:InvokeModelWithResponseStream"],
        "ResourceArns": [PROFILE_ARN],
    }
    assert aws.calls["get_inference_profile"] == {"inferenceProfileIdentifier": f"eu.{MODEL}"}


def test_every_upstream_of_the_template_is_diagnosed() -> None:
    for upstream in PARAMETERS["Upstream"]["AllowedValues"]:
        parameters = {"Upstream": upstream, "WorkspaceId": WORKSPACE, "BedrockModels": MODEL}
        findings = list(diagnose(FakeAWS(describe_stacks=stack(**parameters)), "claudexia"))
        assert not any(finding.remedy for finding in findings)
        subjects = {finding.subject for finding in findings}
        expected = {"anthropic": "Anthropic API key", "aws": "workspace", "bedrock": MODEL}
        assert subjects >= {expected[host] for host in upstream.split(",")}


@pytest.mark.parametrize(("workspace", "code"), [(WORKSPACE, ""), ("wrkspc_other", "AccessDeniedException")])
def test_a_workspace_is_tried_with_a_signed_request(workspace: str, code: str) -> None:
    import boto3  # noqa: PLC0415 - slow to import

    session = boto3.Session(ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, REGION)
    host = FakeHost("aws")
    with serving(host) as url:
        aws = Session(session, url)
        if code:
            with pytest.raises(AWSError) as caught:
                aws.call("aws-external-anthropic", "list_models", workspace=workspace)
            assert caught.value.code == code
        else:
            assert aws.call("aws-external-anthropic", "list_models", workspace=workspace)["data"]


def test_the_command_prints_the_findings_and_fails_if_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--region", REGION, "--endpoint-url", "http://127.0.0.1:9"])
    assert ended.value.code == 1
    output = capsys.readouterr().out
    assert "MISSING credentials: EndpointConnectionError" in output
    assert Finding("a", "b").remedy == ""
