"""A Message as the API's stream events, and their framing.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]
_ONLY_AT_START = ("cache_creation", "service_tier")


def message_events(
    message: Mapping[str, Any],
    usage_at_start: Mapping[str, object],
    split: Callable[[Json], Iterable[str]],
) -> Iterator[Json]:
    """Yields the events of `message`. `usage_at_start` is the usage in message_start, before the first token.

    `split` returns the pieces, one per delta, of a block's text, of its thinking or of its tool input as JSON.
    """
    nothing: Json = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**message, **nothing, "usage": usage_at_start}}
    for index, block in enumerate(message["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": _start(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block, split):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    usage = {name: count for name, count in message["usage"].items() if name not in _ONLY_AT_START}
    yield {"type": "message_delta", "delta": ending, "usage": usage}
    yield {"type": "message_stop"}


def sse_frame(event: Mapping[str, Any]) -> bytes:
    """`event` as a server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def error_body(error_type: str, message: str, request_id: str) -> Json:
    """The body of an error response."""
    return {"type": "error", "error": {"type": error_type, "message": message}, "request_id": request_id}


def _start(block: Json) -> Json:
    """`block` without the content that its deltas bring."""
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


def _deltas(block: Json, split: Callable[[Json], Iterable[str]]) -> Iterator[Json]:
    match block["type"]:
        case "text":
            for citation in block.get("citations", []):
                yield {"type": "citations_delta", "citation": citation}
            for piece in split(block):
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in split(block):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use" | "server_tool_use":
            # The API's first piece is always empty. For an empty input it is the only piece.
            for piece in ("", *split(block)):
                yield {"type": "input_json_delta", "partial_json": piece}
