"""What clients send as tools, and as the choice among them.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
"""

from typing import Annotated, Literal

from pydantic import Field

from claudexia.translate.params import Params


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
