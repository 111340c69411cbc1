"""Reply: what the echo says to a request, cut into the pieces in which it says it."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from claudexia.local.echo_request import Block, EchoRequest, Text, Tool, ToolResult, turns
from claudexia.local.echo_schema import sample


@dataclass(frozen=True, slots=True)
class Reply:
    """`pieces`, a token each, join to the text or, where a `tool` is named, to the JSON of its input."""

    pieces: Sequence[str]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
    stop_sequence: str | None = None
    tool: str | None = None


def reply_to(request: EchoRequest) -> Reply:
    user = next(turn for turn in reversed(turns(request.messages)) if turn.role == "user")
    text = _text(user.blocks)
    answers_tools = any(isinstance(block, ToolResult) for block in user.blocks)
    # A forced tool would be called again for each of its results, without end.
    if not answers_tools and (tool := _called_tool(request, text)):
        return _call(tool, text, request.max_tokens)
    if request.output_config.format:
        answer = sample(request.output_config.format.json_schema, text)
        return _say(json.dumps(answer, ensure_ascii=False), request)
    return _say(f"Echo: {text}".strip(), request)


def count_input(request: EchoRequest) -> int:
    """About four characters a token, which is what the vendors say of English."""
    texts = [_text(message.content) for message in request.messages]
    texts += [block.text for block in request.system]
    texts += [tool.model_dump_json(exclude_unset=True) for tool in request.tools]
    return 1 + sum(map(len, texts)) // 4


def _text(blocks: Iterable[Block]) -> str:
    return "\n".join(map(_block_text, blocks)).strip()


def _block_text(block: Block) -> str:
    match block:
        case Text():
            return block.text
        case ToolResult(content=str(content)):
            return content
        case ToolResult(content=list(content)):
            return _text(content)
        case _:
            return f"[{block.type}]"


def _say(text: str, request: EchoRequest) -> Reply:
    found = [(text.find(stop), stop) for stop in request.stop_sequences if stop in text]
    end, stop = min(found, default=(len(text), None))
    pieces = _pieces(text[:end])
    if len(pieces) > request.max_tokens:
        return Reply(pieces[: request.max_tokens], "max_tokens")
    return Reply(pieces, "end_turn") if stop is None else Reply(pieces, "stop_sequence", stop)


def _pieces(text: str) -> list[str]:
    """Each word with the space before it; together they are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def _called_tool(request: EchoRequest, text: str) -> Tool | None:
    tools = [tool for tool in request.tools if tool.type == "custom"]
    named = [tool for tool in tools if re.search(rf"(?<![\w-]){tool.name}(?![\w-])", text, re.IGNORECASE)]
    match request.tool_choice.type:
        case "none":
            return None
        case "auto":
            return next(iter(named), None)
        case "any":
            return next(iter(named or tools), None)
        case "tool":
            return next((tool for tool in tools if tool.name == request.tool_choice.name), None)


def _call(tool: Tool, text: str, max_tokens: int) -> Reply:
    arguments = sample(tool.input_schema, text) if tool.input_schema else {}
    # Anthropic's first piece is always empty, and for an input without arguments it is the only one.
    pieces = ["", *(_pieces(json.dumps(arguments, ensure_ascii=False)) if arguments else [])]
    if len(pieces) > max_tokens:
        return Reply(pieces[:max_tokens], "max_tokens", tool=tool.name)
    return Reply(pieces, "tool_use", tool=tool.name)
