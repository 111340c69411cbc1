"""Answers of any size, for the tests of how the work grows, and what reads them for each API."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from claudexia.json_text import dump
from claudexia.translate.report import DEFAULT_OPTIONS, SELECTED, CallFormat, ResponseOptions
from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.completion import to_chat_completion
from claudexia.translate.response.forced_call import CallEvents
from claudexia.translate.response.output_items import ItemOptions
from claudexia.translate.response.responses import ResponseStream, to_response
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.sse import encode, named_event
from claudexia.translate.types.anthropic import Message, MessageStreamEvent
from tests.helpers.recorded_answers import CREATED, Json, block, events, source, text, thinking, tool

Blocks = list[list[Json]]


@dataclass(frozen=True)
class LargeAnswer:
    """`blocks` returns those of an answer of a given size, about one event each. `middle` follows the blocks."""

    blocks: Callable[[int], Blocks]
    options: ResponseOptions = DEFAULT_OPTIONS
    call_format: CallFormat | None = None
    stop_reason: str = "end_turn"
    middle: Callable[[int], list[Json]] = lambda size: []

    def events(self, size: int) -> list[MessageStreamEvent]:
        parts: list[Any] = [*events(*self.blocks(size), stop_reason=self.stop_reason)]
        return [*parts[:-2], *self.middle(size), *parts[-2:]]


def _pieces(of: str, size: int) -> list[str]:
    return [of[number % len(of)] for number in range(size)]


def _in_turn(size: int) -> Blocks:
    deltas = [{"type": "thinking_delta", "thinking": "t"}, {"type": "signature_delta", "signature": "s"}]
    return [block("thinking", *(deltas * (size // 2)), thinking="", signature="")]


def _signature(size: int) -> Blocks:
    deltas = [{"type": "signature_delta", "signature": "s" * 20}] * size
    return [block("thinking", *deltas, thinking="", signature="")]


def _sources(size: int) -> list[Json]:
    return [source(f"https://example.com/{number:06}") for number in range(size)]


def _unknown(size: int) -> Blocks:
    return [block("future", *({"type": "future_delta", f"key_{number:06}": 1} for number in range(size)))]


def _new_counts(size: int) -> list[Json]:
    return [
        {"type": "message_delta", "delta": {}, "usage": {f"new_{number:06}_tokens": number}}
        for number in range(size)
    ]


def _calls(size: int) -> str:
    return '{"calls":[' + ",".join(['{"name":"f","arguments":{"a":"b"}}'] * size) + "]}"


_CALLED: dict[str, Any] = {"stop_reason": "tool_use"}
_CUSTOM = ResponseOptions(custom=frozenset({"shell"}))
_RENAMED = ResponseOptions(argument_names={"f": {"a_": "a b"}})
_JSON = ResponseOptions(json_object=True)
_THINKING = ResponseOptions(thinking_blocks=True, host="bedrock")
_ARGUMENTS = '{"a_": "b", "c": "d\\n"}'
_LIST = CallFormat()
_BLANKS = [" " * 20]
ANSWERS = {
    "text": LargeAnswer(lambda size: [text(*"a" * size)]),
    "text blocks": LargeAnswer(lambda size: [text("a")] * size),
    "empty text blocks": LargeAnswer(lambda size: [text()] * size),
    "thinking": LargeAnswer(lambda size: [thinking(*"a" * size, signature="s"), text("a")], _THINKING),
    "thinking blocks": LargeAnswer(lambda size: [thinking("a", signature="s")] * size, _THINKING),
    "signature": LargeAnswer(_signature, _THINKING),
    "thinking and signature in turn": LargeAnswer(_in_turn, _THINKING),
    "arguments": LargeAnswer(lambda size: [tool("f", *_pieces(_ARGUMENTS, size))], **_CALLED),
    "calls": LargeAnswer(lambda size: [tool("f", "{}")] * size, **_CALLED),
    "renamed arguments": LargeAnswer(lambda size: [tool("f", '{"a_": "', *"b" * size)], _RENAMED, **_CALLED),
    "a long key": LargeAnswer(lambda size: [tool("f", '{"', *"b" * size)], _RENAMED, **_CALLED),
    "a custom input": LargeAnswer(lambda size: [tool("shell", '{"input":"', *"b" * size)], _CUSTOM, **_CALLED),
    "a custom input without a head": LargeAnswer(
        lambda size: [tool("shell", '{"command":"', *"b" * size)], _CUSTOM, **_CALLED
    ),
    "a search": LargeAnswer(
        lambda size: [tool("web_search", '{"query":"', *"b" * size, kind="server_tool_use")]
    ),
    "searches": LargeAnswer(lambda size: [tool("web_search", '{"query":""}', kind="server_tool_use")] * size),
    "citations": LargeAnswer(lambda size: [text("a", sources=_sources(size))]),
    "one citation": LargeAnswer(lambda size: [text("a", sources=_sources(1) * size)]),
    "cited blocks": LargeAnswer(lambda size: [text("a", sources=[each]) for each in _sources(size)]),
    "citations in the start": LargeAnswer(
        lambda size: [block("text", text="a", citations=_sources(size)), text("a")]
    ),
    "an unknown block": LargeAnswer(_unknown),
    "text in an unknown block": LargeAnswer(
        lambda size: [block("future", *[{"type": "text_delta", "text": "a"}] * size)]
    ),
    "unknown deltas": LargeAnswer(lambda size: [block("text", *[{"type": "future_delta"}] * size)]),
    "unknown events": LargeAnswer(lambda size: [], middle=lambda size: [{"type": "future"}] * size),
    "new counts": LargeAnswer(lambda size: [], middle=_new_counts),
    "an object in prose": LargeAnswer(lambda size: [text(*"a" * size, '{"a": 1}')], _JSON),
    "an object": LargeAnswer(lambda size: [text('{"a": [', *"1," * (size // 2))], _JSON),
    "no object": LargeAnswer(lambda size: [text(*_pieces('{ "a', size))], _JSON),
    "text after an object": LargeAnswer(lambda size: [text('{"a": 1}', *"a" * size)], _JSON),
    "a forced call": LargeAnswer(lambda size: [text(*_pieces(_ARGUMENTS, size))], call_format=CallFormat("f")),
    "blanks before a forced call": LargeAnswer(
        lambda size: [text(*_BLANKS * size, "{}")], call_format=CallFormat("f")
    ),
    "forced calls": LargeAnswer(lambda size: [text(*_calls(size // 20))], call_format=_LIST),
    "blanks before forced calls": LargeAnswer(
        lambda size: [text(*_BLANKS * size, _calls(1))], call_format=_LIST
    ),
    "blanks between forced calls": LargeAnswer(
        lambda size: [text(_calls(1)[:-2], " " * 300, *_BLANKS * size, ",", _calls(1))], call_format=_LIST
    ),
    "blanks in the head of a forced call": LargeAnswer(
        lambda size: [text('{"calls":[{"name":"f"', " " * 300, *_BLANKS * size)], call_format=_LIST
    ),
    "a selected call": LargeAnswer(
        lambda size: [text('{"name":"f","arguments":"{\\"a\\":\\"', *"b" * size, '\\"}"}')],
        call_format=SELECTED,
    ),
    "no forced call": LargeAnswer(lambda size: [text(*"a" * size)], call_format=_LIST),
}
# One event of the given size each.
EVENTS = {
    "forced calls": LargeAnswer(lambda size: [text(_calls(size))], call_format=_LIST),
    "forced calls in the start": LargeAnswer(
        lambda size: [block("text", text=_calls(size))], call_format=_LIST
    ),
    "blanks before a forced call": LargeAnswer(
        lambda size: [text(" " * size + "{}")], call_format=CallFormat("f")
    ),
    "escapes": LargeAnswer(lambda size: [tool("shell", '{"input":"' + "\\n" * size)], _CUSTOM, **_CALLED),
    "keys": LargeAnswer(lambda size: [tool("f", '{"b":1' + ',"a_":1' * size + "}")], _RENAMED, **_CALLED),
    "braces": LargeAnswer(lambda size: [text("{" * size)], _JSON),
    "strings": LargeAnswer(lambda size: [text('{"a":[' + '"",' * size)], _JSON),
}


def reader(api: str, answer: LargeAnswer) -> Callable[[MessageStreamEvent], object]:
    """Reads `answer` event by event as a Generation and the encoder of `api` do; at its end also as a whole."""
    calls = CallEvents(answer.call_format) if answer.call_format else None
    accumulator = MessageAccumulator()
    write, write_whole = APIS[api](answer)

    def feed(event: MessageStreamEvent) -> None:
        for each in calls.feed(event) if calls else (event,):
            for part in accumulator.feed(each):
                write(part)
        if accumulator.finished:
            write_whole(accumulator.message)

    return feed


Writers = tuple[Callable[[MessageStreamEvent], object], Callable[[Message], object]]


def _chat_completions(answer: LargeAnswer) -> Writers:
    stream = ChatCompletionStream(created=CREATED, options=answer.options)
    return (
        lambda event: b"".join(map(encode, stream.feed(event))),
        lambda message: dump(to_chat_completion([message], created=CREATED, options=[answer.options])),
    )


def _responses(answer: LargeAnswer) -> Writers:
    start: Any = {"id": "msg_1", "model": "claude"}
    settings: Any = {"store": False}
    options = ItemOptions(answer.options, shows_summary=True, shows_sources=True)
    stream = ResponseStream(start, created=CREATED, settings=settings, options=options)
    return (
        lambda event: b"".join(map(named_event, stream.feed(event))),
        lambda message: dump(to_response(message, created=CREATED, settings=settings, options=options)),
    )


APIS: dict[str, Callable[[LargeAnswer], Writers]] = {
    "chat completions": _chat_completions,
    "responses": _responses,
}
