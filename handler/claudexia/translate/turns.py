"""Claude's turns as they gather: who speaks after whom, and how a conversation may begin and end.

Source: https://platform.claude.com/docs/en/build-with-claude/working-with-messages
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from claudexia.translate.anthropic_params import ContentBlockParam, MessageParam, TextBlockParam
from claudexia.translate.blocks import text_block
from claudexia.translate.fields import Report
from claudexia.translate.models import Model
from claudexia.translate.native import ServerCalls
from claudexia.translate.replay import is_thought

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

    def __init__(self, model: Model, report: Report) -> None:
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
