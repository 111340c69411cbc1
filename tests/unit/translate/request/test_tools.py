"""Tool definitions and the choice among them, case by case."""

import json
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.report import Report
from claudexia.translate.request.build import MessageRequest, to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.tool_calls import ToolNames
from claudexia.translate.request.tools import ToolConfig, to_tool_config, tool_definitions
from tests.fakes.anthropic.rules import assert_accepted

FORCES, REFUSES = "claude-haiku-5-5", "claude-sonnet-5-5"
MESSAGES = [{"role": "user", "content": "a"}]
NO_PARAMETERS = {"type": "object", "properties": {}}


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def translate(model: str = FORCES, messages: list[Any] = MESSAGES, **fields: Any) -> MessageRequest:
    body = json.dumps({"model": model, "messages": messages, **fields}).encode()
    request = to_message_params(parse_params(body), find_model(model, {}))
    assert_accepted(json.loads(json.dumps(request.params)))
    return request


def tooling(model: str = FORCES, **fields: Any) -> ToolConfig:
    params = parse_params(json.dumps({"model": model, "messages": MESSAGES, **fields}).encode())
    names, report = ToolNames(), Report()
    definitions = tool_definitions(params, names, report)
    return to_tool_config(params, find_model(model, {}), names, definitions, report)


def custom(name: str = "c", **fields: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, **fields}}


TEXT_INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input, as plain text."}},
    "required": ["input"],
}
EPHEMERAL = {"type": "ephemeral"}
NATIVE: dict[str, Any] = {
    "name": "n",
    "description": "d",
    "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
    "input_examples": [{"a": "x"}],
    "eager_input_streaming": False,
    "strict": True,
}
# Strict, so the schema has to be one that Claude enforces.
HELD = {**NATIVE, "input_schema": {**NATIVE["input_schema"], "additionalProperties": False}}
BOUND = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
OPEN = {"type": "object", "additionalProperties": {"type": "string"}}
DEFINITIONS = [
    pytest.param(function(), {"name": "f", "input_schema": NO_PARAMETERS}, id="no-parameters"),
    pytest.param(function(parameters={}), {"name": "f", "input_schema": NO_PARAMETERS}, id="empty-parameters"),
    pytest.param(function(parameters=None), {"name": "f", "input_schema": NO_PARAMETERS}, id="null-parameters"),
    pytest.param(
        function(description="d", parameters={"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}),
        {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}},
        id="whole-schema",
    ),
    pytest.param(
        function(parameters={"properties": {"a": {}}}),
        {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}},
        id="untyped-root",
    ),
    pytest.param({"function": {"name": "f"}}, {"name": "f", "input_schema": NO_PARAMETERS}, id="tool-without-type"),
    pytest.param(
        function(parameters={"type": ["object", "null"], "properties": {"a": {}}}),
        {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}},
        id="nullable-root",
    ),
    pytest.param(
        function(parameters={"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": {}}}),
        {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {}}}},
        id="draft-07",
    ),
    pytest.param(
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}},
        {"name": "f", "description": "d", "input_schema": {"type": "object"}},
        id="flat",
    ),
    pytest.param({"name": "f", "parameters": {}}, {"name": "f", "input_schema": NO_PARAMETERS}, id="flat-without-type"),
    pytest.param(custom(), {"name": "c", "input_schema": TEXT_INPUT}, id="custom"),
    pytest.param(custom(description="d", format={"type": "text"}), {"name": "c", "description": "d", "input_schema": TEXT_INPUT}, id="custom-text"),
    pytest.param({"type": "custom", "name": "c"}, {"name": "c", "input_schema": TEXT_INPUT}, id="custom-flat"),
    pytest.param({**function(), "defer_loading": True}, {"name": "f", "input_schema": NO_PARAMETERS, "defer_loading": True}, id="anthropics-key"),
    pytest.param(NATIVE, HELD, id="anthropics-shape"),
    pytest.param({"type": "custom", **NATIVE}, HELD, id="anthropics-shape-with-type"),
    pytest.param({"name": "n", "input_schema": {}}, {"name": "n", "input_schema": NO_PARAMETERS}, id="anthropics-shape-without-schema"),
    pytest.param({**function(), "cache_control": EPHEMERAL}, {"name": "f", "input_schema": NO_PARAMETERS, "cache_control": EPHEMERAL}, id="mark-on-the-tool"),
    pytest.param(function(cache_control={"type": "ephemeral", "ttl": "1h"}), {"name": "f", "input_schema": NO_PARAMETERS, "cache_control": {"type": "ephemeral", "ttl": "1h"}}, id="mark-on-the-function"),
    pytest.param(custom(cache_control=EPHEMERAL), {"name": "c", "input_schema": TEXT_INPUT, "cache_control": EPHEMERAL}, id="mark-on-the-custom"),
    pytest.param({**NATIVE, "cache_control": EPHEMERAL}, {**HELD, "cache_control": EPHEMERAL}, id="mark-in-anthropics-shape"),
    pytest.param(function(description=" "), {"name": "f", "input_schema": NO_PARAMETERS}, id="blank-description"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "sent"), DEFINITIONS)
def test_definitions(tool: Any, sent: Any) -> None:
    request = translate(tools=[tool])
    assert request.params["tools"] == [sent]
    assert not request.warnings


SERVER_TOOLS: list[dict[str, Any]] = [
    {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.org"], "user_location": None},
    {"type": "web_fetch_20250910", "name": "web_fetch", "citations": {"enabled": True}},
    {"type": "code_execution_20260120", "name": "code_execution"},
    {"type": "bash_20250124", "name": "bash", "cache_control": EPHEMERAL},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 100},
    {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
    {"type": "browser_toolset_20260801"},
]


@pytest.mark.parametrize("tool", SERVER_TOOLS, ids=[tool["type"] for tool in SERVER_TOOLS])
def test_anthropic_tools_are_passed_on(tool: Any) -> None:
    request = translate(tools=[function(), tool])
    assert request.params["tools"] == [{"name": "f", "input_schema": NO_PARAMETERS}, tool]
    assert not request.warnings


def test_toolsets_have_no_duplicate_names() -> None:
    tools = [{"type": "browser_toolset_20260801"}, {"type": "computer_toolset_20260801"}]
    assert translate(tools=tools).params["tools"] == tools


REPORTED = [
    pytest.param({**function(), "new": 1}, "tools[0].new", id="tool"),
    pytest.param(function(new=1), "tools[0].function.new", id="function"),
    pytest.param(function(strict=True, parameters=BOUND), "tools[0].function.strict", id="strict-relaxed"),
    pytest.param(function(strict=True, parameters=OPEN), "tools[0].function.strict", id="strict-given-up"),
    pytest.param(custom(new=1), "tools[0].custom.new", id="custom"),
    pytest.param(custom(format={"type": "text", "new": 1}), "tools[0].custom.format.new", id="format"),
    pytest.param({**NATIVE, "new": 1}, "tools[0].new", id="anthropics-shape"),
]


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        (None, {"input_schema": {**NO_PARAMETERS, "additionalProperties": False}, "strict": True}),
        (BOUND, {"input_schema": {
            "type": "object", "properties": {"a": {"type": "integer", "description": "(minimum: 1)"}},
            "additionalProperties": False}, "strict": True}),
        (OPEN, {"input_schema": OPEN}),
    ],
    ids=["no parameters", "relaxed", "given up"],
)  # fmt: skip
def test_strict(parameters: Any, sent: Any) -> None:
    given = {} if parameters is None else {"parameters": parameters}
    assert translate(tools=[function(strict=True, **given)]).params["tools"] == [{"name": "f", **sent}]


def test_the_limits_of_a_request_are_shared_by_its_strict_tools() -> None:
    tools = [function(f"f{number}", strict=True) for number in range(21)]
    request = translate(tools=tools)
    assert [tool.get("strict") for tool in request.params["tools"]] == [True] * 20 + [None]
    assert [warning.param for warning in request.warnings] == ["tools[20].function.strict"]


@pytest.mark.parametrize(("tool", "param"), REPORTED)
def test_left_out_tool_fields_are_reported(tool: Any, param: str) -> None:
    assert [warning.param for warning in translate(tools=[tool]).warnings] == [param]


def test_the_same_request_is_the_same_bytes() -> None:
    fields: dict[str, Any] = {
        "tools": [function("a.b", cache_control=EPHEMERAL), custom(), NATIVE, *SERVER_TOOLS],
        "tool_choice": "auto",
    }
    assert len({json.dumps(translate(**fields).params) for _ in range(3)}) == 1


def test_custom_tools_are_recognised_by_upstream_name() -> None:
    found = tooling(tools=[function(), custom("c"), custom("a.b"), NATIVE])
    assert found.custom == {"c", found.tools[2].get("name")}
    assert found.tools[2].get("name") != "a.b"


@pytest.mark.parametrize("name", ["a.b/c", "überprüfen", "x" * 80, "mcp server:tool", "\U0001f600"])
def test_unsupported_names_are_mapped_both_ways(name: str) -> None:
    called = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}],
    }
    messages = [*MESSAGES, called, {"role": "tool", "tool_call_id": "1", "content": "ok"}]
    choice = {"type": "function", "function": {"name": name}}
    request = translate(messages=messages, tools=[function(name), function("g")], tool_choice=choice)
    wire = request.params["tools"][0]["name"]
    assert wire != name
    assert request.options.original_name(wire) == name
    assert request.options.original_name("g") == "g"
    assert request.params["tool_choice"]["name"] == wire
    block: Any = request.params["messages"][1]["content"][0]
    assert block["name"] == wire


def test_similar_unsupported_names_stay_distinct() -> None:
    request = translate(tools=[function("a.b"), function("a/b"), function("a_b")])
    assert len({tool["name"] for tool in request.params["tools"]}) == 3


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


NAMED = {"type": "function", "function": {"name": "g"}}
CHOICES = [
    pytest.param(None, None, "fg", id="absent"),
    pytest.param("auto", {"type": "auto"}, "fg", id="auto"),
    pytest.param("none", {"type": "none"}, "fg", id="none"),
    pytest.param("required", {"type": "any"}, "fg", id="required"),
    pytest.param(NAMED, {"type": "tool", "name": "g"}, "fg", id="named"),
    pytest.param(allowed("auto", "g"), {"type": "auto"}, "g", id="allowed-auto"),
    pytest.param(allowed("required", "g"), {"type": "any"}, "g", id="allowed-required"),
    pytest.param(allowed("auto"), {"type": "none"}, "fg", id="allowed-nothing"),
    pytest.param(allowed("auto", "g", "g"), {"type": "auto"}, "g", id="allowed-twice"),
    pytest.param({"type": "custom", "custom": {"name": "g"}}, {"type": "tool", "name": "g"}, "fg", id="custom"),
    pytest.param({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "g"}}]}}, {"type": "auto"}, "g", id="allowed-custom"),
    pytest.param({"type": "function", "name": "g"}, {"type": "tool", "name": "g"}, "fg", id="named-flat"),
    pytest.param({"type": "custom", "name": "g"}, {"type": "tool", "name": "g"}, "fg", id="custom-flat"),
    pytest.param({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}, {"type": "any"}, "g", id="allowed-flat"),
    pytest.param({"type": "auto"}, {"type": "auto"}, "fg", id="anthropics-auto"),
    pytest.param({"type": "any", "disable_parallel_tool_use": True}, {"type": "any", "disable_parallel_tool_use": True}, "fg", id="anthropics-any"),
    pytest.param({"type": "tool", "name": "g", "disable_parallel_tool_use": False}, {"type": "tool", "name": "g", "disable_parallel_tool_use": False}, "fg", id="anthropics-tool"),
    pytest.param({"type": "none", "disable_parallel_tool_use": True}, {"type": "none"}, "fg", id="anthropics-none"),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "sent", "names"), CHOICES)
def test_choices(choice: Any, sent: Any, names: str) -> None:
    params = translate(tools=[function("f"), custom("g")], tool_choice=choice).params
    assert params.get("tool_choice") == sent
    assert "".join(tool["name"] for tool in params["tools"]) == names


OPEN = {"type": "object", "properties": {"a": {"type": "object"}}}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("required", "at least one of the tools"),
        (NAMED, "the tool `g`"),
        (allowed("required", "g"), "at least one"),
        ({"type": "any"}, "at least one"),
        ({"type": "tool", "name": "g"}, "the tool `g`"),
    ],
    ids=["required", "named", "allowed-required", "anthropics-any", "anthropics-tool"],
)
def test_a_forced_choice_is_an_instruction_if_the_schema_cannot_be_enforced(choice: Any, words: str) -> None:
    system = {"role": "system", "content": "s"}
    tools = [function("f"), function("g", parameters=OPEN)]
    request = translate(REFUSES, [system, *MESSAGES], tools=tools, tool_choice=choice)
    assert request.params["tool_choice"] == {"type": "auto"}
    assert request.params["system"][0]["text"] == "s"
    assert words in request.params["system"][1]["text"]
    assert request.forced_call
    assert request.forced_call.names == (("f", "g") if choice in ("required", {"type": "any"}) else ("g",))
    assert not request.forced_call.schema
    assert not request.warnings


def test_parallel_calls_stay_off_without_the_forced_choice() -> None:
    choice = {"type": "any", "disable_parallel_tool_use": True}
    params = translate(REFUSES, tools=[function(parameters=OPEN)], tool_choice=choice).params
    assert params["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


CHOICE_EXTRAS = [
    pytest.param({**NAMED, "new": 1}, "tool_choice.new", id="choice"),
    pytest.param(
        {"type": "function", "function": {"name": "g", "new": 1}}, "tool_choice.function.new", id="name"
    ),
    pytest.param({"type": "auto", "new": 1}, "tool_choice.new", id="anthropics"),
    pytest.param(
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{**function("g"), "new": 1}], "new": 1},
        },
        "tool_choice.allowed_tools.new",
        id="allowed",
    ),
]


@pytest.mark.parametrize(("choice", "param"), CHOICE_EXTRAS)
def test_left_out_choice_fields_are_reported(choice: Any, param: str) -> None:
    assert [warning.param for warning in translate(tools=[function("g")], tool_choice=choice).warnings] == [
        param
    ]


FORCED = [
    pytest.param(FORCES, "required", True, id="required"),
    pytest.param(FORCES, NAMED, True, id="named"),
    pytest.param(FORCES, "auto", False, id="auto"),
    pytest.param(FORCES, None, False, id="absent"),
    pytest.param(REFUSES, "required", False, id="only-asked-in-words"),
]


@pytest.mark.parametrize(("model", "choice", "forced"), FORCED)
def test_whether_a_call_is_forced(model: str, choice: Any, forced: bool) -> None:
    assert tooling(model, tools=[function("g")], tool_choice=choice).forced is forced


PARALLEL = [
    pytest.param({}, {"type": "auto", "disable_parallel_tool_use": True}, id="no-choice"),
    pytest.param(
        {"tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": True}, id="required"
    ),
    pytest.param({"tool_choice": "none"}, {"type": "none"}, id="none"),
]


@pytest.mark.parametrize(("fields", "sent"), PARALLEL)
def test_parallel_calls_off(fields: Any, sent: Any) -> None:
    assert translate(tools=[function()], parallel_tool_calls=False, **fields).params["tool_choice"] == sent


def test_parallel_calls_off_without_tools_is_ignored() -> None:
    assert "tool_choice" not in translate(parallel_tool_calls=False).params
    assert "tool_choice" not in translate(tools=[], tool_choice="auto").params
    assert "tool_choice" not in translate(tools=[function()], parallel_tool_calls=True).params


def test_calls_in_the_history_without_tools_define_tools_with_choice_none() -> None:
    called = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    request = translate(messages=[*MESSAGES, called, {"role": "tool", "tool_call_id": "1", "content": "ok"}])
    assert request.params["tools"] == [{"name": "f", "input_schema": NO_PARAMETERS}]
    assert request.params["tool_choice"] == {"type": "none"}


REFUSED = [
    pytest.param({"tools": [custom(format={"type": "grammar", "grammar": {"syntax": "regex"}})]}, "tools[0].custom.format.definition", id="grammar-without-definition"),
    pytest.param({"tools": [{"type": "custom"}]}, "tools[0].custom", id="empty-custom"),
    pytest.param({"tools": [{"type": "custom", "name": ""}]}, "tools[0].name", id="empty-flat-name"),
    pytest.param({"tools": [{"type": "retrieval"}]}, "tools[0].type", id="unknown-type"),
    pytest.param({"tools": ["web_search"]}, "tools[0]", id="no-object"),
    pytest.param({"tools": [{"input_schema": {}}]}, "tools[0].name", id="anthropics-shape-without-name"),
    pytest.param({"tools": [{"name": "n", "input_schema": {"type": "array"}}]}, "tools[0].input_schema", id="anthropics-root-type"),
    pytest.param({"tools": [function("bash"), {"type": "bash_20250124", "name": "bash"}]}, "tools[1].name", id="same-name-as-a-server-tool"),
    pytest.param({"tools": [{"type": "function"}]}, "tools[0].function", id="no-function"),
    pytest.param({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", id="no-name"),
    pytest.param({"tools": [function(), function(description="another")]}, "tools[1].function.name", id="same-name-twice"),
    pytest.param({"tools": [function(parameters={"type": "string"})]}, "tools[0].function.parameters", id="root-type"),
    pytest.param({"tools": [function(parameters={"anyOf": []})]}, "tools[0].function.parameters", id="root-union"),
    pytest.param({"tools": [function(cache_control={"type": "x"})]}, "tools[0].function.cache_control.type", id="no-mark"),
    pytest.param({"tools": [function()], "tool_choice": NAMED}, "tool_choice", id="unknown-name"),
    pytest.param({"tools": [function()], "tool_choice": allowed("auto", "g")}, "tool_choice", id="unknown-allowed"),
    pytest.param({"tools": [function()], "tool_choice": "some"}, "tool_choice", id="unknown-word"),
    pytest.param({"tools": [function()], "tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice", id="custom-choice"),
    pytest.param({"tools": [function()], "tool_choice": {"type": "tool"}}, "tool_choice.name", id="anthropics-tool-without-name"),
    pytest.param({"tool_choice": {"type": "any"}}, "tool_choice", id="any-without-tools"),
    pytest.param({"tool_choice": "required"}, "tool_choice", id="required-without-tools"),
    pytest.param({"tool_choice": NAMED}, "tool_choice", id="named-without-tools"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_refused(fields: Any, param: str) -> None:
    with pytest.raises(APIError) as caught:
        translate(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


FLAT: dict[str, Any] = {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        pytest.param([{**FLAT, "parameters": {"type": 0}}], "tools[0].parameters", id="root-type"),
        pytest.param([{"name": "f", "parameters": {"anyOf": []}}], "tools[0].parameters", id="without-type"),
        pytest.param([function(), {**FLAT, "description": "d"}], "tools[1].name", id="same-name"),
        pytest.param([function(), {"type": "custom", "name": "f"}], "tools[1].name", id="same-custom-name"),
        pytest.param([{**FLAT, "name": 5}], "tools[0].name", id="type-of-name"),
    ],
)
def test_an_error_of_a_flat_tool_names_the_field_where_it_stands(tools: list[Any], param: str) -> None:
    with pytest.raises(APIError) as caught:
        translate(tools=tools)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"parameters": {"anyOf": [{"type": "object"}]}}, "tools[0].parameters.anyOf"),
        (
            {"strict": True, "parameters": {"properties": {"a": {"type": "string", "minLength": 2}}}},
            "tools[0].strict",
        ),
        ({"x": 1}, "tools[0].x"),
    ],
    ids=["union", "strict", "unknown-field"],
)
def test_a_warning_about_a_flat_tool_names_the_field_where_it_stands(
    fields: dict[str, Any], param: str
) -> None:
    assert [warning.param for warning in translate(tools=[{**FLAT, **fields}]).warnings] == [param]


LARK = 'start: "a"'
GRAMMARS = [
    pytest.param({"type": "grammar", "syntax": "lark", "definition": LARK}, id="flat"),
    pytest.param({"type": "grammar", "grammar": {"syntax": "lark", "definition": LARK}}, id="nested"),
]


@pytest.mark.parametrize("form", GRAMMARS)
@pytest.mark.parametrize("flat", [False, True], ids=["custom", "flat-tool"])
def test_a_grammar_goes_into_the_description(form: Any, flat: bool) -> None:
    fields = {"name": "c", "description": "d", "format": form}
    request = translate(tools=[{"type": "custom", **fields} if flat else custom(**fields)])
    (tool,) = request.params["tools"]
    assert tool["description"] == f"d\n\nThe input must match this lark grammar:\n{LARK}"  # type: ignore[typeddict-item]
    assert [warning.param for warning in request.warnings] == [
        "tools[0].format" if flat else "tools[0].custom.format"
    ]


def test_a_tool_given_twice_is_one_tool() -> None:
    assert translate(tools=[function("f"), function("g"), function("f")]).params["tools"] == [
        {"name": name, "input_schema": {"type": "object", "properties": {}}} for name in "fg"
    ]


PATCH = "*** Begin Patch\n*** End Patch"
CUSTOM_CALLS = [
    pytest.param({"type": "custom", "custom": {"name": "c", "input": PATCH}}, id="nested"),
    pytest.param({"type": "custom", "name": "c", "input": PATCH}, id="flat"),
    pytest.param(
        {"type": "function", "function": {"name": "c", "arguments": PATCH}}, id="function-with-raw-text"
    ),
    pytest.param(
        {"type": "function", "function": {"name": "c", "arguments": json.dumps({"input": PATCH})}},
        id="function-with-json",
    ),
    pytest.param({"type": "function", "name": "c", "arguments": PATCH}, id="flat-function"),
]


@pytest.mark.parametrize("call", CUSTOM_CALLS)
def test_calls_of_custom_tools_in_a_history(call: Any) -> None:
    history = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", **call}]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    request = translate(messages=history, tools=[custom("c")])
    (use,) = request.params["messages"][1]["content"]
    assert use["input"] == {"input": PATCH}  # type: ignore[typeddict-item]
    assert not request.warnings


@pytest.mark.parametrize("arguments", ["[]", "null", "", " ", "{}"])
def test_arguments_that_mean_none(arguments: str) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    history = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    request = translate(messages=history, tools=[function("f")])
    (use,) = request.params["messages"][1]["content"]
    assert use["input"] == {}  # type: ignore[typeddict-item]
    assert not request.warnings
