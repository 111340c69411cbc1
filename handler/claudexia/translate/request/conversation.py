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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from claudexia.errors import invalid_request
from claudexia.models import ClaudeModel
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.content import (
    ServerCalls,
    text_block,
    to_assistant_content,
    to_content,
    to_system_content,
    to_tool_result,
)
from claudexia.translate.request.prompt_cache import client_mark, mark_last
from claudexia.translate.request.thinking_replay import (
    RecalledBlock,
    client_ids,
    is_thought,
    places_thinking,
    restored,
    signatures,
)
from claudexia.translate.request.tool_calls import CallIds, ToolNames, Unanswered, function_call_id
from claudexia.translate.types.anthropic import ContentBlockParam, MessageParam, TextBlockParam
from claudexia.translate.types.messages import (
    AssistantMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    ToolResultBlock,
    UserMessage,
)

# --- claudexia.translate.turns
# Claude's turns as they gather: who speaks after whom, and how a conversation may begin and end.
#
# Source: https://platform.claude.com/docs/en/build-with-claude/working-with-messages

_SILENT_USER = "(The user sent an empty message.)"
_NO_OPENING = "(The conversation begins with your message.)"
_CONTINUE = "Continue exactly where your last message stopped. Do not repeat any of it."
_OBEY = "(Now answer as the newest system message asks.)"
_ASKED = "Claude answers only the user, so a line after it asks to follow the system message"
_TO_THE_FRONT = "this message was moved to the front of the conversation"


@dataclass(slots=True)
class _Turn:
    """Consecutive messages of one side; `index` is that of the newest of them."""

    role: Literal["user", "assistant", "system"]
    index: int
    results: list[ContentBlockParam] = field(default_factory=list)
    content: list[ContentBlockParam] = field(default_factory=list)


class Turns:
    """Takes what each side says; `settled()` and, after it, `system` are what it comes to."""

    def __init__(self, model: ClaudeModel, report: Report) -> None:
        self.system: list[TextBlockParam] = []
        self._model = model
        self._report = report
        self._turns: list[_Turn] = []
        # System messages that wait for the end of the user's turn, each with its path.
        self._waiting: list[tuple[str, Sequence[TextBlockParam]]] = []
        self._ends_with_system = False
        self._server_calls = ServerCalls()

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def newest_role(self) -> str | None:
        return self._turns[-1].role if self._turns else None

    @property
    def newest_assistant(self) -> int:
        """The index of the newest assistant message."""
        return next(turn.index for turn in reversed(self._turns) if turn.role == "assistant")

    @property
    def in_unsigned_loop(self) -> bool:
        """Whether the newest turn is the results of calls that no thinking stands before."""
        if len(self._turns) < 2 or not self._turns[-1].results:
            return False
        before = self._turns[-2].content
        return not before or not is_thought(before[0])

    def add_system(self, blocks: Sequence[TextBlockParam], path: str) -> None:
        if not blocks:
            return
        self._ends_with_system = bool(self._turns)
        if not self._turns:
            self.system += blocks
            return
        self._waiting.append((path, blocks))
        if not self._model.mid_conversation_system:
            self._hoist()

    def add_user(
        self, index: int, results: Iterable[ContentBlockParam], content: Iterable[ContentBlockParam]
    ) -> None:
        # A system message has to follow a whole user turn: never inside of one, never before its results.
        for path, _ in self._waiting:
            self._report.warn(path, "moved behind the messages of the user and the tools that follow it")
        turn = self._turn("user", index)
        turn.results += results
        turn.content += content
        if turn.content or not turn.results:
            self._server_calls.refuse_waiting(f"messages[{index}].content")

    def add_assistant(self, index: int, content: Sequence[ContentBlockParam]) -> None:
        self._place_system()
        self._server_calls.follow(content, f"messages[{index}].content")
        self._turn("assistant", index).content += content

    def settled(self, *, prefill: bool) -> list[MessageParam]:
        """`prefill` tells whether the answer may continue an assistant turn."""
        self._settle_start()
        self._place_system()
        if self._turns[-1].role == "assistant":
            self._settle_end(prefill=prefill)
        return [{"role": turn.role, "content": self._content(turn)} for turn in self._turns]

    def _turn(self, role: Literal["user", "assistant"], index: int) -> _Turn:
        self._ends_with_system = False
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_Turn(role, index))
        turn = self._turns[-1]
        turn.index = index
        return turn

    def _place_system(self) -> None:
        """Before the answer that it is to rule, which needs a user turn between it and the answer before."""
        last = self._turns[-1] if self._turns else None
        if not self._waiting or last is None:
            return
        if self._server_calls.waiting:
            self._hoist()
            return
        if last.role == "assistant":
            if any(block["type"] == "tool_use" for block in last.content):
                return  # the results come first
            self._ask(_OBEY, _ASKED)
        blocks = [block for _, blocks in self._waiting for block in blocks]
        self._turns.append(_Turn("system", last.index, content=[*blocks]))
        self._waiting.clear()

    def _settle_start(self) -> None:
        """Claude's conversations begin with the user; many clients' begin with a greeting."""
        if self._turns[0].role == "assistant":
            self._report.warn(
                "messages",
                "Claude's conversations begin with the user, so a line saying so was put before it",
            )
            self._turns.insert(0, _Turn("user", 0, content=[text_block(_NO_OPENING)]))

    def _settle_end(self, *, prefill: bool) -> None:
        last = self._turns[-1]
        # A turn that waits for the server's tools was paused: it goes on by being sent back as it is.
        if self._server_calls.waiting:
            return
        if self._ends_with_system:
            self._ask(_OBEY, _ASKED)
        elif not prefill:
            self._ask(
                _CONTINUE, f"{self._model.id} cannot continue this message by itself, so a line asks it to"
            )
        elif (text := last.content[-1])["type"] == "text":
            # A prefill must not end in white space.
            last.content[-1] = {**text, "text": text["text"].rstrip()}

    def _hoist(self) -> None:
        for path, blocks in self._waiting:
            self._report.warn(path, _TO_THE_FRONT)
            self.system += blocks
        self._waiting.clear()

    def _ask(self, line: str, why: str) -> None:
        index = self._turns[-1].index
        self._report.warn(f"messages[{index}]", why)
        self._turns.append(_Turn("user", index, content=[text_block(line)]))

    def _content(self, turn: _Turn) -> list[ContentBlockParam]:
        content = [*turn.results, *turn.content]
        if not content:
            self._report.warn(
                f"messages[{turn.index}].content", "Claude takes no empty message, so a line says that"
            )
            return [text_block(_SILENT_USER)]
        return content


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
        model: ClaudeModel,
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
