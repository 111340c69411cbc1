"""Responses requests: items, tools and fields as the Messages API takes them, and where warnings and errors point."""

import json
from typing import Any, cast, get_type_hints

import pytest
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.encrypted_content import to_encrypted_content
from claudexia.translate.report import Report
from claudexia.translate.request.build import MessageRequest, Origin, field_rules, to_message_params
from claudexia.translate.request.parse import parse_body
from claudexia.translate.request.responses import LocatedItem, ResponsePieces, to_response_pieces
from claudexia.translate.types.params import FieldRule, Rejected
from claudexia.translate.types.response_items import ResponseItem
from claudexia.translate.types.response_params import ResponseCreateParams
from tests.fakes.anthropic.rules import assert_accepted

MODEL = "claude-sonnet-4-6"
USER: Any = {"role": "user", "content": "a"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
THINKING: Any = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
FUNCTION: Any = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
USE: Any = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
CALL: Any = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
OUTPUT: Any = {"type": "function_call_output", "call_id": "c1", "output": "7"}


def pieces_of(fields: dict[str, Any], strict: bool = False) -> tuple[ResponsePieces, ResponseCreateParams]:
    body = {"model": MODEL, "input": "a", **fields}
    params = parse_body(ResponseCreateParams, json.dumps(body).encode())
    if isinstance(params.input, str):
        items = [LocatedItem(_user(params.input), ("input",))]
    else:
        items = [LocatedItem(item, ("input", index)) for index, item in enumerate(params.input)]
    return to_response_pieces(params, items, Report(strict)), params


def _user(text: str) -> ResponseItem:
    body = {"model": MODEL, "input": [{"role": "user", "content": text}]}
    params = parse_body(ResponseCreateParams, json.dumps(body).encode())
    assert not isinstance(params.input, str)
    return params.input[0]


def translate(strict: bool = False, **fields: Any) -> MessageRequest:
    pieces, params = pieces_of(fields, strict)
    request = to_message_params(
        pieces.params, find_model(pieces.params.model, {}), strict=strict, origin=Origin(params, pieces.report)
    )
    assert_accepted(json.loads(json.dumps(request.params)))
    return request


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def result(content: str = "7", id_: str = "c1") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": [text(content)]}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
MESSAGES = [
    pytest.param("a", [user(text("a"))], id="a-string"),
    pytest.param([USER], [user(text("a"))], id="without-a-type"),
    pytest.param([{"type": "message", **USER}], [user(text("a"))], id="with-a-type"),
    pytest.param(
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}],
        [user(text("a"), text("b"))],
        id="parts",
    ),
    pytest.param(
        [{"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]}],
        [user(IMAGE)],
        id="an-image",
    ),
    pytest.param(
        [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x.test/a.pdf"}]}],
        [user({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}})],
        id="a-file",
    ),
    pytest.param(
        [USER, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        [user(text("a")), assistant(text("b")), user(text("c"))],
        id="an-answer-as-a-string",
    ),
    pytest.param(
        [
            USER,
            {
                "id": "msg_1_0", "type": "message", "role": "assistant", "status": "completed", "phase": "final_answer",
                "content": [{"type": "output_text", "text": "b", "annotations": [], "logprobs": []}],
            },
            {"role": "user", "content": "c"},
        ],
        [user(text("a")), assistant(text("b")), user(text("c"))],
        id="an-answer-as-it-came",
    ),
    pytest.param(
        [USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, {"role": "user", "content": "c"}],
        [user(text("a")), assistant(text("no")), user(text("c"))],
        id="a-refusal",
    ),
    pytest.param([USER, CALL, OUTPUT], [user(text("a")), assistant(USE), user(result())], id="a-call"),
    pytest.param(
        [
            USER,
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": to_encrypted_content(THINKING)},
            {"role": "assistant", "content": "b"},
            {**CALL, "id": "fc_1", "status": "completed"},
            {**CALL, "call_id": "c2", "arguments": ""},
            OUTPUT,
            {**OUTPUT, "call_id": "c2", "output": [{"type": "input_text", "text": "8"}]},
        ],
        [
            user(text("a")),
            assistant(THINKING, text("b"), USE, {**USE, "id": "c2", "input": {}}),
            user(result(), result("8", "c2")),
        ],
        id="one-answer-of-many-items",
    ),
    pytest.param(
        [
            USER,
            {"type": "reasoning", "summary": [], "encrypted_content": to_encrypted_content({"type": "redacted_thinking", "data": "ZA"})},
            CALL,
            OUTPUT,
        ],
        [user(text("a")), assistant({"type": "redacted_thinking", "data": "ZA"}, USE), user(result())],
        id="hidden-reasoning",
    ),
    pytest.param(
        [USER, {"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": "x"}, {**OUTPUT, "type": "custom_tool_call_output"}],
        [user(text("a")), assistant({**USE, "input": {"input": "x"}}), user(result())],
        id="a-custom-call",
    ),
    pytest.param(
        [USER, {**CALL, "name": "spawn", "namespace": "agents"}, OUTPUT],
        [user(text("a")), assistant({**USE, "name": "agents__spawn"}), user(result())],
        id="a-call-in-a-namespace",
    ),
    pytest.param(
        [
            USER,
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
        [user(text("a")), assistant(text("b")), user(text("c"))],
        id="an-echoed-search",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sent"), MESSAGES)
def test_items(given: Any, sent: list[Any]) -> None:
    request = translate(input=given, tools=[FUNCTION])
    assert request.params["messages"] == sent
    assert not request.warnings


def test_instructions_come_before_developer_messages() -> None:
    request = translate(instructions="i", input=[{"role": "developer", "content": "d"}, USER])
    assert request.params["system"] == [text("i"), text("d")]


FIELDS = [
    pytest.param({"max_output_tokens": 50}, {"max_tokens": 50}, [], id="max_output_tokens"),
    pytest.param({"temperature": 0.5}, {"temperature": 0.5}, [], id="temperature"),
    pytest.param({"temperature": 1.5}, {"temperature": 1.0}, ["temperature"], id="temperature-above-1"),
    pytest.param({"top_p": 0.5}, {"top_p": 0.5}, [], id="top_p"),
    pytest.param({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "s"}}, ["user"], id="user"),
    pytest.param({"max_output_tokens": 10**7}, {"max_tokens": 128_000}, ["max_output_tokens"], id="above-the-limit"),
    pytest.param({"metadata": {"a": "b"}, "store": True, "include": ["reasoning.encrypted_content"]}, {}, [], id="kept-here"),
    pytest.param({"truncation": "disabled", "service_tier": "auto", "stream_options": {"include_obfuscation": False}}, {}, [], id="defaults"),
    pytest.param({"truncation": "auto"}, {}, ["truncation"], id="truncation"),
    pytest.param({"client_metadata": {"a": 1}, "prompt_cache_key": "k"}, {}, ["prompt_cache_key", "client_metadata"], id="codex"),
    pytest.param({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}, [], id="text"),
    pytest.param({"text": {"verbosity": "low"}}, {}, ["text.verbosity"], id="verbosity"),
    pytest.param(
        {"text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}}}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}}}},
        [],
        id="a-schema",
    ),
    pytest.param({"reasoning": {"effort": "low"}}, {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}}, [], id="effort"),
    pytest.param({"reasoning": {"effort": "low", "summary": "auto"}}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, [], id="effort-and-summary"),
    pytest.param({"reasoning": {"summary": "auto"}}, {}, [], id="summary-alone"),
    pytest.param({"reasoning": {"effort": "low", "mode": "pro"}}, {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}}, ["reasoning.mode"], id="mode"),
    pytest.param({"include": ["web_search_call.results"]}, {}, ["include[0]"], id="include"),
    pytest.param({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, [], id="anthropics-thinking"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "sent", "warned"), FIELDS)
def test_fields(fields: dict[str, Any], sent: dict[str, Any], warned: list[str]) -> None:
    request = translate(**fields)
    given = {key: value for key, value in request.params.items() if key not in ("model", "messages", "stream")}
    assert given == {"max_tokens": 128_000, **sent}
    assert [warning.param for warning in request.warnings] == warned


NAMESPACE: Any = {
    "type": "namespace",
    "name": "agents",
    "description": "Agents.",
    "tools": [{**FUNCTION, "name": "spawn", "description": "Starts one."}, {**FUNCTION, "name": "wait"}],
}
SEARCH: Any = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
TOOLS = [
    pytest.param([FUNCTION], [{"name": "f", "input_schema": FUNCTION["parameters"]}], [], id="function"),
    pytest.param([{**FUNCTION, "strict": False, "description": None}], [{"name": "f", "input_schema": FUNCTION["parameters"]}], [], id="nulls"),
    pytest.param(
        [FUNCTION, NAMESPACE],
        [
            {"name": "f", "input_schema": FUNCTION["parameters"]},
            {"name": "agents__spawn", "description": "Agents.\n\nStarts one.", "input_schema": FUNCTION["parameters"]},
            {"name": "agents__wait", "description": "Agents.", "input_schema": FUNCTION["parameters"]},
        ],
        [],
        id="namespace",
    ),
    pytest.param([{"type": "web_search"}], [SEARCH], [], id="web-search"),
    pytest.param([{"type": "web_search_preview", "search_context_size": "low"}], [{**SEARCH, "max_uses": 1}], ["tools[0].search_context_size"], id="web-search-preview"),
    pytest.param(
        [{"type": "web_search", "filters": {"allowed_domains": ["a.test"]}, "user_location": {"type": "approximate", "city": "Bern"}}],
        [{**SEARCH, "user_location": {"type": "approximate", "city": "Bern"}, "allowed_domains": ["a.test"]}],
        [],
        id="web-search-with-filters",
    ),
    pytest.param(
        [{"type": "web_search", "user_location": {"type": "approximate", "city": "Bern", "model": "a", "_fields_set": "b"}}],
        [{**SEARCH, "user_location": {"type": "approximate", "city": "Bern"}}],
        ["tools[0].user_location.model", "tools[0].user_location._fields_set"],
        id="web-search-with-unknown-fields",
    ),
    pytest.param([FUNCTION, {"type": "web_search", "external_web_access": False}], [{"name": "f", "input_schema": FUNCTION["parameters"]}], ["tools[1].external_web_access"], id="no-web-access"),
    pytest.param([{"type": "bash_20250124", "name": "bash"}], [{"type": "bash_20250124", "name": "bash"}], [], id="anthropics-own"),
    pytest.param([{**FUNCTION, "allowed_callers": ["programmatic"], "defer_loading": True}], [{"name": "f", "input_schema": FUNCTION["parameters"]}], ["tools[0].allowed_callers", "tools[0].defer_loading"], id="openais-keys"),
]  # fmt: skip


@pytest.mark.parametrize(("tools", "sent", "warned"), TOOLS)
def test_tools(tools: list[Any], sent: list[Any], warned: list[str]) -> None:
    request = translate(tools=tools)
    assert request.params["tools"] == sent
    assert [warning.param for warning in request.warnings] == warned


@pytest.mark.parametrize("tool", [{"type": "function", "name": "f", "function": {}}], ids=["beside-a-name"])
def test_a_missing_name_is_named_where_it_belongs(tool: Any) -> None:
    with pytest.raises(APIError) as caught:
        translate(tools=[tool])
    assert caught.value.param == "tools[0].function.name"


@pytest.mark.parametrize(("length", "repeats"), [(50_000, True), (50_001, False)])
def test_a_long_description_of_a_namespace_is_sent_once(length: int, repeats: bool) -> None:
    """The body upstream would otherwise grow with the square of the client's."""
    request = translate(tools=[{**NAMESPACE, "description": "d" * length}])
    spawn, wait = cast("list[Any]", request.params["tools"])
    assert spawn["description"] == "d" * length + "\n\nStarts one."
    assert wait.get("description") == ("d" * length if repeats else None)
    assert [warning.param for warning in request.warnings] == ([] if repeats else ["tools[0].description"])


def test_a_custom_tool_takes_text() -> None:
    request = translate(tools=[{"type": "custom", "name": "f", "description": "d"}])
    tool: Any = request.params["tools"][0]
    assert tool["input_schema"]["required"] == ["input"]
    assert request.options.custom == {"f"}


CHOICES = [
    pytest.param("auto", {"type": "auto"}, id="auto"),
    pytest.param("none", {"type": "none"}, id="none"),
    pytest.param("required", {"type": "any"}, id="required"),
    pytest.param({"type": "function", "name": "f"}, {"type": "tool", "name": "f"}, id="function"),
    pytest.param({"type": "function", "name": "spawn", "namespace": "agents"}, {"type": "tool", "name": "agents__spawn"}, id="in-a-namespace"),
    pytest.param({"type": "web_search"}, {"type": "tool", "name": "web_search"}, id="web-search"),
    pytest.param({"type": "any"}, {"type": "any"}, id="anthropics-own"),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "sent"), CHOICES)
def test_tool_choice(choice: Any, sent: dict[str, Any]) -> None:
    request = translate(tools=[FUNCTION, NAMESPACE, {"type": "web_search"}], tool_choice=choice)
    assert request.params["tool_choice"] == sent
    assert not request.warnings


def test_allowed_tools() -> None:
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
    }
    request = translate(tools=[FUNCTION, NAMESPACE, {"type": "web_search"}], tool_choice=choice)
    assert [tool.get("name") for tool in request.params["tools"]] == ["f", "web_search"]
    assert request.params["tool_choice"] == {"type": "any"}


def test_parallel_tool_calls() -> None:
    request = translate(tools=[FUNCTION], parallel_tool_calls=False)
    assert request.params["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


ERRORS = [
    pytest.param({"input": []}, "input", "at least one message", id="no-input"),
    pytest.param({"input": None}, "input", "Invalid type", id="null"),
    *(
        pytest.param({"input": [USER, {**fields, "type": kind}]}, "input[1].type", "'message', 'function_call', 'custom_tool_call',", id=f"an-items-type-{name}")
        for name, kind, fields in (("unknown", "text", {}), ("unknown-with-a-role", "msg", USER), ("number", 7, {}), ("object", {"type": "message"}, {}), ("list", ["message"], USER))
    ),
    pytest.param({"input": [{"role": "robot", "content": "a"}]}, "input[0].role", "'robot'", id="a-role"),
    pytest.param({"input": [USER, {"type": "mystery"}]}, "input[1].type", "'mystery'", id="an-item"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", "Missing", id="a-part-without-text"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0].type", "'video'", id="a-part"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]}]}, "input[0].content[0].image_url", "https", id="an-image-url"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]}, "input[0].content[0].file_id", "stores no files", id="an-image-id"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]}, "input[0].content[0].file_id", "stores no files", id="a-file-id"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "!"}]}]}, "input[0].content[0].file_data", "base64", id="a-file"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type", "audio", id="audio"),
    pytest.param({"input": [USER, CALL, {**OUTPUT, "output": [{"type": "input_image", "image_url": "x"}]}], "tools": [FUNCTION]}, "input[2].output[0].image_url", "https", id="an-image-in-an-output"),
    pytest.param({"input": [USER, OUTPUT]}, "input", "No tool call found for function call output with call_id c1.", id="an-output-alone"),
    pytest.param({"input": [USER, CALL]}, "input", "No tool output found for function call c1.", id="a-call-alone"),
    pytest.param({"input": [USER, CALL, USER, {"role": "assistant", "content": "b"}]}, "input", "No tool output found", id="a-call-left-behind"),
    pytest.param({"input": [USER, CALL, {**CALL, "call_id": "c2"}, CALL, OUTPUT]}, "input", "No tool output found for function call c2.", id="the-second-of-three-calls"),
    pytest.param({"input": [USER, CALL, CALL, {**CALL, "call_id": "c2"}, OUTPUT]}, "input", "No tool output found for function call c1.", id="calls-with-one-id"),
    pytest.param({"tools": [{**NAMESPACE, "name": "n" * 257}]}, "tools[0].name", "at most 256 characters", id="a-long-name-of-a-namespace"),
    pytest.param({"input": [USER, {"type": "compaction", "encrypted_content": "x"}]}, "input[1].type", "only OpenAI can read it", id="compaction"),
    pytest.param({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools[0].type", "'file_search'", id="file-search"),
    pytest.param({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type", "'mcp'", id="mcp"),
    pytest.param({"tools": [{"type": "function", "parameters": {}}]}, "tools[0].name", "Missing", id="a-function-without-a-name"),
    pytest.param({"tools": [FUNCTION, {**NAMESPACE, "tools": [FUNCTION, {"type": "bash_20250124", "name": "bash"}]}]}, "tools[1].tools[1].type", "functions and custom tools only", id="in-a-namespace"),
    pytest.param({"tools": [FUNCTION, {**FUNCTION, "description": "another"}]}, "tools[1].name", "two different tools", id="two-of-a-name"),
    pytest.param({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice", "'g'", id="a-choice"),
    pytest.param({"tools": [FUNCTION], "tool_choice": {"type": "mcp", "server_label": "x"}}, "tool_choice.type", "'mcp'", id="a-hosted-choice"),
    pytest.param({"background": True}, "background", "use stream", id="background"),
    pytest.param({"conversation": "conv_1"}, "conversation", "previous_response_id", id="conversation"),
    pytest.param({"prompt": {"id": "p"}}, "prompt", "stores no prompts", id="prompt"),
    pytest.param({"top_logprobs": 2}, "top_logprobs", "log probabilities", id="top_logprobs"),
    pytest.param({"moderation": {"model": "m"}}, "moderation", "moderation policy", id="moderation"),
    pytest.param({"include": ["message.output_text.logprobs"]}, "include[0]", "log probabilities", id="logprobs"),
    pytest.param({"max_output_tokens": 0}, "max_output_tokens", "below minimum", id="a-limit"),
    pytest.param({"metadata": {"a": 1}}, "metadata.a", "a string", id="metadata"),
    pytest.param({"reasoning": {"effort": "huge"}}, "reasoning.effort", "'huge'", id="an-effort"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param", "words"), ERRORS)
def test_errors_name_the_place(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(APIError) as caught:
        translate(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert words in caught.value.message


WARNINGS = [
    pytest.param({"input": [{**USER, "foo": 1}]}, "input[0].foo", id="an-extra-key"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a", "foo": 1}]}]}, "input[0].content[0].foo", id="in-a-part"),
    pytest.param({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x.test/a.png", "detail": "high"}]}]}, "input[0].content[0].detail", id="an-images-detail"),
    pytest.param({"input": [USER, {**CALL, "arguments": "[1]"}, OUTPUT]}, "input[1].arguments", id="arguments-that-are-no-object"),
    pytest.param({"input": [USER, {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}, USER]}, "input[1].encrypted_content", id="foreign-reasoning"),
    pytest.param({"input": [USER, {"type": "file_search_call", "id": "x"}]}, "input[1]", id="a-foreign-call"),
    pytest.param({"input": [USER, {"role": "assistant", "content": "b"}]}, "input[1]", id="an-answer-at-the-end"),
    pytest.param({"text": {"format": {"type": "json_object"}}}, "text.format", id="json-object"),
    pytest.param({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "string", "pattern": "(?<=a)b"}}}}, "text.format.schema", id="a-schema"),
    pytest.param({"tools": [{**FUNCTION, "foo": 1}]}, "tools[0].foo", id="an-extra-key-of-a-tool"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), WARNINGS)
def test_warnings_name_the_place_and_strict_makes_them_errors(fields: dict[str, Any], param: str) -> None:
    assert param in [warning.param for warning in translate(**fields).warnings]
    with pytest.raises(APIError) as caught:
        translate(strict=True, **fields)
    assert caught.value.status == 400


def test_every_field_of_the_sdk_has_a_rule() -> None:
    fields = get_type_hints(ResponseCreateParamsNonStreaming) | get_type_hints(ResponseCreateParamsStreaming)
    rules = field_rules(ResponseCreateParams)
    assert sorted(fields.keys() - rules.keys()) == []
    assert sorted(rules.keys() - fields.keys()) == ["cache_control", "thinking", "top_k"]
    assert all(isinstance(rule, FieldRule) for rule in rules.values())


def test_every_rejected_field_is_among_the_errors() -> None:
    rejected = {name for name, rule in field_rules(ResponseCreateParams).items() if isinstance(rule, Rejected)}
    assert rejected <= {str(case.values[1]) for case in ERRORS}
