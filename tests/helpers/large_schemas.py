"""Request fields with large JSON Schemas: one generator per way in which a schema can be expensive for its size.

Like those of large_bodies, each makes about 1 kB for each item of `n`.
"""

from collections.abc import Callable, Iterable, Mapping

Fields = dict[str, object]

_STRING: Mapping[str, object] = {"type": "string"}


def _object(properties: Mapping[str, object]) -> Fields:
    """All properties are required, so that no limit of optional ones ends the work early."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def _format(schema: object) -> Fields:
    json_schema = {"name": "n", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": json_schema}}


def _strict_tools(schemas: Iterable[object]) -> Fields:
    return {
        "tools": [
            {"type": "function", "function": {"name": f"f{index}", "strict": True, "parameters": schema}}
            for index, schema in enumerate(schemas)
        ]
    }


def _strings(count: int) -> Fields:
    return {f"p{index}": _STRING for index in range(count)}


def _chain(name: str, length: int) -> Fields:
    """Definitions that each refer to the next one."""
    links = {f"{name}{index}": {"$ref": f"#/$defs/{name}{index + 1}"} for index in range(length)}
    return {**links, f"{name}{length}": _STRING}


def _two_options(index: int) -> Fields:
    return {"anyOf": [{"minLength": 1}, {"maxLength": index}]}


def _kind(value: int) -> Fields:
    return _object({"kind": {"const": value}, "x": _STRING})


_REFERENCE_TO_E = {"$ref": "#/$defs/e"}


SCHEMAS: Mapping[str, Callable[[int], Fields]] = {
    "long-patterns": lambda n: _format(
        _object(
            {f"p{i}": {"type": "string", "pattern": f"^{i}" + "(a|b)" * 380} for i in range(max(n // 2, 1))}
        )
    ),
    "short-patterns": lambda n: _format(
        _object({f"p{i}": {"type": "string", "pattern": f"^{i}$"} for i in range(20 * n)})
    ),
    "all-of-unions": lambda n: _format(
        _object({f"p{i}": {"type": "string", "allOf": [*map(_two_options, range(6))]} for i in range(3 * n)})
    ),
    "any-value-as-options": lambda n: _format(_object({"a": {"anyOf": [True] * (150 * n)}})),
    "no-value-as-options": lambda n: _format(_object({"a": {"anyOf": [False] * (140 * n)}})),
    "undeclared-required": lambda n: _format(
        {"type": "object", "required": [f"p{index}" for index in range(100 * n)]}
    ),
    "objects-in-objects": lambda n: _format(
        _object({f"p{i}": _object({"a": _object({"b": _object({"c": _STRING})})}) for i in range(3 * n)})
    ),
    "one-of-in-many-properties": lambda n: _format(
        _object({f"p{i}": {"oneOf": [*map(_kind, range(10))]} for i in range(n)})
    ),
    "chains-of-references": lambda n: _format(
        {
            "$defs": {key: link for i in range(n) for key, link in _chain(f"d{i}.", 20).items()},
            **_object({f"p{i}": {"$ref": f"#/$defs/d{i}.0"} for i in range(n)}),
        }
    ),
    "escaped-reference": lambda n: _format(
        {"$defs": {"e": _STRING}, **_object({"a": {"$ref": "#/$defs/" + "%65" * (300 * n)}})}
    ),
    "booleans-in-an-enum": lambda n: _format(_object({"a": {"enum": [True, False, None] * (50 * n)}})),
    "mixed-enum": lambda n: _format(
        _object({"a": {"enum": [each for i in range(25 * n) for each in (i, i + 0.5, f"v{i}")]}})
    ),
    "large-strict-tools": lambda n: _strict_tools([_object(_strings(2 * n)) for _ in range(20)]),
    "forced-strict-tools": lambda n: {
        **_strict_tools([_object(_strings(2 * n)) for _ in range(20)]),
        "tool_choice": "required",
    },
    # Optional references, so that all are adapted and few fit.
    "strict-tools-with-references": lambda n: _strict_tools(
        {
            "$defs": {"e": _object(_strings(5))},
            "type": "object",
            "properties": {f"p{i}": {**_REFERENCE_TO_E, "description": "d"} for i in range(9)},
        }
        for _ in range(n)
    ),
    "strict-tools-and-a-format": lambda n: {
        **_strict_tools([_object(_strings(n)) for _ in range(20)]),
        **_format(_object(_strings(13 * n))),
    },
}
