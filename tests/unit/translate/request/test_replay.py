"""Thinking on its way back: sent by the client, or recalled of the model's own answer."""

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
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
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


class Told:
    """What one conversation came to."""

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


def tell(answer: Mapping[str, Any], *ids: str, recalled: Mapping[str, Sequence[Any]] | None = None) -> Told:
    return Told([USER, answer, *results(*ids), {"role": "user", "content": "b"}], recalled or {})


OWN = [
    pytest.param({"thinking_blocks": [THOUGHT, HIDDEN]}, [THOUGHT, HIDDEN], [], id="thinking-blocks"),
    pytest.param(
        {"thinking_blocks": [{**THOUGHT, "index": 0, "cache_control": {"type": "ephemeral"}}]},
        [THOUGHT],
        [],
        id="extra-keys",
    ),
    pytest.param(
        {"thinking_blocks": [{**THOUGHT, "thinking": ""}]}, [{**THOUGHT, "thinking": ""}], [], id="omitted-text"
    ),
    pytest.param(
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm"}, THOUGHT]},
        [THOUGHT],
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
        [THOUGHT, HIDDEN],
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
            "thinking_blocks": [THOUGHT],
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}],
        },
        [THOUGHT],
        [],
        id="both",
    ),
    pytest.param({"reasoning_content": "hm", "reasoning": "hm"}, [], [], id="plain-strings"),
]


@pytest.mark.parametrize(("fields", "thoughts", "warned"), OWN)
def test_thinking_of_the_client_comes_first(fields: Any, thoughts: Any, warned: list[str]) -> None:
    told = tell(assistant("b", call("toolu_x"), **fields), "toolu_x")
    assert told.answer == [*thoughts, text("b"), use("toolu_x")]
    assert told.warned == warned
    assert told.unrecalled == ([] if thoughts else [1])


def test_thinking_in_the_content_stays_in_its_place() -> None:
    told = tell(assistant([THOUGHT, text("b"), HIDDEN, text("c")], thinking_blocks=[THOUGHT]))
    assert told.answer == [THOUGHT, text("b"), HIDDEN, text("c")]
    assert not told.warned


def test_unsigned_thinking_in_the_content_is_left_out_and_reported() -> None:
    told = tell(assistant([{"type": "thinking", "thinking": "hm", "signature": ""}, text("b")]))
    assert (told.answer, told.warned) == ([text("b")], ["messages[1].content[0]"])


def test_thinking_that_nothing_follows_is_left_out_and_reported() -> None:
    """The API takes no assistant message that ends in thinking, nor one of nothing else."""
    told = tell(assistant([text("b"), THOUGHT]))
    assert (told.answer, told.warned) == ([text("b")], ["messages[1]"])
    told = tell(assistant("", thinking_blocks=[THOUGHT]))
    assert [turn["role"] for turn in told.turns] == ["user"]
    assert told.warned == ["messages[1]"]


ANSWER: list[Any] = [THOUGHT, text("Let me"), HIDDEN, text(" see."), use("y"), use("x")]


@pytest.mark.parametrize("content", ["Let me see.", "Let me see. ", "", None, [text("Let me"), text(" see.")]])
def test_what_was_recalled_takes_the_place_of_what_was_sent_back(content: Any) -> None:
    recalled = {"x": copy.deepcopy(ANSWER)}
    told = tell(assistant(content, call("y"), call("x", arguments='{"a":1.0}')), "y", "x", recalled=recalled)
    assert told.answer == ANSWER
    assert all(sent is kept for sent, kept in zip(told.answer, recalled["x"], strict=True))
    assert (told.unrecalled, told.warned) == ([], [])


def test_what_the_server_did_and_custom_calls_are_recalled_too() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    answer = [THOUGHT, search, found, {**use(), "input": {"input": "1 + 1"}}]
    given = {"id": "x", "type": "custom", "custom": {"name": "f", "input": "1 + 1"}}
    assert tell(assistant("", given), "x", recalled={"x": answer}).answer == answer


def test_empty_text_is_not_recalled() -> None:
    told = tell(assistant("", call()), "x", recalled={"x": [THOUGHT, text(""), use()]})
    assert told.answer == [THOUGHT, use()]


def test_a_cache_mark_stays_on_a_recalled_answer() -> None:
    mark = {"type": "ephemeral"}
    recalled = {"x": [THOUGHT, use()]}
    told = tell(assistant("", call(), cache_control=mark), "x", recalled=recalled)
    assert told.answer == [THOUGHT, {**use(), "cache_control": mark}]
    assert recalled == {"x": [THOUGHT, use()]}


CHANGED = [
    pytest.param(assistant("Let me see!", call("x"), call("y")), id="text"),
    pytest.param(assistant("", call("x", "g"), call("y")), id="name"),
    pytest.param(assistant("", call("x", arguments='{"a": 2}'), call("y")), id="arguments"),
    pytest.param(assistant("", call("x")), id="call-left-out"),
]


@pytest.mark.parametrize("answer", CHANGED)
def test_a_changed_answer_is_sent_as_it_is_without_thinking(answer: Any) -> None:
    ids = [given["id"] for given in answer["tool_calls"]]
    told = tell(answer, *ids, recalled={"x": ANSWER})
    assert {block["type"] for block in told.answer} <= {"text", "tool_use"}
    assert told.warned == ["messages[1]"]
    assert told.unrecalled == []


def test_thinking_of_the_client_wins_over_what_was_recalled() -> None:
    other = {**THOUGHT, "signature": "t"}
    told = tell(assistant("", call(), thinking_blocks=[other]), "x", recalled={"x": [THOUGHT, use()]})
    assert told.answer == [other, use()]


def test_thinking_of_the_client_gets_its_place_from_what_was_recalled() -> None:
    """The fields beside the content do not tell that Claude thought again after its first words."""
    again = {**THOUGHT, "signature": "t"}
    answer = [THOUGHT, {"type": "text", "text": "I look."}, again, use()]
    returned = assistant("I look.", call(), thinking_blocks=[THOUGHT, again])
    assert tell(returned, "x", recalled={"x": answer}).answer == answer
    changed = {**returned, "content": "I looked."}
    told = tell(changed, "x", recalled={"x": answer})
    assert told.answer == [THOUGHT, again, {"type": "text", "text": "I looked."}, use()]
    assert told.warned == []


def test_the_keys_are_the_smallest_ids_of_calls_without_thinking_in_the_content() -> None:
    messages = [
        USER,
        assistant("no call"),
        assistant("", call("b"), call("a")),
        *results("b", "a"),
        assistant("", call("c"), thinking_blocks=[THOUGHT]),
        *results("c"),
        assistant("", call("d"), thinking_blocks=[{"type": "thinking", "thinking": "unsigned"}]),
        *results("d"),
        assistant([use("e")]),
        *results("e"),
        assistant([THOUGHT, use("f")]),
        assistant(function_call={"name": "f", "arguments": "{}"}),
    ]
    keys = replay_keys(parsed(messages), ToolCalls(ToolNames()))
    assert [key for key in keys if not key.startswith("calls_")] == ["a", "c", "d", "e"]
    assert len(keys) == 9


def test_messages_without_any_thinking_are_counted() -> None:
    """Only of Claude's: a call with another id may be another model's."""
    ids = ("toolu_b", "toolu_a", "call_c")
    messages = [USER, *(part for each in ids for part in (assistant("", call(each)), *results(each)))]
    assert Told(messages, {"toolu_a": [use("toolu_a")]}).unrecalled == [1]


TWO_CALLS = [THOUGHT, text("b"), use("toolu_1"), use("toolu_2", "g")]


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
    told = Told([USER, assistant("b", *calls), *results(*ids)], stored)
    assert (THOUGHT in told.answer) == found
    assert [block["id"] for block in told.answer if block["type"] == "tool_use"] == ids
    assert not told.warned
    assert not told.unrecalled


def test_a_second_try_goes_without_thinking() -> None:
    turns: Any = [
        {"role": "user", "content": [text("a")]},
        {"role": "assistant", "content": [THOUGHT, text("b"), HIDDEN, use()]},
        {"role": "assistant", "content": [THOUGHT]},
    ]
    kept = copy.deepcopy(turns)
    assert without_thinking(turns) == [turns[0], {"role": "assistant", "content": [text("b"), use()]}]
    assert turns == kept
