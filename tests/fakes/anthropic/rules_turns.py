"""The rules of the order of turns, of tool calls and their results, and of a prefilled answer.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
"""

from collections.abc import Iterator
from itertools import pairwise

from tests.fakes.anthropic.models import ModelFacts
from tests.fakes.anthropic.walk import Params, Rule, Turn, entries, merged, schema_format, thinking_type, turns

_ROLES = ("user", "assistant", "system")
_SERVER_RESULTS = ("web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
                   "bash_code_execution_tool_result", "text_editor_code_execution_tool_result",
                   "tool_search_tool_result")  # fmt: skip


def _no_messages(params: Params, _: ModelFacts) -> Iterator[str]:
    if params.get("messages") == []:
        yield "messages"


def _too_many(params: Params, _: ModelFacts) -> Iterator[str]:
    if len(turns(params)) > 100_000:
        yield "messages"


def _roles(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (f"{turn.path}.role" for turn in turns(params) if turn.role not in _ROLES)


def _first(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (turn.path for turn in turns(params)[:1] if turn.role == "assistant")


def _empty(params: Params, _: ModelFacts) -> Iterator[str]:
    for index, message in entries(params.get("messages")):
        if message.get("content") in ("", []):
            yield f"messages.{index}"


def _system_of_model(params: Params, model: ModelFacts) -> Iterator[str]:
    if not model.system_turns:
        yield from (f"{turn.path}.role" for turn in turns(params) if turn.role == "system")


def _system_place(params: Params, _: ModelFacts) -> Iterator[str]:
    sent = [None, *merged(params), None]
    for before, turn, after in zip(sent, sent[1:], sent[2:], strict=False):
        if turn and turn.role == "system":
            follows = before and (before.role == "user" or _ends_in_server_result(before))
            if not follows or (after and after.role != "assistant"):
                yield turn.path


def _unanswered(params: Params, _: ModelFacts) -> Iterator[str]:
    for turn, after in pairwise([*merged(params), None]):
        if turn and not _ids(turn, "tool_use", "id") <= _ids(after, "tool_result", "tool_use_id"):
            yield turn.path


def _unasked(params: Params, _: ModelFacts) -> Iterator[str]:
    for before, turn in pairwise([None, *merged(params)]):
        if turn and not _ids(turn, "tool_result", "tool_use_id") <= _ids(before, "tool_use", "id"):
            yield turn.path


def _answered_twice(params: Params, _: ModelFacts) -> Iterator[str]:
    for turn in merged(params):
        results = turn.of("tool_result")
        if len(_ids(turn, "tool_result", "tool_use_id")) < len(results):
            yield turn.path


def _results_first(params: Params, _: ModelFacts) -> Iterator[str]:
    for turn in merged(params):
        late = [block.get("type") != "tool_result" for _, block in turn.blocks]
        if late != sorted(late):
            yield turn.path


def _same_ids(params: Params, _: ModelFacts) -> Iterator[str]:
    seen: set[object] = set()
    for turn in turns(params):
        for path, block in turn.blocks:
            if block.get("type") in ("tool_use", "server_tool_use"):
                if str(block.get("id")) in seen:
                    yield f"{path}.id"
                seen.add(str(block.get("id")))


def _calls_without_tools(params: Params, _: ModelFacts) -> Iterator[str]:
    kinds = ("tool_use", "tool_result", "server_tool_use")
    if not params.get("tools") and any(turn.of(*kinds) for turn in turns(params)):
        yield "tools"


def _server_calls(params: Params, _: ModelFacts) -> Iterator[str]:
    # A turn that waits for the client's tools may have a server tool waiting as well.
    for turn in merged(params)[:-1]:
        if turn.role == "assistant" and _pending(turn) and not turn.of("tool_use"):
            yield turn.path


def _only_results(params: Params, _: ModelFacts) -> Iterator[str]:
    for turn, after in pairwise(merged(params)):
        if _pending(turn) and turn.of("tool_use") and len(after.of("tool_result")) < len(after.blocks):
            yield after.path


def _prefill_of_model(params: Params, model: ModelFacts) -> Iterator[str]:
    if _prefill(params) and not model.prefill:
        yield ""


def _prefill_thinking(params: Params, model: ModelFacts) -> Iterator[str]:
    if _prefill(params) and model.prefill and thinking_type(params, model) != "disabled":
        yield ""


def _prefill_format(params: Params, model: ModelFacts) -> Iterator[str]:
    if _prefill(params) and model.prefill and schema_format(params):
        yield ""


def _prefill_space(params: Params, model: ModelFacts) -> Iterator[str]:
    turn = _prefill(params)
    text = turn.blocks[-1][1].get("text") if turn and turn.blocks else ""
    if model.prefill and isinstance(text, str) and text.strip() and text != text.rstrip():
        yield ""


def _prefill(params: Params) -> Turn | None:
    """The last turn when it is Claude's own, unless a paused one is handed back to be continued."""
    last = merged(params)[-1:]
    return last[0] if last and last[0].role == "assistant" and not _ends_in_server_result(last[0]) else None


def _ends_in_server_result(turn: Turn) -> bool:
    return bool(turn.blocks) and turn.blocks[-1][1].get("type") in ("server_tool_use", *_SERVER_RESULTS)


def _pending(turn: Turn) -> bool:
    results = {str(block.get("tool_use_id")) for block in turn.of(*_SERVER_RESULTS)}
    return not _ids(turn, "server_tool_use", "id") <= results


def _ids(turn: Turn | None, kind: str, key: str) -> set[str]:
    return {str(block.get(key)) for block in turn.of(kind)} if turn else set()


# Asked first and alone: the other rules would take their time over so many.
TOO_MANY = Rule("too many messages", "at most 100000 messages are allowed", _too_many)
RULES = (
    Rule("no messages", "at least one message is required", _no_messages),
    Rule("role", "Unexpected role. Allowed roles are user, assistant and system", _roles),
    Rule("first turn", "first message must use the user role", _first),
    Rule("empty content", "all messages must have non-empty content", _empty),
    Rule("system turn of model", "role 'system' is not supported on this model", _system_of_model),
    Rule("system turn place", "a system message must follow a user turn and be last or followed by an assistant "
         "turn", _system_place),
    Rule("tool_use unanswered", "`tool_use` ids were found without `tool_result` blocks immediately after", _unanswered),
    Rule("tool_result unasked", "unexpected `tool_use_id` found in `tool_result` blocks. Each `tool_result` block "
         "must have a corresponding `tool_use` block in the previous message.", _unasked),
    Rule("tool_result twice", "each tool_use must have a single result. Found multiple `tool_result` blocks with "
         "one id", _answered_twice),
    Rule("tool_result first", "`tool_result` blocks must come first in a user message", _results_first),
    Rule("tool_use ids", "`tool_use` ids must be unique", _same_ids),
    Rule("calls without tools", "Requests which include `tool_use` or `tool_result` blocks must define tools",
         _calls_without_tools),
    Rule("server tool without result", "server tool use was found without a corresponding result block", _server_calls),
    Rule("server tool waits", "only `tool_result` blocks may answer a turn with an unresolved `server_tool_use`",
         _only_results),
    Rule("prefill of model", "This model does not support assistant message prefill. The conversation must end "
         "with a user message.", _prefill_of_model),
    Rule("prefill while thinking", "prefilling is not supported with thinking", _prefill_thinking),
    Rule("prefill with format", "prefilling is not supported with `output_config.format`", _prefill_format),
    Rule("prefill space", "final assistant content cannot end with trailing whitespace", _prefill_space),
)  # fmt: skip
