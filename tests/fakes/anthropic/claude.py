"""Claude: the replies of the fake API, which depend on the request and on markers in its prompt.

`[rounds=N]`    N rounds of tool calls
`[use F {...}]` one call of the tool F with this input, also as constrained output
`[interleave]`  a second thinking block before the tool calls
`[redacted]`    a redacted thinking block
`[pause]`       stop reason `pause_turn` after a web search
`[refuse]`, `[refuse-late]`, `[long]`, `[empty]`: a refusal without and with text, `max_tokens`, no content
`[bad-arguments]` arguments that are text in structured output are no JSON

Claude calls a tool where `tool_choice` forces it to, after tool results too, or where the prompt has the word tool or
weather. What the system prompt says about tools is ignored.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from claudexia_cli.echo.params import (
    Json,
    Params,
    Turn,
    as_blocks,
    as_object,
    is_custom,
    is_forced,
    merged_turns,
    objects,
    output_format,
    places,
    tools,
)
from claudexia_cli.echo.schema import Schema, sample
from tests.fakes.anthropic.models import ModelFacts, thinking_type
from tests.fakes.anthropic.search_results import cited_text, search_blocks
from tests.fakes.anthropic.signing import Signer

Block = dict[str, Any]
_REFUSAL = {"type": "refusal", "category": "cyber", "explanation": "This was taken for an attack."}
_MEDIA_TEXTS = (("image", "I see an image."), ("document", "I read a document."))
_THINKING_BLOCK_TOKENS = 25
_PLANNED = re.compile(r"\[use (\w+) (\{.*?\})\]")


@dataclass(frozen=True)
class ClaudeReply:
    """Content blocks without signatures, and how the reply ends."""

    content: list[Block]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: Json = None
    searches: int = 0
    thinking_tokens: int = 0


class Claude:
    """Makes replies. `new_id` returns a new id with the given prefix."""

    def __init__(self, signer: Signer, new_id: Callable[[str], str]) -> None:
        self._signer = signer
        self._new_id = new_id

    def reply(self, params: Params, model: ModelFacts) -> ClaudeReply:
        turns = merged_turns(params)
        if params.get("max_tokens") == 0:
            return ClaudeReply([], "max_tokens")
        reply = _marked_reply(_text(_last_prompt(turns))) or self._content(params, turns)
        if not reply.content:
            return reply
        first, between = _thinking_blocks(params, model, turns)
        reply = _stop_at_sequence(params, reply)
        between = between if len(reply.content) > 1 else []
        content = [*first, *reply.content[:1], *between, *reply.content[1:]]
        return replace(reply, content=content, thinking_tokens=_THINKING_BLOCK_TOKENS * len(first + between))

    def _content(self, params: Params, turns: list[Turn]) -> ClaudeReply:
        calls = self._calls(params, turns)
        if calls:
            return ClaudeReply(
                [text(f"I call {' and '.join(call['name'] for call in calls)}."), *calls], "tool_use"
            )
        prompt = _text(_last_prompt(turns))
        if "search" in prompt and any(tool.get("name") == "web_search" for _, tool in tools(params)):
            return self._search(prompt, turns)
        results = [_result(block) for block in _last_user(turns).of_type("tool_result")]
        plain = [text(f"Result: {'; '.join(results)}")] if results else _text_reply(params, prompt)
        return ClaudeReply(_structured_output(params, prompt) or plain)

    def _calls(self, params: Params, turns: list[Turn]) -> list[Block]:
        """One call of each of the first two tools, until the requested number of rounds is reached."""
        choice = as_object(params.get("tool_choice"))
        available = [tool for _, tool in tools(params) if is_custom(tool)]
        done = sum(bool(turn.of_type("tool_result")) for turn in turns[turns.index(_last_prompt(turns)) :])
        if planned := _PLANNED.search(_text(_last_prompt(turns))):
            available = [tool for tool in available if tool["name"] == planned[1]]
        enough = done >= (1 if planned else _rounds(params, turns)) and not is_forced(params)
        if not available or choice.get("type") == "none" or enough:
            return []
        if choice.get("type") == "tool":
            available = [tool for tool in available if tool["name"] == choice["name"]]
        limit = 1 if choice.get("disable_parallel_tool_use") else 2
        return [
            {
                "type": "tool_use",
                "id": self._new_id("toolu"),
                "name": tool["name"],
                "input": json.loads(planned[2]) if planned else _sample(tool["input_schema"]),
            }
            for tool in available[:limit]
        ]

    def _search(self, prompt: str, turns: list[Turn]) -> ClaudeReply:
        if turns[-1].role == "assistant":
            return ClaudeReply(cited_text(self._signer))
        blocks = [text("I look that up."), *search_blocks(self._signer, self._new_id("srvtoolu"), prompt)]
        if "[pause]" in prompt:
            return ClaudeReply(blocks, "pause_turn", searches=1)
        return ClaudeReply(blocks + cited_text(self._signer), searches=1)


def last_prompt(params: Params) -> str:
    """The text of the last user turn without tool results."""
    return _text(_last_prompt(merged_turns(params)))


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def _marked_reply(prompt: str) -> ClaudeReply | None:
    """The reply for a marker in the prompt, if there is one."""
    replies = {
        "[refuse]": ClaudeReply([], "refusal", stop_details=_REFUSAL),
        "[refuse-late]": ClaudeReply([text("First, you")], "refusal", stop_details=_REFUSAL),
        "[long]": ClaudeReply([text("Once upon a time there was a")], "max_tokens"),
        "[empty]": ClaudeReply([]),
    }
    return next((reply for marker, reply in replies.items() if marker in prompt), None)


def _thinking_blocks(params: Params, model: ModelFacts, turns: list[Turn]) -> tuple[list[Block], list[Block]]:
    """The thinking blocks at the start of the reply, and those after its first text block."""
    type_ = thinking_type(params, model)
    after_tools = bool(_last_user(turns).of_type("tool_result"))
    if type_ == "disabled" or (type_ == "between_tools" and not after_tools):
        return [], []
    display = as_object(params.get("thinking")).get("display") or model.display
    number = sum(bool(turn.of_type("tool_result")) for turn in turns) + 1
    summary = f"Round {number}: I think about what was asked." if display == "summarized" else ""
    prompts = " ".join(_text(turn) for turn in turns if turn.role == "user")
    redacted = [{"type": "redacted_thinking", "data": ""}] if "[redacted]" in prompts else []
    again = [_thinking(summary and f"{summary} Again.")] if "[interleave]" in prompts else []
    return [_thinking(summary), *redacted], again


def _thinking(summary: str) -> Block:
    return {"type": "thinking", "thinking": summary, "signature": ""}


def _structured_output(params: Params, prompt: str) -> list[Block]:
    """A text block with JSON for `output_config.format`, if it is set."""
    format_ = output_format(params)
    if not format_:
        return []
    schema = format_["schema"]
    if planned := _PLANNED.search(prompt):
        return [text(json.dumps(_planned_value(schema, planned[1], json.loads(planned[2]))))]
    value = _sample(schema)
    if isinstance(value, dict) and isinstance(value.get("arguments"), str):
        schema = next(tool["input_schema"] for _, tool in tools(params) if tool.get("name") == value["name"])
        arguments = "{no JSON}" if "[bad-arguments]" in prompt else json.dumps(_sample(schema))
        value = {**value, "arguments": arguments}
    return [text(json.dumps(value))]


def _planned_value(schema: Json, name: str, arguments: Json) -> Any:
    """The planned call in the shape of `schema`: a list of calls, one call, or only its arguments."""
    properties = schema.get("properties", {})
    call = {"name": name, "arguments": arguments}
    if "calls" in properties:
        return {"calls": [call]}
    if "call" in properties:
        return {"call": call}
    if properties.keys() == call.keys():
        as_text = properties["arguments"].get("type") == "string"
        return {**call, "arguments": json.dumps(arguments)} if as_text else call
    return arguments


def _sample(schema: Json) -> Any:
    return sample(Schema.model_validate(schema), "a")


def _text_reply(params: Params, prompt: str) -> list[Block]:
    system = " ".join(str(block.get("text")) for _, block in objects(as_blocks(params.get("system"))))
    if "JSON object" in system:
        return [text('Here is the JSON object:\n\n```json\n{"answer": "Paris"}\n```\n\nAnything else?')]
    types = {place.block.get("type") for place in places(params)}
    media = [words for block_type, words in _MEDIA_TEXTS if block_type in types]
    return [text(" ".join([*media, f"You said: {prompt[:60]}"]))]


def _stop_at_sequence(params: Params, reply: ClaudeReply) -> ClaudeReply:
    """The reply up to the first stop sequence in its last text."""
    last = reply.content[-1] if reply.content else {}
    words = last.get("text", "")
    stops = [stop for stop in params.get("stop_sequences") or [] if stop in words]
    if not stops:
        return reply
    stop = min(stops, key=words.index)
    kept = [text(words[: words.index(stop)])] if words.index(stop) else []
    return replace(reply, content=[*reply.content[:-1], *kept], stop_reason="stop_sequence", stop_sequence=stop)


def _rounds(params: Params, turns: list[Turn]) -> int:
    prompt = _text(turns[0])
    if marker := re.search(r"\[rounds=(\d+)\]", prompt):
        return int(marker[1])
    return int(bool(re.search("weather|tool", prompt)) or is_forced(params))


def _last_prompt(turns: list[Turn]) -> Turn:
    """The last user turn without tool results."""
    return next(turn for turn in reversed(turns) if turn.role == "user" and not turn.of_type("tool_result"))


def _last_user(turns: list[Turn]) -> Turn:
    return next(turn for turn in reversed(turns) if turn.role == "user")


def _text(turn: Turn) -> str:
    return " ".join(block["text"] for block in turn.of_type("text"))


def _result(block: Block) -> str:
    parts = [
        str(part.get("text", f"[{part['type']}]")) for _, part in objects(as_blocks(block.get("content") or []))
    ]
    return ("Error: " if block.get("is_error") else "") + " ".join(parts)


def split(block: Block, size: int = 7) -> list[str]:
    """The content of a block in pieces of `size` characters, one per delta."""
    match block["type"]:
        case "text" | "thinking":
            content = block[block["type"]]
        case _:
            content = json.dumps(block["input"]) if block["input"] else ""
    return [content[start : start + size] for start in range(0, len(content), size)]
