"""Recorded traffic, stored next to the repository. A public clone has none."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"
_RECORDINGS = SHARED / "recordings"

needs_recordings = pytest.mark.skipif(
    not _RECORDINGS.is_dir(), reason="recorded traffic is not part of the repository (../shared/data is absent)"
)


def names(kind: str, suffix: str) -> list[str]:
    """The names of the recordings of one kind, without suffix. If there are none, one placeholder name."""
    found = sorted(path.name.removesuffix(suffix) for path in (_RECORDINGS / kind).glob(f"*{suffix}"))
    return [name for name in found if not name.endswith(".chunks")] or ["none"]


def read_bytes(kind: str, name: str, suffix: str) -> bytes:
    return (_RECORDINGS / kind / f"{name}{suffix}").read_bytes()


@cache
def openai_schemas() -> Any:
    """The chat-completions part of OpenAI's published OpenAPI description."""
    return _with_nulls(json.loads((SHARED / "openai-chat-schemas.json").read_text("utf-8")))


def _with_nulls(schema: Any) -> Any:
    """The schema with OpenAPI 3.0's `nullable` (which some published schemas still use) as JSON Schema."""
    if isinstance(schema, list):
        return [_with_nulls(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _with_nulls(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain
