"""What the checks expect to be answered: OpenAI's shapes, as far as every client relies on them.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Shape(BaseModel):
    """What else is answered is kept: a client sends a message back as it came."""

    model_config = ConfigDict(strict=True, extra="allow")


class Health(_Shape):
    status: Literal["ok"]


class Model(_Shape):
    id: str


class ModelList(_Shape):
    object: Literal["list"]
    data: list[Model]


class Usage(_Shape):
    """`cost`, in US dollars, is the gateway's own, and only there where a setting asks for it."""

    total_tokens: int
    cost: float | None = None


class Function(_Shape):
    name: str
    arguments: str


class ToolCall(_Shape):
    id: str
    type: Literal["function"]
    function: Function


class Message(_Shape):
    role: Literal["assistant"]
    content: str | None
    tool_calls: list[ToolCall] = []


class Choice(_Shape):
    message: Message
    finish_reason: str


class Completion(_Shape):
    id: str
    object: Literal["chat.completion"]
    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: Usage


class Delta(_Shape):
    content: str | None = None


class ChunkChoice(_Shape):
    delta: Delta
    finish_reason: str | None


class Chunk(_Shape):
    id: str
    object: Literal["chat.completion.chunk"]
    choices: list[ChunkChoice]
    usage: Usage | None = None


class Error(_Shape):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(_Shape):
    error: Error


class Weather(_Shape):
    """The arguments of the tool that the checks offer."""

    city: str


class City(_Shape):
    """What the check of structured output asks for."""

    model_config = ConfigDict(strict=True, extra="forbid")

    city: str
    country: str
    population: int
