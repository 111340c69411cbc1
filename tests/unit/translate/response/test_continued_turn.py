"""Turns that Claude paused: several messages become one, and the content that is sent to resume."""

from collections.abc import Iterable
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.translate.response.accumulator import MessageAccumulator
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


def joined(turn: MessageAccumulator, *messages: Iterable[MessageStreamEvent]) -> list[MessageStreamEvent]:
    return [part for parts in messages for event in parts for part in turn.feed(event)]


def test_a_message_that_is_not_paused() -> None:
    turn = MessageAccumulator(resumable=True)
    parts = events(text("Hello"), tool("weather"), stop_reason="tool_use")
    assert message(joined(turn, parts)) == message(parts)
    assert not turn.paused


def test_a_paused_turn() -> None:
    turn = MessageAccumulator(resumable=True)
    begun = joined(turn, PAUSED)
    assert (turn.paused, turn.resume_content) == (True, SENT_BACK)
    assert begun == PAUSED[:-2]

    rest = joined(turn, events(*LAST, stop_reason="tool_use", id_="msg_2", tokens=7))
    assert not turn.paused
    joined_message = message([*begun, *rest])
    assert joined_message["id"] == "msg_1"
    one = events(*FIRST, *LAST, stop_reason="tool_use")
    assert joined_message["content"] == message(one)["content"]
    assert deltas([*begun, *rest]) == deltas(one)
    usage = to_chat_completion([joined_message], created=CREATED)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (20, 12, 32)


def test_a_turn_paused_twice() -> None:
    turn = MessageAccumulator(resumable=True)
    again = events(FOUND, text("More"), stop_reason="pause_turn", id_="msg_2")
    joined_message = message(joined(turn, PAUSED, again, events(text(" and more"), id_="msg_3")))
    assert [part["type"] for part in turn.resume_content] == [
        "thinking", "text", "server_tool_use", "web_search_tool_result", "text",
    ]  # fmt: skip
    answer = to_chat_completion([joined_message], created=CREATED)
    assert answer["choices"][0]["message"]["content"] == "\n\nLet me see. More and more"
    assert answer["usage"]["prompt_tokens"] == 30


def test_a_turn_that_is_not_resumed() -> None:
    turn = MessageAccumulator(resumable=True)
    joined_message = message([*joined(turn, PAUSED), *turn.end_turn()])
    assert not turn.paused
    assert joined_message["stop_reason"] == "pause_turn"
    assert to_chat_completion([joined_message], created=CREATED)["choices"][0]["finish_reason"] == "length"


def test_a_continuation_in_one_event() -> None:
    turn = MessageAccumulator(resumable=True)
    usage = {"input_tokens": 1, "output_tokens": 2}
    blocks = [{"type": "text", "text": "Done"}]
    start: Any = {
        "id": "msg_2",
        "model": "claude",
        "content": blocks,
        "stop_reason": "end_turn",
        "usage": usage,
    }
    joined_message = message(
        joined(turn, PAUSED, [{"type": "message_start", "message": start}, {"type": "message_stop"}])
    )
    assert [part.get("text") for part in joined_message["content"]] == [
        None,
        "\n\n",
        "Let me see. ",
        None,
        "Done",
    ]
    assert joined_message["stop_reason"] == "end_turn"


def test_a_continuation_that_starts_again() -> None:
    turn = MessageAccumulator(resumable=True)
    joined(turn, PAUSED, events(*LAST)[:-2])
    with pytest.raises(APIError, match="restarted"):
        turn.feed(PAUSED[0])
