"""EchoRequest: what POST /v1/messages takes, as far as the echo reads it.

Shapes: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from claudexia.local.echo_schema import Schema


class _Params(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Text(_Params):
    type: Literal["text"]
    text: str


class ToolUse(_Params):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, object]


class ToolResult(_Params):
    type: Literal["tool_result"]
    tool_use_id: str
    content: "str | list[Block]" = ""


class Other(_Params):
    """Images, documents, thinking and whatever else the echo can only mention."""

    type: str


def _tag(block: object) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if kind in ("text", "tool_use", "tool_result") else "other"


Block = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[ToolUse, Tag("tool_use")]
    | Annotated[ToolResult, Tag("tool_result")]
    | Annotated[Other, Tag("other")],
    Discriminator(_tag),
]


def _as_blocks(content: object) -> object:
    """A string is short for one text block; an empty string for none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


class MessageParam(_Params):
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Block], BeforeValidator(_as_blocks)]


class Tool(_Params):
    """A tool of the client's; server tools have another `type` and no schema."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: str = "custom"
    name: str = Field(pattern="^[a-zA-Z0-9_-]{1,128}$")
    input_schema: Schema | None = None


class ToolChoice(_Params):
    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str = ""


class Format(_Params):
    json_schema: Schema = Field(alias="schema")


class OutputConfig(_Params):
    format: Format | None = None


class EchoRequest(_Params):
    """All top-level parameters of the API; what the echo has no use for is known by its name only."""

    model_config = ConfigDict(strict=True, extra="forbid")

    model: str = Field(pattern=r"\S")
    messages: list[MessageParam]
    max_tokens: int = Field(ge=0)
    system: Annotated[list[Text], BeforeValidator(_as_blocks)] = []
    stop_sequences: list[Annotated[str, Field(pattern=r"\S")]] = []
    stream: bool = False
    tools: list[Tool] = []
    tool_choice: ToolChoice = ToolChoice()
    output_config: OutputConfig = OutputConfig()

    cache_control: object = None
    container: object = None
    diagnostics: object = None
    inference_geo: object = None
    metadata: object = None
    service_tier: object = None
    speed: object = None
    temperature: object = None
    thinking: object = None
    top_k: object = None
    top_p: object = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Neighbouring messages of one role, which the API reads as one; `index` is that of the first."""

    index: int
    role: str
    blocks: Sequence[Block]


def turns(messages: Sequence[MessageParam]) -> list[Turn]:
    return [
        Turn(group[0][0], role, [block for _, message in group for block in message.content])
        for role, members in groupby(enumerate(messages), key=lambda member: member[1].role)
        for group in [list(members)]
    ]
