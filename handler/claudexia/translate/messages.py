"""OpenAI's messages as Claude's turns.

Group first, then convert. OpenAI's list is one entry per speaker and result; Claude's is strictly user and
assistant in turn, with every tool result of a turn in one user message, before anything else in it:

    system, developer               the system prompt; later ones after the user's turn they stand in,
                                    or in the system prompt too where the model takes none between turns
    user, tool, function, user      one user turn: results first
    assistant, assistant            one assistant turn

Sources: https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls and
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
"""

from collections.abc import Mapping, Sequence

from claudexia.translate.anthropic_params import ContentBlockParam, MessageParam, TextBlockParam
from claudexia.translate.blocks import to_assistant_content, to_content, to_system_content, to_tool_result
from claudexia.translate.calls import CallIds, Unanswered, function_call_id
from claudexia.translate.errors import invalid_request
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.marks import client_mark, mark_last
from claudexia.translate.message_params import (
    AssistantMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from claudexia.translate.models import Model
from claudexia.translate.native_params import ToolResultBlock
from claudexia.translate.replay import RecalledBlock, client_ids, places_thinking, restored, signatures
from claudexia.translate.tool_names import ToolNames
from claudexia.translate.turns import Turns

_NOTHING_RECALLED: Mapping[str, Sequence[RecalledBlock]] = {}


class Conversation:
    """Takes messages one by one; `turns()` and, after it, `system` are what they come to.

    `recalled` holds whole answers of the model by the keys that `tool_call_keys` names; where the client sent
    back what it got, they take its place, thinking and all. `unrecalled` are the indices of messages that call
    tools and have no thinking, neither their own nor recalled. `called` are the wire names of all tools called.
    Raises APIError 400 with the index of the message that Claude could not take.
    """

    def __init__(
        self,
        model: Model,
        names: ToolNames,
        report: Report,
        recalled: Mapping[str, Sequence[RecalledBlock]] = _NOTHING_RECALLED,
    ) -> None:
        self.called: list[str] = []
        self.unrecalled: list[int] = []
        self._names = names
        self._report = report
        self._recalled = recalled
        self._turns = Turns(model, report)
        self._newest = 0
        self._ids = CallIds()
        self._unanswered = Unanswered()

    @property
    def system(self) -> list[TextBlockParam]:
        return self._turns.system

    @property
    def in_unsigned_loop(self) -> bool:
        return self._turns.in_unsigned_loop

    def add(self, index: int, message: ChatMessage) -> None:
        path = f"messages[{index}]"
        self._newest = index
        check_extras(message, path, self._report)
        match message:
            case SystemMessage():
                self._turns.add_system(to_system_content(message, path, self._report), path)
            case UserMessage():
                self._add_user(index, message, path)
            case AssistantMessage():
                self._add_assistant(index, message, path)
            case ToolMessage():
                wire_id = self._unanswered.answer(message.tool_call_id, f"messages.[{index}].role")
                self._add_result(index, message, wire_id)
            case FunctionMessage():
                self._add_result(index, message, self._unanswered.answer_function(f"messages.[{index}].role"))

    def turns(self, *, prefill: bool) -> list[MessageParam]:
        """The whole conversation. `prefill` tells whether the answer may continue an assistant message: the
        model has to take that, and neither thinking nor an output format may be asked for.
        """
        self._refuse_unanswered()
        if not self._turns:
            raise invalid_request(
                "'messages' must hold at least one message from the user: Claude cannot answer system "
                "messages alone.",
                f"messages.[{self._newest}].role",
            )
        return self._turns.settled(prefill=prefill)

    def _add_user(self, index: int, message: UserMessage, path: str) -> None:
        """A tool's result may also come as Anthropic's own block inside the user's message."""
        results: list[ContentBlockParam] = []
        parts = message.content if isinstance(message.content, list) else []
        for place, part in enumerate(parts):
            if isinstance(part, ToolResultBlock):
                where = f"{path}.content[{place}]"
                check_extras(part, where, self._report)
                wire_id = self._unanswered.answer(part.tool_use_id, f"{where}.tool_use_id")
                results.append(to_tool_result(part, wire_id, where, self._report))
        blocks = [*results, *to_content(message, path, self._report)]
        mark_last(blocks, client_mark(message, path, self._report), path, self._report)
        self._turns.add_user(index, blocks[: len(results)], blocks[len(results) :])

    def _add_result(self, index: int, message: ToolMessage | FunctionMessage, wire_id: str) -> None:
        result = to_tool_result(message, wire_id, f"messages[{index}]", self._report)
        self._turns.add_user(index, [result], [])

    def _add_assistant(self, index: int, message: AssistantMessage, path: str) -> None:
        blocks, calls = to_assistant_content(index, message, self._names, self._ids, self._report)
        if not blocks:
            return
        if self._turns.newest_role == "user":
            self._refuse_unanswered()
        if calls and not places_thinking(message):
            blocks = self._recall(index, message, blocks, path)
        self._turns.add_assistant(index, blocks)
        self._unanswered.expect(calls, function_call_id(index) if message.function_call else None)
        self.called += [block["name"] for _, block in calls]

    def _recall(
        self, index: int, message: AssistantMessage, blocks: list[ContentBlockParam], path: str
    ) -> list[ContentBlockParam]:
        recalled, own = self._recalled.get(min(client_ids(message), default="")), signatures(blocks)
        if own:  # is the client's to give; only its place is looked up
            same = recalled is not None and signatures(recalled) == own
            return (restored(recalled or (), blocks, path, self._report) if same else None) or blocks
        if recalled is None:
            self.unrecalled.append(index)
            return blocks
        answer = restored(recalled, blocks, path, self._report)
        if answer is None:
            self._report.warn(path, "the answer was changed since, so its thinking could not be restored")
        return answer or blocks

    def _refuse_unanswered(self) -> None:
        if unanswered := self._unanswered.take():
            raise invalid_request(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: "
                + ", ".join(unanswered),
                f"messages.[{self._turns.newest_assistant}].role",
            )
