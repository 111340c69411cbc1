"""Reply: the echo's answer to a request, split into the pieces of a stream."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Literal

from claudexia_cli.echo.request import Block, EchoRequest, Text, Tool, ToolResult
from claudexia_cli.echo.schema import sample

# In the gateway's instruction for `response_format: {"type": "json_object"}`.
_JSON_OBJECT = "Answer with one JSON object and nothing else"


@dataclass(frozen=True, slots=True)
class Reply:
    """`pieces`, one token each, join to the text or, if `tool` is set, to the JSON of the tool's input.

    An empty input has no piece.
    """

    pieces: Sequence[str]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
    stop_sequence: str | None = None
    tool: str | None = None


def reply_to(request: EchoRequest) -> Reply:
    blocks = _last_user_turn(request)
    text = _text(blocks)
    has_tool_result = any(isinstance(block, ToolResult) for block in blocks)
    # Without this check a forced tool would be called again for each of its results, in an endless loop.
    if not has_tool_result and (tool := _choose_tool(request, text)):
        return _tool_reply(tool, text, request.max_tokens)
    if request.output_config.format:
        value = sample(request.output_config.format.json_schema, text)
        return _text_reply(json.dumps(value, ensure_ascii=False), request)
    if any(_JSON_OBJECT in block.text for block in request.system):
        return _text_reply(json.dumps({"echo": text}, ensure_ascii=False), request)
    return _text_reply(f"Echo: {text}".strip(), request)


def count_input(request: EchoRequest) -> int:
    """An estimate in tokens: four characters per token, the vendors' rule of thumb for English."""
    texts = [_text(message.content) for message in request.messages]
    texts += [block.text for block in request.system]
    texts += [tool.model_dump_json(exclude_unset=True) for tool in request.tools]
    return 1 + sum(map(len, texts)) // 4


def _last_user_turn(request: EchoRequest) -> list[Block]:
    """The blocks of the last user message and of the user messages right before it."""
    from_end = dropwhile(lambda message: message.role != "user", reversed(request.messages))
    turn = [*takewhile(lambda message: message.role == "user", from_end)]
    return [block for message in reversed(turn) for block in message.content]


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


def _text_reply(text: str, request: EchoRequest) -> Reply:
    found = [(text.find(stop), stop) for stop in request.stop_sequences if stop in text]
    end, stop = min(found, default=(len(text), None))
    pieces = _pieces(text[:end])
    if len(pieces) > request.max_tokens:
        return Reply(pieces[: request.max_tokens], "max_tokens")
    return Reply(pieces, "end_turn") if stop is None else Reply(pieces, "stop_sequence", stop)


def _pieces(text: str) -> list[str]:
    """The words of `text`, each with the whitespace before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def _choose_tool(request: EchoRequest, text: str) -> Tool | None:
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


def _tool_reply(tool: Tool, text: str, max_tokens: int) -> Reply:
    arguments = sample(tool.input_schema, text) if tool.input_schema else {}
    # The stream begins with an empty piece, which counts as one. For an empty input it is the only piece.
    pieces = _pieces(json.dumps(arguments, ensure_ascii=False)) if arguments else []
    if len(pieces) + 1 > max_tokens:
        return Reply(pieces[: max(max_tokens - 1, 0)], "max_tokens", tool=tool.name)
    return Reply(pieces, "tool_use", tool=tool.name)
