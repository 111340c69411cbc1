"""What clients send as messages: one model per role and per content part.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

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
