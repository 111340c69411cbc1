"""AWS over a real socket: moto answers, one request after the other, with the content of mock_aws().

Requests are counted, and DynamoDB can be told to fail.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSRequest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from tests.helpers.serving import serving

REGION = "eu-central-1"
# What DynamoDB answers, with status 400.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
CODES = {
    "missing": "ResourceNotFoundException",
    "throttled": "ThrottlingException",
    "denied": "AccessDeniedException",
    "failed": "ValidationException",
}


class FakeAWS:
    """`fault` is one of CODES, "timeout", which waits for `delay` seconds first, or nothing."""

    def __init__(self) -> None:
        self.fault = ""
        self.delay = 2.0
        self.operations: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.operations.append(headers["x-amz-target"].partition(".")[2])
        if self.fault == "timeout":
            await asyncio.sleep(self.delay)
        code = CODES.get(self.fault)
        status, answer = (400, json.dumps({"__type": code}).encode()) if code else _ask_moto(headers, body)
        types = [(b"content-type", b"application/x-amz-json-1.0")]
        await send({"type": "http.response.start", "status": status, "headers": types})
        await send({"type": "http.response.body", "body": answer})


def _ask_moto(headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """moto finds the service by the host, which is that of the signature's service here."""
    service = headers["authorization"].split("/")[3]
    url = f"https://{service}.{REGION}.amazonaws.com/"
    answered = BotocoreStubber().process_request(AWSRequest("POST", url, headers, body).prepare())
    assert answered
    status, _, content = answered
    return status, content if isinstance(content, bytes) else content.encode()


@contextmanager
def fake_aws() -> Iterator[tuple[FakeAWS, str]]:
    """Yields its URL too."""
    with mock_aws():
        app = FakeAWS()
        with serving(app) as url:
            yield app, url
