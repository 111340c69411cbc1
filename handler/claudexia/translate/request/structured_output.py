"""to_output_format(): how Claude is held to a response_format, or asked for it in words.

Claude has structured output for a schema, but no JSON mode without one.
Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

import json
from collections.abc import Sequence
from typing import NamedTuple, cast

from claudexia.translate.report import Report, check_extras
from claudexia.translate.types.anthropic import (
    ContentBlockParam,
    InputBlockParam,
    JSONOutputFormatParam,
    MessageParam,
)
from claudexia.translate.types.params import JSONObjectFormat, JSONSchemaFormat, ResponseFormat

_SCHEMA = "response_format.json_schema.schema"
_OBJECT = (
    "Answer with one JSON object and nothing else: no text before or after it and no code fence. "
    "Your answer is parsed as it stands."
)
_FOLLOWING = (
    "Answer with one JSON {noun} and nothing else: no text before or after it and no code fence. "
    "Your answer is parsed as it stands and must be valid under this JSON Schema:\n{schema}"
)
_TOLD = 5
_CITED = {"enabled": True}


class OutputFormat(NamedTuple):
    """`format` is what the API enforces; without it `instruction` asks, and the answer may need JSONObjectText.

    json_object    whether all that counts of the answer is one JSON object
    """

    format: JSONOutputFormatParam | None = None
    instruction: str | None = None
    json_object: bool = False


def to_output_format(response_format: ResponseFormat | None, report: Report) -> OutputFormat:
    """Everything that Claude is asked for but not held to is reported."""
    if response_format is not None:
        check_extras(response_format, "response_format", report)
    match response_format:
        case JSONObjectFormat():
            report.warn("response_format", "Claude has no JSON mode, so it is asked in words for a JSON object")
            return OutputFormat(instruction=_OBJECT, json_object=True)
        case JSONSchemaFormat():
            return _following(response_format, report)
    return OutputFormat()


def uncited(turns: Sequence[MessageParam], report: Report) -> list[MessageParam]:
    """`turns` as the API takes them beside a format: without the citations of documents and search results."""
    bare: list[MessageParam] = [
        {"role": turn["role"], "content": [_uncited(block) for block in turn["content"]]} for turn in turns
    ]
    if bare != list(turns):
        report.warn(
            "response_format",
            "Claude cites nothing while it is held to a schema, so citations were switched off",
        )
    return bare


def _uncited(block: ContentBlockParam) -> ContentBlockParam:
    if block.get("citations") == _CITED:
        return cast("ContentBlockParam", {key: value for key, value in block.items() if key != "citations"})
    if block["type"] == "tool_result" and "content" in block:
        return {**block, "content": [cast("InputBlockParam", _uncited(part)) for part in block["content"]]}
    return block


def _following(response_format: JSONSchemaFormat, report: Report) -> OutputFormat:
    asked = response_format.json_schema
    check_extras(asked, "response_format.json_schema", report)
    if asked.schema_ is None:
        report.warn(_SCHEMA, "it is missing, so Claude is asked in words for any JSON object")
        return OutputFormat(instruction=_OBJECT, json_object=True)
    from claudexia.translate.schema import adapt, has_object_root  # noqa: PLC0415  # most requests have none

    schema = asked.schema_
    if asked.description and not schema.get("description"):
        schema = {**schema, "description": asked.description}
    adapted = adapt(schema)
    if adapted.fits:
        _tell(adapted.relaxed, "asked for in words, not enforced", report)
        _tell(adapted.narrowed, "Claude cannot answer with", report)
        return OutputFormat({"type": "json_schema", "schema": adapted.schema})
    report.warn(
        _SCHEMA, f"Claude cannot be held to it ({adapted.reason}), so it is asked in words to follow it"
    )
    is_object = has_object_root(schema)
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return OutputFormat(
        instruction=_FOLLOWING.format(noun="object" if is_object else "value", schema=text),
        json_object=is_object,
    )


def _tell(phrases: Sequence[str], verdict: str, report: Report) -> None:
    if phrases:
        more = f" and {len(phrases) - _TOLD} more" if len(phrases) > _TOLD else ""
        report.warn(_SCHEMA, f"{verdict}: {', '.join(phrases[:_TOLD])}{more}")
