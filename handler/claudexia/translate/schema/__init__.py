"""JSON Schema as Claude accepts it.

    adapt(schema)               for a structured output format (`output_config.format`)
    fit_strict(tools, output)   for the strict tools of one request, which share limits
    fit_all(tools, known)       the same, or None if one of them does not fit
    to_input_schema(...)        for a tool that is not strict

`adapt` and `fit_strict` return an AdaptedSchema. Every value that is valid under its `schema` is valid under
the client's schema, except for the constraints listed in `relaxed`: Claude's grammar cannot enforce them, so
they are appended to the description. Claude requires closed objects; this is listed in `narrowed` if the client
explicitly allows additional properties. An object without declared properties does not fit, unless it is closed
already: closed, it could only be empty.

    adapter         builds the adapted schema
    alternatives    expands $ref, allOf, anyOf and oneOf
    drafts          older drafts and nearly valid schemas -> draft 2020-12
    keywords        the keywords of JSON Schema, and which of them Claude enforces
    property_names  names of arguments that Claude does not accept
    references      $ref
    tool_input      to_input_schema

Sources: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations,
https://json-schema.org/draft/2020-12
"""

from importlib import import_module
from typing import TYPE_CHECKING

from claudexia.translate.schema.tool_input import NO_PARAMETERS, to_input_schema

if TYPE_CHECKING:
    from claudexia.translate.schema.adapter import (
        AdaptedSchema,
        adapt,
        adapt_tool,
        fit_all,
        fit_strict,
        fits_limits,
        has_object_root,
    )

__all__ = [
    "NO_PARAMETERS",
    "AdaptedSchema",
    "adapt",
    "adapt_tool",
    "fit_all",
    "fit_strict",
    "fits_limits",
    "has_object_root",
    "to_input_schema",
]


def __getattr__(name: str) -> object:
    """Imports the adapter on first use: a cold start does not need it, nor do most requests."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("claudexia.translate.schema.adapter"), name)
