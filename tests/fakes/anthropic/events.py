"""A message as the stream of events that tells it.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_ONLY_AT_START = ("cache_creation", "service_tier")


def events(message: Json, usage_at_start: Json) -> Iterator[Json]:
    """`message` piece by piece; `usage_at_start` is what is known of its usage before the first token."""
    nothing: Json = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**message, **nothing, "usage": usage_at_start}}
    for index, block in enumerate(message["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": _opening(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    usage = {name: count for name, count in message["usage"].items() if name not in _ONLY_AT_START}
    yield {"type": "message_delta", "delta": ending, "usage": usage}
    yield {"type": "message_stop"}


def framed(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _opening(block: Json) -> Json:
    match block["type"]:
        case "text" if "citations" in block:
            return {"type": "text", "text": "", "citations": []}
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use":
            return {**block, "input": {}}
        case _:
            return block


def _deltas(block: Json) -> Iterator[Json]:
    match block["type"]:
        case "text":
            yield from ({"type": "citations_delta", "citation": one} for one in block.get("citations", []))
            yield from ({"type": "text_delta", "text": piece} for piece in _pieces(block["text"]))
        case "thinking":
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"]))
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use" | "server_tool_use":
            # A tool without arguments gets nothing but the empty piece.
            pieces = _pieces(json.dumps(block["input"])) if block["input"] else []
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces])


def _pieces(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
