"""The echo rejects invalid requests with the error messages of the Messages API."""

import json
from collections.abc import Mapping

import pytest

from claudexia_cli.echo.request import InvalidRequestError, parse_request

GOOD = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
PING = {"name": "ping", "input_schema": {"type": "object", "properties": {}}}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "ping", "input": {}}]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 degrees"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"model": ...}, "model: Field required", id="no-model"),
        pytest.param({"temperature": float("nan")}, "The request body is not valid JSON", id="nan"),
        pytest.param({"model": " "}, "model: String should match", id="blank-model"),
        pytest.param({"max_tokens": ...}, "max_tokens: Field required", id="no-max-tokens"),
        pytest.param(
            {"max_tokens": "9"}, "max_tokens: Input should be a valid integer", id="max-tokens-string"
        ),
        pytest.param({"messages": []}, "messages: at least one message is required", id="no-messages"),
        pytest.param(
            {"messages": [{"role": "assistant", "content": "x"}]},
            'must use the "user" role',
            id="assistant-first",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
            "does not support assistant message prefill",
            id="prefill",
        ),
        pytest.param({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: ", id="role"),
        pytest.param({"seed": 1}, "seed: Extra inputs are not permitted", id="unknown-parameter"),
        pytest.param({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages", id="empty"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "messages: text content blocks must be non-empty",
            id="empty-text",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "\n "}]},
            "messages: text content blocks must contain non-whitespace text",
            id="blank-text",
        ),
        pytest.param(
            {"system": [{"type": "text", "text": " "}]},
            "system: text content blocks must contain non-whitespace text",
            id="blank-system",
        ),
        pytest.param({"stop_sequences": ["\n"]}, "stop_sequences.0: ", id="blank-stop-sequence"),
        pytest.param({"tools": [{"name": "t"}]}, "tools.0.custom.input_schema: Field required", id="no-schema"),
        pytest.param(
            {"tools": [{"name": "t", "input_schema": {}}]},
            "tools.0.custom.input_schema.type: Input should be 'object'",
            id="schema-of-no-object",
        ),
        pytest.param(
            {"tools": [{"name": "t", "input_schema": {"type": "object", "required": True}}]},
            "tools.0.input_schema.required: Input should be a valid array",
            id="malformed-schema",
        ),
        pytest.param({"tool_choice": {"type": "any"}}, "tool_choice: ", id="choice-without-tools"),
        pytest.param(
            {"tools": [PING], "tool_choice": {"type": "tool", "name": "pong"}},
            "Tool 'pong' not found",
            id="choice-of-unknown-tool",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "x"}, CALL, {"role": "user", "content": "y"}]},
            "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
            id="unanswered-call",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    CALL,
                    {"role": "user", "content": [{"type": "text", "text": "first"}, RESULT]},
                ]
            },
            "`tool_use` ids were found without",
            id="text-before-result",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [RESULT]}]},
            "messages.0.content.0: unexpected `tool_use_id` found",
            id="result-without-call",
        ),
    ],
)
def test_invalid_request_is_rejected_with_the_api_message(change: Mapping[str, object], sentence: str) -> None:
    params = {name: value for name, value in {**GOOD, **change}.items() if value is not ...}
    with pytest.raises(InvalidRequestError) as error:
        parse_request(json.dumps(params).encode())
    assert sentence in str(error.value)
