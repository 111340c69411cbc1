"""Calls of AWS: what is sent where, what is repeated, and which error follows from a response."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from claudexia.aws.client import DYNAMODB, SECRETS_MANAGER, AWSClient, AWSError, Service
from claudexia.aws.credentials import Credentials, StaticCredentials
from claudexia.aws.transport import Response, TransportError

CREDENTIALS = StaticCredentials(Credentials("id", "secret", "token"))
REGION = {"AWS_REGION": "eu-central-1"}


def error(code: str, status: int = 400) -> Response:
    return Response(status, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}"}).encode())


OK = Response(200, b'{"a": 1}')
NOT_SENT = TransportError("", sent=False)
NO_CONNECTION_IN_TIME = TransportError("", sent=False, timed_out=True)
BROKEN = TransportError("", sent=True)
TIMEOUT = TransportError("", sent=True, timed_out=True)


@dataclass
class Scripted:
    """A transport with the next of `outcomes` for each request; it repeats the last."""

    outcomes: list[Response | TransportError]
    sent: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        self.sent.append((url, headers, body))
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome


def call(
    transport: Scripted,
    repeatable: bool = True,
    service: Service = DYNAMODB,
    environ: Mapping[str, str] = REGION,
    operation: str = "GetItem",
) -> Any:
    client = AWSClient(environ, CREDENTIALS, transport)
    return asyncio.run(client.call(service, operation, {"ä": [1, True]}, repeatable=repeatable))


ATTEMPTS: Sequence[tuple[str, Response | TransportError, tuple[int, int]]] = [
    # How often is it tried: an operation that is repeatable, and one that is not?
    ("no connection", NOT_SENT, (3, 3)),
    ("no connection in time", NO_CONNECTION_IN_TIME, (2, 2)),
    ("no response in time", TIMEOUT, (2, 1)),
    ("a broken connection", BROKEN, (3, 1)),
    ("throttled", error("ThrottlingException"), (3, 3)),
    ("throttled with a 503", error("ThrottlingException", 503), (3, 3)),
    ("throughput", error("ProvisionedThroughputExceededException"), (3, 3)),
    ("request limit", error("RequestLimitExceeded"), (3, 3)),
    ("a server error", error("InternalServerError", 500), (3, 1)),
    ("a proxy's error", Response(502, b"<html>"), (3, 1)),
    ("no JSON", Response(200, b"<html>"), (3, 1)),
    ("no object", Response(200, b"[]"), (3, 1)),
    ("denied", error("AccessDeniedException"), (1, 1)),
    ("missing", error("ResourceNotFoundException"), (1, 1)),
    ("a condition", error("ConditionalCheckFailedException"), (1, 1)),
    ("not found without a body", Response(404, b""), (1, 1)),
]


@pytest.mark.parametrize(
    ("outcome", "attempts"), [row[1:] for row in ATTEMPTS], ids=[row[0] for row in ATTEMPTS]
)
def test_only_what_was_not_executed_or_is_repeatable_is_repeated(
    outcome: Response | TransportError, attempts: tuple[int, int]
) -> None:
    for repeatable, most in zip((True, False), attempts, strict=True):
        transport = Scripted([outcome])
        with pytest.raises(AWSError):
            call(transport, repeatable)
        assert len(transport.sent) == most
        if most > 1:
            transport = Scripted([outcome, OK])
            assert call(transport, repeatable) == {"a": 1}
            assert len(transport.sent) == 2


CODES = [
    (error("AccessDeniedException"), "AccessDeniedException"),
    (Response(400, b'{"__type": "ExpiredTokenException", "message": "SECRET"}'), "ExpiredTokenException"),
    (Response(413, b"SECRET"), "Status413"),
    (TIMEOUT, "Timeout"),
    (NO_CONNECTION_IN_TIME, "Timeout"),
    (BROKEN, "ConnectionFailed"),
    (Response(200, b"SECRET"), "InvalidResponse"),
]


@pytest.mark.parametrize(("outcome", "code"), CODES)
def test_the_code_of_an_error(outcome: Response | TransportError, code: str) -> None:
    with pytest.raises(AWSError) as raised:
        call(Scripted([outcome]))
    assert raised.value.code == code
    assert "SECRET" not in str(raised.value)


def test_without_region_or_credentials_nothing_is_sent() -> None:
    transport = Scripted([OK])
    with pytest.raises(AWSError, match="NoRegion"):
        call(transport, environ={})
    with pytest.raises(AWSError, match="NoCredentials"):
        asyncio.run(AWSClient(REGION, None, transport).call(DYNAMODB, "GetItem", {}, repeatable=True))
    assert transport.sent == []


ENDPOINTS = [
    ("region", REGION, DYNAMODB, "https://dynamodb.eu-central-1.amazonaws.com/"),
    ("secrets", REGION, SECRETS_MANAGER, "https://secretsmanager.eu-central-1.amazonaws.com/"),
    ("China", {"AWS_REGION": "cn-north-1"}, DYNAMODB, "https://dynamodb.cn-north-1.amazonaws.com.cn/"),
    ("default region", {"AWS_DEFAULT_REGION": "us-east-1"}, DYNAMODB, "https://dynamodb.us-east-1.amazonaws.com/"),
    ("both regions", {"AWS_DEFAULT_REGION": "us-east-1", **REGION}, DYNAMODB, "https://dynamodb.eu-central-1.amazonaws.com/"),
    ("all services", {**REGION, "AWS_ENDPOINT_URL": "http://all"}, SECRETS_MANAGER, "http://all"),
    ("one service", {**REGION, "AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_DYNAMODB": "http://one/"}, DYNAMODB, "http://one/"),
    ("the other", {**REGION, "AWS_ENDPOINT_URL_DYNAMODB": "http://one/"}, SECRETS_MANAGER, "https://secretsmanager.eu-central-1.amazonaws.com/"),
    ("Secrets Manager", {**REGION, "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://one/"}, SECRETS_MANAGER, "http://one/"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "service", "url"), [row[1:] for row in ENDPOINTS], ids=[row[0] for row in ENDPOINTS]
)
def test_endpoints(environ: Mapping[str, str], service: Service, url: str) -> None:
    transport = Scripted([OK])
    call(transport, service=service, environ=environ)
    assert [sent for sent, _, _ in transport.sent] == [url]


@pytest.mark.parametrize(
    ("service", "operation", "target", "content_type"),
    [
        (DYNAMODB, "GetItem", "DynamoDB_20120810.GetItem", "application/x-amz-json-1.0"),
        (SECRETS_MANAGER, "GetSecretValue", "secretsmanager.GetSecretValue", "application/x-amz-json-1.1"),
    ],
)
def test_a_call(service: Service, operation: str, target: str, content_type: str) -> None:
    transport = Scripted([OK])
    call(transport, service=service, operation=operation)
    (_, headers, body), *_ = transport.sent
    assert json.loads(body) == {"ä": [1, True]}
    assert (headers["x-amz-target"], headers["content-type"]) == (target, content_type)
    assert headers["x-amz-security-token"] == "token"
    assert f"/eu-central-1/{service.name}/aws4_request" in headers["authorization"]
    assert "content-type;host;x-amz-date;x-amz-security-token;x-amz-target" in headers["authorization"]
