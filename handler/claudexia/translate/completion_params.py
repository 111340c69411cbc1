"""What clients send: CompletionCreateParams, one line per field: type, range, verdict and reason.

Source: https://platform.openai.com/docs/api-reference/chat/create, all fields of openai 3.54. Unknown fields
are kept, so that they can be reported and are never dropped in silence.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from claudexia.translate import convert
from claudexia.translate.cache_params import CacheControl, PromptCacheOptions
from claudexia.translate.fields import Composed, Ignored, Rejected, To
from claudexia.translate.message_params import ChatMessage
from claudexia.translate.params import Params
from claudexia.translate.reasoning_params import Reasoning, ReasoningEffort, Thinking
from claudexia.translate.response_format import ResponseFormat
from claudexia.translate.tool_params import FunctionObject, Tool, ToolChoice, ToolName


class StreamOptions(Params):
    include_usage: bool | None = None


class ApproximateLocation(Params):
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class UserLocation(Params):
    type: Literal["approximate"]
    approximate: ApproximateLocation


class WebSearchOptions(Params):
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: UserLocation | None = None


_UNSEEDED = "Claude's sampling cannot be seeded"
_NO_PENALTY = "Claude has no repetition penalties"
_NOT_STORED = "the gateway stores no completions"
_NO_LOGPROBS = "Claude does not expose log probabilities"

_Count = Annotated[int, Field(ge=1)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]


class CompletionCreateParams(Params):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(defer_build=False)  # at import, not in the first request

    messages: Annotated[list[ChatMessage], Field(min_length=1), Composed("messages, system")]
    model: Annotated[str, Field(min_length=1), Composed("model", "ids, dotted versions, aliases")]

    max_completion_tokens: Annotated[
        _Count | None, To("max_tokens", note="capped at the model's limit, raised where thinking left no room")
    ] = None
    max_tokens: Annotated[_Count | None, To("max_tokens", yields_to="max_completion_tokens")] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=2), To("temperature", convert.at_most(1.0), "at most 1")
    ] = None
    top_p: Annotated[float | None, Field(ge=0, le=1), To("top_p", note="temperature wins over it")] = None
    stop: Annotated[str | list[str] | None, To("stop_sequences", convert.stop_sequences)] = None
    stream: Annotated[bool | None, Composed("server-sent events")] = None
    stream_options: Annotated[StreamOptions | None, Composed("the usage chunk")] = None
    tools: Annotated[list[Tool] | None, Composed("tools", "functions, custom tools, Anthropic's own")] = None
    tool_choice: Annotated[ToolChoice | None, Composed("tool_choice", "all forms")] = None
    parallel_tool_calls: Annotated[bool | None, Composed("tool_choice.disable_parallel_tool_use")] = None
    n: Annotated[
        int | None, Field(ge=1, le=128), Composed("choices", "asked that many times at once, up to a limit")
    ] = None
    response_format: Annotated[
        ResponseFormat | None, Composed("output_config.format", "any schema; json_object by instruction")
    ] = None
    reasoning_effort: Annotated[
        ReasoningEffort | None, Composed("thinking, output_config.effort", "as the model takes it")
    ] = None
    web_search_options: Annotated[
        WebSearchOptions | None, Composed("Claude's web search", "citations as annotations")
    ] = None
    prompt_cache_options: Annotated[PromptCacheOptions | None, Composed("cache_control")] = None
    prompt_cache_retention: Annotated[
        Literal["in_memory", "in-memory", "24h"] | None, Composed("cache_control.ttl", "5m or 1h")
    ] = None
    functions: Annotated[list[FunctionObject] | None, Composed("tools", "answered with function_call")] = None
    function_call: Annotated[Literal["none", "auto"] | ToolName | None, Composed("tool_choice")] = None
    safety_identifier: Annotated[str | None, To("metadata.user_id", convert.user_id)] = None
    user: Annotated[str | None, To("metadata.user_id", convert.user_id, yields_to="safety_identifier")] = None

    seed: Annotated[int | None, Ignored(_UNSEEDED)] = None
    presence_penalty: Annotated[_Penalty | None, Ignored(_NO_PENALTY, harmless=[0])] = None
    frequency_penalty: Annotated[_Penalty | None, Ignored(_NO_PENALTY, harmless=[0])] = None
    verbosity: Annotated[str | None, Ignored("Claude has no verbosity setting", harmless=["medium"])] = None
    service_tier: Annotated[
        str | None, Ignored("answers come from the standard tier", harmless=["auto", "default"])
    ] = None
    store: Annotated[bool | None, Ignored(_NOT_STORED, harmless=[False])] = None
    metadata: Annotated[dict[str, object] | None, Ignored(_NOT_STORED, harmless=[{}])] = None
    prediction: Annotated[dict[str, object] | None, Ignored("Claude takes no predicted output")] = None
    prompt_cache_key: Annotated[str | None, Ignored("Claude's cache needs no routing key")] = None

    logprobs: Annotated[bool | None, Rejected(_NO_LOGPROBS, harmless=[False])] = None
    top_logprobs: Annotated[int | None, Rejected(_NO_LOGPROBS, harmless=[0])] = None
    logit_bias: Annotated[
        dict[str, float] | None, Rejected("token ids belong to another tokenizer", harmless=[{}])
    ] = None
    modalities: Annotated[
        list[str] | None, Rejected("Claude answers in text only", harmless=[["text"], []])
    ] = None
    audio: Annotated[dict[str, object] | None, Rejected("Claude answers in text only")] = None
    moderation: Annotated[
        dict[str, object] | None, Rejected("nothing here could enforce a moderation policy")
    ] = None

    # Not OpenAI's, but sent by clients that know they talk to Claude or to a router.
    top_k: Annotated[_Count | None, To("top_k")] = None
    thinking: Annotated[Thinking | None, Composed("thinking", "as the model takes it")] = None
    reasoning: Annotated[Reasoning | None, Composed("thinking, output_config.effort")] = None
    cache_control: Annotated[CacheControl | None, Composed("cache_control")] = None
