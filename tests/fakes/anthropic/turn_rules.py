"""Rules for the order of messages, for tool calls and their results, and for an assistant prefill.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
"""

from collections.abc import Iterator
from itertools import pairwise

from claudexia_cli.echo.params import Params, Turn, merged_turns, message_turns, output_format
from claudexia_cli.echo.rules import (
    SERVER_TOOL_RESULTS,
    Rule,
    Violation,
    block_ids,
    ends_in_server_tool,
    prefill_turn,
)
from tests.fakes.anthropic.models import ModelFacts, thinking_type

_ROLES = ("user", "assistant", "system")


def _roles(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (f"{turn.path}.role" for turn in message_turns(params) if turn.role not in _ROLES)


def _system_role(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if not model.system_turns:
        yield from (f"{turn.path}.role" for turn in message_turns(params) if turn.role == "system")


def _system_place(params: Params, _: ModelFacts) -> Iterator[Violation]:
    all_turns = [None, *merged_turns(params), None]
    for before, turn, after in zip(all_turns, all_turns[1:], all_turns[2:], strict=False):
        if turn and turn.role == "system":
            follows = before and (before.role == "user" or ends_in_server_tool(before))
            if not follows or (after and after.role != "assistant"):
                yield turn.path


def _duplicate_results(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for turn in merged_turns(params):
        results = turn.of_type("tool_result")
        if len(block_ids(turn, "tool_result", "tool_use_id")) < len(results):
            yield turn.path


def _duplicate_call_ids(params: Params, _: ModelFacts) -> Iterator[Violation]:
    seen: set[object] = set()
    for turn in message_turns(params):
        for path, block in turn.blocks:
            if block.get("type") in ("tool_use", "server_tool_use"):
                if str(block.get("id")) in seen:
                    yield f"{path}.id"
                seen.add(str(block.get("id")))


def _calls_without_tools(params: Params, _: ModelFacts) -> Iterator[Violation]:
    kinds = ("tool_use", "tool_result", "server_tool_use")
    if not params.get("tools") and any(turn.of_type(*kinds) for turn in message_turns(params)):
        yield "tools"


def _server_call_without_result(params: Params, _: ModelFacts) -> Iterator[Violation]:
    # A turn with client tool calls may also have an unfinished server tool call.
    for turn in merged_turns(params)[:-1]:
        if turn.role == "assistant" and _pending(turn) and not turn.of_type("tool_use"):
            yield turn.path


def _pending_server_call(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for turn, after in pairwise(merged_turns(params)):
        if (
            _pending(turn)
            and turn.of_type("tool_use")
            and len(after.of_type("tool_result")) < len(after.blocks)
        ):
            yield after.path


def _prefill_thinking(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if prefill_turn(params) and model.prefill and thinking_type(params, model) != "disabled":
        yield ""


def _prefill_format(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if prefill_turn(params) and model.prefill and output_format(params):
        yield ""


def _prefill_whitespace(params: Params, model: ModelFacts) -> Iterator[Violation]:
    turn = prefill_turn(params)
    text = turn.blocks[-1][1].get("text") if turn and turn.blocks else ""
    if model.prefill and isinstance(text, str) and text.strip() and text != text.rstrip():
        yield ""


def _pending(turn: Turn) -> bool:
    results = {str(block.get("tool_use_id")) for block in turn.of_type(*SERVER_TOOL_RESULTS)}
    return not block_ids(turn, "server_tool_use", "id") <= results


RULES = (
    Rule("role", "Unexpected role. Allowed roles are user, assistant and system", _roles),
    Rule("system turn of model", "role 'system' is not supported on this model", _system_role),
    Rule("system turn place", "a system message must follow a user turn and be last or followed by an assistant "
         "turn", _system_place),
    Rule("duplicate tool_result", "each tool_use must have a single result. Found multiple `tool_result` blocks with "
         "one id", _duplicate_results),
    Rule("duplicate tool_use id", "`tool_use` ids must be unique", _duplicate_call_ids),
    Rule("calls without tools", "Requests which include `tool_use` or `tool_result` blocks must define tools",
         _calls_without_tools),
    Rule("server tool without result", "server tool use was found without a corresponding result block", _server_call_without_result),
    Rule("pending server tool", "only `tool_result` blocks may answer a turn with an unresolved `server_tool_use`",
         _pending_server_call),
    Rule("prefill with thinking", "prefilling is not supported with thinking", _prefill_thinking),
    Rule("prefill with format", "prefilling is not supported with `output_config.format`", _prefill_format),
    Rule("prefill whitespace", "final assistant content cannot end with trailing whitespace", _prefill_whitespace),
)  # fmt: skip
