"""Base64 as clients send it: taken out of its data URL, checked, and decoded to see what it is.

The API's own complaint would name no field, so all of it is checked here.
"""

import base64
import binascii
import re

from claudexia.translate.errors import APIError, invalid_request

_SPACES = re.compile(r"\s+")


def without_spaces(encoded: str) -> str:
    return _SPACES.sub("", encoded)


def encoded_part(rest: str, expected: str, path: str) -> str:
    """The base64 in what follows a data URL's scheme. Raises APIError 400 where there is none."""
    label, comma, encoded = rest.partition(",")
    if not comma or not label.lower().endswith(";base64"):
        raise invalid(path, f"expected {expected}")
    return without_spaces(encoded)


def decoded(data: str, path: str) -> bytes:
    """Raises APIError 400 `invalid_base64`."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(path, "the data is not valid base64", "invalid_base64") from None


def invalid(path: str, why: str, code: str = "invalid_value") -> APIError:
    return invalid_request(f"Invalid '{path}': {why}.", path, code)
