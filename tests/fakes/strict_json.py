"""JSON as a server reads it: without the words NaN and Infinity, which Python's parsers accept."""

import json
from typing import Any


def strict_json(body: bytes) -> Any:
    """Raises ValueError if `body` is not JSON."""
    return json.loads(body, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
