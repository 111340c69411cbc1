"""The shape of the Messages API's stream events: what the accumulator and the encoders rely on.

An event of unknown type, a block of unknown type and a delta of unknown type pass, as the API's versioning
policy asks of clients. A known one with a value of the wrong type is an upstream failure: 502, or an error
frame once the response has begun.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming and
https://platform.claude.com/docs/en/api/versioning
"""

from collections.abc import Iterable, Mapping
from typing import TypeGuard, cast

from pydantic_core import from_json

from claudexia.errors import APIError, upstream_error
from claudexia.translate.types.anthropic import ContentBlock, ContentDelta, Message, Usage

# The types of delta that blocks of a known type take.
_DELTAS_OF = {
    "text": {"text_delta", "citations_delta"},
    "tool_use": {"input_json_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set[str](),
}
_KNOWN_DELTAS = frozenset().union(*_DELTAS_OF.values())
# Keys of a block, by its type: those it must have as a string that is not empty, and those that are strings
# where they are there.
_REQUIRED_TEXT = {"tool_use": ("id", "name"), "redacted_thinking": ("data",)}
_OPTIONAL_TEXT = {"text": ("text",), "thinking": ("thinking", "signature")}
# What each block of a whole message has; in a stream, it may come in deltas.
_WHOLE_KEYS = {
    "text": (("text", str),),
    "thinking": (("thinking", str),),
    "tool_use": (("input", dict),),
}
_CITATION_TEXT = ("url", "title", "cited_text")
_CITATIONS = {
    "char_location", "page_location", "content_block_location", "search_result_location",
    "web_search_result_location",
}  # fmt: skip
# What reading an event raises if it lacks a key, or has one in another type.
SHAPE_ERRORS = (KeyError, TypeError, AttributeError, ValueError)
_MAX_COUNT = 2**53  # JSON readers take larger integers for floats
_USAGE_OBJECTS = {"cache_creation", "output_tokens_details", "server_tool_use"}


def malformed(problem: str) -> APIError:
    """The failure of an upstream whose events contradict the protocol."""
    return upstream_error(f"The upstream sent a malformed stream: {problem}.")


def is_message(value: object) -> TypeGuard[Message]:
    """Whether `value` is the message of a message_start, its blocks included."""
    if not isinstance(value, dict) or not isinstance(value.get("usage") or {}, dict):
        return False
    content = value.get("content")
    return (
        isinstance(value.get("id"), str)
        and isinstance(value.get("model"), str)
        and is_stop(value)
        and isinstance(content, list)
        and all(is_block(block) for block in content)
    )


def is_error(error: object) -> bool:
    """Whether `error` is the object that a client expects in an error, or in an error event."""
    return isinstance(error, Mapping) and all(isinstance(error.get(key), str) for key in ("type", "message"))


def is_stop(value: Mapping[str, object]) -> bool:
    """Whether the stop_reason and its details, if any, have the right types."""
    details = value.get("stop_details")
    return isinstance(value.get("stop_reason"), str | None) and (
        details is None or (isinstance(details, dict) and isinstance(details.get("explanation"), str | None))
    )


def is_block(value: object) -> bool:
    """Whether `value` is a content block: of a known type with the keys it needs, or of an unknown type."""
    if not isinstance(value, dict) or not isinstance(kind := value.get("type"), str):
        return False
    citations = value.get("citations")
    return (
        all(value.get(key) and isinstance(value[key], str) for key in _REQUIRED_TEXT.get(kind, ()))
        and all(isinstance(value.get(key), str | None) for key in _OPTIONAL_TEXT.get(kind, ()))
        and (kind != "tool_use" or isinstance(value.get("input"), dict | None))
        and (kind != "text" or citations is None or _are_citations(citations))
    )


def _are_citations(values: object) -> bool:
    return isinstance(values, list) and all(map(_is_citation, values))


def _is_citation(value: object) -> bool:
    """Whether `value` is a citation: of a known type with the keys it needs, or of an unknown type."""
    if not isinstance(value, dict) or not isinstance(kind := value.get("type"), str | None):
        return False
    if kind == "web_search_result_location" and not value.get("url"):
        return False
    return kind not in _CITATIONS or all(isinstance(value.get(key), str | None) for key in _CITATION_TEXT)


def is_known(block: ContentBlock) -> bool:
    """Whether the type of `block` is one that encoders read. A delta of unknown type in it is skipped."""
    return block["type"] in _DELTAS_OF


def is_known_delta(delta: ContentDelta) -> bool:
    """Whether the type of `delta` is known. Raises APIError 502 if it has none."""
    kind = delta.get("type")
    if not isinstance(kind, str):
        raise malformed("a delta without a type")
    return kind in _KNOWN_DELTAS


def check_delta(delta: ContentDelta, block: ContentBlock) -> None:
    """Raises APIError 502 if `delta` cannot be a delta of `block`."""
    kind = delta["type"]
    allowed = _DELTAS_OF.get(block["type"], _KNOWN_DELTAS)
    if kind in _KNOWN_DELTAS and kind not in allowed:
        raise malformed(f"a {kind} in a {block['type']} block")
    if kind == "citations_delta" and not _is_citation(delta.get("citation")):
        raise malformed("a citation of the wrong shape")


def check_stop(stop_reason: object, content: list[ContentBlock], *, new_calls: bool = False) -> None:
    """Raises APIError 502 if the message, with `content`, cannot have ended for `stop_reason`.

    With `new_calls`, a block of unknown type counts as a tool call.
    """
    if not isinstance(stop_reason, str) or not stop_reason:
        raise malformed("a message that ends without a stop_reason")
    if stop_reason == "tool_use" and not any(
        block["type"] == "tool_use" or (new_calls and not is_known(block)) for block in content
    ):
        raise malformed("a stop_reason tool_use without a tool call")


def check_inputs(content: list[ContentBlock]) -> None:
    """Raises APIError 502 if the input of a tool call is JSON, but no object. It may be cut off, or no JSON:
    the model wrote it.
    """
    for block in content:
        if block["type"] == "tool_use" and _is_other_value(block.get("partial_json", "").lstrip()):
            raise malformed("the input of a tool call that is no object")


def _is_other_value(text: str) -> bool:
    if text[:1] in ("", "{"):
        return False
    try:
        from_json(text, allow_partial=True)
    except ValueError:
        return False
    return True


def check_whole(message: object) -> Message:
    """`message`, which came as one JSON value. Raises APIError 502 if it is no message with complete blocks."""
    if not is_message(message):
        raise upstream_error("The upstream's answer is no message.")
    if not all(
        isinstance(block.get(key), kind) for block in message["content"] for key, kind in _whole_keys(block)
    ):
        raise upstream_error("The upstream's answer has an incomplete block.")
    return message


def _whole_keys(block: ContentBlock) -> Iterable[tuple[str, type]]:
    return _WHOLE_KEYS.get(block["type"], ())


def valid_usage(source: object) -> Usage:
    """The `usage` of a message or an event: numbers that are no counts, and other wrong types, are left out."""
    usage = source.get("usage") if isinstance(source, dict) else None
    return cast("Usage", _valid_counts(usage)) if isinstance(usage, dict) else {}


def _valid_counts(usage: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _valid_counts(value) if isinstance(value, dict) else value
        for key, value in usage.items()
        if isinstance(value, _usage_type(key)) and value is not True and value is not False
        if not isinstance(value, int) or 0 <= value <= _MAX_COUNT
    }


def _usage_type(key: str) -> type:
    if key in _USAGE_OBJECTS:
        return dict
    return int if key.endswith(("_tokens", "_requests")) else object
