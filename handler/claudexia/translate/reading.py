"""Reading: how the answer to one request is to be told, decided where the request was translated."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """`original_name` gives a tool the name under which the client knows it; `custom` are the names, as sent
    upstream, of tools that the client declared as custom tools.

    `reasoning` tells thinking as `reasoning_content`; `thinking_blocks` also as the signed blocks themselves.
    `json_object` tells only the one JSON object in the text. `function_call` answers in the words that
    `tool_calls` replaced.
    """

    original_name: Callable[[str], str] = str
    custom: frozenset[str] = frozenset()
    reasoning: bool = True
    thinking_blocks: bool = False
    json_object: bool = False
    function_call: bool = False


DEFAULT_READING = Reading()
