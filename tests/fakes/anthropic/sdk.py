"""Helpers for tests that call the fake API with Anthropic's SDK."""

from typing import Any

from anthropic import Anthropic

MODEL, SUMMARIZING_MODEL = "claude-sonnet-5-5", "claude-sonnet-4-6"
SCHEMA = {
    "type": "object", "properties": {
        "city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "array", "items": {"$ref": "#/$defs/day"}, "minItems": 1},
    },
    "required": ["city", "unit", "days"], "additionalProperties": False,
    "$defs": {"day": {"type": "object", "properties": {"date": {"type": "string", "format": "date"}, "wet": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}}, "required": ["date", "wet"], "additionalProperties": False}},
}  # fmt: skip
TOOLS = [{"name": name, "input_schema": SCHEMA} for name in ("weather", "clock", "third")]


def sdk(url: str, key: str = "sk-ant-one") -> Anthropic:
    return Anthropic(api_key=key, base_url=url, max_retries=0)


def create_message(client: Anthropic, *messages: Any, streamed: bool = True, **fields: Any) -> Any:
    """The SDK's Message for these messages. A string is the content of a user message."""
    message_params = [
        {"role": "user", "content": message} if isinstance(message, str) else message for message in messages
    ]
    params: Any = {"model": MODEL, "max_tokens": 2000, "messages": message_params, **fields}
    if not streamed:
        return client.messages.create(**params)
    with client.messages.stream(**params) as stream:
        return stream.get_final_message()


def assistant_turn(message: Any) -> dict[str, Any]:
    """A reply as the message param that sends it back."""
    return {
        "role": "assistant",
        "content": [block.model_dump(mode="json", exclude_none=True) for block in message.content],
    }


def tool_results(message: Any, content: str = "sunny") -> dict[str, Any]:
    """A user message with this result for each tool call of a reply."""
    calls = [block for block in message.content if block.type == "tool_use"]
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.id, "content": content} for call in calls],
    }


def block_types(message: Any) -> list[str]:
    return [block.type for block in message.content]
