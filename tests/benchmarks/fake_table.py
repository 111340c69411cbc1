"""A fake DynamoDB and Secrets Manager that respond after a given time; with 0, only the gateway's work is measured.

PutItem, GetItem and Query work. UpdateItem is ignored, so no limit is ever reached. Every secret is "x". There is no
TLS. `processes.py` runs it.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.http_server import HTTPConnection, serve

_OPERATION = re.compile(rb"\r\nx-amz-target: *(?:DynamoDB_20120810|secretsmanager)\.(\w+)", re.IGNORECASE)
_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n"

Attributes = dict[str, Any]  # an item in DynamoDB's JSON


class _Items:
    """The items of the only table."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Attributes] = {}

    def answer(self, operation: str, request: Mapping[str, Any]) -> Attributes:
        """Raises KeyError for other operations."""
        if operation == "PutItem":
            self._items[_key(request["Item"])] = request["Item"]
            return {}
        if operation == "GetItem":
            item = self._items.get(_key(request["Key"]))
            return {"Item": item} if item else {}
        if operation == "Query":
            partition = request["ExpressionAttributeValues"][":partition"]
            return {"Items": [item for item in self._items.values() if item["pk"] == partition]}
        if operation == "GetSecretValue":
            return {"SecretString": "x"}
        if operation == "UpdateItem":
            return {"Attributes": {name: {"N": "1"} for name in request["ExpressionAttributeNames"].values()}}
        raise KeyError(operation)


def _key(attributes: Attributes) -> tuple[str, str]:
    return attributes["pk"]["S"], attributes["sk"]["S"]


class _Connection(HTTPConnection):
    def __init__(self, items: _Items, delay: float) -> None:
        super().__init__()
        self._items = items
        self._delay = delay

    def answer(self, head: bytes, body: bytes) -> None:
        operation = _OPERATION.search(head)
        if not operation:
            raise ValueError(f"no operation in {head!r}")
        answer = json.dumps(self._items.answer(operation[1].decode(), json.loads(body))).encode()
        response = _HEAD.format(len(answer)).encode() + answer
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self.transport.write, response)
        else:
            self.transport.write(response)


if __name__ == "__main__":
    items = _Items()
    seconds = float(sys.argv[2])
    asyncio.run(serve(lambda: _Connection(items, seconds), int(sys.argv[1])))
