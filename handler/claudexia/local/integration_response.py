"""Metadata: what a streamed response says of itself before its body: JSON, then eight NUL bytes.

https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html#response-transfer-mode-lambda-format
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

_DELIMITER = b"\0" * 8
_LIMIT = 16 * 1024
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_REMAPPED = frozenset({"connection", "content-length", "content-md5", "date", "server", "www-authenticate"})
_DROPPED = frozenset({"expect", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"})


class MalformedResponseError(Exception):
    """The function's answer is not what a streaming proxy integration takes; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Status and headers as they go to the client."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]


async def read_metadata(pieces: AsyncIterator[bytes]) -> tuple[Metadata, bytes]:
    """The metadata, and what of the body was read with it. Raises MalformedResponseError."""
    buffer = b""
    async for piece in pieces:
        buffer += piece
        head, found, body = buffer.partition(_DELIMITER)
        if found and len(head) + len(_DELIMITER) <= _LIMIT:
            return _metadata(head), body
        if len(buffer) > _LIMIT:
            raise MalformedResponseError("no metadata and delimiter within the first 16 KB")
    raise MalformedResponseError("it ended before metadata and delimiter")


def _metadata(head: bytes) -> Metadata:
    try:
        told = json.loads(head)
    except ValueError:
        raise MalformedResponseError("its metadata is not JSON") from None
    if not isinstance(told, dict):
        raise MalformedResponseError("its metadata is not an object")
    status = told.get("statusCode", 200)
    if not (isinstance(status, int) and 100 <= status <= 599):
        raise MalformedResponseError(f"its statusCode is {status!r}")
    return Metadata(status, _headers(told))


def _headers(told: Mapping[str, object]) -> list[tuple[bytes, bytes]]:
    several = {
        name.lower(): _items(values, f"multiValueHeaders.{name}")
        for name, values in _pairs(told, "multiValueHeaders")
    }
    # "If the same key-value pair is specified in both, only the values from multiValueHeaders will appear."
    single = [
        (name, value)
        for name, value in _pairs(told, "headers")
        if str(value) not in several.get(name.lower(), [])
    ]
    cookies = _items(told.get("cookies") or [], "cookies")
    every = [
        *single,
        *((name, value) for name, values in several.items() for value in values),
        *(("set-cookie", cookie) for cookie in cookies),
    ]
    return [_sent(name, str(value)) for name, value in every if name.lower() not in _DROPPED]


def _sent(name: str, value: str) -> tuple[bytes, bytes]:
    shown = f"x-amzn-remapped-{name}" if name.lower() in _REMAPPED else name
    try:
        return shown.lower().encode("ascii"), value.encode("latin-1")
    except UnicodeEncodeError:
        raise MalformedResponseError(f"its header {name!r} cannot be sent") from None


def _pairs(told: Mapping[str, object], key: str) -> list[tuple[str, object]]:
    value = told.get(key) or {}
    if not isinstance(value, dict):
        raise MalformedResponseError(f"its {key} is not an object")
    return list(value.items())


def _items(value: object, where: str) -> list[str]:
    if not isinstance(value, list):
        raise MalformedResponseError(f"its {where} is not a list")
    return [str(item) for item in value]
