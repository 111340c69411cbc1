"""Long lists are validated in pieces, so that other threads run meanwhile, with the errors of the whole list."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import pytest
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from claudexia.errors import APIError
from claudexia.translate.request.parse import parse_body
from claudexia.translate.types.base import LongItems, Params
from claudexia.translate.types.params import CompletionCreateParams
from claudexia.translate.types.response_params import ResponseCreateParams
from tests.helpers.steps import count_steps

HELLO: Mapping[str, object] = {"role": "user", "content": "hi"}
TEXT, INPUT_TEXT = {"type": "text", "text": "a"}, {"type": "input_text", "text": "a"}
THINKING = {"type": "thinking", "thinking": "t"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

Items = Sequence[object]
Fields = Mapping[str, object]


def of_user(items: Items) -> Fields:
    return {"messages": [{"role": "user", "content": items}]}


def of_assistant(field: str) -> Callable[[Items], Fields]:
    return lambda items: {"messages": [HELLO, {"role": "assistant", "content": "a", field: items}]}


# A valid item, and the body's fields that have a list of such items.
LISTS: Mapping[str, tuple[object, Callable[[Items], Fields]]] = {
    "messages": (HELLO, lambda items: {"messages": items}),
    "system": (TEXT, lambda items: {"messages": [HELLO], "system": items}),
    "system-message": (TEXT, lambda items: {"messages": [{"role": "system", "content": items}]}),
    "user-message": (TEXT, of_user),
    "assistant-message": (TEXT, of_assistant("content")),
    "thinking-blocks": (THINKING, of_assistant("thinking_blocks")),
    "reasoning-details": ({"type": "x"}, of_assistant("reasoning_details")),
    "tool-calls": (CALL, of_assistant("tool_calls")),
    "tool-message": (
        TEXT,
        lambda items: {"messages": [{"role": "tool", "tool_call_id": "c", "content": items}]},
    ),
    "tool-result": (
        TEXT,
        lambda items: of_user([{"type": "tool_result", "tool_use_id": "c", "content": items}]),
    ),
    "response-items": (HELLO, lambda items: {"input": items}),
    "response-parts": (INPUT_TEXT, lambda items: {"input": [{"role": "user", "content": items}]}),
}
INVALID: Mapping[str, object] = {
    "number": 5,
    "null": None,
    "empty": {},
    "unknown-type": {"type": "unknown", "role": "unknown"},
    "wrong-type": {"type": "text", "role": "user", "content": 5, "text": 5, "thinking": 5, "id": 5},
    "two-errors": {"type": "text", "role": "user", "text": 5, "content": [5], "cache_control": {"type": 5}},
    "blank-title": {"type": "search_result", "source": "s", "title": " ", "content": []},
    "extra": {"type": "image", "source": {"type": "url", "url": "u", "x": 1}},
    "long-name": {"type": "file", "file": {"filename": "n" * 501}},
    "bad-id": {"type": "server_tool_use", "id": "c", "name": "web_search", "input": {}},
}


def parse(name: str, items: Items) -> Params:
    """Raises APIError."""
    body = {"model": "claude-haiku-4-5", **LISTS[name][1](items)}
    model = ResponseCreateParams if name.startswith("response") else CompletionCreateParams
    return parse_body(model, json.dumps(body).encode())


def failure(name: str, items: Items) -> APIError | None:
    try:
        parse(name, items)
    except APIError as error:
        return error
    return None


@pytest.mark.parametrize("invalid", INVALID)
@pytest.mark.parametrize("name", LISTS)
def test_an_error_has_the_index_of_its_item(name: str, invalid: str) -> None:
    def error_at(index: int) -> tuple[str | None, ...] | None:
        error = failure(name, [*[LISTS[name][0]] * index, INVALID[invalid], INVALID[invalid]])
        return (error.message, error.param, error.code) if error else None

    in_one_piece = error_at(7)
    for index in (499, 500, 1001):
        expected = in_one_piece and tuple(text and text.replace("[7]", f"[{index}]") for text in in_one_piece)
        assert error_at(index) == expected


@pytest.mark.parametrize("name", LISTS)
def test_a_long_list_is_validated_in_pieces(name: str) -> None:
    """Python lets another thread run between two of its steps, and not within a call of pydantic."""
    failure(name, [LISTS[name][0]])  # builds the validator

    def steps(length: int) -> int:
        return count_steps(lambda: failure(name, [LISTS[name][0]] * length))

    assert steps(4000) - steps(1) >= 4000 / 500


def test_the_items_before_an_invalid_one_are_validated_once() -> None:
    validated: list[object] = []

    def note(item: object) -> object:
        validated.append(item)
        return item

    with pytest.raises(ValidationError, match=r"^1 validation error.*\n1600\n"):
        TypeAdapter(LongItems[Annotated[int, BeforeValidator(note)]]).validate_python([1] * 1600 + ["a", 1])
    assert len(validated) == 1601
