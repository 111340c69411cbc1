"""CompletionCreateParams: one line per field of a request, with its type, its range and its rule.

A rule (Native, Composed, Ignored, Rejected) is what the gateway does with the field. `request/build.py` applies
the rules, README's table is printed from them, and the tests compare the fields with those of the newest OpenAI
SDK. Unknown fields are kept, so that they can be reported.

Sources: https://platform.openai.com/docs/api-reference/chat/create (all fields of openai 3.54),
https://openrouter.ai/docs/use-cases/reasoning-tokens
and https://platform.claude.com/docs/en/build-with-claude/extended-thinking
"""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, WrapValidator

from claudexia.translate.types.base import CacheControl, Items, LongItems, Params, PromptCacheOptions
from claudexia.translate.types.messages import ChatMessage, TextPart
from claudexia.translate.types.tools import FunctionObject, Tool, ToolChoice, ToolName, shared

Warn = Callable[[str], None]
# Takes a field's value and a function that reports a change; returns the value to send, None for none.
Convert = Callable[[Any, Warn], object]

# Anthropic asks for an opaque id without personal data and rejects what looks like an address or a number.
_PERSONAL_DATA = re.compile(r"@|^\+?[\d\s().-]{7,}$")


def unchanged(value: object, warn: Warn) -> object:
    return value


def at_most(limit: float) -> Callable[[float, Warn], float]:
    def convert(value: float, warn: Warn) -> float:
        if value > limit:
            warn(f"lowered from {value:g} to {limit:g}, Claude's maximum")
        return min(value, limit)

    return convert


def without_blank(value: str | list[str], warn: Warn) -> list[str] | None:
    """The API rejects blank sequences, so they are left out."""
    given = [value] if isinstance(value, str) else value
    usable = [sequence for sequence in given if sequence.strip()]
    if len(usable) < len(given):
        warn("Claude takes no stop sequence that is only white space, so it was left out")
    return usable or None


def user_id(value: str, warn: Warn) -> str | None:
    """Hashed if it is too long or looks like personal data."""
    if not value.strip():
        return None
    return sha256(value.encode()).hexdigest() if len(value) > 256 or _PERSONAL_DATA.search(value) else value


class Native(NamedTuple):
    """Sent as the Messages API parameter `target` (dots lead into objects), after `convert`.

    If two fields share a target and both are set, the one with `yields_to` is left out.
    """

    target: str
    convert: Convert = unchanged
    note: str = ""
    yields_to: str = ""


class Composed(NamedTuple):
    """Sent, but dependent on other fields: `target` is what the fields together determine."""

    target: str
    note: str = ""


class Ignored(NamedTuple):
    """Left out, because it affects quality only. Reported, unless the value is one of `harmless`."""

    reason: str
    harmless: Sequence[object] = ()


class Rejected(NamedTuple):
    """A 400, because Claude cannot do what it promises. Left out if the value is one of `harmless`."""

    reason: str
    harmless: Sequence[object] = ()


FieldRule = Native | Composed | Ignored | Rejected


class TextFormat(Params):
    type: Literal["text"]


class JSONObjectFormat(Params):
    type: Literal["json_object"]


class JSONSchemaObject(Params):
    # Not sent, so its characters and its length are not restricted.
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    schema_: Annotated[dict[str, object] | None, Field(alias="schema")] = None
    strict: bool | None = None


class JSONSchemaFormat(Params):
    type: Literal["json_schema"]
    json_schema: JSONSchemaObject


def _nested_schema(given: object) -> object:
    """A response format whose schema is beside `type`, as for the Responses API, or in a `json_object`."""
    if not isinstance(given, dict) or given.get("type") not in ("json_object", "json_schema"):
        return given
    if not isinstance(given.get("schema"), dict) or given.get("json_schema") is not None:
        return given
    names = ("name", "description", "schema", "strict")
    nested = {"name": "response", **{name: given[name] for name in names if given.get(name) is not None}}
    others = {name: value for name, value in given.items() if name not in names}
    return {**others, "type": "json_schema", "json_schema": nested}


ResponseFormat = Annotated[
    TextFormat | JSONObjectFormat | JSONSchemaFormat,
    Field(discriminator="type"),
    BeforeValidator(_nested_schema),
]


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ThinkingType = Literal["adaptive", "enabled", "disabled", "between_tools"]
Display = Literal["summarized", "omitted"]
# LiteLLM's clients send OpenAI's effort inside an object.
ReasoningEffort = Annotated[
    Effort, BeforeValidator(lambda v: v["effort"] if isinstance(v, dict) and "effort" in v else v)
]


class Reasoning(Params):
    """OpenRouter's: `enabled` turns reasoning on, `max_tokens` limits it, `exclude` hides it.

    `summary` is OpenAI's: how detailed the shown reasoning is. Claude's is a summary already.
    """

    effort: Effort | None = None
    summary: str | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class Thinking(Params):
    """Anthropic's; `budget_tokens` is for the type `enabled` only."""

    type: ThinkingType
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    display: Display | None = None


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


_NO_SEED = "Claude's sampling cannot be seeded"
_NO_PENALTIES = "Claude has no repetition penalties"
_NOT_STORED = "the gateway stores no completions"
_MAX_BIASES = 10
_NO_LOGPROBS = "Claude does not expose log probabilities"

# Rejected whatever it says, so only a few entries are checked.
LogitBias = Annotated[
    dict[str, float],
    BeforeValidator(lambda v: dict(islice(v.items(), _MAX_BIASES)) if isinstance(v, dict) else v),
]

# The Messages API takes no more. Its limit of tools is stated for tool search:
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool#limits
MAX_MESSAGES, MAX_TOOLS = 100_000, 10_000
_ItemT = TypeVar("_ItemT")
_Tools = Annotated[Items[_ItemT], Field(max_length=MAX_TOOLS)]
_Count = Annotated[int, Field(ge=1)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]


class CompletionCreateParams(Params):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(defer_build=False)  # at import, not in the first request

    messages: Annotated[
        LongItems[ChatMessage],
        Field(min_length=1, max_length=MAX_MESSAGES),
        Composed("messages, system"),
    ]
    model: Annotated[str, Field(min_length=1), Composed("model", "ids, dotted versions, aliases")]

    max_completion_tokens: Annotated[
        _Count | None,
        Native("max_tokens", note="capped at the model's limit, raised if thinking needs more"),
    ] = None
    max_tokens: Annotated[_Count | None, Native("max_tokens", yields_to="max_completion_tokens")] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=2), Native("temperature", at_most(1.0), "at most 1")
    ] = None
    top_p: Annotated[float | None, Field(ge=0, le=1), Native("top_p", note="temperature wins over it")] = None
    stop: Annotated[str | Items[str] | None, Native("stop_sequences", without_blank)] = None
    # Anthropic's name of the same field.
    stop_sequences: Annotated[Items[str] | None, Native("stop_sequences", without_blank, yields_to="stop")] = (
        None
    )
    stream: Annotated[bool | None, Composed("server-sent events")] = None
    stream_options: Annotated[StreamOptions | None, Composed("the usage chunk")] = None
    tools: Annotated[
        _Tools[Tool] | None,
        WrapValidator(shared),
        Composed("tools", "functions, custom tools, Anthropic's own"),
    ] = None
    tool_choice: Annotated[ToolChoice | None, Composed("tool_choice", "all forms")] = None
    parallel_tool_calls: Annotated[bool | None, Composed("tool_choice.disable_parallel_tool_use")] = None
    n: Annotated[
        int | None, Field(ge=1, le=128), Composed("choices", "one upstream request each, at most MAX_CHOICES")
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
    cache_control: Annotated[CacheControl | None, Composed("cache_control")] = None  # Anthropic's
    prompt_cache_retention: Annotated[
        Literal["in_memory", "in-memory", "24h"] | None, Composed("cache_control.ttl", "5m or 1h")
    ] = None
    functions: Annotated[_Tools[FunctionObject] | None, Composed("tools", "answered with function_call")] = None
    function_call: Annotated[Literal["none", "auto"] | ToolName | None, Composed("tool_choice")] = None
    safety_identifier: Annotated[str | None, Native("metadata.user_id", user_id)] = None
    user: Annotated[str | None, Native("metadata.user_id", user_id, yields_to="safety_identifier")] = None

    seed: Annotated[int | None, Ignored(_NO_SEED)] = None
    presence_penalty: Annotated[_Penalty | None, Ignored(_NO_PENALTIES, harmless=[0])] = None
    frequency_penalty: Annotated[_Penalty | None, Ignored(_NO_PENALTIES, harmless=[0])] = None
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
        LogitBias | None, Rejected("token ids belong to another tokenizer", harmless=[{}])
    ] = None
    modalities: Annotated[
        Items[str] | None, Rejected("Claude answers in text only", harmless=[["text"], []])
    ] = None
    audio: Annotated[dict[str, object] | None, Rejected("Claude answers in text only")] = None
    moderation: Annotated[
        dict[str, object] | None, Rejected("nothing here could enforce a moderation policy")
    ] = None

    # Not OpenAI's, but sent by clients of Claude or of a router.
    system: Annotated[str | LongItems[TextPart] | None, Composed("system", "before the messages")] = None
    # Local servers take 0 and -1 for no limit.
    top_k: Annotated[int | None, Field(ge=-1), Native("top_k")] = None
    thinking: Annotated[Thinking | None, Composed("thinking", "as the model takes it")] = None
    reasoning: Annotated[Reasoning | None, Composed("thinking, output_config.effort")] = None
