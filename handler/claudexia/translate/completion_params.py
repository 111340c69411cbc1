"""What clients send: CompletionCreateParams, one line per field: type, range, verdict and reason.

Source: https://platform.openai.com/docs/api-reference/chat/create, all fields of openai 3.54. Unknown fields
are kept (`extra="allow"`), so that they can be reported and are never dropped in silence.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from claudexia.translate import convert
from claudexia.translate.errors import NOT_YET
from claudexia.translate.fields import Composed, Ignored, Rejected, To
from claudexia.translate.params import Params


class TextPart(Params):
    type: Literal["text"]
    text: str


class RefusalPart(Params):
    type: Literal["refusal"]
    refusal: str


class ImageURL(Params):
    url: str
    detail: str | None = None


class ImagePart(Params):
    type: Literal["image_url"]
    # Some clients send the bare URL.
    image_url: Annotated[ImageURL, BeforeValidator(lambda v: {"url": v} if isinstance(v, str) else v)]


class FilePart(Params):
    type: Literal["file"]


class AudioPart(Params):
    type: Literal["input_audio"]


TextParts = list[TextPart]
UserParts = list[Annotated[TextPart | ImagePart | FilePart | AudioPart, Field(discriminator="type")]]
ToolParts = list[Annotated[TextPart | ImagePart | FilePart, Field(discriminator="type")]]
AssistantParts = list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]]


class SystemMessage(Params):
    role: Literal["system", "developer"]
    content: str | TextParts | None = None


class UserMessage(Params):
    role: Literal["user"]
    content: str | UserParts | None = None


class CalledFunction(Params):
    name: Annotated[str, Field(min_length=1)]
    arguments: str | None = None


class ToolCall(Params):
    id: str
    type: str | None = None  # Mistral's clients leave it out
    function: CalledFunction | None = None


class AssistantMessage(Params):
    role: Literal["assistant"]
    content: str | AssistantParts | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(Params):
    role: Literal["tool"]
    tool_call_id: str
    content: str | ToolParts | None = None
    name: str | None = None  # repeats the call's own


class FunctionMessage(Params):
    role: Literal["function"]


ChatMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]


class FunctionObject(Params):
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class Tool(Params):
    type: str | None = None
    function: FunctionObject | None = None


class ToolName(Params):
    name: str


class AllowedTool(Params):
    type: Literal["function"]
    function: ToolName


class AllowedTools(Params):
    mode: Literal["auto", "required"]
    tools: list[AllowedTool]


class NamedToolChoice(Params):
    type: Literal["function"]
    function: ToolName


class AllowedToolsChoice(Params):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class CustomToolChoice(Params):
    type: Literal["custom"]


ToolChoice = (
    Literal["none", "auto", "required"]
    | Annotated[NamedToolChoice | AllowedToolsChoice | CustomToolChoice, Field(discriminator="type")]
)


class StreamOptions(Params):
    include_usage: bool | None = None


_UNSEEDED = "Claude's sampling cannot be seeded"
_NO_PENALTY = "Claude has no repetition penalties"
_NOT_STORED = "the gateway stores no completions"
_NO_LOGPROBS = "Claude does not expose log probabilities"

_Count = Annotated[int, Field(ge=1)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]


class CompletionCreateParams(Params):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1), Composed("messages, system")]
    model: Annotated[str, Field(min_length=1), Composed("model", "ids, dotted versions, aliases")]

    max_completion_tokens: Annotated[_Count | None, To("max_tokens", note="capped at the model's limit")] = None
    max_tokens: Annotated[_Count | None, To("max_tokens", yields_to="max_completion_tokens")] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=2), To("temperature", convert.at_most(1.0), "at most 1")
    ] = None
    top_p: Annotated[float | None, Field(ge=0, le=1), To("top_p", note="temperature wins over it")] = None
    stop: Annotated[str | list[str] | None, To("stop_sequences", convert.stop_sequences)] = None
    stream: Annotated[bool | None, Composed("server-sent events")] = None
    stream_options: Annotated[StreamOptions | None, Composed("the usage chunk")] = None
    tools: Annotated[list[Tool] | None, Composed("tools", "function tools")] = None
    tool_choice: Annotated[ToolChoice | None, Composed("tool_choice", "all forms")] = None
    parallel_tool_calls: Annotated[bool | None, Composed("tool_choice.disable_parallel_tool_use")] = None
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

    n: Annotated[_Count | None, Rejected(NOT_YET, harmless=[1])] = None
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
    response_format: Annotated[dict[str, object] | None, Rejected(NOT_YET, harmless=[{"type": "text"}])] = None
    reasoning_effort: Annotated[str | None, Rejected(NOT_YET)] = None
    web_search_options: Annotated[dict[str, object] | None, Rejected(NOT_YET)] = None
    prompt_cache_options: Annotated[dict[str, object] | None, Rejected(NOT_YET)] = None
    prompt_cache_retention: Annotated[str | None, Rejected(NOT_YET)] = None
    functions: Annotated[list[object] | None, Rejected("send 'tools', which replaced it", harmless=[[]])] = None
    function_call: Annotated[
        str | dict[str, object] | None,
        Rejected("send 'tool_choice', which replaced it", harmless=["none", "auto"]),
    ] = None

    # Not OpenAI's, but sent by clients that know they talk to Claude or to a router.
    top_k: Annotated[_Count | None, To("top_k")] = None
    thinking: Annotated[object, Rejected(NOT_YET)] = None
    reasoning: Annotated[object, Rejected(NOT_YET)] = None
    cache_control: Annotated[object, Rejected(NOT_YET)] = None
