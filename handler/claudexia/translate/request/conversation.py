"""OpenAI's messages as Claude's turns.

OpenAI has one message per speaker and tool result. Claude's turns alternate between user and assistant, and all
results of a turn's tool calls come first in the next user turn:

    system, developer               the system prompt; later ones come after the user turn they are in, or in
                                    the system prompt, too, if the model takes none between turns
    user, tool, function, user      one user turn: results first
    assistant, assistant            one assistant turn

Sources: https://platform.claude.com/docs/en/build-with-claude/working-with-messages,
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls and
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast

from claudexia.errors import APIError, shorten
from claudexia.models import ClaudeModel
from claudexia.translate.report import Report, check_extras
from claudexia.translate.request.content import (
    PendingServerCalls,
    ToolResults,
    calls_beside_content,
    only_text,
    text_block,
    text_blocks,
    to_assistant_content,
    to_system_content,
    to_user_content,
)
from claudexia.translate.request.prompt_cache import set_client_breakpoint
from claudexia.translate.request.thinking_replay import (
    StoredAnswers,
    answer_keys,
    client_ids,
    content_key,
    has_thinking_in_content,
    is_own_id,
    is_thinking,
    restore_answer,
    signatures,
    taken_by,
)
from claudexia.translate.request.tool_calls import PendingToolCalls, ToolCalls, ToolNames, function_call_id
from claudexia.translate.types.anthropic import (
    ContentBlockParam,
    MessageParam,
    TextBlockParam,
    ToolResultBlockParam,
)
from claudexia.translate.types.messages import (
    AssistantMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    TextPart,
    ToolMessage,
    ToolResultBlock,
    UserMessage,
)

# Texts that are sent to Claude in place of messages that the client left out.
_MAX_SHOWN_IDS = 5
_EMPTY_USER_TEXT = "(The user sent an empty message.)"
_FIRST_USER_TEXT = "(The conversation begins with your message.)"
_CONTINUE_TEXT = "Continue exactly where your last message stopped. Do not repeat any of it."
_SYSTEM_ONLY_TEXT = "(Now answer as the system message asks.)"
_FOLLOW_SYSTEM_TEXT = "(Now answer as the newest system message asks.)"

# OpenAI's errors, word for word.
_NO_CALL = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
)
_NO_FUNCTION_CALL = (
    "Invalid parameter: messages with role 'function' must be a response to a preceeding message with "
    "'function_call'."
)

_SPEAKERS = (SystemMessage, UserMessage, AssistantMessage)
_NO_ANSWERS: StoredAnswers = {}
_BlockT = TypeVar("_BlockT", bound=ContentBlockParam)


class Conversation:
    """Takes messages one by one; `turns()` returns Claude's turns, and then `system` is the system prompt.

    `stored_answers` are whole answers of the model by the keys of replay_keys(). If the client sent one of
    them back unchanged, the stored one replaces it, thinking included. `missing_thinking` are the indices of
    messages that call tools and have no thinking, neither sent nor stored. `foreign_thinking` are those of
    messages whose thinking was left out because another host signed it.
    Raises APIError 400 with the index of a message that Claude cannot take.
    """

    def __init__(
        self,
        model: ClaudeModel,
        names: ToolNames,
        report: Report,
        stored_answers: StoredAnswers = _NO_ANSWERS,
    ) -> None:
        self.missing_thinking: list[int] = []
        self.foreign_thinking: list[int] = []
        self._host = model.host.host
        self._report = report
        self._stored_answers = stored_answers
        self._turns = _Turns(model, report)
        self._last_index = 0
        # Keys whose answer was compared with a message.
        self._restored: set[str] = set()
        self._tool_calls = ToolCalls(names)
        self._pending = PendingToolCalls()
        self._labelled_roles: set[str] = set()
        self._results = ToolResults()

    @property
    def system(self) -> list[TextBlockParam]:
        return self._turns.system

    @property
    def ends_with_results_without_thinking(self) -> bool:
        """Whether the last turn holds results of tool calls, and no thinking precedes those calls."""
        return self._turns.ends_with_results_without_thinking

    def add_all(self, system: str | list[TextPart] | None, messages: Sequence[ChatMessage]) -> None:
        """Adds the whole conversation; `system` is a system prompt that is not among the messages."""
        self.add_system(system)
        self.label_speakers(messages)
        for index, message in enumerate(messages):
            self.add(index, message)

    def add_system(self, system: str | list[TextPart] | None) -> None:
        """Adds a system prompt that is not among the messages; call it before add()."""
        if system:
            message = SystemMessage.model_construct(role="system", content=system)
            report = self._report.at("system")
            self._turns.add_system(to_system_content(message, report), report)

    def label_speakers(self, messages: Sequence[ChatMessage]) -> None:
        """Lets the text of named messages say who speaks, for each role with several names. Call it first.

        Claude's messages have no name. One name for all messages of a role says nothing.
        """
        names = defaultdict[str, set[str]](set)
        for message in messages:
            if message.name and (name := _speaker(message)):
                names[message.role].add(name)
        self._labelled_roles = {role for role, given in names.items() if len(given) > 1}

    def _label(self, message: ChatMessage, blocks: list[_BlockT], report: Report) -> list[_BlockT]:
        """`blocks` of `message`, with its name in front of the first text if the name has a meaning."""
        if message.role not in self._labelled_roles:
            return blocks
        name = _speaker(message)
        first = next((place for place, block in enumerate(blocks) if block["type"] == "text"), None)
        if not name or first is None:
            return blocks
        report.at("name").warn("Claude's messages have no name, so the text says who speaks")
        labelled = [*blocks]
        text = cast("TextBlockParam", blocks[first])
        labelled[first] = cast("_BlockT", {**text, "text": f"{name}: {text['text']}"})
        return labelled

    def add(self, index: int, message: ChatMessage) -> None:
        self._last_index = index
        text = only_text(message)
        if text is not None:
            self._add_text(index, message.role, text)
            return
        report = self._report.at("messages", index)
        check_extras(message, report)
        # Exact types, which cost less than isinstance(), of which pydantic has its own.
        if type(message) is UserMessage:
            self._add_user(index, message, report)
        elif type(message) is AssistantMessage:
            self._add_assistant(index, message, report)
        elif type(message) is ToolMessage:
            upstream_id = self._pending.resolve(message.tool_call_id)
            if upstream_id is None:
                raise self._role_report(index).error(_NO_CALL)
            self._turns.add_user(index, self._results.add(message, upstream_id, report), ())
        elif type(message) is FunctionMessage:
            upstream_id = self._pending.resolve_function()
            if upstream_id is None:
                raise self._role_report(index).error(_NO_FUNCTION_CALL)
            self._turns.add_user(index, self._results.add(message, upstream_id, report), ())
        elif type(message) is SystemMessage:
            blocks = self._label(message, to_system_content(message, report), report)
            self._turns.add_system(blocks, report)

    def _add_text(self, index: int, role: str, text: str) -> None:
        """Adds a message that has nothing but a role and this text, as most have."""
        blocks = text_blocks(text)
        if role == "user":
            self._turns.add_user(index, (), blocks)
        elif role != "assistant":
            self._turns.add_system(blocks, self._report.at("messages", index))
        elif blocks:
            if self._turns.last_role == "user":
                self._reject_pending()
            self._turns.add_assistant(index, blocks)

    def turns(self, *, prefill: bool) -> list[MessageParam]:
        """The whole conversation. `prefill`: whether the model may continue a last assistant message. The model
        must support that, and the request must have neither thinking nor an output format.
        """
        self._reject_pending()
        if not self._turns and self.system:
            self._report.at("messages").warn(
                "Claude answers only the user, so a user message requests to follow the system messages"
            )
            self._turns.add_user(self._last_index, [], [text_block(_SYSTEM_ONLY_TEXT)])
        if not self._turns:
            raise self._role_report(self._last_index).error(
                "'messages' must hold at least one message with content."
            )
        return self._turns.finish(prefill=prefill)

    def _role_report(self, index: int) -> Report:
        """OpenAI spells this path with a dot before the index: `messages.[3].role`."""
        return self._report.at("messages", f"[{index}]", "role")

    def _add_user(self, index: int, message: UserMessage, report: Report) -> None:
        """A tool result may also be one of Anthropic's blocks inside the user message."""
        blocks: list[ContentBlockParam] = []
        if isinstance(message.content, list):
            for place, part in enumerate(message.content):
                if type(part) is ToolResultBlock:
                    blocks += self._result_in_content(part, report.at("content", place))
        results = len(blocks)
        blocks += to_user_content(message, report)
        set_client_breakpoint(blocks, message, report)
        self._turns.add_user(index, blocks[:results], self._label(message, blocks[results:], report))

    def _result_in_content(self, part: ToolResultBlock, report: Report) -> list[ToolResultBlockParam]:
        check_extras(part, report)
        upstream_id = self._pending.resolve(part.tool_use_id)
        if upstream_id is None:
            raise report.at("tool_use_id").error(_NO_CALL)
        return self._results.add(part, upstream_id, report)

    def _add_assistant(self, index: int, message: AssistantMessage, report: Report) -> None:
        blocks, calls = to_assistant_content(index, message, self._tool_calls, report)
        if not blocks:
            return
        if self._turns.last_role == "user":
            self._reject_pending()
        if calls and not has_thinking_in_content(message):
            blocks = self._with_thinking(index, message, blocks, report)
        taken = taken_by(self._host, blocks)
        if len(taken) < len(blocks):
            self.foreign_thinking.append(index)
        blocks = taken
        self._turns.add_assistant(index, self._label(message, blocks, report))
        self._pending.add(calls, function_call_id(index) if message.function_call else None)

    def _with_thinking(
        self, index: int, message: AssistantMessage, blocks: list[ContentBlockParam], report: Report
    ) -> list[ContentBlockParam]:
        """The blocks of the stored answer if there is one and the client has not changed it, else `blocks`."""
        ids, own = client_ids(message), signatures(blocks)
        key = min(ids) if ids else ""
        if self._stored_answers and not is_own_id(key) and key not in self._stored_answers:
            content = content_key(blocks)
            key = content if content in self._stored_answers or not key else key
        stored = self._stored_answers.get(key)
        if stored is not None and key in self._restored:
            stored = ()  # a repeated id is replaced upstream, so the message cannot be the stored answer
        self._restored.add(key)
        if own:
            # The client sent the thinking, but not its position among the other blocks.
            same = stored is not None and signatures(stored) == own
            return (restore_answer(stored or (), blocks, report) if same else None) or blocks
        if stored is None:
            if is_own_id(key):  # otherwise, the answer may be another model's
                self.missing_thinking.append(index)
            return blocks
        answer = restore_answer(stored, blocks, report)
        if answer is None:
            report.warn("this answer differs from the one Claude gave, so its thinking could not be restored")
        return answer or blocks

    def _reject_pending(self) -> None:
        if client_call_ids := self._pending.take():
            shown = [shorten(call_id, 40) for call_id in client_call_ids[:_MAX_SHOWN_IDS]]
            if len(client_call_ids) > _MAX_SHOWN_IDS:
                shown.append(f"and {len(client_call_ids) - _MAX_SHOWN_IDS} more")
            raise self._role_report(self._turns.last_assistant_index).error(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: "
                + ", ".join(shown)
            )


def replay_keys(messages: Sequence[ChatMessage], to_tool_calls: Callable[[], ToolCalls]) -> list[str]:
    """The replay keys of the messages that call tools, without those that have thinking in their content.

    `to_tool_calls` is called if a message has no id of Claude's.
    """
    keys: list[str] = []
    tool_calls: ToolCalls | None = None
    report = Report()
    for index, message in enumerate(messages):
        if type(message) is not AssistantMessage or only_text(message) is not None:
            continue
        if has_thinking_in_content(message):
            continue
        ids = client_ids(message)
        if not ids and not message.function_call:
            continue
        blocks: list[ContentBlockParam] = []
        if not (ids and is_own_id(min(ids))):
            tool_calls = tool_calls or to_tool_calls()
            with suppress(APIError):  # add() raises it again, with the place
                if isinstance(message.content, list):
                    blocks, _ = to_assistant_content(index, message, tool_calls, report)
                else:
                    calls = calls_beside_content(index, message, tool_calls, {}, report)
                    blocks = [block for _, block in calls]
        keys += answer_keys(ids, blocks)
    return keys


def _speaker(message: ChatMessage) -> str:
    return message.name.strip() if message.name and type(message) in _SPEAKERS else ""


@dataclass(slots=True)
class _Turn:
    """Consecutive messages of one role; `index` is that of the last of them."""

    role: Literal["user", "assistant", "system"]
    index: int
    content: list[ContentBlockParam]
    results: list[ContentBlockParam] = field(default_factory=list)
    calls_tools: bool = False


class _Turns:
    """Groups converted messages into turns; `finish()` returns them, and then `system` is the system prompt."""

    def __init__(self, model: ClaudeModel, report: Report) -> None:
        self.system: list[TextBlockParam] = []
        self._model = model
        self._report = report
        self._turns: list[_Turn] = []
        # System messages to be placed after the current user turn, each with the report located at it.
        self._waiting_system: list[tuple[Report, Sequence[TextBlockParam]]] = []
        # How many of them were reported as moved.
        self._moved_system = 0
        self._ends_with_system = False
        self._server_calls = PendingServerCalls()

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def last_role(self) -> str | None:
        return self._turns[-1].role if self._turns else None

    @property
    def last_assistant_index(self) -> int:
        """The index of the last assistant message."""
        return next(turn.index for turn in reversed(self._turns) if turn.role == "assistant")

    @property
    def ends_with_results_without_thinking(self) -> bool:
        if len(self._turns) < 2 or not self._turns[-1].results:
            return False
        before = self._turns[-2].content
        return not before or not is_thinking(before[0])

    def add_system(self, blocks: Sequence[TextBlockParam], report: Report) -> None:
        if not blocks:
            return
        self._ends_with_system = bool(self._turns)
        if not self._turns:
            self.system += blocks
            return
        self._waiting_system.append((report, blocks))
        if not self._model.mid_conversation_system:
            self._move_to_front()

    def add_user(
        self, index: int, results: Iterable[ContentBlockParam], content: Iterable[ContentBlockParam]
    ) -> None:
        # A system message follows a whole user turn: never inside of one, never before its results.
        if self._moved_system < len(self._waiting_system):
            for report, _ in self._waiting_system[self._moved_system :]:
                report.warn("moved behind the user and tool messages that follow it")
            self._moved_system = len(self._waiting_system)
        turn = self._turn("user", index)
        turn.results += results
        turn.content += content
        if self._server_calls.pending and (turn.content or not turn.results):
            raise self._server_calls.missing_results(self._content_report(index))

    def add_assistant(self, index: int, content: Sequence[ContentBlockParam]) -> None:
        self._place_system()
        turn = self._turn("assistant", index)
        for block in content:
            if block["type"] == "tool_use":
                turn.calls_tools = True
            elif block["type"] not in ("text", "thinking"):
                reason = self._server_calls.follow(block)
                if reason:
                    raise self._content_report(index).invalid(reason)
        turn.content += content

    def finish(self, *, prefill: bool) -> list[MessageParam]:
        self._ensure_user_first()
        self._place_system()
        if self._turns[-1].role == "assistant":
            self._finish_with_assistant(prefill=prefill)
        return [{"role": turn.role, "content": self._content(turn)} for turn in self._turns]

    def _content_report(self, index: int) -> Report:
        return self._report.at("messages", index, "content")

    def _turn(self, role: Literal["user", "assistant"], index: int) -> _Turn:
        self._ends_with_system = False
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_Turn(role, index, []))
        turn = self._turns[-1]
        turn.index = index
        return turn

    def _place_system(self) -> None:
        """Adds the waiting system messages as a turn before the answer that they apply to. The API requires a
        user turn between that turn and the answer before it.
        """
        if not self._waiting_system or not self._turns:
            return
        last = self._turns[-1]
        if self._server_calls.pending:
            self._move_to_front()
            return
        if last.role == "assistant":
            if last.calls_tools:
                return  # the results come first
            self._request_following_system()
        blocks = [block for _, blocks in self._waiting_system for block in blocks]
        self._turns.append(_Turn("system", last.index, [*blocks]))
        self._clear_waiting_system()

    def _ensure_user_first(self) -> None:
        """The API requires a user turn first; many clients begin with a greeting of the assistant."""
        if self._turns[0].role == "assistant":
            self._report.at("messages").warn(
                "Claude's conversations begin with the user, so a user message was added before the first one"
            )
            self._turns.insert(0, _Turn("user", 0, [text_block(_FIRST_USER_TEXT)]))

    def _finish_with_assistant(self, *, prefill: bool) -> None:
        last = self._turns[-1]
        # A turn with pending server tool calls was paused: it is resumed by sending it back unchanged.
        if self._server_calls.pending:
            return
        if self._ends_with_system:
            self._request_following_system()
        elif not prefill:
            self._add_request(
                _CONTINUE_TEXT,
                f"{self._model.id} cannot continue this message by itself, so a user message requests it",
            )
        elif (text := last.content[-1])["type"] == "text":
            # The API takes no prefill that ends with white space.
            last.content[-1] = {**text, "text": text["text"].rstrip()}

    def _move_to_front(self) -> None:
        for report, blocks in self._waiting_system:
            report.warn("this message was moved to the front of the conversation")
            self.system += blocks
        self._clear_waiting_system()

    def _clear_waiting_system(self) -> None:
        self._waiting_system.clear()
        self._moved_system = 0

    def _request_following_system(self) -> None:
        self._add_request(
            _FOLLOW_SYSTEM_TEXT,
            "Claude answers only the user, so a user message requests to follow the system message",
        )

    def _add_request(self, text: str, reason: str) -> None:
        index = self._turns[-1].index
        self._report.at("messages", index).warn(reason)
        self._turns.append(_Turn("user", index, [text_block(text)]))

    def _content(self, turn: _Turn) -> list[ContentBlockParam]:
        content = [*turn.results, *turn.content] if turn.results else turn.content
        if not content:
            self._content_report(turn.index).warn(
                "Claude takes no empty message, so a text states that it is empty"
            )
            return [text_block(_EMPTY_USER_TEXT)]
        return content
