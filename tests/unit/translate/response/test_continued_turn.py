"""Turns that Claude paused: one message out of several, and what is sent back to go on."""

from collections.abc import Iterable
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.translate.response.accumulator import ContinuedTurn
from claudexia.translate.response.completion import to_chat_completion
from claudexia.translate.types.anthropic import MessageStreamEvent
from tests.helpers.recorded_answers import CREATED, block, deltas, events, message, source, text, thinking, tool

FIRST = [
    thinking("Hm", signature="sig"),
    text("\n\n"),
    text("Let me see. ", sources=[source("u0")]),
    tool("web_search", '{"query": ', '"x"}', id_="srvtoolu_1", kind="server_tool_use"),
]
FOUND = block("web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"encrypted_content": "abc"}])
LAST = [FOUND, text("It is warm", sources=[source("u1")]), tool("weather", "{}")]
SENT_BACK = [
    {"type": "thinking", "thinking": "Hm", "signature": "sig"},
    {"type": "text", "text": "Let me see. ", "citations": [source("u0")]},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
]
PAUSED = events(*FIRST, stop_reason="pause_turn")


def joined(turn: ContinuedTurn, *messages: Iterable[MessageStreamEvent]) -> list[MessageStreamEvent]:
    return [part for parts in messages for event in parts for part in turn.feed(event)]


def test_a_message_that_is_not_paused() -> None:
    turn = ContinuedTurn()
    parts = events(text("Hello"), tool("weather"), stop_reason="tool_use")
    assert message(joined(turn, parts)) == message(parts)
    assert not turn.paused


def test_a_paused_turn() -> None:
    turn = ContinuedTurn()
    begun = joined(turn, PAUSED)
    assert (turn.paused, turn.content) == (True, SENT_BACK)
    assert begun == PAUSED[:-2]

    rest = joined(turn, events(*LAST, stop_reason="tool_use", id_="msg_2", tokens=7))
    assert not turn.paused
    whole = message([*begun, *rest])
    assert whole["id"] == "msg_1"
    one = events(*FIRST, *LAST, stop_reason="tool_use")
    assert whole["content"] == message(one)["content"]
    assert deltas([*begun, *rest]) == deltas(one)
    usage = to_chat_completion([whole], created=CREATED)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (20, 12, 32)


def test_a_turn_paused_twice() -> None:
    turn = ContinuedTurn()
    again = events(FOUND, text("More"), stop_reason="pause_turn", id_="msg_2")
    whole = message(joined(turn, PAUSED, again, events(text(" and more"), id_="msg_3")))
    assert [part["type"] for part in turn.content] == [
        "thinking", "text", "server_tool_use", "web_search_tool_result", "text",
    ]  # fmt: skip
    answer = to_chat_completion([whole], created=CREATED)
    assert answer["choices"][0]["message"]["content"] == "\n\nLet me see. More and more"
    assert answer["usage"]["prompt_tokens"] == 30


def test_giving_up() -> None:
    turn = ContinuedTurn()
    whole = message([*joined(turn, PAUSED), *turn.give_up()])
    assert not turn.paused
    assert whole["stop_reason"] == "pause_turn"
    assert to_chat_completion([whole], created=CREATED)["choices"][0]["finish_reason"] == "length"


def test_a_continuation_that_comes_in_one_event() -> None:
    turn = ContinuedTurn()
    usage = {"input_tokens": 1, "output_tokens": 2}
    blocks = [{"type": "text", "text": "Done"}]
    start: Any = {
        "id": "msg_2",
        "model": "claude",
        "content": blocks,
        "stop_reason": "end_turn",
        "usage": usage,
    }
    whole = message(
        joined(turn, PAUSED, [{"type": "message_start", "message": start}, {"type": "message_stop"}])
    )
    assert [part.get("text") for part in whole["content"]] == [None, "\n\n", "Let me see. ", None, "Done"]
    assert whole["stop_reason"] == "end_turn"


def test_a_continuation_that_begins_anew() -> None:
    turn = ContinuedTurn()
    joined(turn, PAUSED, events(*LAST)[:-2])
    with pytest.raises(APIError, match="anew"):
        turn.feed(PAUSED[0])
