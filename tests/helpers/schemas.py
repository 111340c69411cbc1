"""Helpers to write schemas for tests and to adapt them."""

import json
from typing import Any

from claudexia.translate.schema import adapt
from tests.helpers.schema_rules import assert_schema_accepted

STRING, INTEGER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}


def closed(*required: str, **properties: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**schema, **({"required": [*required]} if required else {}), "additionalProperties": False}


def checked_adapt(schema: Any) -> Any:
    """adapt(), with a check that its input is unchanged and that its result is accepted by the API."""
    before = json.dumps(schema)
    adapted = adapt(schema)
    assert json.dumps(schema) == before
    if adapted.fits:
        assert_schema_accepted(json.loads(json.dumps(adapted.schema)))
    return adapted


def many(count: int, schema: Any) -> dict[str, Any]:
    return {"properties": {f"p{index}": schema for index in range(count)}}
