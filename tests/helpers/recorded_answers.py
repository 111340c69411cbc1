"""Builds upstream events, and collects the chunks for them with OpenAI's own SDK."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from claudexia.translate.report import DEFAULT_OPTIONS, ResponseOptions
from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.types.anthropic import Message, MessageStreamEvent

CREATED = 1_790_000_000

Json = dict[str, Any]


def block(kind: str, *deltas: Json, **start: object) -> list[Json]:
    """The events of one block, without its index."""
    return [
        {"type": "content_block_start", "content_block": {"type": kind, **start}},
        *({"type": "content_block_delta", "delta": delta} for delta in deltas),
        {"type": "content_block_stop"},
    ]


def text(*pieces: str, sources: Sequence[Json] = ()) -> list[Json]:
    """A text block. Citations come before the text, as in the API."""
    cited = [{"type": "citations_delta", "citation": source} for source in sources]
    return block("text", *cited, *({"type": "text_delta", "text": piece} for piece in pieces), text="")


def thinking(*pieces: str, signature: str = "") -> list[Json]:
    deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    if signature:
        deltas.append({"type": "signature_delta", "signature": signature})
    return block("thinking", *deltas, thinking="", signature="")


def tool(name: str, *pieces: str, id_: str = "toolu_0", kind: str = "tool_use") -> list[Json]:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
    return block(kind, *deltas, id=id_, name=name, input={})


def source(url: str, title: str | None = "A page") -> Json:
    return {"type": "web_search_result_location", "url": url, "title": title, "cited_text": "…"}


def events(
    *blocks: list[Json], stop_reason: str = "end_turn", id_: str = "msg_1", tokens: int = 5
) -> list[MessageStreamEvent]:
    """The events of a complete message: 10 input tokens, `tokens` output tokens, one of them thinking."""
    usage = {"output_tokens": tokens, "output_tokens_details": {"thinking_tokens": 1}}
    start: Json = {
        "id": id_,
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 10},
    }
    return cast(
        "list[MessageStreamEvent]",
        [
            {"type": "message_start", "message": start},
            *({**event, "index": index} for index, parts in enumerate(blocks) for event in parts),
            {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage},
            {"type": "message_stop"},
        ],
    )


def message(parts: Iterable[MessageStreamEvent]) -> Message:
    accumulator = MessageAccumulator()
    for event in parts:
        accumulator.feed(event)
    assert accumulator.finished
    return accumulator.message


def deltas(parts: Iterable[MessageStreamEvent], options: ResponseOptions = DEFAULT_OPTIONS) -> list[Json]:
    """The deltas of all chunks but the last, which has the finish_reason only."""
    stream = ChatCompletionStream(created=CREATED, options=options)
    chunks = [chunk for event in parts for chunk in stream.feed(event)]
    assert stream.finished
    return cast("list[Json]", [chunk["choices"][0]["delta"] for chunk in chunks[:-1]])


def collected(chunks: Iterable[object]) -> Json:
    state = ChatCompletionStreamState()
    for chunk in chunks:
        # Not validated, as in the SDK itself: its type does not include custom tool calls.
        state.handle_chunk(ChatCompletionChunk.construct(**json.loads(json.dumps(chunk))))
    # get_final_completion() raises for truncated or refused completions; the snapshot is the same object.
    return state.current_completion_snapshot.model_dump(mode="json", exclude_none=True)
