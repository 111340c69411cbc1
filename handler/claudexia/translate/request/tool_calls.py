"""Tool calls in a conversation: their names and ids as Claude accepts them, and which still need a result.

"Upstream" names and ids are those in the request to Claude; "client" ones are those in the client's request.
Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
"""

import re
import string
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import cast

from pydantic_core import from_json

from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.prompt_cache import client_cache_control
from claudexia.translate.schema.property_names import PropertyNames, rename_input
from claudexia.translate.types.anthropic import ToolUseBlockParam
from claudexia.translate.types.messages import CalledFunction, ToolCall, ToolUseBlock

_VALID_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_VALID_CHARACTERS = string.ascii_letters + string.digits + "_-"
# Replaces each invalid byte of an ASCII text by "_".
_TO_VALID = bytes(code if chr(code) in _VALID_CHARACTERS else ord("_") for code in range(256))

# A tool call as sent upstream, after the client's id for it.
Call = tuple[str, ToolUseBlockParam]


class ToolNames:
    """Maps the client's tool names to upstream names and back.

    A name that Claude does not accept, or that is `reserved` for one of Claude's own tools, is replaced. The
    replacement depends on nothing but the name. `called` are the upstream names of the tools that the
    conversation calls, each once, in order.
    """

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self.called: dict[str, None] = {}
        # By the upstream name of a tool: the names of its arguments that are replaced.
        self.arguments: dict[str, PropertyNames] = {}
        # The upstream names of the tools that the client declared as custom tools.
        self.custom: set[str] = set()
        self._reserved = reserved
        self._originals: dict[str, str] = {}

    def upstream(self, name: str) -> str:
        if _VALID_NAME.fullmatch(name) and name not in self._reserved:
            return name
        digest = sha256(name.encode()).hexdigest()[:8]
        upstream = f"{_valid(name[:55])}_{digest}"
        self._originals[upstream] = name
        return upstream

    def original(self, upstream: str) -> str:
        return self._originals.get(upstream, upstream)


class ToolCalls:
    """Converts the tool calls of one conversation to `tool_use` blocks.

    Ids with characters that Claude does not accept, and ids used twice in the conversation, are replaced.
    """

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._used_ids: set[str] = set()
        # The last number that was tried for each id that was used more than once.
        self._last_numbers: dict[str, int] = {}

    def from_tool_call(self, call: ToolCall, report: Report) -> ToolUseBlockParam:
        """Raises APIError 400 for a call that is neither of a function nor of a custom tool."""
        check_extras(call, report)
        match call.type or ("custom" if call.custom and not call.function else "function"):
            case "function":
                if call.function is None:
                    raise report.at("function").missing()
                block = self.from_function(call.function, call.id, report.at("function"))
            case "custom":
                if call.custom is None:
                    raise report.at("custom").missing()
                check_extras(call.custom, report.at("custom"))
                # Upstream, a custom tool is a tool with one string.
                block = self._tool_use(call.id, call.custom.name, {"input": call.custom.input or ""})
            case _:
                raise report.at("type").unsupported("only calls of type 'function' or 'custom' are translated")
        if control := client_cache_control(call, report):
            block["cache_control"] = control
        return block

    def from_function(self, function: CalledFunction, client_id: str, report: Report) -> ToolUseBlockParam:
        check_extras(function, report)
        text = function.arguments or ""
        if self._names.upstream(function.name) in self._names.custom:
            # Some clients send the call of a custom tool back as one of a function.
            return self._tool_use(client_id, function.name, _custom_input(text))
        arguments = _arguments(text, report)
        return self._tool_use(client_id, function.name, arguments)

    def from_block(self, block: ToolUseBlock) -> ToolUseBlockParam:
        return self._tool_use(block.id, block.name, block.input)

    def _tool_use(self, client_id: str, name: str, given: dict[str, object]) -> ToolUseBlockParam:
        upstream_name = self._names.upstream(name)
        self._names.called[upstream_name] = None
        if replaced := self._names.arguments.get(upstream_name):
            given = rename_input(given, replaced)
        return {"type": "tool_use", "id": self._upstream_id(client_id), "name": upstream_name, "input": given}

    def _upstream_id(self, client_id: str) -> str:
        valid = _valid(client_id) or "call"
        upstream = valid
        if valid in self._used_ids:
            # Smaller numbers are taken, and ids never become free.
            number = self._last_numbers.get(valid, 1)
            while upstream in self._used_ids:
                number += 1
                upstream = f"{valid}_{number}"
            self._last_numbers[valid] = number
        self._used_ids.add(upstream)
        return upstream


class PendingToolCalls:
    """The tool calls of the last assistant turn that have no result yet."""

    def __init__(self) -> None:
        # Upstream ids by client id, which the client may have used twice.
        self._pending: defaultdict[str, deque[str]] = defaultdict(deque)
        self._function_call = ""

    def add(self, calls: Iterable[Call], function_call: str | None) -> None:
        """`function_call` is the client id of the call that a message with role `function` answers."""
        for client_id, block in calls:
            self._pending[client_id].append(block["id"])
        self._function_call = function_call or self._function_call

    def resolve(self, client_id: str, report: Report) -> str:
        """The upstream id of the call; raises APIError 400 if no such call is pending."""
        pending = self._pending[client_id]
        if not pending:
            raise report.error(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                "with 'tool_calls'."
            )
        return pending.popleft()

    def resolve_function(self, report: Report) -> str:
        """The upstream id of the `function_call`; raises APIError 400 if none is pending."""
        pending = self._pending[self._function_call]
        if not pending:
            raise report.error(
                "Invalid parameter: messages with role 'function' must be a response to a preceeding message "
                "with 'function_call'."
            )
        return pending.popleft()

    def take(self) -> list[str]:
        """Removes all pending calls and returns their client ids."""
        client_ids = [client_id for client_id, upstream_ids in self._pending.items() if upstream_ids]
        self._pending.clear()
        self._function_call = ""
        return client_ids


def function_call_id(index: int) -> str:
    """A client id for the `function_call` of `messages[index]`, which has none; the index never changes."""
    return f"call_fn_{index}"


def _valid(text: str) -> str:
    """`text` with "_" in place of each character that Claude takes in no name or id."""
    return text.encode("ascii", "replace").translate(_TO_VALID).decode()


def _custom_input(text: str) -> dict[str, object]:
    """The input of a custom tool, as it is or as the object with one string that it is upstream."""
    try:
        value: object = from_json(text)
    except ValueError:
        value = None
    is_wrapped = isinstance(value, dict) and value.keys() == {"input"} and isinstance(value["input"], str)
    return cast("dict[str, object]", value) if is_wrapped else {"input": text}


def _arguments(text: str, report: Report) -> dict[str, object]:
    """The arguments as an object. Text that is not a JSON object is sent as the one property `arguments`."""
    if not text.strip():
        return {}
    try:
        value: object = from_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return value
    if value is None or value == []:  # PHP's form of an empty object
        return {}
    report.at("arguments").warn("not a JSON object, so it was sent as the value of 'arguments'")
    return {"arguments": value}
