"""Known-good event streams, and the requests that they answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tests.campaign.bodies import MARK, Api, chat, function, tool, user
from tests.campaign.gateway import HeaderPairs
from tests.campaign.other_apis import create, flat_tool, native_tool, respond
from tests.helpers.recorded_answers import block, events, source, text, thinking
from tests.helpers.recorded_answers import tool as tool_block

Json = Any


@dataclass(frozen=True)
class Expected:
    """The expected completion: text, finish_reason, calls as name and arguments, reasoning, refusal and tokens."""

    content: str
    finish_reason: str
    calls: tuple[tuple[str, str], ...] = ()
    reasoning: str = ""
    refusal: bool = False
    tokens: tuple[int, int] = (10, 5)


@dataclass(frozen=True)
class GoodStream:
    """A request, and the events of each upstream response: several if a turn is paused and resumed."""

    body: Json
    answers: tuple[tuple[Json, ...], ...]
    expected: Expected
    headers: HeaderPairs = ()


def _plain(
    *answers: list[Any], fields: Json | None = None, headers: HeaderPairs = (), **expected: Any
) -> GoodStream:
    return GoodStream(
        chat(user(MARK), **(fields or {})), tuple(map(tuple, answers)), Expected(**expected), headers
    )


@cache
def chat_streams() -> dict[str, GoodStream]:
    search = block(
        "server_tool_use",
        {"type": "input_json_delta", "partial_json": '{"query": "a"}'},
        id="srvtoolu_1",
        name="web_search",
        input={},
    )
    found = [
        {
            "type": "web_search_result",
            "url": "https://a.example",
            "title": "A",
            "encrypted_content": "x",
            "page_age": None,
        }
    ]
    results = block("web_search_tool_result", tool_use_id="srvtoolu_1", content=found)
    tools: Json = {"tools": [tool(), tool("other")]}
    custom: Json = {
        "tools": [
            {"type": "custom", "custom": {"name": "run", "description": MARK, "format": {"type": "text"}}}
        ]
    }
    web: Json = {"web_search_options": {}}
    blocks = ((b"x-claudexia-thinking-blocks", b"true"),)
    call = tool_block("weather", '{"city": ', '"a"}')
    second = tool_block("other", "{}", id_="toolu_1")
    return {
        "text": _plain(events(text("Hello", " there", f" {MARK}")), content=f"Hello there {MARK}", finish_reason="stop"),
        "text blocks": _plain(events(text("One. "), text("Two.")), content="One. Two.", finish_reason="stop"),
        "no text": _plain(events(text()), content="", finish_reason="stop"),
        "thinking": _plain(
            events(thinking("Let", " me", signature="c2ln"), text("Yes.")), headers=blocks,
            fields={"reasoning_effort": "low"}, content="Yes.", reasoning="Let me", finish_reason="stop",
        ),
        "redacted": _plain(events(block("redacted_thinking", data="abc"), text("Yes.")), headers=blocks, content="Yes.", finish_reason="stop"),
        "call": _plain(events(call, stop_reason="tool_use"), fields=tools, content="", calls=(("weather", '{"city": "a"}'),), finish_reason="tool_calls"),
        "calls": _plain(
            events(thinking("Hm", signature="c2ln"), text("I look."), call, second, stop_reason="tool_use"), fields=tools,
            content="I look.", calls=(("weather", '{"city": "a"}'), ("other", "{}")), reasoning="Hm", finish_reason="tool_calls",
        ),
        "function": _plain(
            events(call, stop_reason="tool_use"), fields={"functions": [function()]}, content="",
            calls=(("weather", '{"city": "a"}'),), finish_reason="function_call",
        ),
        "custom": _plain(
            events(tool_block("run", '{"input": "a', 'b"}'), stop_reason="tool_use"), fields=custom, content="",
            calls=(("run", "ab"),), finish_reason="tool_calls",
        ),
        "citations": _plain(
            events(text("See "), text("this", sources=[source("https://a.example"), source("https://b.example", None)])),
            content="See this", finish_reason="stop",
        ),
        "web search": _plain(
            events(text("I search."), search, results, text("Found", sources=[source("https://a.example")])), fields=web,
            content="I search.Found", finish_reason="stop",
        ),
        "pause": _plain(
            events(text("I search."), search, results, stop_reason="pause_turn"), events(text("Found")), fields=web,
            content="I search.Found", finish_reason="stop", tokens=(20, 10),
        ),
        "refusal": _plain(events(text("No"), stop_reason="refusal"), content="No", refusal=True, finish_reason="content_filter"),
        "length": _plain(events(text("Cut of"), stop_reason="max_tokens"), content="Cut of", finish_reason="length"),
        "stop sequence": _plain(events(text("Up to"), stop_reason="stop_sequence"), fields={"stop": ["x"]}, content="Up to", finish_reason="stop"),
        "json": _plain(
            events(text("```json\n{", '"a": 1}\n```')), fields={"response_format": {"type": "json_object"}},
            content='{"a": 1}', finish_reason="stop",
        ),
        "choices": _plain(events(text("Two")), fields={"n": 2}, content="Two", finish_reason="stop", tokens=(20, 10)),
    }  # fmt: skip


@cache
def responses_streams() -> dict[str, GoodStream]:
    """The good streams that a request of the Responses API can have."""
    tools: Json = {"tools": [flat_tool(), flat_tool("other")]}
    summary: Json = {"reasoning": {"effort": "low", "summary": "auto"}}
    web: Json = {"tools": [{"type": "web_search"}], "include": ["web_search_call.action.sources"]}
    requested: dict[str, Json] = {
        "text": {}, "text blocks": {}, "no text": {"store": False}, "citations": {}, "refusal": {}, "length": {},
        "thinking": {**summary, "include": ["reasoning.encrypted_content"]},
        "redacted": {"include": ["reasoning.encrypted_content"]},
        "call": tools, "calls": {**tools, **summary},
        "custom": {"tools": [{"type": "custom", "name": "run", "description": MARK}]},
        "web search": web, "pause": web,
        "json": {"text": {"format": {"type": "json_object"}}},
    }  # fmt: skip
    return {
        name: replace(chat_streams()[name], body=respond(**fields), headers=())
        for name, fields in requested.items()
    }


@cache
def text_streams() -> dict[str, GoodStream]:
    """The good streams of text completions, whose choices have no refusal."""
    requested: dict[str, Json] = {
        "text": {}, "text blocks": {}, "no text": {}, "refusal": {}, "length": {}, "stop sequence": {"stop": ["x"]}, "choices": {"n": 2},
    }  # fmt: skip
    return {
        name: replace(
            good := chat_streams()[name],
            body={"prompt": MARK, "max_tokens": 50, **fields},
            expected=replace(good.expected, refusal=False),
        )
        for name, fields in requested.items()
    }


@cache
def messages_streams() -> dict[str, GoodStream]:
    """The good streams of the Messages API. What they are to become is in the events themselves."""
    tools: Json = {"tools": [native_tool(), native_tool("other")]}
    requested: dict[str, Json] = {
        "text": {}, "text blocks": {}, "no text": {}, "citations": {}, "refusal": {}, "length": {}, "stop sequence": {},
        "thinking": {"thinking": {"type": "adaptive"}}, "redacted": {}, "call": tools, "calls": tools, "web search": {},
    }  # fmt: skip
    return {
        name: replace(chat_streams()[name], body=create(**fields), headers=())
        for name, fields in requested.items()
    }


_STREAMS: Mapping[Api, Callable[[], dict[str, GoodStream]]] = {
    "chat": chat_streams,
    "text": text_streams,
    "responses": responses_streams,
    "messages": messages_streams,
}


def streams_of(api: Api) -> dict[str, GoodStream]:
    return _STREAMS[api]()
