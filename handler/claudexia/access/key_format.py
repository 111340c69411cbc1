"""The text of a key: `sk_cdx_`, 256 random bits, and a checksum.

A scanner for leaked secrets finds keys with the pattern `sk_cdx_[0-9A-Za-z]{49}`. The checksum then tells a key
from what only looks like one, and from a key that was mistyped, without asking anybody, as in GitHub's tokens.

Source: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
"""

import hmac
import re
import secrets
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from zlib import crc32

from claudexia.settings import KEY_PREFIX

_ALPHABET = digits + ascii_uppercase + ascii_lowercase
_RANDOM = 43  # digits of base 62 that hold 256 bits
_CHECKSUM = 6  # and 32 bits
_FORMAT = re.compile(rf"{KEY_PREFIX}[0-9A-Za-z]{{{_RANDOM + _CHECKSUM}}}")


def new_secret() -> str:
    unsigned = KEY_PREFIX + _base62(secrets.randbits(256), _RANDOM)
    return unsigned + _checksum(unsigned)


def is_formatted(secret: str) -> bool:
    """Whether `secret` looks like one of new_secret(), its checksum aside."""
    return _FORMAT.fullmatch(secret) is not None


def checksum_holds(secret: str) -> bool:
    """Whether `secret` is formatted, and its last six characters are the CRC-32 of all before them."""
    return is_formatted(secret) and hmac.compare_digest(_checksum(secret[:-_CHECKSUM]), secret[-_CHECKSUM:])


def digest(secret: str) -> str:
    """The SHA-256 by which a key is kept and found, in hexadecimal."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(text: str) -> str:
    return _base62(crc32(text.encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    places: list[str] = []
    for _ in range(width):
        number, place = divmod(number, len(_ALPHABET))
        places.append(_ALPHABET[place])
    return "".join(reversed(places))
