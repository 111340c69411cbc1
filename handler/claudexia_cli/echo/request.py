"""EchoRequest: the parameters of POST /v1/messages. parse_request(): the checks that the API makes.

Shapes: https://platform.claude.com/docs/en/api/messages

The API validates with pydantic too, so messages like `max_tokens: Field required` and `x: Extra inputs are not
permitted` need no code here. The functions below check how the parts of a request fit together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError

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
    """Adjacent messages of one role, which the API merges. `index` is the index of the first message."""

    index: int
    role: str
    blocks: Sequence[Block]


def turns(messages: Sequence[MessageParam]) -> list[Turn]:
    return [
        Turn(group[0][0], role, [block for _, message in group for block in message.content])
        for role, members in groupby(enumerate(messages), key=lambda member: member[1].role)
        for group in [list(members)]
    ]


class InvalidRequestError(Exception):
    """The API would return 400 `invalid_request_error` with this message."""


def parse_request(body: bytes) -> EchoRequest:
    """Raises InvalidRequestError with the API's error message."""
    try:
        request = EchoRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise InvalidRequestError(f"The request body is not valid JSON: {first['msg']}") from error
        where = ".".join(map(str, first["loc"])) or "body"
        raise InvalidRequestError(f"{where}: {first['msg']}") from error
    _check_texts(request)
    _check_order(request)
    _check_tools(request)
    return request


def _check_texts(request: EchoRequest) -> None:
    for index, message in enumerate(request.messages):
        if not message.content:
            raise InvalidRequestError(
                f"messages.{index}: all messages must have non-empty content "
                "except for the optional final assistant message"
            )
    message_blocks = (block for message in request.messages for block in message.content)
    for parameter, blocks in (("system", request.system), ("messages", message_blocks)):
        for text in _texts(blocks):
            if not text:
                raise InvalidRequestError(f"{parameter}: text content blocks must be non-empty")
            if text.isspace():
                raise InvalidRequestError(f"{parameter}: text content blocks must contain non-whitespace text")


def _texts(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Text):
            yield block.text
        elif isinstance(block, ToolResult) and isinstance(block.content, list):
            yield from _texts(block.content)


def _check_order(request: EchoRequest) -> None:
    if not request.messages:
        raise InvalidRequestError("messages: at least one message is required")
    if request.messages[0].role != "user":
        raise InvalidRequestError('messages: first message must use the "user" role')
    order = [Turn(-1, "start", []), *turns(request.messages), Turn(len(request.messages), "end", [])]
    for before, turn in pairwise(order):
        _check_tool_results(before, turn)
    # Only Claude 4.5 and older accept a prefilled assistant message: https://platform.claude.com/docs/en/api/errors
    if order[-2].role == "assistant" and "-4-5" not in request.model:
        raise InvalidRequestError(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )


def _check_tool_results(before: Turn, turn: Turn) -> None:
    """The results for all tool calls of one turn are the first blocks of the next, and each has its call."""
    calls = [block.id for block in before.blocks if isinstance(block, ToolUse)]
    head = {block.tool_use_id for block in turn.blocks[: len(calls)] if isinstance(block, ToolResult)}
    if missing := [call for call in calls if call not in head]:
        raise InvalidRequestError(
            f"messages.{before.index}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` "
            "block in the next message."
        )
    for position, block in enumerate(turn.blocks):
        if isinstance(block, ToolResult) and block.tool_use_id not in calls:
            raise InvalidRequestError(
                f"messages.{turn.index}.content.{position}: unexpected `tool_use_id` found in `tool_result` "
                f"blocks: {block.tool_use_id}. Each `tool_result` block must have a corresponding `tool_use` "
                "block in the previous message."
            )


def _check_tools(request: EchoRequest) -> None:
    for index, tool in enumerate(request.tools):
        where = f"tools.{index}.custom.input_schema"
        if tool.type != "custom":
            continue
        if tool.input_schema is None:
            raise InvalidRequestError(f"{where}: Field required")
        if tool.input_schema.type != "object":
            raise InvalidRequestError(f"{where}.type: Input should be 'object'")
    choice = request.tool_choice
    if choice.type == "any" and not request.tools:
        raise InvalidRequestError("tool_choice: may only be specified while providing `tools`")
    if choice.type == "tool" and choice.name not in [tool.name for tool in request.tools]:
        raise InvalidRequestError(f"tool_choice: Tool '{choice.name}' not found in provided tools")
