"""A request body as CompletionCreateParams, or a 400 in OpenAI's words that names the field.

pydantic reports one failure per branch of a union and puts the branch's name into the location; OpenAI's
clients know paths like `messages[1].content[0].type`. The body itself tells which is which: a part of a
location that cannot be followed in it is a branch's name, unless it is the very key that is missing.
"""

import json
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from claudexia.errors import APIError, invalid_request, missing
from claudexia.translate.types.params import CompletionCreateParams

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_BOUNDS = {
    "greater_than_equal": ("below_min_value", "below minimum value", ">=", "ge"),
    "less_than_equal": ("above_max_value", "above maximum value", "<=", "le"),
}


def parse_params(body: bytes) -> CompletionCreateParams:
    """Raises APIError 400 where `body` is not a chat completion request."""
    try:
        return CompletionCreateParams.model_validate_json(body)
    except ValidationError as error:
        raise _as_api_error(error, body) from None


def _as_api_error(error: ValidationError, body: bytes) -> APIError:
    details = error.errors(include_url=False)
    first = details[0]
    if first["type"] == "json_invalid":
        return invalid_request(
            f"We could not parse the JSON body of your request: {first['ctx']['error']}.", None
        )
    document = json.loads(body)
    # The same part of the request may have failed several branches: the one that got furthest was meant.
    rivals = [(_path(d, document), d) for d in details if _part(d) == _part(first)]
    depth = max(len(path) for path, _ in rivals)
    path, chosen = next((p, d) for p, d in rivals if len(p) == depth)
    types = [d["type"] for p, d in rivals if p == path]
    return _told(path, chosen, types)


def _part(detail: ErrorDetails) -> tuple[str | int, ...]:
    """The top-level field, or the one item of it, that a failure lies in."""
    name, *rest = detail["loc"] or ("",)
    return (name, rest[0]) if rest and isinstance(rest[0], int) else (name,)


def _path(detail: ErrorDetails, document: object) -> tuple[str | int, ...]:
    path = _followed(detail["loc"], document)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
    if detail["type"].startswith("union_tag_"):
        path.append(detail["ctx"]["discriminator"].strip("'"))
    return tuple(path)


def _followed(location: Sequence[str | int], here: object) -> list[str | int]:
    if not location:
        return []
    step, *rest = location
    try:
        path = [step, *_followed(rest, here[step])]  # type: ignore[index]  # that is the question
    except (KeyError, IndexError, TypeError):
        return _followed(rest, here)
    if isinstance(here, dict) and step in (here.get("type"), here.get("role")):
        # A part of type 'text' has a key 'text' too: whichever was meant leads further.
        return max(_followed(rest, here), path, key=len)
    return path


def _told(path: Sequence[str | int], detail: ErrorDetails, types: Sequence[str]) -> APIError:
    name, kind, given = _spelled(path), detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind in ("missing", "union_tag_not_found"):
        return missing(name)
    if kind in ("union_tag_invalid", "literal_error"):
        allowed = context.get("expected_tags") or context.get("expected")
        value = context.get("tag", given)
        return invalid_request(
            f"Invalid value: {_quoted(value)}. Supported values are: {allowed}.", name, "invalid_value"
        )
    if kind in _EXPECTED:
        wanted = " or ".join(dict.fromkeys(_EXPECTED[t] for t in types if t in _EXPECTED))
        choice = f"one of {wanted}" if " or " in wanted else wanted
        where = f" for '{name}'" if name else ""
        return invalid_request(
            f"Invalid type{where}: expected {choice}, but got {_kind(given)} instead.",
            name or None,
            "invalid_type",
        )
    if kind in _BOUNDS:
        code, words, sign, bound = _BOUNDS[kind]
        number = "integer" if isinstance(given, int) and isinstance(context[bound], int) else "decimal"
        return invalid_request(
            f"Invalid '{name}': {number} {words}. Expected a value {sign} {context[bound]:g}, "
            f"but got {given} instead.",
            name,
            f"{number}_{code}",
        )
    return _too_short(name, detail)


def _too_short(name: str, detail: ErrorDetails) -> APIError:
    if detail["type"] == "too_short":
        message = (
            f"Invalid '{name}': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead."
        )
        return invalid_request(message, name, "empty_array")
    if detail["type"] == "string_too_short":
        return invalid_request(
            f"Invalid '{name}': empty string. Expected at least one character.", name, "empty_string"
        )
    return invalid_request(f"Invalid '{name}': {detail['msg']}.", name or None, "invalid_value")


def _spelled(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _quoted(value: object) -> str:
    text = str(value)
    return f"'{text[:60]}…'" if len(text) > 60 else f"'{text}'"


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
    return "an object"
