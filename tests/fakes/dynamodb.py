"""A DynamoDB over real sockets with injectable faults: an ASGI app in front of moto."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from claudexia.storage.dynamodb import DynamoTable, make_client
from tests.helpers.serving import serving
from tests.helpers.tables import NAME, REGION, Now, create_table

# DynamoDB's error codes, sent with status 400.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
CODES = {
    "missing": "ResourceNotFoundException",
    "throttled": "ThrottlingException",
    "denied": "AccessDeniedException",
    "failed": "ValidationException",
}


class FaultyDynamoDB:
    """`fault` is a key of CODES, "timeout" (a pause of `delay` seconds before each response), or empty."""

    def __init__(self, client: Any) -> None:
        self.fault = ""
        self.delay = 2.0
        self.operations: list[str] = []
        self._client = client

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        target = dict(scope["headers"])[b"x-amz-target"].decode().partition(".")[2]
        self.operations.append(target)
        if self.fault == "timeout":
            await asyncio.sleep(self.delay)
        code = CODES.get(self.fault)
        status, answer = (
            (400, {"__type": code}) if code else await asyncio.to_thread(self._call_moto, target, body)
        )
        headers = [(b"content-type", b"application/x-amz-json-1.0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _call_moto(self, operation: str, body: bytes) -> tuple[int, Any]:
        method = re.sub(r"(?<!^)([A-Z])", r"_\1", operation).lower()
        try:
            answer = getattr(self._client, method)(**json.loads(body))
        except ClientError as error:
            return 400, {"__type": error.response["Error"]["Code"]}
        return 200, {key: value for key, value in answer.items() if key != "ResponseMetadata"}


@contextmanager
def faulty_dynamodb() -> Iterator[tuple[FaultyDynamoDB, str]]:
    """A FaultyDynamoDB with the table NAME, and its URL."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name=REGION)
        create_table(client)
        app = FaultyDynamoDB(client)
        with serving(app) as url:
            yield app, url


def table_at(url: str, now: Now, timeout: float) -> DynamoTable:
    session = boto3.Session("testing", "testing", region_name=REGION)
    return DynamoTable(NAME, now, lambda: make_client(session, url, timeout))
