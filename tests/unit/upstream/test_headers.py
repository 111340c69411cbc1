"""Relayed response headers: only values that every server can send."""

from datetime import UTC, datetime

import pytest

from claudexia.upstream.headers import relayed_headers, retry_headers

NOW = datetime(2026, 11, 26, tzinfo=UTC)
VALUES = {
    "ordinary": ("req_011", True),
    "longest": ("r" * 256, True),
    "longer": ("r" * 257, False),
    "70 kB": ("r" * 70_000, False),
    "empty": ("", False),
    "not ASCII": ("caf\xe9", False),
    "a tab": ("a\tb", False),
    "a line's end": ("a\r\nset-cookie: b", False),
    "NUL": ("a\0b", False),
    "DEL": ("a\x7fb", False),
}
RELAYED = {
    "request-id": "x-request-id",
    "anthropic-ratelimit-requests-limit": "x-ratelimit-limit-requests",
    "anthropic-ratelimit-tokens-remaining": "x-ratelimit-remaining-tokens",
}


@pytest.mark.parametrize(("value", "relayed"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", RELAYED)
def test_relayed(name: str, value: str, relayed: bool) -> None:
    assert relayed_headers({name: value}, NOW) == ({RELAYED[name]: value} if relayed else {})


@pytest.mark.parametrize(("value", "relayed"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms", "x-should-retry"])
def test_relayed_with_failures(name: str, value: str, relayed: bool) -> None:
    assert retry_headers({name: value}) == ({name: value} if relayed else {})
