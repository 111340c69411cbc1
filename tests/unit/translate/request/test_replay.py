"""Thinking blocks in the history: sent by the client, or recalled from the store."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from claudexia.models import find_model
from claudexia.translate.report import Report
from claudexia.translate.request.conversation import Conversation, replay_keys
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.thinking_replay import replay_keys as stored_keys
from claudexia.translate.request.thinking_replay import without_thinking
from claudexia.translate.request.tool_calls import ToolCalls, ToolNames

MODEL = "claude-sonnet-5-5"
THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}
HIDDEN = {"type": "redacted_thinking", "data": "d"}
USER = {"role": "user", "content": "a"}


def call(call_id: str = "x", name: str = "f", arguments: str = '{"a": 1}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def use(call_id: str = "x", name: str = "f") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {"a": 1}}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def assistant(content: Any = None, *calls: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [*calls] or None, **fields}


def results(*ids: str) -> list[Any]:
    return [{"role": "tool", "tool_call_id": call_id, "content": "1"} for call_id in ids]


def parsed(messages: Sequence[Any]) -> Any:
    return parse_params(json.dumps({"model": MODEL, "messages": messages}).encode()).messages


class Translation:
    """The translation of one conversation."""

    def __init__(self, messages: Sequence[Any], recalled: Mapping[str, Sequence[Any]]) -> None:
        report = Report()
        conversation = Conversation(find_model(MODEL, {}), ToolNames(), report, recalled)
        for index, message in enumerate(parsed(messages)):
            conversation.add(index, message)
        self.turns: list[Any] = [*conversation.turns(prefill=False)]
        self.unrecalled = conversation.missing_thinking
        self.warned = [warning.param for warning in report.warnings]

    @property
    def answer(self) -> Any:
        return self.turns[1]["content"]


def translate_answer(
    answer: Mapping[str, Any], *ids: str, recalled: Mapping[str, Sequence[Any]] | None = None
) -> Translation:
    return Translation([USER, answer, *results(*ids), {"role": "user", "content": "b"}], recalled or {})


OWN = [
    pytest.param({"thinking_blocks": [THINKING, HIDDEN]}, [THINKING, HIDDEN], [], id="thinking-blocks"),
    pytest.param(
        {"thinking_blocks": [{**THINKING, "index": 0, "cache_control": {"type": "ephemeral"}}]},
        [THINKING],
        [],
        id="extra-keys",
    ),
    pytest.param(
        {"thinking_blocks": [{**THINKING, "thinking": ""}]},
        [{**THINKING, "thinking": ""}],
        [],
        id="omitted-text",
    ),
    pytest.param(
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm"}, THINKING]},
        [THINKING],
        ["messages[1].thinking_blocks[0]"],
        id="unsigned-block",
    ),
    pytest.param(
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1"},
                {"type": "reasoning.encrypted", "data": "d", "index": 1},
            ]
        },
        [THINKING, HIDDEN],
        [],
        id="reasoning-details",
    ),
    pytest.param(
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "d", "format": "openai-responses-v1"}]},
        [],
        [],
        id="another-vendor",
    ),
    pytest.param(
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        [],
        [],
        id="summary",
    ),
    pytest.param(
        {
            "thinking_blocks": [THINKING],
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}],
        },
        [THINKING],
        [],
        id="both",
    ),
    pytest.param({"reasoning_content": "hm", "reasoning": "hm"}, [], [], id="plain-strings"),
]


@pytest.mark.parametrize(("fields", "thinking", "warned"), OWN)
def test_client_thinking_precedes_the_content(fields: Any, thinking: Any, warned: list[str]) -> None:
    result = translate_answer(assistant("b", call("toolu_x"), **fields), "toolu_x")
    assert result.answer == [*thinking, text("b"), use("toolu_x")]
    assert result.warned == warned
    assert result.unrecalled == ([] if thinking else [1])


def test_thinking_in_the_content_keeps_its_position() -> None:
    result = translate_answer(assistant([THINKING, text("b"), HIDDEN, text("c")], thinking_blocks=[THINKING]))
    assert result.answer == [THINKING, text("b"), HIDDEN, text("c")]
    assert not result.warned


def test_unsigned_thinking_in_the_content_is_left_out_and_reported() -> None:
    result = translate_answer(assistant([{"type": "thinking", "thinking": "hm", "signature": ""}, text("b")]))
    assert (result.answer, result.warned) == ([text("b")], ["messages[1].content[0]"])


def test_trailing_thinking_is_left_out_and_reported() -> None:
    """The API accepts no assistant message that ends in thinking or consists of it."""
    result = translate_answer(assistant([text("b"), THINKING]))
    assert (result.answer, result.warned) == ([text("b")], ["messages[1]"])
    result = translate_answer(assistant("", thinking_blocks=[THINKING]))
    assert [turn["role"] for turn in result.turns] == ["user"]
    assert result.warned == ["messages[1]"]


ANSWER: list[Any] = [THINKING, text("Let me"), HIDDEN, text(" see."), use("y"), use("x")]


@pytest.mark.parametrize("content", ["Let me see.", "Let me see. ", "", None, [text("Let me"), text(" see.")]])
def test_recalled_content_replaces_the_clients_copy(content: Any) -> None:
    recalled = {"x": copy.deepcopy(ANSWER)}
    result = translate_answer(
        assistant(content, call("y"), call("x", arguments='{"a":1.0}')), "y", "x", recalled=recalled
    )
    assert result.answer == ANSWER
    assert all(sent is remaining for sent, remaining in zip(result.answer, recalled["x"], strict=True))
    assert (result.unrecalled, result.warned) == ([], [])


def test_server_tool_blocks_and_custom_calls_are_recalled() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    answer = [THINKING, search, found, {**use(), "input": {"input": "1 + 1"}}]
    given = {"id": "x", "type": "custom", "custom": {"name": "f", "input": "1 + 1"}}
    assert translate_answer(assistant("", given), "x", recalled={"x": answer}).answer == answer


def test_empty_text_is_not_recalled() -> None:
    result = translate_answer(assistant("", call()), "x", recalled={"x": [THINKING, text(""), use()]})
    assert result.answer == [THINKING, use()]


def test_a_breakpoint_stays_on_recalled_content() -> None:
    mark = {"type": "ephemeral"}
    recalled = {"x": [THINKING, use()]}
    result = translate_answer(assistant("", call(), cache_control=mark), "x", recalled=recalled)
    assert result.answer == [THINKING, {**use(), "cache_control": mark}]
    assert recalled == {"x": [THINKING, use()]}


CHANGED = [
    pytest.param(assistant("Let me see!", call("x"), call("y")), id="text"),
    pytest.param(assistant("", call("x", "g"), call("y")), id="name"),
    pytest.param(assistant("", call("x", arguments='{"a": 2}'), call("y")), id="arguments"),
    pytest.param(assistant("", call("x")), id="call-left-out"),
]


@pytest.mark.parametrize("answer", CHANGED)
def test_an_edited_message_is_sent_without_recalled_thinking(answer: Any) -> None:
    ids = [given["id"] for given in answer["tool_calls"]]
    result = translate_answer(answer, *ids, recalled={"x": ANSWER})
    assert {block["type"] for block in result.answer} <= {"text", "tool_use"}
    assert result.warned == ["messages[1]"]
    assert result.unrecalled == []


def test_client_thinking_takes_precedence_over_recalled_thinking() -> None:
    other = {**THINKING, "signature": "t"}
    result = translate_answer(
        assistant("", call(), thinking_blocks=[other]), "x", recalled={"x": [THINKING, use()]}
    )
    assert result.answer == [other, use()]


def test_recalled_content_gives_the_position_of_client_thinking() -> None:
    """The fields outside of the content do not show that there was thinking after the first text."""
    again = {**THINKING, "signature": "t"}
    answer = [THINKING, {"type": "text", "text": "I look."}, again, use()]
    returned = assistant("I look.", call(), thinking_blocks=[THINKING, again])
    assert translate_answer(returned, "x", recalled={"x": answer}).answer == answer
    changed = {**returned, "content": "I looked."}
    result = translate_answer(changed, "x", recalled={"x": answer})
    assert result.answer == [THINKING, again, {"type": "text", "text": "I looked."}, use()]
    assert result.warned == []


def test_the_keys_are_the_smallest_ids_of_calls_without_thinking_in_the_content() -> None:
    messages = [
        USER,
        assistant("no call"),
        assistant("", call("b"), call("a")),
        *results("b", "a"),
        assistant("", call("c"), thinking_blocks=[THINKING]),
        *results("c"),
        assistant("", call("d"), thinking_blocks=[{"type": "thinking", "thinking": "unsigned"}]),
        *results("d"),
        assistant([use("e")]),
        *results("e"),
        assistant([THINKING, use("f")]),
        assistant(function_call={"name": "f", "arguments": "{}"}),
    ]
    keys = replay_keys(parsed(messages), lambda: ToolCalls(ToolNames()))
    assert [key for key in keys if not key.startswith("calls_")] == ["a", "c", "d", "e"]
    assert len(keys) == 9


def test_messages_without_any_thinking_are_counted() -> None:
    """Only of Claude's: a call with another id may be another model's."""
    ids = ("toolu_b", "toolu_a", "call_c")
    messages = [USER, *(part for each in ids for part in (assistant("", call(each)), *results(each)))]
    assert Translation(messages, {"toolu_a": [use("toolu_a")]}).unrecalled == [1]


TWO_CALLS = [THINKING, text("b"), use("toolu_1"), use("toolu_2", "g")]


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        pytest.param([call("call_0"), call("call_1", "g")], True, id="other-ids"),
        pytest.param([call("call_0", arguments='{ "a":1 }'), call("call_1", "g")], True, id="other-spaces"),
        pytest.param([call("call_1"), call("call_0", "g")], True, id="ids-in-another-order"),
        pytest.param([call("call_1", "g"), call("call_0")], False, id="calls-in-another-order"),
        pytest.param([call("call_0"), call("call_1", "h")], False, id="another-name"),
        pytest.param([call("call_0")], False, id="fewer-calls"),
    ],
)
def test_thinking_is_found_by_the_calls_where_the_client_replaces_their_ids(
    calls: list[Any], found: bool
) -> None:
    stored = dict.fromkeys(stored_keys(TWO_CALLS), TWO_CALLS)
    ids = [each["id"] for each in calls]
    result = Translation([USER, assistant("b", *calls), *results(*ids)], stored)
    assert (THINKING in result.answer) == found
    assert [block["id"] for block in result.answer if block["type"] == "tool_use"] == ids
    assert not result.warned
    assert not result.unrecalled


def test_the_retry_is_sent_without_thinking() -> None:
    turns: Any = [
        {"role": "user", "content": [text("a")]},
        {"role": "assistant", "content": [THINKING, text("b"), HIDDEN, use()]},
        {"role": "assistant", "content": [THINKING]},
    ]
    remaining = copy.deepcopy(turns)
    assert without_thinking(turns) == [turns[0], {"role": "assistant", "content": [text("b"), use()]}]
    assert turns == remaining
