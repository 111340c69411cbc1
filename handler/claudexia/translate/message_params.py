"""What clients send as messages: one model per role.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from typing import Annotated, Literal

from pydantic import Field

from claudexia.translate.cache_params import Marked
from claudexia.translate.native_params import (
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    ResultParts,
    SearchResultBlock,
    ServerToolResultBlock,
    ServerToolUseBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    WebSearchToolResultBlock,
)
from claudexia.translate.params import Params
from claudexia.translate.part_params import AudioPart, FilePart, ImagePart, RefusalPart, TextPart

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
