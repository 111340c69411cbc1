"""The messages of a request: one model per role and per type of content part.

Parts are OpenAI's, or Anthropic's content blocks, which some editors write into OpenAI's messages. Those are
checked for what the API would reject.

Sources: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
and https://platform.claude.com/docs/en/api/messages
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from claudexia.translate.types.base import Cacheable, Items, LongItems, Params

_NonBlank = Annotated[str, Field(pattern=r"\S")]
_ServerCallId = Annotated[str, Field(pattern=r"^srvtoolu_[a-zA-Z0-9_]+$")]


class TextPart(Cacheable):
    type: Literal["text"]
    text: str


class RefusalPart(Cacheable):
    type: Literal["refusal"]
    refusal: str


class ImageURL(Params):
    url: str
    detail: str | None = None


class BareImageURL(ImageURL):
    """A URL that stands in place of the object, as some clients send it."""


class ImagePart(Cacheable):
    type: Literal["image_url"]
    image_url: Annotated[ImageURL, BeforeValidator(lambda v: BareImageURL(url=v) if isinstance(v, str) else v)]


class FileObject(Params):
    """`file_data` is a data URL, base64 or a URL. `format`, LiteLLM's, is not used: the bytes show the type."""

    file_data: str | None = None
    filename: Annotated[str, Field(max_length=500)] | None = None
    file_id: str | None = None
    file_url: str | None = None
    format: str | None = None


class FilePart(Cacheable):
    type: Literal["file"]
    file: FileObject


class AudioPart(Params):
    type: Literal["input_audio"]


class _Closed(Params):
    """The API takes no other fields here, and none can be left out without a loss."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _first_extra(cls, given: object) -> object:
        """Leaves one of the other fields, whose error is the one that is reported."""
        if not isinstance(given, dict) or len(given) <= len(cls.model_fields):
            return given
        extras = [name for name in given if name not in cls.model_fields]
        dropped = set(extras[1:])
        return {name: value for name, value in given.items() if name not in dropped} if dropped else given


class Base64Data(_Closed):
    type: Literal["base64"]
    media_type: str
    data: str


class URLData(_Closed):
    type: Literal["url"]
    url: str


class TextData(_Closed):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: _NonBlank


class StoredFile(_Closed):
    """Rejected: files in the Files API belong to the gateway's account and would be shared by all clients."""

    type: Literal["file"]
    file_id: str


class ImageBlock(Cacheable):
    type: Literal["image"]
    source: Annotated[Base64Data | URLData | StoredFile, Field(discriminator="type")]


class ContentData(_Closed):
    type: Literal["content"]
    content: (
        _NonBlank
        | Annotated[Items[Annotated[TextPart | ImageBlock, Field(discriminator="type")]], Field(min_length=1)]
    )


class Citations(_Closed):
    enabled: bool = False


class DocumentBlock(Cacheable):
    type: Literal["document"]
    source: Annotated[Base64Data | URLData | TextData | ContentData | StoredFile, Field(discriminator="type")]
    title: Annotated[_NonBlank, Field(max_length=500)] | None = None
    context: _NonBlank | None = None
    citations: Citations | None = None


class SearchResultBlock(Cacheable):
    type: Literal["search_result"]
    source: _NonBlank
    title: _NonBlank
    content: Annotated[Items[TextPart], Field(min_length=1)]
    citations: Citations | None = None


ResultParts = LongItems[
    Annotated[
        TextPart | ImagePart | FilePart | ImageBlock | DocumentBlock | SearchResultBlock,
        Field(discriminator="type"),
    ]
]


class ToolResultBlock(Cacheable):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | ResultParts | None = None
    is_error: bool | None = None


class ToolUseBlock(Cacheable):
    type: Literal["tool_use"]
    id: str
    name: Annotated[str, Field(min_length=1)]
    input: dict[str, object]


class InputJSONDelta(Params):
    """A piece of a streamed call that some clients leave in the content; the call is beside it."""

    type: Literal["input_json_delta"]


class ThinkingBlock(Params):
    """`host` is the host that signed it, as in the setting UPSTREAM, if this gateway returned it."""

    type: Literal["thinking"]
    thinking: str | None = None
    signature: str | None = None
    host: str | None = None


class RedactedThinkingBlock(Params):
    type: Literal["redacted_thinking"]
    data: str | None = None
    host: str | None = None


class ServerToolUseBlock(Cacheable):
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


class WebSearchResult(_Closed):
    type: Literal["web_search_result"]
    encrypted_content: str
    title: str
    url: str
    page_age: str | None = None


class WebSearchError(_Closed):
    type: Literal["web_search_tool_result_error"]
    error_code: Literal[
        "invalid_tool_input",
        "unavailable",
        "max_uses_exceeded",
        "too_many_requests",
        "query_too_long",
        "request_too_large",
    ]


class WebSearchToolResultBlock(Cacheable):
    type: Literal["web_search_tool_result"]
    tool_use_id: _ServerCallId
    content: LongItems[WebSearchResult] | WebSearchError


class ServerToolResultBlock(Cacheable):
    """The results of the other server tools, passed on as they are."""

    type: Literal[
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
    ]
    tool_use_id: _ServerCallId
    content: dict[str, object]


UserParts = LongItems[
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
AssistantParts = LongItems[
    Annotated[
        TextPart
        | RefusalPart
        | ThinkingBlock
        | RedactedThinkingBlock
        | ToolUseBlock
        | InputJSONDelta
        | ServerToolUseBlock
        | WebSearchToolResultBlock
        | ServerToolResultBlock,
        Field(discriminator="type"),
    ]
]


class SystemMessage(Cacheable):
    role: Literal["system", "developer"]
    content: str | LongItems[TextPart] | None = None
    name: str | None = None


class UserMessage(Cacheable):
    role: Literal["user"]
    content: str | UserParts | None = None
    name: str | None = None


class CalledFunction(Params):
    name: Annotated[str, Field(min_length=1)]
    arguments: str | None = None


class CalledCustomTool(Params):
    name: Annotated[str, Field(min_length=1)]
    input: str | None = None


class ToolCall(Cacheable):
    id: str
    type: str | None = None  # Mistral's clients leave it out
    function: CalledFunction | None = None
    custom: CalledCustomTool | None = None


def _nested_call(given: object) -> object:
    """A call in the form of the Responses API, which has the fields beside `type`."""
    if not isinstance(given, dict) or "name" not in given:
        return given
    kind = "custom" if given.get("type") == "custom" else "function"
    names = ("name", "input" if kind == "custom" else "arguments")
    if given.get(kind) is not None:
        return given
    nested = {name: given[name] for name in names if name in given}
    return {**{name: value for name, value in given.items() if name not in names}, kind: nested}


class ReasoningDetail(Params):
    """OpenRouter's form of returned thinking. Source: https://openrouter.ai/docs/use-cases/reasoning-tokens"""

    type: str
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class AssistantMessage(Cacheable):
    role: Literal["assistant"]
    content: str | AssistantParts | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: LongItems[Annotated[ToolCall, BeforeValidator(_nested_call)]] | None = None
    function_call: CalledFunction | None = None
    thinking_blocks: (
        LongItems[Annotated[ThinkingBlock | RedactedThinkingBlock, Field(discriminator="type")]] | None
    ) = None
    reasoning_details: LongItems[ReasoningDetail] | None = None
    # Copied from a response. Not used: thinking without a signature cannot be sent back.
    reasoning_content: object = None
    reasoning: object = None


class ToolMessage(Cacheable):
    """`is_error` is Anthropic's: the tool failed, and the content is its error message."""

    role: Literal["tool"]
    tool_call_id: str
    content: str | ResultParts | None = None
    name: str | None = None  # repeats the call's own
    is_error: bool | None = None


class FunctionMessage(Cacheable):
    """The legacy form of ToolMessage: the result of the `function_call` before it."""

    role: Literal["function"]
    content: str | ResultParts | None = None
    name: str | None = None  # repeats the call's own


ChatMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]
