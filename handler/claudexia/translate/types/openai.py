"""OpenAI's response objects as TypedDicts.

Source: https://platform.openai.com/docs/api-reference/chat. The request is in `params.py`.
"""

from typing import Literal, NotRequired, Required, TypedDict

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class PromptTokensDetails(TypedDict):
    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int


class CompletionTokensDetails(TypedDict):
    reasoning_tokens: int
    audio_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class CompletionUsage(TypedDict):
    """Tokens; `prompt_tokens` includes what was read from and written to the cache. `cost` is the gateway's own
    field, in US dollars.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    cost: NotRequired[float]


class Function(TypedDict):
    name: str
    arguments: str


class FunctionToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: Function


class Custom(TypedDict):
    name: str
    input: str


class CustomToolCall(TypedDict):
    id: str
    type: Literal["custom"]
    custom: Custom


ToolCall = FunctionToolCall | CustomToolCall


class URLCitation(TypedDict):
    """The place of the cited text in `content`, in code points; `end_index` is exclusive."""

    start_index: int
    end_index: int
    url: str
    title: str


class Annotation(TypedDict):
    type: Literal["url_citation"]
    url_citation: URLCitation


class ThinkingBlock(TypedDict, total=False):
    """Not OpenAI's: Claude's signed thinking, to be sent back unchanged. Only a stream has `index`.

    `host` is the host that signed it, as in the setting UPSTREAM.
    """

    index: int
    type: Required[Literal["thinking", "redacted_thinking"]]
    thinking: str
    signature: str
    data: str
    host: str


class ChatCompletionMessage(TypedDict):
    """`reasoning_content` and `thinking_blocks` are not OpenAI's, but many of its clients read them."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    annotations: list[Annotation]
    reasoning_content: NotRequired[str]
    thinking_blocks: NotRequired[list[ThinkingBlock]]
    tool_calls: NotRequired[list[ToolCall]]
    function_call: NotRequired[Function]


class Choice(TypedDict):
    index: int
    message: ChatCompletionMessage
    logprobs: None
    finish_reason: FinishReason


class ChatCompletion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage
    service_tier: Literal["default"]


class FunctionDelta(TypedDict):
    name: NotRequired[str]
    arguments: str


class CustomDelta(TypedDict):
    name: NotRequired[str]
    input: str


class ToolCallDelta(TypedDict):
    """The first delta of a call has all fields, the next ones only `index` and more `arguments` or `input`."""

    index: int
    id: NotRequired[str]
    type: NotRequired[Literal["function", "custom"]]
    function: NotRequired[FunctionDelta]
    custom: NotRequired[CustomDelta]


class ChoiceDelta(TypedDict, total=False):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    annotations: list[Annotation]
    reasoning_content: str
    thinking_blocks: list[ThinkingBlock]
    tool_calls: list[ToolCallDelta]
    function_call: FunctionDelta


class ChunkChoice(TypedDict):
    index: int
    delta: ChoiceDelta
    logprobs: None
    finish_reason: FinishReason | None


class ChatCompletionChunk(TypedDict):
    """`usage` is present only with `stream_options.include_usage`, and null until the last chunk."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    service_tier: Literal["default"]
    usage: NotRequired[CompletionUsage | None]


class Capabilities(TypedDict):
    """Not OpenAI's. What the model supports through this gateway; None means not known."""

    thinking: list[str]
    effort: list[str]
    sampling: bool
    forced_tool_choice: bool
    prefill: bool
    structured_outputs: bool | None
    web_search: bool | None
    images: bool | None
    pdf: bool | None


class Model(TypedDict):
    """The fields from `lifecycle` on are not OpenAI's. Limits are in tokens, `created` in seconds."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    shutdown_date: str | None
    lifecycle: str | None
    display_name: NotRequired[str]
    context_window: int | None
    max_output_tokens: int | None
    capabilities: Capabilities


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]
