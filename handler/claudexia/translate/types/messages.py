"""What clients send as messages: one model per role.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from claudexia.translate.types.base import Marked, Params

# --- claudexia.translate.part_params
# What clients send as content parts, in OpenAI's words.
#
# Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages


class TextPart(Marked):
    type: Literal["text"]
    text: str


class RefusalPart(Marked):
    type: Literal["refusal"]
    refusal: str


class ImageURL(Params):
    url: str
    detail: str | None = None


class ImagePart(Marked):
    type: Literal["image_url"]
    # Some clients send the bare URL.
    image_url: Annotated[ImageURL, BeforeValidator(lambda v: {"url": v} if isinstance(v, str) else v)]


class FileObject(Params):
    """`file_data` is a data URL, bare base64 or a URL; `format` is LiteLLM's label, but the bytes decide."""

    file_data: str | None = None
    filename: Annotated[str, Field(max_length=500)] | None = None
    file_id: str | None = None
    file_url: str | None = None
    format: str | None = None


class FilePart(Marked):
    type: Literal["file"]
    file: FileObject


class AudioPart(Params):
    type: Literal["input_audio"]


# --- claudexia.translate.native_params
# What clients send as Anthropic's own content blocks: some editors write them into OpenAI's messages.
#
# They are checked as far as the API would refuse them.
# Source: https://platform.claude.com/docs/en/api/messages

_Filled = Annotated[str, Field(pattern=r"\S")]
_ServerCallId = Annotated[str, Field(pattern=r"^srvtoolu_[a-zA-Z0-9_]+$")]


class _Exact(Params):
    """The API takes no key more, and nothing in here could be left out without a loss."""

    model_config = ConfigDict(extra="forbid")


class Base64Data(_Exact):
    type: Literal["base64"]
    media_type: str
    data: str


class URLData(_Exact):
    type: Literal["url"]
    url: str


class TextData(_Exact):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: _Filled


class StoredFile(_Exact):
    """Refused: the Files API belongs to the gateway's own account, and so would every client's files."""

    type: Literal["file"]
    file_id: str


class ImageBlock(Marked):
    type: Literal["image"]
    source: Annotated[Base64Data | URLData | StoredFile, Field(discriminator="type")]


class ContentData(_Exact):
    type: Literal["content"]
    content: (
        _Filled
        | Annotated[list[Annotated[TextPart | ImageBlock, Field(discriminator="type")]], Field(min_length=1)]
    )


class Citations(_Exact):
    enabled: bool = False


class DocumentBlock(Marked):
    type: Literal["document"]
    source: Annotated[Base64Data | URLData | TextData | ContentData | StoredFile, Field(discriminator="type")]
    title: Annotated[_Filled, Field(max_length=500)] | None = None
    context: _Filled | None = None
    citations: Citations | None = None


class SearchResultBlock(Marked):
    type: Literal["search_result"]
    source: _Filled
    title: _Filled
    content: Annotated[list[TextPart], Field(min_length=1)]
    citations: Citations | None = None


ResultParts = list[
    Annotated[
        TextPart | ImagePart | FilePart | ImageBlock | DocumentBlock | SearchResultBlock,
        Field(discriminator="type"),
    ]
]


class ToolResultBlock(Marked):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | ResultParts | None = None
    is_error: bool | None = None


class ToolUseBlock(Marked):
    type: Literal["tool_use"]
    id: str
    name: Annotated[str, Field(min_length=1)]
    input: dict[str, object]


class ThinkingBlock(Params):
    type: Literal["thinking"]
    thinking: str | None = None
    signature: str | None = None


class RedactedThinkingBlock(Params):
    type: Literal["redacted_thinking"]
    data: str | None = None


class ServerToolUseBlock(Marked):
    type: Literal["server_tool_use"]
    id: _ServerCallId
    name: Literal[
        "web_search",
        "web_fetch",
        "code_execution",
        "bash_code_execution",
        "text_editor_code_execution",
        "tool_search_tool_regex",
        "tool_search_tool_bm25",
    ]
    input: dict[str, object]


class WebSearchResult(_Exact):
    type: Literal["web_search_result"]
    encrypted_content: str
    title: str
    url: str
    page_age: str | None = None


class WebSearchError(_Exact):
    type: Literal["web_search_tool_result_error"]
    error_code: Literal[
        "invalid_tool_input",
        "unavailable",
        "max_uses_exceeded",
        "too_many_requests",
        "query_too_long",
        "request_too_large",
    ]


class WebSearchToolResultBlock(Marked):
    type: Literal["web_search_tool_result"]
    tool_use_id: _ServerCallId
    content: list[WebSearchResult] | WebSearchError


class ServerToolResultBlock(Marked):
    """The answers of the other server tools, passed on as they are."""

    type: Literal[
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
    ]
    tool_use_id: _ServerCallId
    content: dict[str, object]


UserParts = list[
    Annotated[
        TextPart
        | ImagePart
        | FilePart
        | AudioPart
        | ImageBlock
        | DocumentBlock
        | SearchResultBlock
        | ToolResultBlock,
        Field(discriminator="type"),
    ]
]
AssistantParts = list[
    Annotated[
        TextPart
        | RefusalPart
        | ThinkingBlock
        | RedactedThinkingBlock
        | ToolUseBlock
        | ServerToolUseBlock
        | WebSearchToolResultBlock
        | ServerToolResultBlock,
        Field(discriminator="type"),
    ]
]


class SystemMessage(Marked):
    role: Literal["system", "developer"]
    content: str | list[TextPart] | None = None


class UserMessage(Marked):
    role: Literal["user"]
    content: str | UserParts | None = None


class CalledFunction(Params):
    name: Annotated[str, Field(min_length=1)]
    arguments: str | None = None


class CalledCustomTool(Params):
    name: Annotated[str, Field(min_length=1)]
    input: str | None = None


class ToolCall(Marked):
    id: str
    type: str | None = None  # Mistral's clients leave it out
    function: CalledFunction | None = None
    custom: CalledCustomTool | None = None


class ReasoningDetail(Params):
    """OpenRouter's way to hand thinking back. Source: https://openrouter.ai/docs/use-cases/reasoning-tokens"""

    type: str
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class AssistantMessage(Marked):
    role: Literal["assistant"]
    content: str | AssistantParts | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: CalledFunction | None = None
    thinking_blocks: (
        list[Annotated[ThinkingBlock | RedactedThinkingBlock, Field(discriminator="type")]] | None
    ) = None
    reasoning_details: list[ReasoningDetail] | None = None
    # Echoes of an answer: without a signature thinking cannot be sent back, and nothing is lost by that.
    reasoning_content: object = None
    reasoning: object = None


class ToolMessage(Marked):
    """`is_error` is Anthropic's: the tool failed, and the content says how."""

    role: Literal["tool"]
    tool_call_id: str
    content: str | ResultParts | None = None
    name: str | None = None  # repeats the call's own
    is_error: bool | None = None


class FunctionMessage(Marked):
    """What `tool` replaced: answers the `function_call` before it."""

    role: Literal["function"]
    content: str | ResultParts | None = None
    name: str | None = None  # repeats the call's own


ChatMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]
