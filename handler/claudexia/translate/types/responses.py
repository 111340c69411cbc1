"""The Responses API's objects as TypedDicts.

Source: https://platform.openai.com/docs/api-reference/responses. The request is in `response_params.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed"]


class TextAnnotation(TypedDict):
    """The place of the cited text in its part, in code points; `end_index` is exclusive."""

    type: Literal["url_citation"]
    start_index: int
    end_index: int
    url: str
    title: str


class OutputText(TypedDict):
    type: Literal["output_text"]
    text: str
    annotations: list[TextAnnotation]
    logprobs: list[object]


class OutputRefusal(TypedDict):
    type: Literal["refusal"]
    refusal: str


class OutputMessage(TypedDict):
    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputText | OutputRefusal]


class OutputFunctionCall(TypedDict):
    """`namespace` is present for a tool that is in one."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: NotRequired[str]
    arguments: str


class OutputCustomToolCall(TypedDict):
    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: NotRequired[str]
    input: str


class SummaryText(TypedDict):
    type: Literal["summary_text"]
    text: str


class OutputReasoning(TypedDict):
    """`encrypted_content` is a signed block of Claude's, None if it was cut off before its signature."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[SummaryText]
    encrypted_content: str | None


class SearchSource(TypedDict):
    type: Literal["url"]
    url: str


class SearchAction(TypedDict):
    """`sources` are present if the client asked for them."""

    type: Literal["search"]
    query: str
    queries: list[str]
    sources: NotRequired[list[SearchSource]]


class OutputWebSearch(TypedDict):
    id: str
    type: Literal["web_search_call"]
    status: Literal["in_progress", "completed", "failed", "incomplete"]
    action: SearchAction


OutputItem = OutputMessage | OutputFunctionCall | OutputCustomToolCall | OutputReasoning | OutputWebSearch


class InputTokensDetails(TypedDict):
    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(TypedDict):
    reasoning_tokens: int


class ResponseUsage(TypedDict):
    """Tokens; `input_tokens` includes what was read from and written to the cache. `cost` is the gateway's own
    field, in US dollars.
    """

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int
    cost: NotRequired[float]


class ResponseError(TypedDict):
    """Why a response failed; `type` and `param` are those of the error object of a failed request."""

    code: str
    message: str
    type: str
    param: str | None


class IncompleteDetails(TypedDict):
    reason: Literal["max_output_tokens", "content_filter"]


class ResponseSettings(TypedDict):
    """The fields of the request that a response repeats, with OpenAI's defaults."""

    instructions: object
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Mapping[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: Mapping[str, object]
    safety_identifier: str | None
    store: bool
    temperature: float
    text: Mapping[str, object]
    tool_choice: object
    tools: Sequence[object]
    top_p: float
    truncation: str
    user: str | None


class Response(ResponseSettings):
    """`created_at` is in seconds since the epoch."""

    id: str
    object: Literal["response"]
    created_at: int
    status: ResponseStatus
    background: Literal[False]
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    model: str
    output: list[OutputItem]
    service_tier: Literal["default"]
    top_logprobs: Literal[0]
    usage: ResponseUsage | None


class ResponseDeleted(TypedDict):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputItemList(TypedDict):
    """A page of a response's input, the newest item first unless `order` is `asc`."""

    object: Literal["list"]
    data: Sequence[Mapping[str, Any]]
    first_id: str
    last_id: str
    has_more: bool
