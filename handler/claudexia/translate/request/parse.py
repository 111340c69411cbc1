"""parse_params(): a request body as CompletionCreateParams, or a 400 in OpenAI's wording that names the field.

pydantic reports one failure per branch of a union and inserts the branch's name into the location. OpenAI's
paths have none: `messages[1].content[0].type`. So a step of a location that does not exist in the body is taken
for the name of a branch and left out, unless it is the key that is missing.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from claudexia.errors import APIError, invalid_request, missing, shorten
from claudexia.translate.report import Step, spell_path
from claudexia.translate.types.base import Params
from claudexia.translate.types.params import CompletionCreateParams

_ParamsT = TypeVar("_ParamsT", bound=Params)

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


# Servers of other models take 0 or -1 for no limit.
_LIMITS = {"max_tokens", "max_completion_tokens"}
NO_LIMIT = "If you want no limit, leave the field out."

_STEPS = re.compile(r"([^.\[\]]+)|\[(\d+)\]")

# How many of pydantic's errors are looked at.
_MAX_ERRORS = 100


# A body for another route, which some clients send to this one.
_RESPONSES_BODY = (
    "Missing required parameter: 'messages'. A body with 'input' is a request of the Responses API: "
    "send it to POST /v1/responses, or the conversation in 'messages'."
)


def parse_params(body: bytes) -> CompletionCreateParams:
    """Raises APIError 400 if `body` is not a chat completion request."""
    return parse_body(CompletionCreateParams, body)


def parse_body(model: type[_ParamsT], body: bytes) -> _ParamsT:
    """Raises APIError 400 if `body` is not what `model` describes."""
    return validated(model, read_json(body))


def read_json(body: bytes) -> object:
    """Raises APIError 400 if `body` is no JSON."""
    try:
        document: object = from_json(body)
    except ValueError as error:
        reason = "it is not valid UTF-8" if _is_undecodable(body) else error
        raise invalid_request(f"We could not parse the JSON body of your request: {reason}.", None) from None
    return document


def validated(model: type[_ParamsT], document: object) -> _ParamsT:
    """Raises APIError 400 if `document`, any JSON, is not what `model` describes.

    pydantic could read the body itself, but converts the JSON of one value anew for each validator in Python.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _as_api_error(error, document) from None


def with_existing_param(error: APIError, body: bytes) -> APIError:
    """`error` with a `param` that leads through `body`, whose fields may be spelled in another way.

    A missing field, one below a field named "", and OpenAI's own spelling `messages.[3].role`, are left as they
    are.
    """
    param = error.param or ""
    if error.code == "missing_required_parameter" or param.startswith(".") or ".[" in param:
        return error
    steps: list[Step] = [int(index) if index else name for name, index in _STEPS.findall(param)]
    try:
        existing = spell_path(_existing_places(steps, json.loads(body)))
    except (ValueError, RecursionError):
        return error
    if not existing or existing == param:
        return error
    return replace(error, param=existing, message=error.message.replace(param, existing))


def _as_api_error(error: ValidationError, document: Any) -> APIError:
    details = error.errors(include_url=False)
    first = details[0]
    # The same part of the request may have failed several branches. The one that got furthest is reported.
    part = _part(first)
    related = [(_path(d, document), d) for d in islice(details, _MAX_ERRORS) if _part(d) == part]
    depth = max(len(path) for path, _ in related)
    path, chosen = next((p, d) for p, d in related if len(p) == depth)
    if path == ("messages",) and chosen["type"] == "missing" and "input" in document:
        return invalid_request(_RESPONSES_BODY, "messages", "missing_required_parameter")
    types = [d["type"] for p, d in related if p == path]
    return _to_api_error(path, chosen, types)


def _is_undecodable(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


def _part(detail: ErrorDetails) -> tuple[Step, ...]:
    """The top-level field, or the item of it, in which the failure is."""
    name, *rest = detail["loc"] or ("",)
    return (name, rest[0]) if rest and isinstance(rest[0], int) else (name,)


def _path(detail: ErrorDetails, document: object) -> tuple[Step, ...]:
    is_missing = detail["type"] == "missing"
    path = _existing_steps(detail["loc"][:-1] if is_missing else detail["loc"], document)
    if is_missing:
        path.append(detail["loc"][-1])
    if detail["type"].startswith("union_tag_"):
        path.append(detail["ctx"]["discriminator"].strip("'"))
    return tuple(path)


def _existing_places(steps: Iterable[Step], node: Any) -> Iterator[Step]:
    """Those of `steps` that exist in `node`; the others are fields that the body spells in another way."""
    for step in steps:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            continue
        yield step


def _existing_steps(location: Sequence[Step], node: object) -> list[Step]:
    """The steps of `location`, one of pydantic's, that exist in `node`; the others are names of branches.

    Where the name of a branch is a key as well, both readings are followed. That takes exponential time for a
    long location, but pydantic's are no longer than the models are deep.
    """
    if not location:
        return []
    step, *rest = location
    if rest and rest[0] == step and isinstance(node, dict) and step in (node.get("type"), node.get("role")):
        # The branch named `step`, and its key of the same name.
        return (
            [step, *_existing_steps(rest[1:], node[step])] if step in node else _existing_steps(rest[1:], node)
        )
    try:
        path = [step, *_existing_steps(rest, node[step])]  # type: ignore[index]  # a failure is handled below
    except (KeyError, IndexError, TypeError):
        return _existing_steps(rest, node)
    if isinstance(node, dict) and step in (node.get("type"), node.get("role")):
        # A part of type 'text' has a key 'text', too. The right reading is the one that leads further.
        return max(_existing_steps(rest, node), path, key=len)
    return path


def _to_api_error(path: Sequence[Step], detail: ErrorDetails, types: Sequence[str]) -> APIError:
    """`types` are the failures of all branches at this path."""
    name, kind, given = spell_path(path), detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind in ("missing", "union_tag_not_found"):
        return missing(name)
    if kind in ("union_tag_invalid", "literal_error"):
        allowed = context.get("expected_tags") or context.get("expected")
        value = context.get("tag", given)
        return invalid_request(
            f"Invalid value: '{shorten(value, 60)}'. Supported values are: {allowed}.", name, "invalid_value"
        )
    if kind in _EXPECTED:
        return _invalid_type(name, given, types)
    if kind in _BOUNDS:
        return _out_of_bounds(name, detail)
    return _invalid_value(name, detail)


def _invalid_type(name: str, given: object, types: Sequence[str]) -> APIError:
    expected = " or ".join(dict.fromkeys(_EXPECTED[t] for t in types if t in _EXPECTED))
    choice = f"one of {expected}" if " or " in expected else expected
    place = f" for '{shorten(name)}'" if name else ""
    return invalid_request(
        f"Invalid type{place}: expected {choice}, but got {_type_name(given)} instead.",
        name or None,
        "invalid_type",
    )


def _out_of_bounds(name: str, detail: ErrorDetails) -> APIError:
    code, phrase, sign, key = _BOUNDS[detail["type"]]
    given, bound = detail["input"], detail["ctx"][key]
    number = "integer" if isinstance(given, int) and isinstance(bound, int) else "decimal"
    hint = f" {NO_LIMIT}" if name in _LIMITS and given in (0, -1) else ""
    return invalid_request(
        f"Invalid '{shorten(name)}': {number} {phrase}. Expected a value {sign} {bound:g}, "
        f"but got {shorten(given)} instead.{hint}",
        name,
        f"{number}_{code}",
    )


def _invalid_value(name: str, detail: ErrorDetails) -> APIError:
    if detail["type"] == "too_short":
        message = (
            f"Invalid '{shorten(name)}': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead."
        )
        return invalid_request(message, name, "empty_array")
    if detail["type"] == "too_long":
        context = detail["ctx"]
        given = context["actual_length"] or f"more than {context['max_length']}"
        message = (
            f"Invalid '{shorten(name)}': array too long. Expected an array with maximum length "
            f"{context['max_length']}, but got an array with length {given} instead."
        )
        return invalid_request(message, name, "array_above_max_length")
    if detail["type"] == "string_too_short":
        return invalid_request(
            f"Invalid '{shorten(name)}': empty string. Expected at least one character.", name, "empty_string"
        )
    return invalid_request(
        f"Invalid '{shorten(name)}': {shorten(detail['msg'])}.", name or None, "invalid_value"
    )


def _type_name(value: object) -> str:
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
