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

from claudexia.errors import shorten
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.numbers import finite
from claudexia.translate.request.prompt_cache import client_cache_control, is_plain
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
    conversation calls, each once, in order. `custom` are the client's names of its custom tools.
    """

    def __init__(self, reserved: Collection[str] = (), custom: Collection[str] = ()) -> None:
        self.called: dict[str, None] = {}
        self.custom = custom
        # By the upstream name of a tool: the names of its arguments that are replaced.
        self.arguments: dict[str, PropertyNames] = {}
        self.reserved = frozenset(reserved)
        self._originals: dict[str, str] = {}

    def upstream(self, name: str) -> str:
        if name in self.called or (_VALID_NAME.fullmatch(name) and name not in self.reserved):
            return name
        digest = sha256(name.encode()).hexdigest()[:8]
        upstream = f"{_valid(name[:55])}_{digest}"
        self._originals[upstream] = name
        return upstream

    def learn(self, other: "ToolNames") -> None:
        """Adds the replaced names of tools, and of their arguments, that `other` has."""
        self._originals |= other._originals
        self.arguments |= other.arguments

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

    def from_part(self, part: ToolUseBlock | ToolCall, report: Report) -> Call:
        """Raises APIError 400 like from_tool_call()."""
        if type(part) is ToolCall:
            return part.id, self.from_tool_call(part, report)
        block = cast("ToolUseBlock", part)
        return part.id, self._tool_use(part.id, block.name, finite(block.input, report, "input"))

    def from_tool_call(self, call: ToolCall, report: Report) -> ToolUseBlockParam:
        """Raises APIError 400 for a call that is neither of a function nor of a custom tool."""
        name, arguments = self._call(call, report)
        block = self._tool_use(call.id, name, arguments)
        if not is_plain(call) and (control := client_cache_control(call, report)):
            block["cache_control"] = control
        return block

    def from_function(self, function: CalledFunction, client_id: str, report: Report) -> ToolUseBlockParam:
        check_extras(function, report)
        return self._tool_use(client_id, function.name, self._arguments(function, report, "arguments"))

    def check_repetition(self, call: ToolCall, block: ToolUseBlockParam, report: Report) -> None:
        """For a call that is in the message's content, too, as `block`. Raises APIError 400 if they differ.

        Some clients leave the input in the content empty.
        """
        name, given = self._call(call, report)
        upstream_name = self._names.upstream(name)
        if block["name"] == upstream_name:
            arguments = self._with_upstream_names(upstream_name, given)
            if not block["input"]:
                block["input"] = arguments
            if block["input"] == arguments:
                return
        raise report.invalid(
            f"the content of this message has another call with the id '{shorten(call.id, 40)}'"
        )

    def _call(self, call: ToolCall, report: Report) -> tuple[str, dict[str, object]]:
        """The client's name of the tool, and the input."""
        check_extras(call, report)
        kind = call.type or ("custom" if call.custom and not call.function else "function")
        if kind == "function":
            if call.function is None:
                raise report.at("function").missing()
            if call.function.__pydantic_extra__:
                check_extras(call.function, report.at("function"))
            return call.function.name, self._arguments(call.function, report, "function", "arguments")
        if kind == "custom":
            if call.custom is None:
                raise report.at("custom").missing()
            check_extras(call.custom, report.at("custom"))
            return call.custom.name, _custom_input(call.custom.input or "")
        raise report.at("type").unsupported("only calls of type 'function' or 'custom' are translated")

    def _arguments(self, function: CalledFunction, report: Report, *steps: str) -> dict[str, object]:
        text = function.arguments or ""
        if function.name in self._names.custom:
            return _custom_input_of_function(text)
        return _arguments(text, report, *steps)

    def _tool_use(self, client_id: str, name: str, given: dict[str, object]) -> ToolUseBlockParam:
        upstream_name = self._names.upstream(name)
        self._names.called[upstream_name] = None
        input_ = self._with_upstream_names(upstream_name, given)
        return {"type": "tool_use", "id": self._upstream_id(client_id), "name": upstream_name, "input": input_}

    def _with_upstream_names(self, upstream_name: str, given: dict[str, object]) -> dict[str, object]:
        replaced = self._names.arguments.get(upstream_name)
        return rename_input(given, replaced) if replaced else given

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
        # The upstream id by client id of the calls whose last result has come.
        self._answered: dict[str, str] = {}
        self._function_call = ""

    def add(self, calls: Iterable[Call], function_call: str | None) -> None:
        """`function_call` is the client id of the call that a message with role `function` answers."""
        for client_id, block in calls:
            self._pending[client_id].append(block["id"])
        self._function_call = function_call or self._function_call

    def resolve(self, client_id: str) -> str | None:
        """The upstream id of the call; None if the last assistant turn has no such call.

        A further result for a call has the same id.
        """
        pending = self._pending.get(client_id)
        if pending:
            self._answered[client_id] = pending.popleft()
        return self._answered.get(client_id)

    def resolve_function(self) -> str | None:
        """The upstream id of the `function_call`; None if none is pending."""
        pending = self._pending.get(self._function_call)
        return pending.popleft() if pending else None

    def take(self) -> list[str]:
        """Removes all pending calls and returns their client ids."""
        client_ids = [client_id for client_id, upstream_ids in self._pending.items() if upstream_ids]
        self._pending.clear()
        self._answered.clear()
        self._function_call = ""
        return client_ids


def function_call_id(index: int) -> str:
    """A client id for the `function_call` of `messages[index]`, which has none; the index never changes."""
    return f"call_fn_{index}"


def _valid(text: str) -> str:
    """`text` with "_" in place of each character that Claude takes in no name or id."""
    if text.isascii() and text.isidentifier():  # as almost all, and it takes a tenth of the time
        return text
    return text.encode("ascii", "replace").translate(_TO_VALID).decode()


def _custom_input(text: str) -> dict[str, object]:
    """Upstream, a custom tool is a tool with one string."""
    return {"input": text}


def _custom_input_of_function(text: str) -> dict[str, object]:
    """The input of a custom tool whose call came back as a function's: as it is, or as it is upstream."""
    try:
        value: object = from_json(text)
    except ValueError:
        value = None
    is_wrapped = isinstance(value, dict) and value.keys() == {"input"} and isinstance(value["input"], str)
    return cast("dict[str, object]", value) if is_wrapped else _custom_input(text)


def _arguments(text: str, report: Report, *steps: str) -> dict[str, object]:
    """The arguments as an object. Text that is not a JSON object is sent as the one property `arguments`.
    They are at `report.at(*steps)`.

    An empty array, which is how PHP writes an empty object, and null mean no arguments.
    """
    if not text.strip():
        return {}
    try:
        value: object = from_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return finite(value, report, *steps)
    if value is None or value == []:  # PHP's form of an empty object
        return {}
    report.at(*steps).warn("not a JSON object, so it was sent as the value of 'arguments'")
    return {"arguments": value}
