"""Thinking blocks sent back: unchanged, changed, left out, or in another conversation."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError

from tests.fakes.anthropic.sdk import TOOLS, assistant_turn, create_message, sdk, tool_results
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import serving


@pytest.fixture
def client() -> Iterator[Anthropic]:
    with serving(FakeAnthropic()) as url, sdk(url) as client:
        yield client


FORGED_BLOCK = {"type": "thinking", "thinking": "Forged.", "signature": "abcd"}
CHANGES = {
    "words": (lambda blocks: [{**blocks[0], "thinking": "Other."}, *blocks[1:]], "cannot be modified"),
    "signature": (lambda blocks: [{**blocks[0], "signature": blocks[0]["signature"][:-8]}, *blocks[1:]], "cannot be modified"),
    "one of two left out": (lambda blocks: blocks[1:], "cannot be modified"),
    "swapped": (lambda blocks: [blocks[2], blocks[1], blocks[0], *blocks[3:]], "cannot be modified"),
    "forged": (lambda blocks: [FORGED_BLOCK, *blocks[1:]], "cannot be modified"),
    "all left out": (lambda blocks: [block for block in blocks if block["type"] != "thinking"], None),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error"), CHANGES.values(), ids=CHANGES)
def test_changed_thinking_is_rejected(client: Anthropic, change: Any, error: str | None) -> None:
    fields: Any = {"tools": TOOLS, "thinking": {"type": "adaptive", "display": "summarized"}}
    message = create_message(client, "[interleave] Use a tool", **fields)
    turn = assistant_turn(message)
    changed = ["[interleave] Use a tool", {**turn, "content": change(turn["content"])}, tool_results(message)]
    if not error:
        assert create_message(client, *changed, **fields).stop_reason == "end_turn"
        return
    with pytest.raises(BadRequestError, match=error):
        create_message(client, *changed, **fields)
    follow_up = [*changed, {"role": "assistant", "content": "Done"}, "And now?"]
    if change(turn["content"])[0].get("thinking") in ("Other.", "Forged."):
        with pytest.raises(BadRequestError, match="Invalid `signature`"):
            create_message(client, *follow_up, **fields)


def test_bound_thinking_is_rejected_in_another_conversation() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    with serving(FakeAnthropic(bound=True)) as url, sdk(url) as client, sdk(url, "sk-ant-two") as other:
        message = create_message(client, "Use a tool", tools=TOOLS, system="Be kind.")
        turns = ["Use a tool", assistant_turn(message), tool_results(message)]
        marked = [{"type": "text", "text": "Be kind.", **mark}]
        assert create_message(client, *turns, tools=TOOLS, system=marked).stop_reason == "end_turn"
        changes: list[tuple[Anthropic, list[Any], dict[str, Any]]] = [
            (client, turns, {"tools": TOOLS, "system": "Be brief."}),
            (client, turns, {"tools": TOOLS[:2], "system": "Be kind."}),
            (client, ["Use two tools", *turns[1:]], {"tools": TOOLS, "system": "Be kind."}),
            (other, turns, {"tools": TOOLS, "system": "Be kind."}),
        ]
        for sender, messages, fields in changes:
            with pytest.raises(BadRequestError, match="bound to a different conversation"):
                create_message(sender, *messages, **fields)
