"""What the stand-in's Claude says: decided by the request and by words in square brackets in it.

`[rounds=N]` how many rounds of tool calls, `[interleave]` thinks again before them, `[redacted]` also thinks what
nobody may read, `[pause]` pauses after a search; `[refuse]`, `[refuse-late]`, `[long]` and `[empty]` end the answer so.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.anthropic.instances import instance
from tests.fakes.anthropic.models import ModelFacts
from tests.fakes.anthropic.search_results import cited_answer, search_blocks
from tests.fakes.anthropic.signing import Signer
from tests.fakes.anthropic.walk import (
    Json,
    Params,
    Turn,
    as_blocks,
    entries,
    forced,
    is_custom,
    merged,
    places,
    record,
    schema_format,
    thinking_type,
    tools,
)

Block = dict[str, Any]
_REFUSED = {"type": "refusal", "category": "cyber", "explanation": "This was taken for an attack."}
_SEEN = (("image", "I see an image."), ("document", "I read a document."))
_HIDDEN_TOKENS = 25


@dataclass(frozen=True)
class Answer:
    """Content blocks, unsigned, and how the answer ends."""

    content: list[Block]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: Json = None
    searches: int = 0
    thinking_tokens: int = 0


class Claude:
    """Answers requests; `new_id` makes an id for a prefix."""

    def __init__(self, signer: Signer, new_id: Callable[[str], str]) -> None:
        self._signer = signer
        self._new_id = new_id

    def answer(self, params: Params, model: ModelFacts) -> Answer:
        turns = merged(params)
        if params.get("max_tokens") == 0:
            return Answer([], "max_tokens")
        answer = _ending(_text(_last_plain(turns))) or self._said(params, turns)
        if not answer.content:
            return answer
        first, between = _thoughts(params, model, turns)
        answer = _cut(params, answer)
        between = between if len(answer.content) > 1 else []
        content = [*first, *answer.content[:1], *between, *answer.content[1:]]
        return replace(answer, content=content, thinking_tokens=_HIDDEN_TOKENS * len(first + between))

    def _said(self, params: Params, turns: list[Turn]) -> Answer:
        calls = self._calls(params, turns)
        if calls:
            return Answer([text(f"I call {' and '.join(call['name'] for call in calls)}."), *calls], "tool_use")
        asked = _text(_last_plain(turns))
        if "search" in asked and any(tool.get("name") == "web_search" for _, tool in tools(params)):
            return self._searched(asked, turns)
        results = [_result(block) for block in _last_user(turns).of("tool_result")]
        told = [text(f"Result: {'; '.join(results)}")] if results else _plain_answer(params, asked)
        return Answer(_formed(params) or told)

    def _calls(self, params: Params, turns: list[Turn]) -> list[Block]:
        """One call of each of the first two tools while the rounds asked for are not over."""
        choice = record(params.get("tool_choice"))
        offered = [tool for _, tool in tools(params) if is_custom(tool)]
        done = sum(bool(turn.of("tool_result")) for turn in turns[turns.index(_last_plain(turns)) :])
        if not offered or choice.get("type") == "none" or done >= _rounds(params, turns):
            return []
        if choice.get("type") == "tool":
            offered = [tool for tool in offered if tool["name"] == choice["name"]]
        most = 1 if choice.get("disable_parallel_tool_use") else 2
        return [
            {
                "type": "tool_use",
                "id": self._new_id("toolu"),
                "name": tool["name"],
                "input": instance(tool["input_schema"]),
            }
            for tool in offered[:most]
        ]

    def _searched(self, asked: str, turns: list[Turn]) -> Answer:
        if turns[-1].role == "assistant":
            return Answer(cited_answer(self._signer))
        blocks = [text("I look that up."), *search_blocks(self._signer, self._new_id("srvtoolu"), asked)]
        if "[pause]" in asked:
            return Answer(blocks, "pause_turn", searches=1)
        return Answer(blocks + cited_answer(self._signer), searches=1)


def question(params: Params) -> str:
    """What a person said last."""
    return _text(_last_plain(merged(params)))


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def _ending(asked: str) -> Answer | None:
    """The answer that a word in brackets asks for."""
    endings = {
        "[refuse]": Answer([], "refusal", stop_details=_REFUSED),
        "[refuse-late]": Answer([text("First, you")], "refusal", stop_details=_REFUSED),
        "[long]": Answer([text("Once upon a time there was a")], "max_tokens"),
        "[empty]": Answer([]),
    }
    return next((answer for word, answer in endings.items() if word in asked), None)


def _thoughts(params: Params, model: ModelFacts, turns: list[Turn]) -> tuple[list[Block], list[Block]]:
    """The thinking before the answer, and that after its first text."""
    kind = thinking_type(params, model)
    after_tools = bool(_last_user(turns).of("tool_result"))
    if kind == "disabled" or (kind == "between_tools" and not after_tools):
        return [], []
    shown = record(params.get("thinking")).get("display") or model.display
    number = sum(bool(turn.of("tool_result")) for turn in turns) + 1
    words = f"Round {number}: I think about what was asked." if shown == "summarized" else ""
    asked = " ".join(_text(turn) for turn in turns if turn.role == "user")
    redacted = [{"type": "redacted_thinking", "data": ""}] if "[redacted]" in asked else []
    again = [_thought(words and f"{words} Again.")] if "[interleave]" in asked else []
    return [_thought(words), *redacted], again


def _thought(words: str) -> Block:
    return {"type": "thinking", "thinking": words, "signature": ""}


def _formed(params: Params) -> list[Block]:
    """The JSON that a schema asks for, if one does."""
    chosen = schema_format(params)
    return [text(json.dumps(instance(chosen["schema"])))] if chosen else []


def _plain_answer(params: Params, asked: str) -> list[Block]:
    system = " ".join(str(block.get("text")) for _, block in entries(as_blocks(params.get("system"))))
    if "JSON object" in system:
        return [text('Here is the JSON object:\n\n```json\n{"answer": "Paris"}\n```\n\nAnything else?')]
    kinds = {place.block.get("type") for place in places(params)}
    seen = [words for kind, words in _SEEN if kind in kinds]
    return [text(" ".join([*seen, f"You said: {asked[:60]}"]))]


def _cut(params: Params, answer: Answer) -> Answer:
    """The answer up to the first stop sequence in its last text."""
    last = answer.content[-1] if answer.content else {}
    words = last.get("text", "")
    stops = [stop for stop in params.get("stop_sequences") or [] if stop in words]
    if not stops:
        return answer
    stop = min(stops, key=words.index)
    kept = [text(words[: words.index(stop)])] if words.index(stop) else []
    return replace(
        answer, content=[*answer.content[:-1], *kept], stop_reason="stop_sequence", stop_sequence=stop
    )


def _rounds(params: Params, turns: list[Turn]) -> int:
    words = _text(turns[0])
    if told := re.search(r"\[rounds=(\d+)\]", words):
        return int(told[1])
    return int(bool(re.search("weather|tool", words)) or forced(params))


def _last_plain(turns: list[Turn]) -> Turn:
    """The last thing a person said, rather than a tool."""
    return next(turn for turn in reversed(turns) if turn.role == "user" and not turn.of("tool_result"))


def _last_user(turns: list[Turn]) -> Turn:
    return next(turn for turn in reversed(turns) if turn.role == "user")


def _text(turn: Turn) -> str:
    return " ".join(block["text"] for block in turn.of("text"))


def _result(block: Block) -> str:
    parts = [
        str(one.get("text", f"[{one['type']}]")) for _, one in entries(as_blocks(block.get("content") or []))
    ]
    return ("Error: " if block.get("is_error") else "") + " ".join(parts)
