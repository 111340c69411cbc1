"""Thinking that comes back: as it was, changed, left out, or in another conversation."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError

from tests.fakes.anthropic.http import TOOLS, ask, results, said, sdk
from tests.fakes.anthropic.server import StandIn
from tests.helpers.serving import serving


@pytest.fixture
def client() -> Iterator[Anthropic]:
    with serving(StandIn()) as url, sdk(url) as client:
        yield client


THOUGHT = {"type": "thinking", "thinking": "Forged.", "signature": "abcd"}
TAMPERED = {
    "words": (lambda blocks: [{**blocks[0], "thinking": "Other."}, *blocks[1:]], "cannot be modified"),
    "signature": (lambda blocks: [{**blocks[0], "signature": blocks[0]["signature"][:-8]}, *blocks[1:]], "cannot be modified"),
    "one of two left out": (lambda blocks: blocks[1:], "cannot be modified"),
    "swapped": (lambda blocks: [blocks[2], blocks[1], blocks[0], *blocks[3:]], "cannot be modified"),
    "forged": (lambda blocks: [THOUGHT, *blocks[1:]], "cannot be modified"),
    "all left out": (lambda blocks: [block for block in blocks if block["type"] != "thinking"], None),
}  # fmt: skip


@pytest.mark.parametrize(("tamper", "words"), TAMPERED.values(), ids=TAMPERED)
def test_thinking_that_was_changed(client: Anthropic, tamper: Any, words: str | None) -> None:
    fields: Any = {"tools": TOOLS, "thinking": {"type": "adaptive", "display": "summarized"}}
    message = ask(client, "[interleave] Use a tool", **fields)
    turn = said(message)
    changed = ["[interleave] Use a tool", {**turn, "content": tamper(turn["content"])}, results(message)]
    if not words:
        assert ask(client, *changed, **fields).stop_reason == "end_turn"
        return
    with pytest.raises(BadRequestError, match=words):
        ask(client, *changed, **fields)
    follow_up = [*changed, {"role": "assistant", "content": "Done"}, "And now?"]
    if tamper(turn["content"])[0].get("thinking") in ("Other.", "Forged."):
        with pytest.raises(BadRequestError, match="Invalid `signature`"):
            ask(client, *follow_up, **fields)


def test_bound_thinking() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    with serving(StandIn(bound=True)) as url, sdk(url) as client, sdk(url, "sk-ant-two") as other:
        message = ask(client, "Use a tool", tools=TOOLS, system="Be kind.")
        turns = ["Use a tool", said(message), results(message)]
        marked = [{"type": "text", "text": "Be kind.", **mark}]
        assert ask(client, *turns, tools=TOOLS, system=marked).stop_reason == "end_turn"
        changes: list[tuple[Anthropic, list[Any], dict[str, Any]]] = [
            (client, turns, {"tools": TOOLS, "system": "Be brief."}),
            (client, turns, {"tools": TOOLS[:2], "system": "Be kind."}),
            (client, ["Use two tools", *turns[1:]], {"tools": TOOLS, "system": "Be kind."}),
            (other, turns, {"tools": TOOLS, "system": "Be kind."}),
        ]
        for asker, asked, fields in changes:
            with pytest.raises(BadRequestError, match="bound to a different conversation"):
                ask(asker, *asked, **fields)
