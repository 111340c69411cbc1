"""A signed thinking block of Claude's, with its host, as the `encrypted_content` of a reasoning item, and back.

Clients of the Responses API send the text back unchanged. It is encoded, not encrypted: the signature is what
the API checks.
"""

import base64
import binascii
from collections.abc import Mapping

from pydantic_core import from_json, to_json

# Tells it from the reasoning of other services, of which a conversation may hold some.
_PREFIX = "claude_"


def to_encrypted_content(block: Mapping[str, object]) -> str:
    return _PREFIX + base64.urlsafe_b64encode(to_json(block)).decode()


def from_encrypted_content(text: str) -> Mapping[str, object] | None:
    """None for the reasoning of another service."""
    if not text.startswith(_PREFIX):
        return None
    try:
        block: object = from_json(base64.urlsafe_b64decode(text.removeprefix(_PREFIX)))
    except (binascii.Error, ValueError):
        return None
    return block if isinstance(block, dict) else None
