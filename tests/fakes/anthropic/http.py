"""Ways of the official SDK to talk to the stand-in."""

from typing import Any

from anthropic import Anthropic

NEW, SUMMARIZES = "claude-sonnet-5-5", "claude-sonnet-4-6"
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


def ask(client: Anthropic, *messages: Any, streamed: bool = True, **fields: Any) -> Any:
    """The SDK's Message for these messages, of which a string is a user's."""
    turns = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    asked: Any = {"model": NEW, "max_tokens": 2000, "messages": turns, **fields}
    if not streamed:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        return stream.get_final_message()


def said(message: Any) -> dict[str, Any]:
    """An answer as the turn that hands it back."""
    return {
        "role": "assistant",
        "content": [block.model_dump(mode="json", exclude_none=True) for block in message.content],
    }


def results(message: Any, words: str = "sunny") -> dict[str, Any]:
    calls = [block for block in message.content if block.type == "tool_use"]
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.id, "content": words} for call in calls],
    }


def kinds(message: Any) -> list[str]:
    return [block.type for block in message.content]
