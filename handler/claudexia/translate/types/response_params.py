"""ResponseCreateParams: one line per field of a Responses request, with its type, its range and its rule.

The rules are those of `params.py`: what the gateway does with the field. README's list is printed from them,
and the tests compare the fields with those of the newest OpenAI SDK. Unknown fields are kept, to be reported.

Source: https://platform.openai.com/docs/api-reference/responses/create (all fields of openai 3.54)
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from claudexia.translate.types.base import CacheControl, Items, LongItems, Params, PromptCacheOptions
from claudexia.translate.types.params import (
    MAX_TOOLS,
    ApproximateLocation,
    Composed,
    Effort,
    Ignored,
    JSONObjectFormat,
    JSONSchemaObject,
    Native,
    Rejected,
    TextFormat,
    Thinking,
    at_most,
    user_id,
)
from claudexia.translate.types.response_items import ResponseItem
from claudexia.translate.types.tools import AnthropicToolChoice, Tool

NO_VERBOSITY = "Claude has no verbosity setting"
_NO_LOGPROBS = "Claude does not expose log probabilities"
_NO_CONVERSATIONS = "the gateway keeps responses, no conversations: use previous_response_id"
_NO_BACKGROUND = "a response ends with its request: use stream"


class FlatJSONSchemaFormat(JSONSchemaObject):
    """The schema's fields lie beside `type`; in a chat completion they are one level below."""

    type: Literal["json_schema"]


class ResponseText(Params):
    format: (
        Annotated[TextFormat | JSONObjectFormat | FlatJSONSchemaFormat, Field(discriminator="type")] | None
    ) = None
    verbosity: str | None = None


class ResponseReasoning(Params):
    """`generate_summary` is the older name of `summary`. `context` and `mode` belong to OpenAI's models."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class WebSearchFilters(Params):
    allowed_domains: Items[str] | None = None


class WebSearchLocation(ApproximateLocation):
    type: Literal["approximate"] | None = None


class WebSearchTool(Params):
    type: Literal["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"]
    external_web_access: bool | None = None
    filters: WebSearchFilters | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: WebSearchLocation | None = None


class NamespaceTool(Params):
    """A group of functions and custom tools. A call of one names its namespace, too.

    The name is in those of all its tools, so it is limited; OpenAI allows 64 characters.
    """

    type: Literal["namespace"]
    name: Annotated[str, Field(min_length=1, max_length=256)]
    description: str | None = None
    tools: Annotated[Items[Tool], Field(max_length=MAX_TOOLS)]


class HostedTool(Params):
    """A tool that OpenAI runs or that its models were trained on."""

    type: str


_WEB_SEARCHES = {
    "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"
}  # fmt: skip
_HOSTED = {
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use",
    "computer_use_preview",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
}


def _tool_tag(tool: object) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        return "Tool"
    if kind == "namespace":
        return "NamespaceTool"
    if kind in _WEB_SEARCHES:
        return "WebSearchTool"
    return "HostedTool" if kind in _HOSTED else "Tool"


ResponseTool = Annotated[
    Annotated[NamespaceTool, Tag("NamespaceTool")]
    | Annotated[WebSearchTool, Tag("WebSearchTool")]
    | Annotated[HostedTool, Tag("HostedTool")]
    | Annotated[Tool, Tag("Tool")],
    Discriminator(_tool_tag),
]


class NamedChoice(Params):
    type: Literal["function", "custom"]
    name: Annotated[str, Field(min_length=1)]
    namespace: str | None = None


class AllowedTool(Params):
    """An entry may repeat the whole definition of its tool; only the type and the name are read."""

    type: str
    name: str | None = None
    namespace: str | None = None


class AllowedToolsChoice(Params):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Items[AllowedTool]


class HostedChoice(Params):
    type: str


_CHOICES = {
    "function": "NamedChoice", "custom": "NamedChoice", "allowed_tools": "AllowedToolsChoice",
    "auto": "AnthropicToolChoice", "any": "AnthropicToolChoice", "tool": "AnthropicToolChoice",
    "none": "AnthropicToolChoice",
}  # fmt: skip


def _choice_tag(choice: object) -> str:
    if not isinstance(choice, dict):
        return "Mode"
    kind = choice.get("type")
    return _CHOICES.get(kind, "HostedChoice") if isinstance(kind, str) else "HostedChoice"


ResponseToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("Mode")]
    | Annotated[NamedChoice, Tag("NamedChoice")]
    | Annotated[AllowedToolsChoice, Tag("AllowedToolsChoice")]
    | Annotated[AnthropicToolChoice, Tag("AnthropicToolChoice")]
    | Annotated[HostedChoice, Tag("HostedChoice")],
    Discriminator(_choice_tag),
]

_Count = Annotated[int, Field(ge=1)]


class ResponseCreateParams(Params):
    """The body of POST /v1/responses.

    Its validator is built by the first request, not at import, where it would cost every cold start 20 ms.
    """

    model: Annotated[str, Field(min_length=1), Composed("model", "ids, dotted versions, aliases")]
    input: Annotated[str | LongItems[ResponseItem], Composed("messages", "a text or items")]

    instructions: Annotated[str | None, Composed("system")] = None
    previous_response_id: Annotated[str | None, Composed("messages", "of a stored response")] = None
    max_output_tokens: Annotated[_Count | None, Native("max_tokens", note="as max_completion_tokens")] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=2), Native("temperature", at_most(1.0), "at most 1")
    ] = None
    top_p: Annotated[float | None, Field(ge=0, le=1), Native("top_p", note="temperature wins over it")] = None
    stream: Annotated[bool | None, Composed("server-sent events")] = None
    tools: Annotated[
        Annotated[Items[ResponseTool], Field(max_length=MAX_TOOLS)] | None,
        Composed("tools", "functions, namespaces, custom tools, web search, Anthropic's own"),
    ] = None
    tool_choice: Annotated[ResponseToolChoice | None, Composed("tool_choice", "all forms")] = None
    parallel_tool_calls: Annotated[bool | None, Composed("tool_choice.disable_parallel_tool_use")] = None
    max_tool_calls: Annotated[_Count | None, Composed("max_uses of web search")] = None
    text: Annotated[ResponseText | None, Composed("output_config.format", "any schema")] = None
    reasoning: Annotated[ResponseReasoning | None, Composed("thinking, output_config.effort")] = None
    include: Annotated[Items[str] | None, Composed("what the output items hold")] = None
    store: Annotated[bool | None, Composed("whether the response is kept")] = None
    metadata: Annotated[dict[str, str] | None, Composed("the response's metadata")] = None
    prompt_cache_options: Annotated[PromptCacheOptions | None, Composed("cache_control")] = None
    prompt_cache_retention: Annotated[
        Literal["in_memory", "in-memory", "24h"] | None, Composed("cache_control.ttl", "5m or 1h")
    ] = None
    safety_identifier: Annotated[str | None, Native("metadata.user_id", user_id)] = None
    user: Annotated[str | None, Native("metadata.user_id", user_id, yields_to="safety_identifier")] = None

    truncation: Annotated[
        str | None, Ignored("Claude drops no part of a long conversation", harmless=["disabled"])
    ] = None
    service_tier: Annotated[
        str | None, Ignored("answers come from the standard tier", harmless=["auto", "default"])
    ] = None
    stream_options: Annotated[
        dict[str, object] | None,
        Ignored("events have no padding", harmless=[{}, {"include_obfuscation": False}]),
    ] = None
    prompt_cache_key: Annotated[str | None, Ignored("Claude's cache needs no routing key")] = None
    context_management: Annotated[
        Items[dict[str, object]] | None, Ignored("the gateway compacts no conversation", harmless=[[]])
    ] = None
    image: Annotated[dict[str, object] | None, Ignored("Claude chooses the resolution itself")] = None
    access_programs: Annotated[dict[str, object] | None, Ignored("they are OpenAI's own")] = None

    background: Annotated[bool | None, Rejected(_NO_BACKGROUND, harmless=[False])] = None
    background_options: Annotated[dict[str, object] | None, Ignored(_NO_BACKGROUND)] = None
    conversation: Annotated[object, Rejected(_NO_CONVERSATIONS)] = None
    prompt: Annotated[dict[str, object] | None, Rejected("the gateway stores no prompts")] = None
    top_logprobs: Annotated[int | None, Rejected(_NO_LOGPROBS, harmless=[0])] = None
    moderation: Annotated[
        dict[str, object] | None, Rejected("nothing here could enforce a moderation policy")
    ] = None

    # Not OpenAI's, but sent by clients of Claude.
    top_k: Annotated[_Count | None, Native("top_k")] = None
    thinking: Annotated[Thinking | None, Composed("thinking", "as the model takes it")] = None
    cache_control: Annotated[CacheControl | None, Composed("cache_control")] = None
