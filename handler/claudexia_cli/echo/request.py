"""EchoRequest: the parameters of POST /v1/messages. parse_request(): the checks that the API makes.

Shapes: https://platform.claude.com/docs/en/api/messages

The API validates with pydantic too, so messages like `max_tokens: Field required` and `x: Extra inputs are not
permitted` need no code here. The rules check how the parts of a request fit together.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic_core import from_json

from claudexia_cli.echo.rules import RULES
from claudexia_cli.echo.schema import Schema


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
    """Images, documents, thinking and other blocks, of which the echo repeats only the type."""

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
    """A string is short for one text block, an empty string for no block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


class MessageParam(_Params):
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Block], BeforeValidator(_as_blocks)]


class Tool(_Params):
    """A client tool. Server tools have another `type` and no schema."""

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
    """All top-level parameters of the API. Those that the echo ignores are accepted with any value."""

    model_config = ConfigDict(strict=True, extra="forbid")

    model: str = Field(pattern=r"\S")
    messages: list[MessageParam]
    max_tokens: int = Field(ge=0)
    system: Annotated[list[Text], BeforeValidator(_as_blocks)] = []
    stop_sequences: list[str] = []
    stream: bool = False
    tools: list[Tool] = []
    tool_choice: ToolChoice = ToolChoice()
    output_config: OutputConfig = OutputConfig()

    cache_control: object = None
    container: object = None
    context_management: object = None
    diagnostics: object = None
    inference_geo: object = None
    metadata: object = None
    service_tier: object = None
    speed: object = None
    temperature: object = None
    thinking: object = None
    top_k: object = None
    top_p: object = None


class InvalidRequestError(Exception):
    """The API would return 400 `invalid_request_error` with this message."""


@dataclass(frozen=True, slots=True)
class _EchoModel:
    prefill: bool


class _CountRequest(EchoRequest):
    """The parameters of POST /v1/messages/count_tokens."""

    max_tokens: int = 1


def parse_request(body: bytes, *, counted: bool = False) -> EchoRequest:
    """Raises InvalidRequestError with the API's error message. `counted`: it is a request to count tokens."""
    try:
        params = from_json(body, allow_inf_nan=False)  # as the API, and unlike the validator
    except ValueError as error:
        raise InvalidRequestError(f"The request body is not valid JSON: {error}") from error
    try:
        request = (_CountRequest if counted else EchoRequest).model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise InvalidRequestError(f"{where}: {first['msg']}") from error
    model = _EchoModel(prefill="-4-5" in request.model)
    for rule in RULES:
        if message := rule.first_error(params, model):
            raise InvalidRequestError(message)
    return request
