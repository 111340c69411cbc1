"""Strict tools: which of the tools that ask for it are held to their schemas.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from collections.abc import Sequence

from claudexia.translate.anthropic_params import ToolUnionParam
from claudexia.translate.fields import Report
from claudexia.translate.tool_definitions import Definition


def strict_definitions(definitions: Sequence[Definition], report: Report) -> list[ToolUnionParam]:
    """The tools as they are sent, in their order: the last word on each one's `strict` and `input_schema`."""
    for definition in definitions:
        if definition.strict_at:
            report.warn(definition.strict_at, "arguments follow the schema but are not forced to")
    return [definition.param for definition in definitions]
