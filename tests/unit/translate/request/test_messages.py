"""OpenAI messages become Claude's turns, case by case."""

import json
from itertools import pairwise
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.report import Report
from claudexia.translate.request.build import MessageRequest, to_message_params
from claudexia.translate.request.conversation import Conversation
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.tool_calls import ToolNames
from tests.fakes.anthropic.rules import assert_accepted

PREFILLS = "claude-sonnet-4-5"


def translate(messages: list[Any], model: str = PREFILLS, **fields: Any) -> MessageRequest:
    body = json.dumps({"model": model, "messages": messages, **fields}).encode()
    request = to_message_params(parse_params(body), find_model(model, {}))
    assert_accepted(json.loads(json.dumps(request.params)))
    return request


def user(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


def assistant(content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def calls(*ids: str, arguments: str = "{}") -> dict[str, Any]:
    return assistant(
        tool_calls=[
            {"id": i, "type": "function", "function": {"name": "f", "arguments": arguments}} for i in ids
        ]
    )


def custom(call_id: str, given: str) -> dict[str, Any]:
    return assistant(tool_calls=[{"id": call_id, "type": "custom", "custom": {"name": "f", "input": given}}])


def tool(call_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def called(name: str, arguments: str = "{}") -> dict[str, Any]:
    return assistant(function_call={"name": name, "arguments": arguments})


def function(content: Any = "ok") -> dict[str, Any]:
    return {"role": "function", "name": "f", "content": content}


def text(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": t} for t in texts]


def parts(*texts: str) -> list[dict[str, str]]:
    return text(*texts)


def use(call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": arguments}


def result(call_id: str, *texts: str) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": call_id}
    return {**block, "content": text(*texts)} if texts else block


SILENT = "(The user sent an empty message.)"
OPENING = "(The conversation begins with your message.)"

TURNS = [
    pytest.param([user("a")], [("user", text("a"))], id="string"),
    pytest.param([user(parts("a", "b"))], [("user", text("a", "b"))], id="parts"),
    pytest.param([user(parts("a", " "))], [("user", text("a"))], id="blank-part"),
    pytest.param([user("a"), user("b")], [("user", text("a", "b"))], id="consecutive-users"),
    pytest.param([user("")], [("user", text(SILENT))], id="empty-user"),
    pytest.param([user(None)], [("user", text(SILENT))], id="null-user"),
    pytest.param([{"role": "user"}], [("user", text(SILENT))], id="missing-content"),
    pytest.param([user([])], [("user", text(SILENT))], id="no-parts"),
    pytest.param([user(" "), user("a")], [("user", text("a"))], id="empty-beside-full"),
    pytest.param(
        [user("a"), assistant("b"), assistant("c"), user("d")],
        [("user", text("a")), ("assistant", text("b", "c")), ("user", text("d"))],
        id="consecutive-assistants",
    ),
    pytest.param(
        [user("a"), assistant(""), user("b")], [("user", text("a", "b"))], id="empty-assistant-vanishes"
    ),
    pytest.param(
        [assistant("hi"), user("a")],
        [("user", text(OPENING)), ("assistant", text("hi")), ("user", text("a"))],
        id="assistant-first",
    ),
    pytest.param(
        [user("a"), assistant("b ")], [("user", text("a")), ("assistant", text("b"))], id="prefill-is-stripped"
    ),
    pytest.param(
        [user("a"), assistant(refusal="no"), user("b")],
        [("user", text("a")), ("assistant", text("no")), ("user", text("b"))],
        id="refusal",
    ),
    pytest.param(
        [user("a"), assistant([{"type": "refusal", "refusal": "no"}, *parts("b")]), user("c")],
        [("user", text("a")), ("assistant", text("no", "b")), ("user", text("c"))],
        id="refusal-part",
    ),
    pytest.param(
        [user("a"), calls("x", "y"), tool("y", "2"), tool("x", "1"), user("b")],
        [
            ("user", text("a")),
            ("assistant", [use("x"), use("y")]),
            ("user", [result("y", "2"), result("x", "1"), *text("b")]),
        ],
        id="results-in-one-turn",
    ),
    pytest.param(
        [user("a"), calls("x"), user("b"), tool("x")],
        [("user", text("a")), ("assistant", [use("x")]), ("user", [result("x", "ok"), *text("b")])],
        id="results-come-first",
    ),
    pytest.param(
        [user("a"), calls("x"), tool("x", "")],
        [("user", text("a")), ("assistant", [use("x")]), ("user", [result("x")])],
        id="empty-result",
    ),
    pytest.param(
        [user("a"), calls("x"), tool("x", parts("1", "2"))],
        [("user", text("a")), ("assistant", [use("x")]), ("user", [result("x", "1", "2")])],
        id="result-parts",
    ),
    pytest.param(
        [user("a"), assistant("b"), calls("x"), tool("x")],
        [("user", text("a")), ("assistant", [*text("b"), use("x")]), ("user", [result("x", "ok")])],
        id="text-then-calls",
    ),
    pytest.param(
        [user("a"), calls("functions.add:0"), tool("functions.add:0")],
        [
            ("user", text("a")),
            ("assistant", [use("functions_add_0")]),
            ("user", [result("functions_add_0", "ok")]),
        ],
        id="foreign-id",
    ),
    pytest.param(
        [user("a"), calls("0"), tool("0"), calls("0"), tool("0")],
        [
            ("user", text("a")),
            ("assistant", [use("0")]),
            ("user", [result("0", "ok")]),
            ("assistant", [use("0_2")]),
            ("user", [result("0_2", "ok")]),
        ],
        id="id-used-twice",
    ),
    pytest.param(
        [user("a"), calls("", ""), tool("", "1"), tool("", "2")],
        [
            ("user", text("a")),
            ("assistant", [use("call"), use("call_2")]),
            ("user", [result("call", "1"), result("call_2", "2")]),
        ],
        id="same-id-within-a-turn",
    ),
    pytest.param(
        [user("a"), called("f", '{"x": 1}'), function("1"), called("f"), function(None), user("b")],
        [
            ("user", text("a")),
            ("assistant", [use("call_fn_1", x=1)]),
            ("user", [result("call_fn_1", "1")]),
            ("assistant", [use("call_fn_3")]),
            ("user", [result("call_fn_3"), *text("b")]),
        ],
        id="function-calls",
    ),
    pytest.param(
        [user("a"), custom("x", "1 + 1"), tool("x")],
        [("user", text("a")), ("assistant", [use("x", input="1 + 1")]), ("user", [result("x", "ok")])],
        id="custom-call",
    ),
    pytest.param(
        [user("a"), calls("x"), {**tool("x", "no such file"), "is_error": True}],
        [
            ("user", text("a")),
            ("assistant", [use("x")]),
            ("user", [{**result("x", "no such file"), "is_error": True}]),
        ],
        id="failed-tool",
    ),
    pytest.param(
        [user("a"), calls("x"), {**tool("x"), "is_error": False}],
        [("user", text("a")), ("assistant", [use("x")]), ("user", [result("x", "ok")])],
        id="tool-that-did-not-fail",
    ),
    pytest.param(
        [user("a"), called("f"), {"role": "function", "content": "1"}],
        [("user", text("a")), ("assistant", [use("call_fn_1")]), ("user", [result("call_fn_1", "1")])],
        id="function-without-a-name",
    ),
]


@pytest.mark.parametrize(("messages", "turns"), TURNS)
def test_turns(messages: list[Any], turns: list[tuple[str, Any]]) -> None:
    sent = translate(messages).params["messages"]
    assert [(turn["role"], turn["content"]) for turn in sent] == turns


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param('{"a": 1}', {"a": 1}, id="object"),
        pytest.param("", {}, id="empty"),
        pytest.param("  ", {}, id="blank"),
        pytest.param("15 * 4", {"arguments": "15 * 4"}, id="no-json"),
        pytest.param("[1]", {"arguments": [1]}, id="no-object"),
        pytest.param('{"a": "\\ud83d"}', {"arguments": '{"a": "\\ud83d"}'}, id="lone-surrogate"),
    ],
)
def test_arguments(given: str, sent: Any) -> None:
    request = translate([user("a"), calls("x", arguments=given), tool("x")])
    block: Any = request.params["messages"][1]["content"][0]
    assert block["input"] == sent
    assert bool(request.warnings) == ("arguments" in sent)


SYSTEMS = [
    pytest.param([system("a"), user("u")], ["a"], [], id="string"),
    pytest.param([system(parts("a", "b")), user("u")], ["a", "b"], [], id="parts"),
    pytest.param([system("a"), {"role": "developer", "content": "b"}, user("u")], ["a", "b"], [], id="several"),
    pytest.param([system(""), user("u")], None, [], id="empty"),
    pytest.param([user("u"), system("a"), user("v")], ["a"], ["messages[1]"], id="in-the-middle"),
    pytest.param(
        [user("u"), calls("x"), system("a"), tool("x")], ["a"], ["messages[2]"], id="between-call-and-result"
    ),
]


@pytest.mark.parametrize(("messages", "texts", "warned"), SYSTEMS)
def test_system(messages: list[Any], texts: list[str] | None, warned: list[str]) -> None:
    request = translate(messages)
    assert request.params.get("system") == (text(*texts) if texts else None)
    assert [warning.param for warning in request.warnings] == warned


WITH_RESULT = "must be followed by tool messages"
REFUSED = [
    pytest.param([tool("x")], "messages.[0].role", "must be a response to a preceeding", id="orphan-first"),
    pytest.param([user("a"), tool("x")], "messages.[1].role", "must be a response", id="orphan"),
    pytest.param(
        [user("a"), calls("x"), tool("x"), user("b"), assistant("c"), tool("x")],
        "messages.[5].role",
        "must be a response",
        id="a-result-of-an-earlier-turn",
    ),
    pytest.param([user("a"), calls("x"), tool("y")], "messages.[2].role", "must be a response", id="wrong-id"),
    pytest.param([user("a"), calls("x")], "messages.[1].role", WITH_RESULT, id="unanswered-at-the-end"),
    pytest.param([user("a"), calls("x"), user("b")], "messages.[1].role", WITH_RESULT, id="unanswered-by-user"),
    pytest.param(
        [user("a"), calls("x", "y"), tool("x"), assistant("b")],
        "messages.[1].role",
        "messages: y",
        id="half-answered",
    ),
    pytest.param([system(""), system(" ")], "messages.[1].role", "message with content", id="nothing"),
    pytest.param([assistant("")], "messages.[0].role", "at least one message", id="only-nothing"),
    pytest.param([function()], "messages.[0].role", "with 'function_call'", id="function-without-call"),
    pytest.param(
        [user("a"), calls("x"), function()], "messages.[2].role", "'function'", id="function-for-tool"
    ),
    pytest.param(
        [user("a"), called("f"), function(), function()], "messages.[3].role", "'function'", id="function-twice"
    ),
    pytest.param([user("a"), called("f")], "messages.[1].role", "call_fn_1", id="function-call-unanswered"),
    pytest.param(
        [user("a"), called("")],
        "messages[1].function_call.name",
        "empty string",
        id="function-call-without-name",
    ),
    pytest.param([user("a"), assistant(audio={"id": "x"})], "messages[1].audio", "audio", id="audio"),
    pytest.param(
        [user([{"type": "input_audio", "input_audio": {}}])],
        "messages[0].content[0].type",
        "audio",
        id="audio-part",
    ),
    pytest.param(
        [user([{"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}])],
        "messages[0].content[0].type",
        "Supported values",
        id="video-part",
    ),
    pytest.param(
        [user("a"), assistant(tool_calls=[{"id": "x", "type": "custom"}])],
        "messages[1].tool_calls[0].custom",
        "Missing",
        id="call-without-custom",
    ),
    pytest.param(
        [user("a"), assistant(tool_calls=[{"id": "x", "type": "mcp"}])],
        "messages[1].tool_calls[0].type",
        "'function' or 'custom'",
        id="other-call",
    ),
    pytest.param(
        [user("a"), assistant(tool_calls=[{"id": "x", "type": "function"}])],
        "messages[1].tool_calls[0].function",
        "Missing",
        id="call-without-function",
    ),
]


@pytest.mark.parametrize(("messages", "param", "words"), REFUSED)
def test_refused(messages: list[Any], param: str, words: str) -> None:
    with pytest.raises(APIError, match=words.replace("[", r"\[")) as caught:
        translate(messages)
    assert (caught.value.status, caught.value.param) == (400, param)


IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
FAILURES = [
    pytest.param("", text("(The tool failed without a message.)"), True, "content", id="silent"),
    pytest.param(" ", text("(The tool failed without a message.)"), True, "content", id="blank"),
    pytest.param(
        [*parts("a"), IMAGE],
        [*text("a"), {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}],
        None,
        "is_error",
        id="not-only-text",
    ),
]


@pytest.mark.parametrize(("content", "sent", "failed", "warned"), FAILURES)
def test_failed_tool_results_are_reduced_to_text(content: Any, sent: Any, failed: Any, warned: str) -> None:
    request = translate([user("a"), calls("x"), {**tool("x", content), "is_error": True}])
    block: Any = request.params["messages"][-1]["content"][0]
    assert (block["content"], block.get("is_error")) == (sent, failed)
    assert [warning.param for warning in request.warnings] == [f"messages[2].{warned}"]


NO_PREFILL = "claude-opus-4-7"
MID_SYSTEM = "claude-sonnet-5-5"
CONTINUE = "Continue exactly where your last message stopped. Do not repeat any of it."
OBEY = "(Now answer as the newest system message asks.)"


def test_a_trailing_assistant_message_becomes_an_instruction_without_prefill() -> None:
    request = translate([user("a"), assistant("b "), assistant("c ")], model=NO_PREFILL)
    assert request.params["messages"][1:] == [
        {"role": "assistant", "content": text("b ", "c ")},
        {"role": "user", "content": text(CONTINUE)},
    ]
    assert [warning.param for warning in request.warnings] == ["messages[2]"]


def test_strict_mode_refuses_an_unsupported_prefill() -> None:
    body = json.dumps({"model": NO_PREFILL, "messages": [user("a"), assistant("b")]}).encode()
    with pytest.raises(APIError) as caught:
        to_message_params(parse_params(body), find_model(NO_PREFILL, {}), strict=True)
    assert (caught.value.status, caught.value.param) == (400, "messages[1]")


def test_a_prefill_that_the_request_rules_out_becomes_an_instruction() -> None:
    """No model accepts a prefill with thinking or an output format."""
    model = find_model(PREFILLS, {})
    conversation = Conversation(model, ToolNames(), Report())
    body = json.dumps({"model": PREFILLS, "messages": [user("a"), assistant("b")]}).encode()
    for index, message in enumerate(parse_params(body).messages):
        conversation.add(index, message)
    assert conversation.turns(prefill=False)[-1] == {"role": "user", "content": text(CONTINUE)}


STAYS = [
    pytest.param(
        [system("s"), user("a"), system("t"), assistant("b"), user("c")],
        ["s"],
        [("user", "a"), ("system", "t"), ("assistant", "b"), ("user", "c")],
        [],
        id="after-a-user-turn",
    ),
    pytest.param([user("a"), system("t")], [], [("user", "a"), ("system", "t")], [], id="last"),
    pytest.param(
        [user("a"), system("t"), system("u")], [], [("user", "a"), ("system", "tu")], [], id="several"
    ),
    pytest.param(
        [user("a"), system("t"), user("b"), system("u")],
        [],
        [("user", "ab"), ("system", "tu")],
        ["messages[1]"],
        id="between-users",
    ),
    pytest.param(
        [user("a"), assistant("b"), system("t"), user("c"), assistant("d"), user("e")],
        [],
        [("user", "a"), ("assistant", "b"), ("user", "c"), ("system", "t"), ("assistant", "d"), ("user", "e")],
        ["messages[2]"],
        id="after-an-assistant-turn",
    ),
    pytest.param(
        [user("a"), assistant("b"), system("t")],
        [],
        [("user", "a"), ("assistant", "b"), ("user", OBEY), ("system", "t")],
        ["messages[1]"],
        id="last-after-an-assistant",
    ),
    pytest.param(
        [user("a"), assistant("b"), system("t"), assistant("c"), user("d")],
        [],
        [
            ("user", "a"),
            ("assistant", "b"),
            ("user", OBEY),
            ("system", "t"),
            ("assistant", "c"),
            ("user", "d"),
        ],
        ["messages[1]"],
        id="between-assistants",
    ),
    pytest.param(
        [user("a"), system(" "), assistant("b"), user("c")],
        [],
        [("user", "a"), ("assistant", "b"), ("user", "c")],
        [],
        id="blank",
    ),
]


@pytest.mark.parametrize(("messages", "prompt", "turns", "warned"), STAYS)
def test_system_messages_stay_in_place_if_the_model_accepts_them(
    messages: list[Any], prompt: list[str], turns: list[tuple[str, str]], warned: list[str]
) -> None:
    request = translate(messages, model=MID_SYSTEM)
    sent: Any = request.params["messages"]
    assert [(turn["role"], "".join(block["text"] for block in turn["content"])) for turn in sent] == turns
    assert request.params.get("system", []) == text(*prompt)
    assert [warning.param for warning in request.warnings] == warned


def test_a_system_message_is_moved_from_between_call_and_result() -> None:
    for between in ([system("t")], [system("t"), assistant("b")]):
        request = translate([user("a"), calls("x"), *between, tool("x")], model=MID_SYSTEM)
        assert [turn["role"] for turn in request.params["messages"]] == ["user", "assistant", "user", "system"]
        assert [warning.param for warning in request.warnings] == ["messages[2]"]


def test_a_system_message_after_the_assistant_prevents_a_prefill() -> None:
    request = translate([user("a"), assistant("b"), system("t")])
    assert request.params["messages"][-1] == {"role": "user", "content": text(OBEY)}
    assert [warning.param for warning in request.warnings] == ["messages[2]", "messages[1]"]


def test_response_fields_in_messages_are_ignored_and_others_reported() -> None:
    echoed = assistant(
        "b", annotations=[], audio=None, function_call=None, parsed={"x": 1}, refusal=None, tool_calls=None
    )
    assert not translate([user("a"), echoed, user("c")]).warnings
    warnings = translate([user("a", name="Bob"), assistant("b", mood="good"), user("c")]).warnings
    assert [warning.param for warning in warnings] == ["messages[1].mood"]


def test_the_prefix_of_a_growing_conversation_is_stable() -> None:
    """The blocks for the first messages stay the same byte for byte, as the prompt cache requires."""
    messages = [system("s"), user("a"), calls("0"), tool("0"), calls("0", "é"), tool("0"), tool("é"), user("b")]
    lengths = (2, 4, 8)
    sent = [json.dumps(translate(messages[:length]).params["messages"]) for length in lengths]
    for shorter, longer in pairwise(sent):
        assert longer.startswith(shorter.removesuffix("]}]"))
