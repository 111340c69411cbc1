"""What the upstream gives: Messages, and the events they come in, as far as the gateway reads them.

Source: https://platform.claude.com/docs/en/api/messages and /build-with-claude/streaming. Blocks, deltas and
events that are not named here exist and more will come: whoever reads them skips what it does not know.
"""

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict


class OutputTokensDetails(TypedDict, total=False):
    thinking_tokens: int | None


class Usage(TypedDict, total=False):
    """Tokens. `input_tokens` leaves out the cache; `output_tokens` includes thinking."""

    input_tokens: int | None
    cache_creation_input_tokens: int | None
    cache_read_input_tokens: int | None
    output_tokens: int | None
    output_tokens_details: OutputTokensDetails | None


class StopDetails(TypedDict, total=False):
    category: str | None
    explanation: str | None


class Citation(TypedDict, total=False):
    """Where a text block's claim comes from; `url` and `title` are a web search's, documents have others."""

    type: str
    url: str
    title: str | None
    cited_text: str


class ContentBlock(TypedDict, total=False):
    """A block of an answer; which keys there are depends on `type`.

    `partial_json` is the accumulator's own: the text of a tool's input as the model wrote it, which may be
    cut short and then is no JSON.
    """

    type: str
    text: str
    citations: list[Citation] | None
    id: str
    name: str
    input: Mapping[str, object]
    thinking: str
    signature: str
    data: str
    partial_json: str


class Message(TypedDict):
    id: str
    model: str
    content: list[ContentBlock]
    stop_reason: str | None
    stop_details: NotRequired[StopDetails | None]
    usage: Usage


class ContentDelta(TypedDict, total=False):
    type: str
    text: str
    partial_json: str
    thinking: str
    signature: str
    citation: Citation


class MessageDelta(TypedDict, total=False):
    stop_reason: str | None
    stop_details: StopDetails | None


class MessageStartEvent(TypedDict):
    type: Literal["message_start"]
    message: Message


class ContentBlockStartEvent(TypedDict):
    type: Literal["content_block_start"]
    index: int
    content_block: ContentBlock


class ContentBlockDeltaEvent(TypedDict):
    type: Literal["content_block_delta"]
    index: int
    delta: ContentDelta


class ContentBlockStopEvent(TypedDict):
    type: Literal["content_block_stop"]
    index: int


class MessageDeltaEvent(TypedDict):
    type: Literal["message_delta"]
    delta: MessageDelta
    usage: NotRequired[Usage]


class MessageStopEvent(TypedDict):
    type: Literal["message_stop"]


class PingEvent(TypedDict):
    type: Literal["ping"]


class ErrorEvent(TypedDict):
    type: Literal["error"]
    error: Mapping[str, object]


MessageStreamEvent = (
    MessageStartEvent
    | ContentBlockStartEvent
    | ContentBlockDeltaEvent
    | ContentBlockStopEvent
    | MessageDeltaEvent
    | MessageStopEvent
    | PingEvent
    | ErrorEvent
)
