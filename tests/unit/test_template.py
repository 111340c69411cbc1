"""The stack: properties that SAM and cfn-lint do not check."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from claudexia.models import SERVED, find_model, undated
from claudexia.settings import AWSHosts, Settings
from claudexia.storage.dynamodb import PARTITION_KEY, SORT_KEY
from claudexia.storage.table import EXPIRES
from claudexia.upstream.hosts import to_host
from tests.helpers.stack import (
    PARAMETERS,
    RESOURCES,
    ROOT,
    TEMPLATE,
    TEXT,
    VARIABLES,
    Evaluator,
    Json,
    of_type,
    strings,
)

API = RESOURCES["Api"]["Properties"]
FUNCTION = RESOURCES["GatewayFunction"]["Properties"]
RESPONSES: dict[str, Json] = API["Body"]["x-amazon-apigateway-gateway-responses"]
METHODS = [
    (path, method, definition["x-amazon-apigateway-integration"])
    for path, methods in API["Body"]["paths"].items()
    for method, definition in methods.items()
]


def test_every_path_reaches_the_function() -> None:
    routes = {(path, method) for path, method, _ in METHODS}
    assert routes == {(path, "x-amazon-apigateway-any-method") for path in ("/", "/{proxy+}")}


@pytest.mark.parametrize("integration", [row[2] for row in METHODS], ids=[row[0] for row in METHODS])
def test_every_method_streams_for_as_long_as_api_gateway_allows(integration: Json) -> None:
    assert integration["type"] == "aws_proxy"
    assert integration["responseTransferMode"] == "STREAM"
    assert integration["timeoutInMillis"] == 900_000
    (uri,) = strings(integration["uri"])
    assert uri.endswith(
        ":lambda:path/2021-11-15/functions/${GatewayFunction.Arn}/response-streaming-invocations"
    )


def test_the_function_ends_before_api_gateway_does() -> None:
    timeout = PARAMETERS["Timeout"]
    assert FUNCTION["Timeout"] == {"Ref": "Timeout"}
    for seconds in (timeout["Default"], timeout["MaxValue"]):
        assert all(seconds * 1000 < integration["timeoutInMillis"] for _, _, integration in METHODS)


def test_the_api_is_regional_and_its_stage_is_the_end_of_the_base_url() -> None:
    assert API["EndpointConfiguration"]["Types"] == ["REGIONAL"]
    stages = of_type("AWS::ApiGateway::Stage")
    assert [stage["Properties"]["StageName"] for stage in stages.values()] == ["v1"]


# The function's permissions: action and resource.
ALWAYS_ALLOWED = {
    ("logs:CreateLogStream", "<GatewayLogs.Arn>"),
    ("logs:PutLogEvents", "<GatewayLogs.Arn>"),
    ("dynamodb:BatchGetItem", "<Table.Arn>"),
    ("dynamodb:DeleteItem", "<Table.Arn>"),
    ("dynamodb:GetItem", "<Table.Arn>"),
    ("dynamodb:PutItem", "<Table.Arn>"),
    ("dynamodb:UpdateItem", "<Table.Arn>"),
}
WORKSPACE = "arn:aws:aws-external-anthropic:eu-west-1:111122223333:workspace/wrkspc_01"
INVOKE = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
MODELS = ("anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-opus-5-5")
ALLOWED_BY_HOST = {
    "anthropic": {("secretsmanager:GetSecretValue", "<AnthropicApiKeySecret>")},
    "aws": {
        (f"aws-external-anthropic:{action}", WORKSPACE)
        for action in ("CountTokens", "CreateInference", "ListModels")
    },
    "bedrock": {
        (action, f"arn:aws:bedrock:{resource}{model}")
        for action in INVOKE
        for model in MODELS
        for resource in ("*:*:inference-profile/*.", "*::foundation-model/")
    },
}
PROJECT = "arn:aws:bedrock-mantle:eu-west-1:111122223333:project/default"
ALLOWED_ON_MANTLE = {(f"bedrock-mantle:{action}", PROJECT) for action in ("CountTokens", "CreateInference")}
UPSTREAMS = PARAMETERS["Upstream"]["AllowedValues"]
ENDPOINTS = PARAMETERS["BedrockEndpoint"]["AllowedValues"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_the_function_has_exactly_the_permissions_it_needs(upstream: str, endpoint: str) -> None:
    assert not of_type("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
    assert [*of_type("AWS::IAM::Role")] == ["GatewayRole"]
    evaluator = Evaluator(
        Upstream=upstream,
        WorkspaceId="wrkspc_01",
        BedrockModels=",".join(MODELS),
        BedrockEndpoint=endpoint,
        BedrockInferenceProfile="eu",
    )
    role = evaluator.value(RESOURCES["GatewayRole"]["Properties"])
    allowed = []
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            if any("foundation-model" in resource for resource in strings(statement["Resource"])):
                profile = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.*"
                assert statement.pop("Condition") == {"StringLike": {"bedrock:InferenceProfileArn": profile}}
            if PROJECT in strings(statement["Resource"]):
                assert statement.pop("Condition") == {"StringEquals": {"bedrock-mantle:Model": [*MODELS]}}
            assert statement.keys() == {"Effect", "Action", "Resource"}
            allowed += [
                (action, resource)
                for action in strings(statement["Action"])
                for resource in strings(statement["Resource"])
            ]
    by_host = ALLOWED_BY_HOST if endpoint == "runtime" else {**ALLOWED_BY_HOST, "bedrock": ALLOWED_ON_MANTLE}
    expected = ALWAYS_ALLOWED.union(*(by_host[host] for host in upstream.split(",")))
    assert sorted(allowed) == sorted(expected)
    # X-Ray's actions have no resources; see the comment in the template.
    assert role["ManagedPolicyArns"] == ["arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_the_function_gets_what_its_upstream_needs(upstream: str, endpoint: str) -> None:
    evaluator = Evaluator(
        Upstream=upstream,
        WorkspaceId="wrkspc_01",
        BedrockEndpoint=endpoint,
        ModelFallbacks="claude-opus-5>claude-sonnet-5",
    )
    variables = evaluator.value(VARIABLES)
    settings = Settings.from_env({**variables, "AWS_REGION": "eu-west-1"})
    assert ",".join(settings.upstream) == upstream
    uses_anthropic = "anthropic" in settings.upstream
    assert evaluator.condition(RESOURCES["AnthropicApiKeySecret"]["Condition"]) == uses_anthropic
    assert bool(settings.anthropic_api_key_secret) == uses_anthropic
    assert (settings.aws.workspace_id, settings.aws.inference_profile) == ("wrkspc_01", "global")
    assert settings.aws.bedrock_endpoint == endpoint


RULES: list[tuple[str, Json, str]] = [
    ("anthropic", {}, ""),
    ("aws", {}, "WorkspaceId"),
    ("aws", {"WorkspaceId": "wrkspc_01"}, ""),
    ("anthropic,aws", {}, "WorkspaceId"),
    ("bedrock", {}, ""),
    ("bedrock", {"BedrockModels": ""}, "BedrockModels"),
    ("bedrock,aws", {"BedrockModels": "", "WorkspaceId": "wrkspc_01"}, "BedrockModels"),
]


@pytest.mark.parametrize(("upstream", "parameters", "asked"), RULES)
def test_a_choice_asks_for_what_it_needs_before_the_deployment(
    upstream: str, parameters: Json, asked: str
) -> None:
    broken = Evaluator(Upstream=upstream, **parameters).broken_rules()
    assert [text for text in broken if asked in text] == broken
    assert bool(broken) == bool(asked)


def test_the_rules_and_conditions_know_every_choice() -> None:
    conditions = {"anthropic": "UsesAnthropic", "aws": "UsesClaudePlatform", "bedrock": "UsesBedrock"}
    for upstream in UPSTREAMS:
        evaluator = Evaluator(Upstream=upstream, BedrockModels="")
        used = [host for host, condition in conditions.items() if evaluator.condition(condition)]
        assert used == sorted(upstream.split(","))
        asked = {"aws": "WorkspaceId", "bedrock": "BedrockModels"}
        broken = " ".join(evaluator.broken_rules())
        assert [name for name in asked.values() if name in broken] == [
            asked[host] for host in used if host in asked
        ]


def test_the_default_models_are_those_of_bedrock() -> None:
    mantle = to_host("bedrock", Settings(aws=AWSHosts(region="eu-west-1", bedrock_endpoint="mantle")))
    for id_ in PARAMETERS["BedrockModels"]["Default"].split(","):
        assert find_model(id_, {}).bedrock.id == id_
        assert undated(find_model(id_, {}).id) in SERVED
        assert mantle.model_id(find_model(id_, {})) == id_


@pytest.mark.parametrize(
    ("choice", "auth", "public"), [("off", None, 0), ("public", "NONE", 2), ("iam", "AWS_IAM", 0)]
)
def test_a_function_url_streams_instead_of_api_gateway(choice: str, auth: str | None, public: int) -> None:
    evaluator = Evaluator(FunctionUrl=choice)
    (url,) = of_type("AWS::Lambda::Url").values()
    assert evaluator.condition(url["Condition"]) == (auth is not None)
    assert url["Properties"]["InvokeMode"] == "RESPONSE_STREAM"
    if auth:
        assert evaluator.value(url["Properties"])["AuthType"] == auth
    permissions = [
        each
        for each in of_type("AWS::Lambda::Permission").values()
        if each.get("Condition") and evaluator.condition(each["Condition"])
    ]
    assert len(permissions) == public
    # API Gateway's own endpoint would be a way around IAM.
    (server,) = evaluator.value(API["Body"]["servers"])
    configuration = server["x-amazon-apigateway-endpoint-configuration"]
    assert configuration["disableExecuteApiEndpoint"] is (auth is not None)
    base_url = evaluator.value(TEMPLATE["Outputs"]["BaseUrl"]["Value"])
    assert ("execute-api" in base_url) == (auth is None)
    assert base_url.endswith("v1" if auth else "/<Api.Stage>")


def test_the_table_has_the_expected_schema() -> None:
    (table,) = of_type("AWS::DynamoDB::Table").values()
    properties = table["Properties"]
    assert properties["KeySchema"] == [
        {"AttributeName": PARTITION_KEY, "KeyType": "HASH"},
        {"AttributeName": SORT_KEY, "KeyType": "RANGE"},
    ]
    assert properties["AttributeDefinitions"] == [
        {"AttributeName": name, "AttributeType": "S"} for name in (PARTITION_KEY, SORT_KEY)
    ]
    assert properties["TimeToLiveSpecification"] == {"AttributeName": EXPIRES, "Enabled": True}
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert "GlobalSecondaryIndexes" not in properties


def test_the_table_is_protected_against_deletion() -> None:
    table = RESOURCES["Table"]
    assert table["DeletionPolicy"] == "Retain"
    assert table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    # With a fixed name, the stack could not be deployed again while the retained table exists.
    assert "TableName" not in table["Properties"]
    assert TEMPLATE["Outputs"]["TableName"]["Value"] == {"Ref": "Table"}


def test_the_function_logs_json_to_a_group_with_retention() -> None:
    assert FUNCTION["LoggingConfig"] == {"LogGroup": {"Ref": "GatewayLogs"}, "LogFormat": "JSON"}
    assert [*of_type("AWS::Logs::LogGroup")] == ["GatewayLogs"]
    assert RESOURCES["GatewayLogs"]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_api_and_function_are_traced() -> None:
    assert FUNCTION["TracingConfig"] == {"Mode": "Active"}
    assert all(stage["Properties"]["TracingEnabled"] for stage in of_type("AWS::ApiGateway::Stage").values())


def test_the_exec_wrapper_is_in_the_package() -> None:
    wrapper = Path(VARIABLES["AWS_LAMBDA_EXEC_WRAPPER"])
    assert wrapper.parent == Path("/var/task")
    program = ROOT / TEMPLATE["Resources"]["GatewayFunction"]["Properties"]["CodeUri"] / wrapper.name
    assert program.is_file()
    assert program.stat().st_mode & 0o111 == 0o111


# None: API Gateway uses several statuses for that type.
STATUSES = {
    "ACCESS_DENIED": 403,
    "API_CONFIGURATION_ERROR": 500,
    "BAD_REQUEST_BODY": 400,
    "BAD_REQUEST_PARAMETERS": 400,
    "DEFAULT_4XX": None,
    "DEFAULT_5XX": None,
    "INTEGRATION_FAILURE": 502,
    "INTEGRATION_TIMEOUT": 504,
    "MISSING_AUTHENTICATION_TOKEN": 404,
    "QUOTA_EXCEEDED": 429,
    "REQUEST_TOO_LARGE": 413,
    "RESOURCE_NOT_FOUND": 404,
    "THROTTLED": 429,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "WAF_FILTERED": 403,
}


def test_every_api_gateway_error_has_a_response() -> None:
    assert sorted(RESPONSES) == sorted(STATUSES)


@pytest.mark.parametrize(("kind", "status"), STATUSES.items(), ids=STATUSES)
def test_api_gateway_errors_have_openais_shape(kind: str, status: int | None) -> None:
    response = RESPONSES[kind]
    assert response.get("statusCode") == (None if status is None else str(status))
    assert [*response["responseTemplates"]] == ["application/json"]
    template = response["responseTemplates"]["application/json"]
    # API Gateway inserts the message with its quotes.
    body = json.loads(template.replace("$context.error.messageString", json.dumps('Too "many"')))
    assert "$" not in json.dumps(body)
    error = body["error"]
    assert body.keys() == {"error"}
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["param"] is None
    server = kind == "DEFAULT_5XX" or (status or 0) >= 500
    assert (error["type"] == "server_error") is server


@pytest.mark.parametrize("kind", STATUSES)
def test_api_gateway_errors_have_cors_headers(kind: str) -> None:
    headers = RESPONSES[kind]["responseParameters"]
    origin = headers["gatewayresponse.header.Access-Control-Allow-Origin"]
    assert origin == {"Fn::If": ["HasCors", "'*'", {"Ref": "AWS::NoValue"}]}
    # Otherwise a changed origin is deployed only with the next change of the API: SAM's hash ignores parameter values.
    assert TEMPLATE["Resources"]["Api"]["Properties"]["AlwaysDeploy"] is True


def test_every_parameter_has_a_description_a_label_and_a_group() -> None:
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(PARAMETERS)
    assert interface["ParameterLabels"].keys() == PARAMETERS.keys()
    assert all(len(parameter["Description"]) > 20 for parameter in PARAMETERS.values())
    assert all("Default" in parameter for parameter in PARAMETERS.values())


VALUES = [
    ("AnthropicApiKey", "unset", True),
    ("AnthropicApiKey", "", False),  # Secrets Manager refuses an empty string
    ("AnthropicApiKey", "two words", False),
    ("AnthropicBaseUrl", "http://localhost:8000", True),
    ("AnthropicBaseUrl", "api.anthropic.com", False),
    ("ModelAliases", "", True),
    ("ModelAliases", "gpt-4o=claude-sonnet-5-5", True),
    ("ModelAliases", "gpt-4o=claude-sonnet-5-5,gpt-*=claude-haiku-5-5", True),
    ("ModelAliases", "gpt-4o", False),
    ("ModelAliases", "gpt-4o=claude-sonnet-5-5,", False),
    ("CorsOrigin", "", True),
    ("CorsOrigin", "*", True),
    ("CorsOrigin", "https://chat.example.com", True),
    ("CorsOrigin", "http://localhost:5173", True),
    ("CorsOrigin", "https://chat.example.com/", True),
    ("CorsOrigin", "https://chat.example.com,app://obsidian.md, tauri://localhost", True),
    ("CorsOrigin", "chrome-extension://abcdefghijklmnop", True),
    ("CorsOrigin", "https://chat.example.com/page", False),
    ("CorsOrigin", "https://*.example.com", False),
    ("CorsOrigin", "chat.example.com", False),
    ("CorsOrigin", "*,https://chat.example.com", False),
    ("CorsOrigin", "https://it's.example.com", False),
    ("AlarmEmail", "", True),
    ("AlarmEmail", "ops@example.com", True),
    ("AlarmEmail", "ops", False),
]


@pytest.mark.parametrize(("name", "value", "taken"), VALUES)
def test_parameters_accept_the_values_that_the_gateway_accepts(name: str, value: str, taken: bool) -> None:
    assert bool(re.fullmatch(PARAMETERS[name]["AllowedPattern"], value)) is taken
    if name == "ModelAliases" and taken:
        Settings.from_env({"MODEL_ALIASES": value})


def test_the_alias_example_in_the_description_works() -> None:
    examples = re.findall(r"\S+=\S+\w", PARAMETERS["ModelAliases"]["Description"])
    assert [Settings.from_env({"MODEL_ALIASES": example}).model_aliases for example in examples]


# Environment variables and the parameters that set them.
CHOICES = [
    ("ANTHROPIC_BASE_URL", "AnthropicBaseUrl"),
    ("CORS_ORIGIN", "CorsOrigin"),
    ("COST_HEADERS", "CostHeaders"),
    ("KEYS_ON_FAILURE", "KeysOnFailure"),
    ("LIMITS_ON_FAILURE", "LimitsOnFailure"),
    ("MAX_CHOICES", "MaxChoices"),
    ("RESPONSES_DAYS", "ResponsesDays"),
    ("UNPRICED_MODELS", "UnpricedModels"),
    ("METRICS_PER_KEY", "MetricsPerKey"),
    ("MODEL_ALIASES", "ModelAliases"),
    ("PROMPT_CACHING", "PromptCaching"),
    ("MESSAGES_PROMPT_CACHING", "MessagesPromptCaching"),
]
# Read by Lambda and by Powertools.
NO_SETTINGS = {"AWS_LAMBDA_EXEC_WRAPPER", "POWERTOOLS_SERVICE_NAME"}


@pytest.mark.parametrize(("variable", "parameter"), CHOICES, ids=[row[0] for row in CHOICES])
def test_parameters_reach_the_function(variable: str, parameter: str) -> None:
    assert VARIABLES[variable] == {"Ref": parameter}
    definition = PARAMETERS[parameter]
    for value in {definition["Default"], *definition.get("AllowedValues", [])}:
        Settings.from_env({variable: str(value)})


def test_the_gateway_reads_every_variable_of_the_function() -> None:
    class Reads(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            read.add(name)
            return default

    read: set[str] = set()
    Settings.from_env(Reads())
    assert sorted(VARIABLES.keys() - NO_SETTINGS - read) == []


def test_the_default_of_a_switch_is_a_string() -> None:
    # YAML reads an unquoted on or off as a boolean, which CloudFormation passes on as "true" or "false".
    for parameter in PARAMETERS.values():
        if parameter["Type"] == "String":
            assert all(
                isinstance(value, str) for value in [parameter["Default"], *parameter.get("AllowedValues", [])]
            )


def test_no_secret_is_in_the_template() -> None:
    assert PARAMETERS["AnthropicApiKey"]["NoEcho"] is True
    assert VARIABLES["ANTHROPIC_API_KEY"] == ""
    assert VARIABLES["CLAUDEXIA_API_KEYS"] == ""
    config = (ROOT / "samconfig.toml").read_text()
    for text in (TEXT, config):
        assert not re.search(r"sk-ant-\w|sk_cdx_\w|AKIA|[0-9a-fA-F]{32}|\d{12}", text)
    assert "AnthropicApiKey" not in config


def test_an_update_keeps_the_anthropic_key() -> None:
    assert [*of_type("AWS::SecretsManager::Secret")] == ["AnthropicApiKeySecret"]
    secret = RESOURCES["AnthropicApiKeySecret"]
    assert secret["UpdateReplacePolicy"] == "Retain"
    assert secret["DeletionPolicy"] == "Delete"
    assert secret["Properties"]["SecretString"] == {"Ref": "AnthropicApiKey"}


def output(name: str) -> str:
    return str(Evaluator().value(TEMPLATE["Outputs"][name]["Value"]))


def test_outputs_are_valid_commands() -> None:
    assert output("BaseUrl").endswith("/<Api.Stage>")
    assert output("TryIt").startswith(f"curl -N {output('BaseUrl')}/chat/completions ")
    body = re.search(r"-d '(.*)'$", output("TryIt"))
    assert body
    assert json.loads(body[1])["stream"] is True
    assert output("Check") == f'uv run claudexia check {output("BaseUrl")} --key "$CLAUDEXIA_KEY"'
    assert output("CreateKey").startswith("uv run claudexia keys create me --stack claudexia ")
    assert output("DashboardUrl").startswith("https://eu-west-1.console.aws.amazon.com/")
    for name in ("CreateKey", "Doctor", "SetAnthropicApiKey", "Logs"):
        assert "--region eu-west-1" in output(name)


def test_sam_needs_no_flags() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    assert config["global"]["parameters"]["stack_name"] == "claudexia"
    assert config["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    assert config["deploy"]["parameters"]["resolve_s3"] is True
    assert config["validate"]["parameters"]["region"]
    assert "region" not in config["global"]["parameters"] | config["deploy"]["parameters"]
