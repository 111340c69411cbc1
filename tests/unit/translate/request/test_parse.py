"""Invalid bodies: OpenAI's error codes, with the path of the field."""

import json
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.translate.request.parse import parse_params

GOOD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "s"}, fields]}


def user(content: Any) -> dict[str, Any]:
    return message(role="user", content=content)


FLAT_FORMATS: list[dict[str, Any]] = [{}, {"name": []}, {"name": "a", "strict": 1}, {"schema": None}]

CASES = [
    ({"messages": None}, "messages", "invalid_type", "expected an array, but got null"),
    ({"messages": {}}, "messages", "invalid_type", "expected an array, but got an object"),
    ({"messages": []}, "messages", "empty_array", "Expected an array with minimum length 1"),
    ({"messages": ["a"]}, "messages[0]", "invalid_type", "expected an object, but got a string"),
    (
        {"messages": [{"role": "user", "content": "a"}] * 100_001},
        "messages",
        "array_above_max_length",
        "array too long. Expected an array with maximum length 100000, but got an array with length 100001",
    ),
    (
        {"tools": [{"function": {"name": "f"}}] * 10_001},
        "tools",
        "array_above_max_length",
        "maximum length 10000, but got an array with length 10001",
    ),
    ({"functions": [{"name": "f"}] * 10_500}, "functions", "array_above_max_length", "length 10500 instead."),
    ({"model": ""}, "model", "empty_string", "empty string"),
    ({"model": 5}, "model", "invalid_type", "expected a string, but got an integer"),
    (message(content="a"), "messages[1].role", "missing_required_parameter", "'messages[1].role'"),
    (message(role="robot"), "messages[1].role", "invalid_value", "'robot'. Supported values are: 'system'"),
    (message(role=7), "messages[1].role", "invalid_value", "Supported values"),
    (user(5), "messages[1].content", "invalid_type", "one of a string or an array, but got an integer"),
    (user({}), "messages[1].content", "invalid_type", "but got an object"),
    (user(["a"]), "messages[1].content[0]", "invalid_type", "expected an object, but got a string"),
    (user([{"text": "a"}]), "messages[1].content[0].type", "missing_required_parameter", "Missing"),
    (user([{"type": "video_url"}]), "messages[1].content[0].type", "invalid_value", "'video_url'. Supported"),
    (user([{"type": "text"}]), "messages[1].content[0].text", "missing_required_parameter", "content[0].text"),
    (user([{"type": "text", "text": 1}]), "messages[1].content[0].text", "invalid_type", "an integer"),
    (
        user([{"type": "image_url", "image_url": {}}]),
        "messages[1].content[0].image_url.url",
        "missing_required_parameter",
        "image_url.url",
    ),
    (
        user([{"type": "image_url"}]),
        "messages[1].content[0].image_url",
        "missing_required_parameter",
        "image_url",
    ),
    (
        message(role="system", content=[{"type": "image_url", "image_url": {"url": "x"}}]),
        "messages[1].content[0].type",
        "invalid_value",
        "Supported values are: 'text'",
    ),
    (
        message(role="tool", content="a"),
        "messages[1].tool_call_id",
        "missing_required_parameter",
        "tool_call_id",
    ),
    (
        message(role="assistant", tool_calls=[{"function": {"name": "f"}}]),
        "messages[1].tool_calls[0].id",
        "missing_required_parameter",
        "tool_calls[0].id",
    ),
    (
        message(role="assistant", tool_calls=[{"id": "x", "function": {"name": "f", "arguments": {}}}]),
        "messages[1].tool_calls[0].function.arguments",
        "invalid_type",
        "expected a string, but got an object",
    ),
    ({"temperature": 99.0}, "temperature", "decimal_above_max_value", "Expected a value <= 2, but got 99.0"),
    ({"temperature": -0.5}, "temperature", "decimal_below_min_value", "Expected a value >= 0, but got -0.5"),
    ({"temperature": "hot"}, "temperature", "invalid_type", "expected a number, but got a string"),
    ({"temperature": True}, "temperature", "invalid_type", "expected a number, but got a boolean"),
    ({"top_p": 1.5}, "top_p", "decimal_above_max_value", "<= 1"),
    ({"max_tokens": 0}, "max_tokens", "integer_below_min_value", "Expected a value >= 1, but got 0"),
    ({"max_tokens": 1.5}, "max_tokens", "invalid_type", "expected an integer, but got a decimal"),
    ({"max_tokens": "5"}, "max_tokens", "invalid_type", "expected an integer, but got a string"),
    ({"stream": "yes"}, "stream", "invalid_type", "expected a boolean, but got a string"),
    ({"stop": 5}, "stop", "invalid_type", "one of a string or an array"),
    ({"stop": ["a", 5]}, "stop[1]", "invalid_type", "expected a string, but got an integer"),
    ({"tools": {}}, "tools", "invalid_type", "expected an array"),
    (
        {"tools": [{"type": "function", "function": {"name": ""}}]},
        "tools[0].function.name",
        "empty_string",
        "empty",
    ),
    (
        {"tools": [{"function": {"name": "f", "parameters": "x"}}]},
        "tools[0].function.parameters",
        "invalid_type",
        "object",
    ),
    ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value", "'none', 'auto' or 'required'"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function", "missing_required_parameter", "function"),
    ({"tool_choice": {"type": "magic"}}, "tool_choice.type", "invalid_value", "'magic'"),
    *(
        (
            {"response_format": {"type": "json_schema", **beside, "json_schema": given}},
            f"response_format.json_schema.{name}",
            code,
            words,
        )
        for beside in FLAT_FORMATS
        for given, name, code, words in (
            ({}, "name", "missing_required_parameter", "'response_format.json_schema.name'"),
            ({"name": ""}, "name", "empty_string", "empty"),
            ({"name": "a", "strict": 1}, "strict", "invalid_type", "a boolean"),
        )
    ),
    (user([{"type": "text", "text": {"text": 1}}]), "messages[1].content[0].text", "invalid_type", "an object"),
    ({"stream_options": True}, "stream_options", "invalid_type", "expected an object, but got a boolean"),
]


@pytest.mark.parametrize(
    ("fields", "param", "code", "words"), CASES, ids=[f"{c[1]}-{c[2]}-{i}" for i, c in enumerate(CASES)]
)
def test_bad_field(fields: Any, param: str, code: str, words: str) -> None:
    with pytest.raises(APIError) as caught:
        parse_params(json.dumps({**GOOD, **fields}).encode())
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", param, code)
    assert words in error.message


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_missing_field(missing: str) -> None:
    with pytest.raises(APIError, match=f"Missing required parameter: '{missing}'"):
        parse_params(json.dumps({key: GOOD[key] for key in GOOD if key != missing}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b'"text"',
        b'{"model": NaN}',
        b'{"a": "\\ud83d"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=["empty", "cut", "null", "array", "string", "nan", "lone-surrogate", "no-utf8", "deep"],
)
def test_bodies_that_are_not_an_object(body: bytes) -> None:
    with pytest.raises(APIError) as caught:
        parse_params(body)
    assert caught.value.status == 400


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(APIError) as caught:
        parse_params(json.dumps({**GOOD, "messages": [{"role": "x" * 10_000}]}).encode())
    assert len(caught.value.message) < 300
