"""Tool calls in a conversation: their ids as Claude takes them, and which of them still wait for a result.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
"""

import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from hashlib import sha256

from pydantic_core import from_json

from claudexia.errors import invalid_request, missing, unsupported
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.prompt_cache import client_mark
from claudexia.translate.types.anthropic import ToolUseBlockParam
from claudexia.translate.types.messages import CalledFunction, ToolCall, ToolUseBlock

# --- claudexia.translate.tool_names
# ToolNames: the names of tools as Claude accepts them, there and back.

_VALID_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OUTSIDE = re.compile(r"[^a-zA-Z0-9_-]")


def in_alphabet(text: str) -> str:
    """`text` in the letters that Claude takes for the names and ids of tools."""
    return _OUTSIDE.sub("_", text)


class ToolNames:
    """Names outside Claude's alphabet, or `reserved` for Claude's own tools, there and back.

    A name's replacement depends on nothing but the name.
    """

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self._reserved = reserved
        self._originals: dict[str, str] = {}

    def wire(self, name: str) -> str:
        if _VALID_NAME.fullmatch(name) and name not in self._reserved:
            return name
        digest = sha256(name.encode()).hexdigest()[:8]
        wire = f"{in_alphabet(name)[:55]}_{digest}"
        self._originals[wire] = name
        return wire

    def original(self, wire: str) -> str:
        return self._originals.get(wire, wire)


# A call, and the id by which the client knows it.
Call = tuple[str, ToolUseBlockParam]


class CallIds:
    """Tool-call ids outside Claude's alphabet, or used twice in a conversation, as ids Claude accepts."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def wire(self, client_id: str) -> str:
        plain = in_alphabet(client_id) or "call"
        wire, number = plain, 1
        while wire in self._used:
            number += 1
            wire = f"{plain}_{number}"
        self._used.add(wire)
        return wire


class Unanswered:
    """The calls of the newest assistant turn that wait for a result."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[str]] = defaultdict(deque)
        self._function_call = ""

    def expect(self, calls: Iterable[Call], function_call: str | None) -> None:
        """`function_call` is the client's id of the call that a message with role `function` answers."""
        for client_id, block in calls:
            self._waiting[client_id].append(block["id"])
        self._function_call = function_call or self._function_call

    def answer(self, client_id: str, path: str) -> str:
        """The call's id as Claude knows it; raises APIError 400 where no such call waits."""
        waiting = self._waiting[client_id]
        if not waiting:
            raise invalid_request(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                "with 'tool_calls'.",
                path,
            )
        return waiting.popleft()

    def answer_function(self, path: str) -> str:
        if not self._waiting[self._function_call]:
            raise invalid_request(
                "Invalid parameter: messages with role 'function' must be a response to a preceeding message "
                "with 'function_call'.",
                path,
            )
        return self._waiting[self._function_call].popleft()

    def take(self) -> list[str]:
        """The client's ids of what still waits, which is forgotten then."""
        left = [client_id for client_id, ids in self._waiting.items() if ids]
        self._waiting.clear()
        self._function_call = ""
        return left


def function_call_id(index: int) -> str:
    """`function_call` has no id of its own; its message's place in the conversation never changes."""
    return f"call_fn_{index}"


def to_tool_use(call: ToolCall, path: str, names: ToolNames, ids: CallIds, report: Report) -> ToolUseBlockParam:
    check_extras(call, path, report)
    kind = call.type or ("custom" if call.custom and not call.function else "function")
    match kind:
        case "function":
            if call.function is None:
                raise missing(f"{path}.function")
            block = to_function_use(call.function, f"{path}.function", ids.wire(call.id), names, report)
        case "custom":
            if call.custom is None:
                raise missing(f"{path}.custom")
            check_extras(call.custom, f"{path}.custom", report)
            # A custom tool is sent upstream as a tool with one string.
            given: dict[str, object] = {"input": call.custom.input or ""}
            block = _tool_use(ids.wire(call.id), names.wire(call.custom.name), given)
        case _:
            raise unsupported(f"{path}.type", "only calls of type 'function' or 'custom' are translated")
    if mark := client_mark(call, path, report):
        block["cache_control"] = mark
    return block


def to_function_use(
    function: CalledFunction, path: str, wire_id: str, names: ToolNames, report: Report
) -> ToolUseBlockParam:
    check_extras(function, path, report)
    arguments = _arguments(function.arguments or "", f"{path}.arguments", report)
    return _tool_use(wire_id, names.wire(function.name), arguments)


def to_native_use(block: ToolUseBlock, names: ToolNames, ids: CallIds) -> ToolUseBlockParam:
    return _tool_use(ids.wire(block.id), names.wire(block.name), block.input)


def _tool_use(wire_id: str, name: str, given: dict[str, object]) -> ToolUseBlockParam:
    return {"type": "tool_use", "id": wire_id, "name": name, "input": given}


def _arguments(text: str, path: str, report: Report) -> dict[str, object]:
    """A call's arguments as the object Claude wants; what is no JSON object is kept whole under one key."""
    if not text.strip():
        return {}
    try:
        value: object = from_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return value
    report.warn(path, "not a JSON object, so it was sent as the value of 'arguments'")
    return {"arguments": value}
