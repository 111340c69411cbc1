"""Histories, files, tools and answer schemas as clients keep and spell them."""

import base64
import json
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.request.build import MessageRequest, replay_keys, to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.thinking_replay import replay_keys as stored_keys

MODEL = "claude-sonnet-5-5"
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}
PATCH = {"type": "custom", "custom": {"name": "patch"}}
PDF = base64.b64encode(b"%PDF-1.4 trailer").decode()
TEXT = base64.b64encode("caf\u00e9, plain".encode()).decode()


def translate(given: dict[str, Any], *, strict: bool = False, model: str = MODEL) -> MessageRequest:
    # Python's parser and pydantic's read NaN.
    body = json.dumps({"model": model, "messages": [USER], **given}).encode()
    return to_message_params(parse_params(body), find_model(model, {}), strict=strict)


def sent(*messages: dict[str, Any], tools: Any = (TOOL, PATCH)) -> tuple[list[Any], list[str]]:
    """Claude's turns, and the fields that were reported."""
    request = translate({"messages": [USER, *messages], "tools": [*tools]})
    return [*request.params["messages"]], [warning.param for warning in request.warnings]


def refusal(given: dict[str, Any], **options: Any) -> APIError:
    with pytest.raises(APIError) as caught:
        translate(given, **options)
    assert caught.value.status == 400
    return caught.value


def call(arguments: Any, call_id: str = "c1", name: str = "w") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(*calls: Any, content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [*calls]}


def result(content: Any = "ok", call_id: str = "c1", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def use(given: Any, call_id: str = "c1", name: str = "w") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


ARGUMENTS = {
    "none": (None, {}, []),
    "blank": (" ", {}, []),
    "php-empty": ("[]", {}, []),
    "null": ("null", {}, []),
    "nan": ('{"a": NaN, "b": 1}', {"a": None, "b": 1}, ["messages[1].tool_calls[0].function.arguments"]),
    "infinity-deep": ('{"a": [{"b": -Infinity}]}', {"a": [{"b": None}]}, ["messages[1].tool_calls[0].function.arguments"]),
    "too-large-a-number": ('{"a": 1e400}', {"a": None}, ["messages[1].tool_calls[0].function.arguments"]),
    "a-long-integer": ('{"a": 12345678901234567890123456789}', {"a": 12345678901234567890123456789}, []),
    "the-word-in-a-text": ('{"a": "NaN, Infinity"}', {"a": "NaN, Infinity"}, []),
    "a-list": ("[1]", {"arguments": [1]}, ["messages[1].tool_calls[0].function.arguments"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name: str) -> None:
    given, expected, warned = ARGUMENTS[name]
    turns, warnings = sent(assistant(call(given)), result())
    assert turns[1]["content"] == [use(expected)]
    assert warnings == warned


def test_a_number_that_is_none_is_refused_in_a_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number", "minimum": float("-inf")}}}
    place = "parameters.properties.a.minimum"
    tool = {"type": "function", "function": {"name": "w", "parameters": schema}}
    assert refusal({"tools": [tool]}).param == f"tools[0].function.{place}"
    answer = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert (
        refusal({"response_format": answer}).param == "response_format.json_schema.schema.properties.a.minimum"
    )


BOTH = {
    "the-same": ({"city": "x"}, '{"city":"x"}'),
    "other-spaces": ({"city": "x", "n": 1}, '{ "n": 1, "city": "x" }'),
    "empty-in-the-content": ({}, '{"city":"x"}'),
    "both-empty": ({}, ""),
}


@pytest.mark.parametrize("name", BOTH)
def test_a_call_in_the_content_and_beside_it_is_one(name: str) -> None:
    given, arguments = BOTH[name]
    content = [{"type": "text", "text": "ok"}, use(given)]
    turns, warned = sent(assistant(call(arguments), content=content), result())
    assert turns[1]["content"] == [content[0], use(json.loads(arguments or "{}"))]
    assert turns[2]["content"][0]["tool_use_id"] == "c1"
    assert not warned


@pytest.mark.parametrize(
    "other", [call('{"city": "y"}'), call('{"city": "x"}', name="v")], ids=["input", "name"]
)
def test_two_calls_of_one_id_in_one_message_are_refused(other: Any) -> None:
    messages = [USER, assistant(other, content=[use({"city": "x"})]), result()]
    error = refusal({"messages": messages, "tools": [TOOL]})
    assert error.param == "messages[1].tool_calls[0]"
    assert "'c1'" in error.message


def test_pieces_of_a_streamed_call_are_left_out() -> None:
    pieces = [{"type": "input_json_delta", "partial_json": '{"a"', "index": 1, "input": "x"}]
    turns, warned = sent(assistant(call('{"a": 1}'), content=pieces), result())
    assert turns[1]["content"] == [use({"a": 1})]
    assert not warned


IMAGE = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}


def test_results_of_one_call_are_joined() -> None:
    turns, warned = sent(
        assistant(call("{}"), call("{}", "c2")), result("a"), result("b", "c2"), result([IMAGE])
    )
    first, second = turns[2]["content"]
    assert [block["type"] for block in first["content"]] == ["text", "image"]
    assert (first["tool_use_id"], second["tool_use_id"]) == ("c1", "c2")
    assert warned == ["messages[4]"]


def test_a_joined_result_failed_if_one_of_them_did() -> None:
    turns, _ = sent(assistant(call("{}")), result("a"), result("b", is_error=True))
    (joined,) = turns[2]["content"]
    assert joined["is_error"] is True
    assert [block["text"] for block in joined["content"]] == ["a", "b"]


@pytest.mark.parametrize("contents", [("a", [IMAGE], "b", "c"), ([IMAGE], "a", "b", "c")])
def test_a_joined_result_with_an_image_did_not_fail(contents: Any) -> None:
    """Claude takes no failed result with an image, whichever of the results holds it."""
    *first, last = contents
    turns, warned = sent(assistant(call("{}")), *map(result, first), result(last, is_error=True))
    (joined,) = turns[2]["content"]
    assert "is_error" not in joined
    assert len(joined["content"]) == len(contents)
    assert warned[-1] == f"messages[{len(contents) + 1}].is_error"


CUSTOM = {
    "nested": {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
    "flat": {"id": "c1", "type": "custom", "name": "patch", "input": "*** Begin"},
    "as-a-function": call("*** Begin", name="patch"),
    "as-a-function-with-its-object": call('{"input": "*** Begin"}', name="patch"),
    "as-a-flat-function": {"id": "c1", "type": "function", "name": "patch", "arguments": "*** Begin"},
}


@pytest.mark.parametrize("tool", [PATCH, {"type": "custom", "name": "patch"}], ids=["nested-tool", "flat-tool"])
@pytest.mark.parametrize("name", CUSTOM)
def test_calls_of_custom_tools(name: str, tool: Any) -> None:
    turns, warned = sent(assistant(CUSTOM[name]), result(), tools=[TOOL, tool])
    assert turns[1]["content"] == [use({"input": "*** Begin"}, name="patch")]
    assert not warned


GRAMMAR = {"syntax": "lark", "definition": 'start: "a"'}
GRAMMARS = {
    "flat": {"type": "custom", "name": "p", "description": "d", "format": {"type": "grammar", **GRAMMAR}},
    "flat-with-grammar": {"type": "custom", "name": "p", "description": "d", "format": {"type": "grammar", "grammar": GRAMMAR}},
    "nested": {"type": "custom", "custom": {"name": "p", "description": "d", "format": {"type": "grammar", "grammar": GRAMMAR}}},
}  # fmt: skip


@pytest.mark.parametrize("name", GRAMMARS)
def test_a_grammar_goes_into_the_description(name: str) -> None:
    request = translate({"tools": [GRAMMARS[name]]})
    (tool,) = request.params["tools"]
    assert str(tool.get("description")).startswith("d\n\n")
    assert GRAMMAR["definition"] in str(tool.get("description"))
    place = "tools[0].format" if name.startswith("flat") else "tools[0].custom.format"
    assert [warning.param for warning in request.warnings] == [place]
    assert "format" in str(refusal({"tools": [GRAMMARS[name]]}, strict=True).param)


def test_a_tool_twice_is_one_tool() -> None:
    other = {**TOOL, "function": {**TOOL["function"], "name": "v"}}  # type: ignore[dict-item]
    request = translate({"tools": [TOOL, other, TOOL]})
    assert [tool["name"] for tool in request.params["tools"]] == ["w", "v"]
    assert not request.warnings


def texts(turns: list[Any]) -> list[str]:
    return [block["text"] for turn in turns for block in turn["content"] if block["type"] == "text"]


def said(role: str, name: str | None, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **({"name": name} if name else {})}


NAMES = {
    "a-group": ([said("user", "ada", "red"), said("user", "bob", "blue"), said("assistant", "bot", "ok")], ["ada: red", "bob: blue", "ok"], 2),
    "one-name": ([said("user", "ada", "red"), said("assistant", "bot", "ok"), said("user", "ada", "?")], ["red", "ok", "?"], 0),
    "one-name-and-none": ([said("user", "ada", "red"), said("assistant", None, "ok"), said("user", None, "?")], ["red", "ok", "?"], 0),
    "two-assistants": ([said("assistant", "x", "1"), said("user", None, "2"), said("assistant", "y", "3"), said("user", None, "4")], ["x: 1", "2", "y: 3", "4"], 2),
    "parts": ([said("user", "ada", [{"type": "text", "text": "red"}]), said("user", "bob", [IMAGE])], ["ada: red"], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    messages, expected, warned = NAMES[name]
    request = translate({"messages": [USER, *messages, USER]})
    assert texts([*request.params["messages"]])[1:-1] == expected
    assert len(request.warnings) == warned
    assert all(warning.param.endswith(".name") for warning in request.warnings)


def test_names_of_examples_in_system_messages() -> None:
    examples = [said("system", "example_user", "2+2"), said("system", "example_assistant", "4")]
    request = translate({"messages": [said("system", None, "Add."), *examples, USER]})
    assert [block["text"] for block in request.params["system"]] == [
        "Add.",
        "example_user: 2+2",
        "example_assistant: 4",
    ]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_messages_alone_are_answered(role: str) -> None:
    request = translate({"messages": [said(role, None, "Write a haiku.")]})
    assert [block["text"] for block in request.params["system"]] == ["Write a haiku."]
    assert [turn["role"] for turn in request.params["messages"]] == ["user"]
    assert [warning.param for warning in request.warnings] == ["messages"]


DOCUMENTS = {
    "pdf-as-an-image": {"type": "image_url", "image_url": {"url": f"data:application/pdf;base64,{PDF}"}},
    "pdf-labelled-png": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PDF}"}},
    "text-as-an-image": {"type": "image_url", "image_url": f"data:text/csv;base64,{TEXT}"},
    "pdf-in-a-native-image": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PDF}},
    "text-in-a-native-document": {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": TEXT}},
    "url-as-file-id": {"type": "file", "file": {"file_id": "https://a.example/b.pdf"}},
    "data-url-as-file-id": {"type": "file", "file": {"file_id": f"data:application/pdf;base64,{PDF}"}},
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_bytes_of_a_file_decide(name: str) -> None:
    request = translate({"messages": [{"role": "user", "content": [DOCUMENTS[name]]}]})
    (block,) = request.params["messages"][0]["content"]
    assert block["type"] == "document"
    source: Any = block["source"]
    expected = {"type": "text", "media_type": "text/plain", "data": "caf\u00e9, plain"}
    if "url" in source:
        assert source == {"type": "url", "url": "https://a.example/b.pdf"}
    else:
        assert source == (
            expected if "text" in name else {"type": "base64", "media_type": "application/pdf", "data": PDF}
        )
    assert not request.warnings


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
FORMATS = {
    "nested": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "flat": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
    "flat-without-name": {"type": "json_schema", "schema": SCHEMA},
    "json-object": {"type": "json_object", "schema": SCHEMA},
}


@pytest.mark.parametrize("name", FORMATS)
def test_spellings_of_an_answer_schema(name: str) -> None:
    request = translate({"response_format": FORMATS[name]})
    assert request.params["output_config"]["format"] == {"type": "json_schema", "schema": SCHEMA}
    assert not request.warnings


def test_words_of_anthropic() -> None:
    request = translate(
        {"system": "Be brief.", "stop_sequences": ["x"], "tools": [TOOL], "tool_choice": "any"},
        model="claude-haiku-4-5",
    )
    assert request.params["system"][0]["text"] == "Be brief."
    assert request.params["stop_sequences"] == ["x"]
    assert request.params["tool_choice"] == {"type": "any"}
    assert not request.warnings
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "system", "content": "c"}, USER]
    system = translate({"system": blocks, "messages": messages}).params["system"]
    assert [block["text"] for block in system] == ["a", "b", "c"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "top_k"])
@pytest.mark.parametrize("value", [0, -1])
def test_no_limit(field: str, value: int) -> None:
    error = refusal({field: value}, model="claude-haiku-4-5")
    assert (error.param, error.code) == (field, "integer_below_min_value")
    assert error.message.endswith("If you want no limit, leave the field out.")


@pytest.mark.parametrize("value", [0, -1])
def test_no_limit_where_the_model_has_none(value: int) -> None:
    request = translate({"top_k": value})
    assert "top_k" not in request.params
    assert not request.warnings


def test_thinking_before_a_call_with_renamed_arguments_is_found_without_its_id() -> None:
    parameters = {"type": "object", "properties": {"$filter": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "w", "parameters": parameters}}
    history = [USER, assistant(call('{"$filter": "a"}', "call_1")), result(call_id="call_1")]
    body = json.dumps({"model": MODEL, "messages": history, "tools": [tool]}).encode()
    model = find_model(MODEL, {})
    (calls,) = [
        block
        for block in to_message_params(parse_params(body), model).params["messages"][1]["content"]
        if block["type"] == "tool_use"
    ]
    assert calls["input"].keys() != {"$filter"}
    answer: list[Any] = [{"type": "thinking", "thinking": "t", "signature": "s"}, {**calls, "id": "toolu_1"}]
    stored = dict.fromkeys(stored_keys(answer), answer)
    found = {key: stored[key] for key in replay_keys(parse_params(body), model) if key in stored}
    request = to_message_params(parse_params(body), model, stored_answers=found)
    assert request.params["messages"][1]["content"] == [answer[0], calls]
