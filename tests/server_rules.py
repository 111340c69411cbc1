"""The Messages API's rules for a request, as its documentation and its error messages state them.

An oracle for tests: it knows the server's side only and shares nothing with the translation.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter

_TYPES: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
# The SDK's type has no sampling parameters since 1.0; the API takes them with anthropic-version 2023-06-01.
_KEYS = MessageCreateParamsStreaming.__annotations__.keys() | {"temperature", "top_p", "top_k"}
_THINKING = {"thinking", "redacted_thinking"}
_INPUT = {"text", "image", "document", "search_result"}
_BLOCKS = {
    "user": {*_INPUT, "tool_result"},
    "assistant": {"text", "tool_use", "server_tool_use", "web_search_tool_result", *_THINKING},
    "system": {"text"},
}
_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}

Json = Any


def assert_accepted(params: Mapping[str, Json]) -> None:
    """Fails where the server would answer 400."""
    _exhaust(_TYPES.validate_python(dict(params)))
    assert params.keys() <= _KEYS, "Extra inputs are not permitted"
    assert params["max_tokens"] >= 1
    assert not ("temperature" in params and "top_p" in params)
    assert 0 <= params.get("temperature", 0) <= 1
    assert all(sequence.strip() for sequence in params.get("stop_sequences", []))
    assert all(block["text"].strip() for block in params.get("system", []))
    assert params["messages"][0]["role"] == "user"
    for turn in params["messages"]:
        _assert_turn(turn)
    _assert_answered(params["messages"])
    _assert_server_calls(params["messages"])
    _assert_tools(params)


def _exhaust(value: object) -> None:
    """pydantic checks an Iterable only while it is read."""
    if isinstance(value, Mapping):
        for item in value.values():
            _exhaust(item)
    elif isinstance(value, Iterator | Sequence) and not isinstance(value, str):
        for item in value:
            _exhaust(item)


def _assert_turn(turn: Json) -> None:
    assert turn["content"], "all messages must have non-empty content"
    kinds = [block["type"] for block in turn["content"]]
    assert set(kinds) <= _BLOCKS[turn["role"]]
    assert kinds == sorted(kinds, key=lambda kind: kind != "tool_result"), "results come first"
    assert kinds[-1] not in _THINKING, "the final block in an assistant message cannot be `thinking`"
    for block in _blocks(turn["content"]):
        if block["type"] in _THINKING:
            assert "cache_control" not in block
            assert block.get("signature") or block.get("data")
        if block["type"] == "tool_result":
            inner = [part["type"] for part in block.get("content", [])]
            assert set(inner) <= _INPUT
            assert not block.get("is_error") or set(inner) == {"text"}, "a failed result is text, and not empty"
        if block["type"] == "document" and block["source"]["type"] == "base64":
            assert block["source"]["media_type"] == "application/pdf"
        if block["type"] == "text":
            assert block["text"].strip(), "text content blocks must contain non-whitespace text"
        if block["type"] == "image" and block["source"]["type"] == "base64":
            assert block["source"]["media_type"] in _IMAGES
        if block["type"] == "tool_use":
            assert re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"])
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", block["name"])
            assert isinstance(block["input"], dict)


def _blocks(content: Json) -> Iterator[Json]:
    for block in content:
        yield block
        if block["type"] == "tool_result":
            yield from block.get("content", [])


def _assert_answered(turns: Sequence[Json]) -> None:
    seen: set[str] = set()
    for before, after in zip([None, *turns], [*turns, None], strict=True):
        uses = _ids(before, "tool_use", "id")
        assert _ids(after, "tool_result", "tool_use_id") == uses, "every tool_use has its tool_result"
        assert len(set(uses)) == len(uses)
        assert not seen & set(uses), "tool_use ids must be unique"
        seen |= set(uses)
        if before and after:
            assert before["role"] != after["role"]
        if after and after["role"] == "system":
            assert before["role"] == "user", "a system message follows a user turn"
        if before and before["role"] == "system":
            assert not after or after["role"] == "assistant", (
                "a system message is last or before an assistant turn"
            )


def _assert_server_calls(turns: Sequence[Json]) -> None:
    for turn in turns[:-1]:
        assert _ids(turn, "server_tool_use", "id") == _ids(turn, "web_search_tool_result", "tool_use_id")


def _ids(turn: Json, kind: str, key: str) -> list[str]:
    return sorted(block[key] for block in turn["content"] if block["type"] == kind) if turn else []


def _assert_tools(params: Mapping[str, Json]) -> None:
    tools = params.get("tools", [])
    names = [tool["name"] for tool in tools]
    assert len(set(names)) == len(names), "tool names must be unique"
    for tool in tools:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"])
        schema = tool["input_schema"]
        assert schema["type"] == "object"
        assert not {"oneOf", "anyOf", "allOf"} & schema.keys()
    used = any(_ids(turn, "tool_use", "id") for turn in params["messages"])
    assert tools or not used, "a history with tool calls needs tools"
    choice = params.get("tool_choice")
    if choice:
        assert tools
        assert choice["type"] != "tool" or choice["name"] in names
        assert choice["type"] != "none" or "disable_parallel_tool_use" not in choice
