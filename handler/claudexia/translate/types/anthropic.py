"""The Messages API as TypedDicts: the messages and events that the gateway reads, the requests that it sends.

The API has more types of blocks, deltas and events, and new ones will come. Readers skip unknown types.

Sources: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

Flags = Mapping[str, object]

# The types of the blocks of thinking.
THINKING_TYPES = ("thinking", "redacted_thinking")


class ModelInfo(TypedDict, total=False):
    """One model of the upstream's list. `capabilities` nests {"supported": bool}."""

    id: str
    type: str
    display_name: str | None
    created_at: str | None
    lifecycle: str | None
    retires_at: str | None
    max_input_tokens: int | None
    max_tokens: int | None
    capabilities: Flags | None


class ModelInfoList(TypedDict):
    """The response to GET /v1/models."""

    data: list[ModelInfo]


class ModelInfoPage(TypedDict):
    """A page of the response to GET /v1/models. Source: https://platform.claude.com/docs/en/api/models/list"""

    data: list[ModelInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None


class OutputTokensDetails(TypedDict, total=False):
    thinking_tokens: int | None


class Usage(TypedDict, total=False):
    """Tokens. `input_tokens` excludes what was read from or written to the cache; `output_tokens` includes
    thinking.
    """

    input_tokens: int | None
    cache_creation_input_tokens: int | None
    cache_read_input_tokens: int | None
    output_tokens: int | None
    output_tokens_details: OutputTokensDetails | None


class StopDetails(TypedDict, total=False):
    category: str | None
    explanation: str | None


class Citation(TypedDict, total=False):
    """The source of a text block. `url` and `title` are those of a web search; documents have other fields."""

    type: str
    url: str
    title: str | None
    cited_text: str


class ContentBlock(TypedDict, total=False):
    """A block of an answer; its fields depend on `type`.

    `partial_json` is added by the accumulator: the tool input as text, which is incomplete JSON if the answer
    was cut off.
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


# Requests

JSONSchema = Mapping[str, object]


class CacheControlParam(TypedDict):
    """A cache breakpoint: the prompt up to and including its block is cached for `ttl`, 5m by default."""

    type: Literal["ephemeral"]
    ttl: NotRequired[Literal["5m", "1h"]]


class TextBlockParam(TypedDict):
    type: Literal["text"]
    text: str
    cache_control: NotRequired[CacheControlParam]


class Base64Source(TypedDict):
    type: Literal["base64"]
    media_type: str
    data: str


class URLSource(TypedDict):
    type: Literal["url"]
    url: str


class PlainTextSource(TypedDict):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class ImageBlockParam(TypedDict):
    type: Literal["image"]
    source: Base64Source | URLSource
    cache_control: NotRequired[CacheControlParam]


class ContentSource(TypedDict):
    type: Literal["content"]
    content: str | Sequence[TextBlockParam | ImageBlockParam]


class CitationsConfigParam(TypedDict):
    enabled: bool


class DocumentBlockParam(TypedDict):
    type: Literal["document"]
    source: Base64Source | URLSource | PlainTextSource | ContentSource
    title: NotRequired[str]
    context: NotRequired[str]
    citations: NotRequired[CitationsConfigParam]
    cache_control: NotRequired[CacheControlParam]


class SearchResultBlockParam(TypedDict):
    type: Literal["search_result"]
    source: str
    title: str
    content: Sequence[TextBlockParam]
    citations: NotRequired[CitationsConfigParam]
    cache_control: NotRequired[CacheControlParam]


class ThinkingBlockParam(TypedDict):
    """Signed by the API, which takes it back byte for byte or not at all.

    `host` is the host that signed it, as in the setting UPSTREAM, if it is known. It is not sent.
    """

    type: Literal["thinking"]
    thinking: str
    signature: str
    host: NotRequired[str]


class RedactedThinkingBlockParam(TypedDict):
    type: Literal["redacted_thinking"]
    data: str
    host: NotRequired[str]


class ToolUseBlockParam(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: Mapping[str, object]
    cache_control: NotRequired[CacheControlParam]


class ServerToolUseBlockParam(TypedDict):
    type: Literal["server_tool_use"]
    id: str
    name: str
    input: Mapping[str, object]
    cache_control: NotRequired[CacheControlParam]


class ServerToolResultBlockParam(TypedDict):
    """The result of a server tool; the form of `content` depends on the tool."""

    type: Literal[
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
    ]
    tool_use_id: str
    content: object
    cache_control: NotRequired[CacheControlParam]


# The blocks of user messages and tool results.
InputBlockParam = TextBlockParam | ImageBlockParam | DocumentBlockParam | SearchResultBlockParam


class ToolResultBlockParam(TypedDict):
    type: Literal["tool_result"]
    tool_use_id: str
    content: NotRequired[Sequence[InputBlockParam]]
    is_error: NotRequired[bool]
    cache_control: NotRequired[CacheControlParam]


ContentBlockParam = (
    InputBlockParam
    | ThinkingBlockParam
    | RedactedThinkingBlockParam
    | ToolUseBlockParam
    | ToolResultBlockParam
    | ServerToolUseBlockParam
    | ServerToolResultBlockParam
)


class MessageParam(TypedDict):
    """`system` is allowed between turns only, and only by some models."""

    role: Literal["user", "assistant", "system"]
    content: list[ContentBlockParam]


class ToolParam(TypedDict):
    name: str
    description: NotRequired[str]
    input_schema: JSONSchema
    strict: NotRequired[bool]
    input_examples: NotRequired[Sequence[Mapping[str, object]]]
    eager_input_streaming: NotRequired[bool]
    defer_loading: NotRequired[bool]
    allowed_callers: NotRequired[Sequence[str]]
    cache_control: NotRequired[CacheControlParam]


class ServerToolParam(TypedDict):
    """One of Anthropic's own tools; `type` has a date. Toolsets have no name. The other fields vary."""

    type: str
    name: NotRequired[str]
    cache_control: NotRequired[CacheControlParam]


class UserLocationParam(TypedDict, total=False):
    type: Literal["approximate"]
    city: str
    region: str
    country: str
    timezone: str


class WebSearchToolParam(TypedDict):
    type: Literal["web_search_20250305"]
    name: Literal["web_search"]
    max_uses: NotRequired[int]
    user_location: NotRequired[UserLocationParam]
    cache_control: NotRequired[CacheControlParam]


ToolUnionParam = ToolParam | WebSearchToolParam | ServerToolParam


class ToolChoiceParam(TypedDict):
    type: Literal["auto", "any", "tool", "none"]
    name: NotRequired[str]
    disable_parallel_tool_use: NotRequired[bool]


class MetadataParam(TypedDict, total=False):
    user_id: str


class ThinkingConfigParam(TypedDict):
    type: Literal["adaptive", "enabled", "disabled", "between_tools"]
    budget_tokens: NotRequired[int]
    display: NotRequired[Literal["summarized", "omitted"]]


class JSONOutputFormatParam(TypedDict):
    type: Literal["json_schema"]
    schema: JSONSchema


class OutputConfigParam(TypedDict, total=False):
    effort: str
    format: JSONOutputFormatParam


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
    tools: NotRequired[Sequence[ToolUnionParam]]
    tool_choice: NotRequired[ToolChoiceParam]
    thinking: NotRequired[ThinkingConfigParam]
    output_config: NotRequired[OutputConfigParam]
    cache_control: NotRequired[CacheControlParam]
    metadata: NotRequired[MetadataParam]
