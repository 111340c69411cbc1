"""to_output_format(): a response_format as Claude's output format, or as an instruction.

Claude has structured output for a schema, but no JSON mode without one.
Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

import json
from collections.abc import Sequence
from typing import NamedTuple, cast

from claudexia.errors import shorten
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.numbers import reject_non_finite
from claudexia.translate.types.anthropic import (
    ContentBlockParam,
    InputBlockParam,
    JSONOutputFormatParam,
    MessageParam,
)
from claudexia.translate.types.params import JSONObjectFormat, JSONSchemaFormat, ResponseFormat

_OBJECT_INSTRUCTION = (
    "Answer with one JSON object and nothing else: no text before or after it and no code fence. "
    "Your answer is parsed as it stands."
)
_SCHEMA_INSTRUCTION = (
    "Answer with one JSON {noun} and nothing else: no text before or after it and no code fence. "
    "Your answer is parsed as it stands and must be valid under this JSON Schema:\n{schema}"
)
_MAX_PHRASES = 5
_CITATIONS_ON = {"enabled": True}


class OutputFormat(NamedTuple):
    """How the requested format is sent.

    format       enforced by the API
    instruction  without `format`: text for the system prompt that asks for the format
    json_object  the client wants only the one JSON object in the answer's text
    """

    format: JSONOutputFormatParam | None = None
    instruction: str | None = None
    json_object: bool = False


def to_output_format(response_format: ResponseFormat | None, report: Report) -> OutputFormat:
    """Warns of everything that Claude is instructed to do but that the API does not enforce."""
    if response_format is None:
        return OutputFormat()
    report = report.at("response_format")
    check_extras(response_format, report)
    match response_format:
        case JSONObjectFormat():
            report.warn("Claude has no JSON mode, so an instruction asks for a JSON object")
            return OutputFormat(instruction=_OBJECT_INSTRUCTION, json_object=True)
        case JSONSchemaFormat():
            return _from_schema(response_format, report.at("json_schema"))
    return OutputFormat()


def without_citations(turns: Sequence[MessageParam], report: Report | None = None) -> list[MessageParam]:
    """`turns` with citations switched off: the API takes none beside an output format.

    Without `report` no text is expected, so that nothing is lost.
    """
    uncited: list[MessageParam] = [
        {"role": turn["role"], "content": [_without_citations(block) for block in turn["content"]]}
        for turn in turns
    ]
    if report and uncited != list(turns):
        report.at("response_format").warn(
            "Claude gives no citations when a schema is enforced, so they were switched off"
        )
    return uncited


def _without_citations(block: ContentBlockParam) -> ContentBlockParam:
    if block.get("citations") == _CITATIONS_ON:
        return cast("ContentBlockParam", {key: value for key, value in block.items() if key != "citations"})
    if block["type"] == "tool_result" and "content" in block:
        content = [cast("InputBlockParam", _without_citations(part)) for part in block["content"]]
        return {**block, "content": content}
    return block


def _from_schema(response_format: JSONSchemaFormat, report: Report) -> OutputFormat:
    given = response_format.json_schema
    check_extras(given, report)
    report = report.at("schema")
    if given.schema_ is None:
        report.warn("it is missing, so an instruction asks for any JSON object")
        return OutputFormat(instruction=_OBJECT_INSTRUCTION, json_object=True)
    from claudexia.translate.schema import adapt, has_object_root  # noqa: PLC0415  # most requests have none

    schema = given.schema_
    reject_non_finite(schema, report)
    if given.description and not schema.get("description"):
        schema = {**schema, "description": given.description}
    adapted = adapt(schema)
    if adapted.fits:
        _warn_of_phrases("requested by description, not enforced", adapted.relaxed, report)
        _warn_of_phrases("Claude cannot answer with", adapted.narrowed, report)
        return OutputFormat({"type": "json_schema", "schema": adapted.schema})
    report.warn(
        f"the API cannot enforce it ({shorten(adapted.reason)}), so an instruction asks Claude to follow it"
    )
    is_object = has_object_root(schema)
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return OutputFormat(
        instruction=_SCHEMA_INSTRUCTION.format(noun="object" if is_object else "value", schema=text),
        json_object=is_object,
    )


def _warn_of_phrases(effect: str, phrases: Sequence[str], report: Report) -> None:
    if phrases:
        more = f" and {len(phrases) - _MAX_PHRASES} more" if len(phrases) > _MAX_PHRASES else ""
        report.warn(f"{effect}: {shorten(', '.join(phrases[:_MAX_PHRASES]))}{more}")
