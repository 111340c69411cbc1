"""OpenAI's messages as Claude's turns.

Group first, then convert. OpenAI's list is one entry per speaker and result; Claude's is strictly user and
assistant in turn, with every tool result of a turn in one user message, before anything else in it:

    system, developer               the system prompt, wherever they stand
    user, tool, user                one user turn: results first
    assistant, assistant            one assistant turn

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Literal

from claudexia.translate.anthropic_params import (
    ContentBlockParam,
    MessageParam,
    TextBlockParam,
    ToolResultBlockParam,
)
from claudexia.translate.blocks import (
    CallIds,
    text_block,
    to_assistant_content,
    to_content,
    to_system_content,
)
from claudexia.translate.errors import invalid_request, unsupported
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.message_params import (
    AssistantMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from claudexia.translate.models import Model
from claudexia.translate.tool_names import ToolNames

_SILENT_USER = "(The user sent an empty message.)"
_NO_OPENING = "(The conversation begins with your message.)"


@dataclass(slots=True)
class _Turn:
    """Consecutive messages of one side; `index` is that of the newest of them."""

    role: Literal["user", "assistant"]
    index: int
    results: list[ToolResultBlockParam] = field(default_factory=list)
    content: list[ContentBlockParam] = field(default_factory=list)


class Conversation:
    """Takes messages one by one; `system` and `turns()` are what they come to.

    Raises APIError 400 with the index of the message that Claude could not take.
    """

    def __init__(self, names: ToolNames, report: Report) -> None:
        self.system: list[TextBlockParam] = []
        self.called: list[str] = []
        self._names = names
        self._report = report
        self._turns: list[_Turn] = []
        self._newest = 0
        self._ids = CallIds()
        # The calls of the newest assistant turn that wait for a result: a client's id -> Claude's ids.
        self._waiting: defaultdict[str, deque[str]] = defaultdict(deque)

    def add(self, index: int, message: ChatMessage) -> None:
        path = f"messages[{index}]"
        self._newest = index
        check_extras(message, path, self._report)
        match message:
            case SystemMessage():
                self._add_system(message, path)
            case UserMessage():
                turn = self._turn("user", index)
                turn.content += to_content(message, path, self._report)
            case AssistantMessage():
                self._add_assistant(index, message, path)
            case ToolMessage():
                self._add_result(index, message, path)
            case FunctionMessage():
                raise unsupported(f"{path}.role", "send role 'tool', which replaced 'function'")

    def turns(self, model: Model) -> list[MessageParam]:
        """The whole conversation; `model` decides whether it may end with the assistant."""
        self._refuse_unanswered()
        if not self._turns:
            raise invalid_request(
                "'messages' must hold at least one message from the user: Claude cannot answer system "
                "messages alone.",
                f"messages.[{self._newest}].role",
            )
        self._settle_start()
        self._settle_end(model)
        return [{"role": turn.role, "content": self._content(turn)} for turn in self._turns]

    def _add_system(self, message: SystemMessage, path: str) -> None:
        blocks = to_system_content(message, path, self._report)
        if blocks and self._turns:
            self._report.warn(path, f"the {message.role} message was moved to the front of the conversation")
        self.system += blocks

    def _add_assistant(self, index: int, message: AssistantMessage, path: str) -> None:
        blocks, calls = to_assistant_content(message, path, self._names, self._ids, self._report)
        if not blocks:
            return
        if self._turns and self._turns[-1].role == "user":
            self._refuse_unanswered()
        self._turn("assistant", index).content += blocks
        for client_id, block in calls:
            self._waiting[client_id].append(block["id"])
            self.called.append(block["name"])

    def _add_result(self, index: int, message: ToolMessage, path: str) -> None:
        waiting = self._waiting[message.tool_call_id]
        if not waiting:
            raise invalid_request(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                "with 'tool_calls'.",
                f"messages.[{index}].role",
            )
        result: ToolResultBlockParam = {"type": "tool_result", "tool_use_id": waiting.popleft()}
        if content := to_content(message, path, self._report):
            result["content"] = content
        self._turn("user", index).results.append(result)

    def _turn(self, role: Literal["user", "assistant"], index: int) -> _Turn:
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_Turn(role, index))
        turn = self._turns[-1]
        turn.index = index
        return turn

    def _refuse_unanswered(self) -> None:
        unanswered = [client_id for client_id, ids in self._waiting.items() if ids]
        self._waiting.clear()
        if unanswered:
            asked = next(turn for turn in reversed(self._turns) if turn.role == "assistant")
            raise invalid_request(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: "
                + ", ".join(unanswered),
                f"messages.[{asked.index}].role",
            )

    def _settle_start(self) -> None:
        """Claude's conversations begin with the user; many clients' begin with a greeting."""
        if self._turns[0].role == "assistant":
            self._report.warn(
                "messages",
                "Claude's conversations begin with the user, so a line saying so was put before it",
            )
            self._turns.insert(0, _Turn("user", 0, content=[text_block(_NO_OPENING)]))

    def _settle_end(self, model: Model) -> None:
        last = self._turns[-1]
        if last.role == "user":
            return
        if not model.prefill:
            raise invalid_request(
                f"{model.id} does not continue an assistant message: the conversation must end with a "
                "message from the user or a tool.",
                f"messages.[{last.index}].role",
            )
        # A prefill must not end in white space.
        for block in last.content[-1:]:
            if block["type"] == "text":
                block["text"] = block["text"].rstrip()

    def _content(self, turn: _Turn) -> list[ContentBlockParam]:
        content: list[ContentBlockParam] = [*turn.results, *turn.content]
        if not content:
            self._report.warn(
                f"messages[{turn.index}].content", "Claude takes no empty message, so a line says that"
            )
            return [text_block(_SILENT_USER)]
        return content
