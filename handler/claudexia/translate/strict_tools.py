"""Strict tools: which of the tools that ask for it are held to their schemas.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from claudexia.translate.anthropic_params import JSONSchema, ToolParam, ToolUnionParam
from claudexia.translate.fields import Report
from claudexia.translate.tool_definitions import Definition

if TYPE_CHECKING:
    from claudexia.translate.schema import Adapted


def strict_definitions(
    definitions: Sequence[Definition], output: JSONSchema | None, report: Report
) -> list[ToolUnionParam]:
    """The tools as they are sent, in their order: the last word on each one's `strict` and `input_schema`.

    `output` is the schema of the request's output format, which shares the limits with them.
    """
    asking = [definition for definition in definitions if _asks(definition)]
    if not asking:
        return [definition.param for definition in definitions]
    from claudexia.translate.schema import fit_strict  # noqa: PLC0415  # most requests have none

    tools = [cast("ToolParam", definition.param) for definition in asking]
    fitted = fit_strict([(tool["name"], tool["input_schema"]) for tool in tools], output)
    return [
        _settled(definition, fitted[str(definition.param.get("name"))], report)
        if _asks(definition)
        else definition.param
        for definition in definitions
    ]


def _asks(definition: Definition) -> bool:
    return bool(definition.strict_at or ("input_schema" in definition.param and definition.param.get("strict")))


def _settled(definition: Definition, adapted: "Adapted", report: Report) -> ToolUnionParam:
    tool, path = cast("ToolParam", definition.param), definition.strict_at or definition.named_at
    if not adapted.fits:
        report.warn(path, f"Claude cannot be held to the schema ({adapted.misfit}), so it follows it freely")
        return {key: value for key, value in tool.items() if key != "strict"}  # type: ignore[return-value]  # a tool still
    for phrases, verdict in (
        (adapted.relaxed, "asked for in words, not enforced"),
        (adapted.narrowed, "Claude cannot call it with"),
    ):
        if phrases:
            report.warn(path, f"{verdict}: {', '.join(phrases)}")
    return {**tool, "input_schema": adapted.schema, "strict": True}
