"""Signatures are those of botocore, byte for byte, over generated requests."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from unittest.mock import patch
from urllib.parse import quote

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from claudexia.aws.signing import Credentials, SigningScope, sign_request

NOW = datetime(2026, 11, 26, 23, 59, 59, tzinfo=UTC)
SCOPE = SigningScope("eu-central-1", "bedrock")
LONG_TERM = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TEMPORARY = Credentials("ASIDEXAMPLE", "secret/+=", "FwoGZXIvYXdzEBYaD//////////wEaDEXAMPLE==")


@contextmanager
def botocore_clock(now: datetime) -> Iterator[None]:
    with patch("botocore.auth.get_current_datetime", lambda: now):
        yield


def botocore_headers(
    method: str, url: str, headers: dict[str, str], body: bytes, credentials: Credentials, scope: SigningScope
) -> dict[str, str]:
    """What botocore adds to `headers`."""
    request = AWSRequest(method, url, headers, body)
    keys = BotoCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token or None
    )
    SigV4Auth(keys, scope.service, scope.region).add_auth(request)
    names = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")
    return {name.lower(): request.headers[name] for name in names if name in request.headers}


def compare(
    method: str = "POST",
    url: str = "https://example.amazonaws.com/",
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
    credentials: Credentials = LONG_TERM,
    scope: SigningScope = SCOPE,
    now: datetime = NOW,
) -> None:
    sent = headers or {}
    with botocore_clock(now.astimezone(UTC)):
        expected = botocore_headers(method, url, sent, body, credentials, scope)
    assert sign_request(method, url, sent, body, credentials=credentials, scope=scope, now=now) == expected


URLS = [
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3A%3A%3Aprofile%2Fa/invoke",
    "https://example.amazonaws.com",
    "https://example.amazonaws.com?a=b",
    "https://example.amazonaws.com/a//b/./c/../d/",
    "https://example.amazonaws.com/../..",
    "https://example.amazonaws.com/a~b/%C3%A4/%25/(c)!*'",
    "https://example.amazonaws.com/?b=2&a=2&a=1&A=3&flag&empty=&%C3%A4=%20&a-b=~&a.b=_",
    "https://example.amazonaws.com/?a=b=c&&d",
    "https://EXAMPLE.amazonaws.com:443/",
    "http://example.amazonaws.com:80/",
    "http://localhost:8000/",
    "http://127.0.0.1:443/",
    "https://[fd00:ec2::23]:8443/v1/credentials",
    "https://user:secret@example.amazonaws.com/",
]
HEADERS: list[dict[str, str]] = [
    {"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": "application/x-amz-json-1.0"},
    {"X-Spaces": "  a   b \t c  ", "x-empty": ""},
    {"Host": "other.example.com"},
    {"User-Agent": "x", "Connection": "close", "Transfer-Encoding": "chunked", "X-Amzn-Trace-Id": "Root=1"},
    {"traceparent": "00-1-1-01", "Expect": "100-continue", "TE": "trailers", "x-amz-user-agent": "signed"},
    {"authorization": "Bearer old", "X-Amz-Date": "20200101T000000Z", "X-Amz-Security-Token": "old"},
    {"x-b": "2", "x-a": "1", "x-a-b": "3", "X-AB": "4", "accept": "*/*"},
    {"x-text": "äöü €"},
]


@pytest.mark.parametrize("url", URLS)
def test_urls(url: str) -> None:
    compare(url=url)
    compare("get", url, body=b"", credentials=TEMPORARY)


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_headers(headers: dict[str, str]) -> None:
    compare(headers=headers, credentials=TEMPORARY)


def test_a_time_in_another_zone_is_signed_in_utc() -> None:
    compare(now=NOW.astimezone(timezone(timedelta(hours=5, minutes=30))))


TEXT = "azAZ09-._~ /:@!$'()*,;=+&?#%[]\\\"<>{}|^`äß漢🙂"
CASES = 500


def text(rng: random.Random, most: int, alphabet: str = TEXT) -> str:
    return "".join(rng.choices(alphabet, k=rng.randint(0, most)))


def generated_url(rng: random.Random) -> str:
    host = rng.choice(["example.amazonaws.com", "localhost:8000", "example.com:443", "10.0.0.1:80"])
    path = "".join(
        rng.choice(["/", "//", "/./", "/../", "/"]) + quote(text(rng, 8), safe=rng.choice(["", ":", "-_.~:@"]))
        for _ in range(rng.randint(0, 5))
    )
    pairs = [
        quote(text(rng, 4), safe="") + rng.choice(["=", "=", ""]) + quote(text(rng, 4), safe="")
        for _ in range(rng.randint(0, 5))
    ]
    query = "?" + "&".join(pairs) if pairs else ""
    return f"{rng.choice(['http', 'https'])}://{host}{path if path.startswith('/') else '/' + path}{query}"


def generated_headers(rng: random.Random) -> dict[str, str]:
    names = {text(rng, 12, "abcdefXYZ-0123456789").lower(): None for _ in range(rng.randint(0, 6))}
    cased = [rng.choice([str.lower, str.upper, str.title])(f"x-{name}") for name in names]
    return {name: text(rng, 20, TEXT + "   \t") for name in cased}


@pytest.mark.parametrize("seed", range(4))
def test_generated_requests(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    for _ in range(CASES):
        compare(
            method=rng.choice(["GET", "POST", "PUT", "delete"]),
            url=generated_url(rng),
            headers=generated_headers(rng),
            body=rng.randbytes(rng.choice([0, 1, 10, 1000])),
            credentials=Credentials("AKID" + text(rng, 16, "ABC123"), text(rng, 40), text(rng, 60)),
            scope=SigningScope(text(rng, 12, "abc-12") or "r", rng.choice(["dynamodb", "bedrock", "aws-external-anthropic"])),
            now=NOW + timedelta(seconds=rng.randrange(10**9)),
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_what_httpx_sends_is_what_is_signed(seed: int) -> None:
    """A URL that httpx has encoded and the host header that it adds."""
    rng = random.Random(seed)  # noqa: S311
    for _ in range(CASES // 5):
        request = httpx.Request("POST", generated_url(rng), content=b"{}")
        url = str(request.url)
        signed = sign_request("POST", url, request.headers, b"{}", credentials=TEMPORARY, scope=SCOPE, now=NOW)
        with botocore_clock(NOW):
            assert signed == botocore_headers("POST", url, dict(request.headers), b"{}", TEMPORARY, SCOPE)


def test_secrets_are_not_in_the_representation() -> None:
    assert TEMPORARY.secret_access_key not in repr(TEMPORARY)
    assert TEMPORARY.session_token not in repr(TEMPORARY)
