"""What the upstream takes and gives: the Messages API as TypedDicts, as far as the gateway reads or writes it.

Source: https://platform.claude.com/docs/en/api/messages and /build-with-claude/streaming. Blocks, deltas and
events that are not named here exist and more will come: whoever reads them skips what it does not know.
"""

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict

JSONSchema = Mapping[str, object]


# --- what the gateway sends ---------------------------------------------------------------------------------


class TextBlockParam(TypedDict):
    type: Literal["text"]
    text: str


class Base64Source(TypedDict):
    type: Literal["base64"]
    media_type: str
    data: str


class URLSource(TypedDict):
    type: Literal["url"]
    url: str


class ImageBlockParam(TypedDict):
    type: Literal["image"]
    source: Base64Source | URLSource


class ToolUseBlockParam(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: Mapping[str, object]


class ToolResultBlockParam(TypedDict):
    type: Literal["tool_result"]
    tool_use_id: str
    content: NotRequired[list[TextBlockParam | ImageBlockParam]]


ContentBlockParam = TextBlockParam | ImageBlockParam | ToolUseBlockParam | ToolResultBlockParam


class MessageParam(TypedDict):
    role: Literal["user", "assistant"]
    content: list[ContentBlockParam]


class ToolParam(TypedDict):
    name: str
    description: NotRequired[str]
    input_schema: JSONSchema
    strict: NotRequired[bool]


class ToolChoiceParam(TypedDict):
    type: Literal["auto", "any", "tool", "none"]
    name: NotRequired[str]
    disable_parallel_tool_use: NotRequired[bool]


class MetadataParam(TypedDict, total=False):
    user_id: str


class MessageCreateParams(TypedDict):
    model: str
    max_tokens: int
    messages: list[MessageParam]
    stream: Literal[True]
    system: NotRequired[list[TextBlockParam]]
    stop_sequences: NotRequired[list[str]]
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    top_k: NotRequired[int]
    tools: NotRequired[list[ToolParam]]
    tool_choice: NotRequired[ToolChoiceParam]
    metadata: NotRequired[MetadataParam]


# --- what the gateway gets ----------------------------------------------------------------------------------


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


class ContentBlock(TypedDict, total=False):
    """A block of an answer; which keys there are depends on `type`.

    `partial_json` is the accumulator's own: the text of a tool's input as the model wrote it, which may be
    cut short and then is no JSON.
    """

    type: str
    text: str
    id: str
    name: str
    input: Mapping[str, object]
    thinking: str
    signature: str
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
