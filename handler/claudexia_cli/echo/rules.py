"""Rule: one check of the Messages API, as data. RULES: the checks of the echo, which every Claude model shares.

The echo's request types cover missing and unknown parameters; these rules cover how the parts fit together.
The tests' fake of the API adds its stricter rules to these.
https://platform.claude.com/docs/en/api/messages/create
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

from claudexia_cli.echo.params import (
    Json,
    Params,
    Turn,
    as_object,
    is_custom,
    merged_turns,
    message_turns,
    objects,
    places,
    tools,
)

SERVER_TOOL_RESULTS = (
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
)


# The API's limits. That of tools is stated for tool search:
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool#limits
_LARGEST = {"messages": 100_000, "tools": 10_000}


class Model(Protocol):
    """What the shared rules know about the requested model."""

    @property
    def prefill(self) -> bool:
        """Whether the last message may be the start of Claude's own reply."""


ModelT_contra = TypeVar("ModelT_contra", contravariant=True)
# A path such as `messages.0.content.1` (empty: the whole request), or a path and a detail for the message.
Violation = str | tuple[str, str]


@dataclass(frozen=True)
class Rule(Generic[ModelT_contra]):
    """One thing that the API rejects. In `message`, `{}` stands for the detail of a violation."""

    name: str
    message: str
    check: Callable[[Params, ModelT_contra], Iterator[Violation]]

    def first_error(self, params: Params, model: ModelT_contra) -> str | None:
        """The API's error message for the first violation, or None."""
        for violation in self.check(params, model):
            path, detail = (violation, "") if isinstance(violation, str) else violation
            message = self.message.replace("{}", detail)
            return f"{path}: {message}" if path else message
        return None


def _too_many(params: Params, _: Model) -> Iterator[Violation]:
    for name, largest in _LARGEST.items():
        given = params.get(name)
        if isinstance(given, list) and len(given) > largest:
            yield name, str(largest)


def _no_messages(params: Params, _: Model) -> Iterator[Violation]:
    if params.get("messages") == []:
        yield "messages"


def _first_role(params: Params, _: Model) -> Iterator[Violation]:
    if any(turn.role == "assistant" for turn in message_turns(params)[:1]):
        yield "messages"


def _empty_content(params: Params, _: Model) -> Iterator[Violation]:
    for index, message in objects(params.get("messages")):
        if message.get("content") in ("", []):
            yield f"messages.{index}"


def _empty_text(params: Params, _: Model) -> Iterator[Violation]:
    for path, _parent, block in places(params):
        if block.get("type") == "text" and block.get("text") == "":
            yield path.partition(".")[0]


def _blank_text(params: Params, _: Model) -> Iterator[Violation]:
    for path, _parent, block in places(params):
        text = block.get("text") if block.get("type") == "text" else None
        if isinstance(text, str) and text.isspace():
            yield path.partition(".")[0]


def _blank_stops(params: Params, _: Model) -> Iterator[Violation]:
    stops = params.get("stop_sequences")
    for index, stop in enumerate(stops if isinstance(stops, list) else []):
        if isinstance(stop, str) and not stop.strip():
            yield f"stop_sequences.{index}"


def _unanswered_calls(params: Params, _: Model) -> Iterator[Violation]:
    for turn, after in pairwise([*merged_turns(params), None]):
        results = block_ids(after, "tool_result", "tool_use_id")
        calls = [str(call.get("id")) for call in turn.of_type("tool_use")] if turn else []
        if turn and (missing := [call for call in calls if call not in results]):
            yield turn.path, ", ".join(missing)


def _late_results(params: Params, _: Model) -> Iterator[Violation]:
    for before, turn in pairwise([None, *merged_turns(params)]):
        blocks = [block for _, block in turn.blocks] if turn else []
        other = next((n for n, block in enumerate(blocks) if block.get("type") != "tool_result"), len(blocks))
        late = [str(block.get("tool_use_id")) for block in blocks[other:] if block.get("type") == "tool_result"]
        if turn and late:
            yield (before or turn).path, ", ".join(late)


def _results_without_call(params: Params, _: Model) -> Iterator[Violation]:
    for before, turn in pairwise([None, *merged_turns(params)]):
        calls = block_ids(before, "tool_use", "id")
        for path, block in turn.blocks if turn else []:
            if block.get("type") == "tool_result" and str(block.get("tool_use_id")) not in calls:
                yield path, str(block.get("tool_use_id"))


def _prefill(params: Params, model: Model) -> Iterator[Violation]:
    if prefill_turn(params) and not model.prefill:
        yield ""


def _missing_schema(params: Params, _: Model) -> Iterator[Violation]:
    for path, tool in tools(params):
        if is_custom(tool) and not isinstance(tool.get("input_schema"), dict):
            yield f"{path}.custom.input_schema"


def _schema_type(params: Params, _: Model) -> Iterator[Violation]:
    yield from (f"{path}.type" for path, schema in input_schemas(params) if schema.get("type") != "object")


def _choice_without_tools(params: Params, _: Model) -> Iterator[Violation]:
    if params.get("tool_choice") is not None and not params.get("tools"):
        yield "tool_choice"


def _unknown_choice(params: Params, _: Model) -> Iterator[Violation]:
    choice = as_object(params.get("tool_choice"))
    names = [tool.get("name") for _path, tool in tools(params)]
    if choice.get("type") == "tool" and names and choice.get("name") not in names:
        yield "tool_choice", str(choice.get("name"))


def block_ids(turn: Turn | None, block_type: str, key: str) -> set[str]:
    """The values of `key` in the turn's blocks of this type."""
    return {str(block.get(key)) for block in turn.of_type(block_type)} if turn else set()


def prefill_turn(params: Params) -> Turn | None:
    """The last turn if it is the assistant's and not the end of a paused server tool call."""
    last = merged_turns(params)[-1:]
    return last[0] if last and last[0].role == "assistant" and not ends_in_server_tool(last[0]) else None


def ends_in_server_tool(turn: Turn) -> bool:
    """Whether the last block is a server tool call or its result."""
    return bool(turn.blocks) and turn.blocks[-1][1].get("type") in ("server_tool_use", *SERVER_TOOL_RESULTS)


def input_schemas(params: Params) -> list[tuple[str, dict[str, Json]]]:
    """The input schemas of the client tools, each with its path."""
    return [
        (f"{path}.custom.input_schema", tool["input_schema"])
        for path, tool in tools(params)
        if is_custom(tool) and isinstance(tool.get("input_schema"), dict)
    ]


_UNANSWERED = (
    "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must "
    "have a corresponding `tool_result` block in the next message."
)
# Checked first and alone, since the other rules are slow for so many messages or tools.
TOO_MANY: Rule[Model] = Rule("too many", "at most {} are allowed", _too_many)
RULES: tuple[Rule[Model], ...] = (
    TOO_MANY,
    Rule("no messages", "at least one message is required", _no_messages),
    Rule("first turn", 'first message must use the "user" role', _first_role),
    Rule(
        "empty content",
        "all messages must have non-empty content except for the optional final assistant message",
        _empty_content,
    ),
    Rule("empty text", "text content blocks must be non-empty", _empty_text),
    Rule("blank text", "text content blocks must contain non-whitespace text", _blank_text),
    Rule("blank stop sequence", "each stop sequence must contain non-whitespace", _blank_stops),
    Rule("tool_use unanswered", _UNANSWERED, _unanswered_calls),
    Rule("tool_result first", _UNANSWERED, _late_results),
    Rule(
        "tool_result without call",
        "unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have a "
        "corresponding `tool_use` block in the previous message.",
        _results_without_call,
    ),
    # Only Claude 4.5 and older accept a prefilled assistant message: https://platform.claude.com/docs/en/api/errors
    Rule(
        "prefill of model",
        "This model does not support assistant message prefill. The conversation must end with a user message.",
        _prefill,
    ),
    Rule("input_schema missing", "Field required", _missing_schema),
    Rule("input_schema type", "Input should be 'object'", _schema_type),
    Rule("tool_choice without tools", "may only be specified while providing `tools`", _choice_without_tools),
    Rule("tool_choice name", "Tool '{}' not found in provided tools", _unknown_choice),
)
