"""to_forced_call(): a call that the client demands, for models that refuse `tool_choice` any and tool.

A demanded call is a promise: the client's code reads it without looking. It is kept by structured output. The
tools stay, with `tool_choice: none`, and the answer's text is constrained to the call:

    one tool                    its arguments
    several                     {"call": {"name": ..., "arguments": {...}}}
    several, parallel calls     {"calls": [{"name": ..., "arguments": {...}}, ...]}

The text comes back to the client as the call (`claudexia.translate.response.forced_call`). Where a schema
cannot be constrained, or one of Claude's own tools may be used, an instruction asks for the call. If an answer
holds no call, a second request is constrained to {"name": ..., "arguments": "<JSON>"}, which needs no schema of
the tool.

Sources: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools#forcing-tool-use and
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from claudexia.errors import APIError
from claudexia.translate.report import CallFormat
from claudexia.translate.types.anthropic import (
    JSONSchema,
    MessageCreateParams,
    OutputConfigParam,
    ToolChoiceParam,
    ToolParam,
    ToolUnionParam,
)

if TYPE_CHECKING:
    from claudexia.translate.schema import AdaptedSchema

_DEFINITIONS = "#/$defs/"
# `Schema is too complex for compilation.`, or the name of the parameter.
_SCHEMA_ERROR = re.compile(r"output_config|output format|[Ss]chema is too|[Gg]rammar")
_ARGUMENTS = "The arguments of the call of the tool `{}` that answers this turn."
_CALL = "The tool call that answers this turn."
_CALLS = "The tool calls that answer this turn: one, or several that do not depend on each other."


@dataclass(frozen=True, slots=True)
class ForcedCall:
    """A demanded call.

    names    the upstream names of the tools to choose from
    schema   the schema of the answer's text; None if an instruction asks for the call
    format   how that text is read
    """

    names: tuple[str, ...]
    schema: JSONSchema | None = None
    format: CallFormat | None = None

    def second_request(self, params: MessageCreateParams) -> MessageCreateParams:
        """The request after an answer without the call; its text has CallFormat.SELECTED."""
        return constrained(params, _selection(self.names))


def to_forced_call(
    choice: ToolChoiceParam,
    tools: Sequence[ToolUnionParam],
    one_call: bool,
    known: "dict[str, AdaptedSchema] | None" = None,
) -> ForcedCall:
    """`choice` is of type any or tool, and `tools` has client tools.

    `one_call`: parallel calls are not allowed. `known` is that of fit_strict().
    """
    client = [cast("ToolParam", tool) for tool in tools if "input_schema" in tool]
    if "name" in choice:
        client = [tool for tool in client if tool["name"] == choice["name"]]
    names = tuple(tool["name"] for tool in client)
    if len(client) < len(tools) and "name" not in choice:
        return ForcedCall(names)
    from claudexia.translate.schema import fit_all, fits_limits  # noqa: PLC0415  # most requests have none

    schemas = [(tool["name"], tool["input_schema"]) for tool in client]
    fitted = fit_all(schemas, {} if known is None else known)
    if fitted is None:
        return ForcedCall(names)
    if len(names) == 1:
        arguments = {"description": _ARGUMENTS.format(names[0]), **fitted[names[0]].schema}
        return ForcedCall(names, arguments, CallFormat(names[0]))
    schema = _choice_schema(fitted, one_call)
    return ForcedCall(names, schema, CallFormat()) if fits_limits(schema) else ForcedCall(names)


def constrained(params: MessageCreateParams, schema: JSONSchema) -> MessageCreateParams:
    """`params` with the answer's text constrained to `schema`, and no tool called.

    Stop sequences would cut the JSON off.
    """
    config: OutputConfigParam = {
        **params.get("output_config", {}),
        "format": {"type": "json_schema", "schema": schema},
    }
    sent: MessageCreateParams = {**params, "tool_choice": {"type": "none"}, "output_config": config}
    sent.pop("stop_sequences", None)
    return sent


def refuses_schema(error: APIError) -> bool:
    """Whether the API refused the schema of the call. Its error has no code for that, only a text."""
    return error.status == 400 and bool(_SCHEMA_ERROR.search(error.message))


def _choice_schema(fitted: Mapping[str, "AdaptedSchema"], one_call: bool) -> JSONSchema:
    definitions: dict[str, object] = {}
    options = []
    for name, adapted in fitted.items():
        moved = cast("dict[str, object]", _with_prefix(adapted.schema, f"{name}."))
        own = cast("dict[str, object]", moved.pop("$defs", {}))
        definitions |= {f"{name}.{key}": value for key, value in own.items()}
        options.append(_closed({"name": {"type": "string", "const": name}, "arguments": moved}))
    call: JSONSchema = {"anyOf": options}
    schema = (
        _closed({"call": {"description": _CALL, **call}})
        if one_call
        else _closed({"calls": {"description": _CALLS, "type": "array", "minItems": 1, "items": call}})
    )
    return {**schema, "$defs": definitions} if definitions else schema


def _selection(names: Sequence[str]) -> JSONSchema:
    arguments = "The arguments of the call: one JSON object as text, valid under the tool's input_schema."
    schema = _closed(
        {
            "name": {"type": "string", "enum": [*names]},
            "arguments": {"type": "string", "pattern": r"^\{.*\}$", "description": arguments},
        }
    )
    return {"description": _CALL, **schema}


def _closed(properties: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def _with_prefix(node: object, prefix: str) -> object:
    """An adapted schema whose definitions have names with `prefix`."""
    if isinstance(node, list):
        return [_with_prefix(each, prefix) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _with_prefix(value, prefix) for key, value in node.items()}
    if isinstance(reference := copy.get("$ref"), str) and reference.startswith(_DEFINITIONS):
        copy["$ref"] = f"{_DEFINITIONS}{prefix}{reference.removeprefix(_DEFINITIONS)}"
    return copy
