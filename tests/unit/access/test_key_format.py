"""The format of keys, and what a secret scanner or a typo check can check from it alone."""

import re
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from zlib import crc32

import pytest

from claudexia.access.keys import checksum_holds, digest, new_secret

PATTERN = r"sk_cdx_[0-9A-Za-z]{49}"
ALPHABET = digits + ascii_uppercase + ascii_lowercase
SECRETS = [new_secret() for _ in range(100)]


def number(text: str) -> int:
    value = 0
    for char in text:
        value = value * 62 + ALPHABET.index(char)
    return value


@pytest.mark.parametrize("index", range(3))
def test_a_secret_scanner_can_find_and_check_keys(index: int) -> None:
    secret = SECRETS[index]
    assert re.findall(PATTERN, f'{{"key": "{secret}"}}') == [secret]
    assert number(secret[-6:]) == crc32(secret[:-6].encode())
    assert checksum_holds(secret)


def test_secrets_differ_in_all_their_256_bits() -> None:
    numbers = [number(secret[7:-6]) for secret in SECRETS]
    for bit in range(256):
        assert len({value >> bit & 1 for value in numbers}) == 2, bit
    assert max(numbers) < 2**256


@pytest.mark.parametrize("index", range(3))
def test_every_single_typo_is_detected(index: int) -> None:
    secret = SECRETS[index]
    for place in range(7, len(secret)):
        other = "a" if secret[place] != "a" else "b"
        assert not checksum_holds(secret[:place] + other + secret[place + 1 :]), place


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("sk_cdx_", id="prefix"),
        pytest.param("sk_cdx_test", id="chosen"),
        pytest.param(SECRETS[0][:-1], id="cut-off"),
        pytest.param(SECRETS[0] + "a", id="too-long"),
        pytest.param(SECRETS[0] + "\n", id="line-end"),
        pytest.param(SECRETS[0].upper(), id="upper-case"),
        pytest.param("sk_cdx_" + "٣" * 49, id="not-ascii"),
        pytest.param("sk_cdx_" + "\ud800" * 49, id="surrogates"),
    ],
)
def test_other_strings_are_not_keys(text: str) -> None:
    assert not checksum_holds(text)


def test_the_digest_is_sha256() -> None:
    assert digest("sk_cdx_test") == sha256(b"sk_cdx_test").hexdigest()
    assert len(digest("\ud800")) == 64
