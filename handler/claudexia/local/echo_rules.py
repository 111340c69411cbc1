"""parse_request(): what the Messages API refuses, in the words with which it does.

The API checks shapes with pydantic too, so that its `max_tokens: Field required` and its `x: Extra inputs
are not permitted` need no code here. What does is how the parts of a request fit each other.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from pydantic import ValidationError

from claudexia.local.echo_request import Block, EchoRequest, Text, ToolResult, ToolUse, Turn, turns


class InvalidRequestError(Exception):
    """The API would answer 400 `invalid_request_error`, with this message."""


def parse_request(body: bytes) -> EchoRequest:
    """Raises InvalidRequestError with the sentence the API would answer."""
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
    said = (block for message in request.messages for block in message.content)
    for parameter, blocks in (("system", request.system), ("messages", said)):
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
        _check_answers(before, turn)
    # Only Claude 4.5 and older continue an answer: https://platform.claude.com/docs/en/api/errors
    if order[-2].role == "assistant" and "-4-5" not in request.model:
        raise InvalidRequestError(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )


def _check_answers(before: Turn, turn: Turn) -> None:
    """All calls of one turn are answered at the head of the next, and nothing else is."""
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
