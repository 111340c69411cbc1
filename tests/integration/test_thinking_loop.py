"""Signed thinking in a tool loop with a client that drops every field outside of OpenAI's API."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from claudexia.storage.memory import MemoryTable
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.sdk import first_choice
from tests.helpers.serving import KEY, OTHER_KEY, gateway

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    for name in ("get_weather", "get_time")
]  # fmt: skip
THINKING = ("thinking", "redacted_thinking")


def memory_table() -> MemoryTable:
    return MemoryTable(lambda: datetime.now(UTC))


@contextmanager
def openai_clients(
    upstream: FakeAnthropic, *tables: MemoryTable, keys: tuple[str, ...] = (KEY,)
) -> Iterator[list[OpenAI]]:
    """One gateway per table, like execution environments, and one client per gateway and key."""
    with ExitStack() as stack:
        urls = [stack.enter_context(gateway(upstream, table=table)) for table in tables]
        yield [OpenAI(base_url=url, api_key=key, max_retries=0) for url in urls for key in keys]


def openai_fields(message: Any) -> dict[str, Any]:
    """The message with OpenAI's own fields only."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
        for call in message.tool_calls or []
    ]  # fmt: skip
    return {"role": "assistant", "content": message.content, **({"tool_calls": calls} if calls else {})}


def run_tool_loop(
    gateway_clients: list[OpenAI], prompt: str, streamed: bool = False, **fields: Any
) -> list[dict[str, Any]]:
    """Runs the tool loop until Claude replies without a tool call; the clients take turns. Returns the messages."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    for round_ in range(12):
        client = gateway_clients[round_ % len(gateway_clients)]
        choice = first_choice(client, streamed, messages=messages, tools=TOOLS, **fields)
        messages.append(openai_fields(choice.message))
        if choice.finish_reason != "tool_calls":
            return messages
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name}: fine"}
            for call in choice.message.tool_calls
        ]
    raise AssertionError("the loop does not end")


def thinking_sent(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The thinking blocks of each assistant turn of a request."""
    return [
        [block for block in turn["content"] if block["type"] in THINKING]
        for turn in body["messages"]
        if turn["role"] == "assistant"
    ]


def without_host(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks as the API knows them."""
    return [{key: value for key, value in block.items() if key != "host"} for block in blocks]


MODELS = [
    ("claude-sonnet-5-5", {}),
    ("claude-opus-5-5", {"reasoning_effort": "high"}),
    ("claude-opus-4-8", {"reasoning_effort": "medium"}),
    ("claude-haiku-4-5", {"reasoning_effort": "low"}),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(("model", "fields"), MODELS, ids=[model for model, _ in MODELS])
@pytest.mark.parametrize("markers", ["", " [interleave]", " [redacted]"])
def test_five_rounds(model: str, fields: dict[str, Any], markers: str, streamed: bool) -> None:
    """The fake API rejects a thinking block that is changed, moved or from another conversation."""
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table()) as gateway_clients:
        messages = run_tool_loop(
            gateway_clients, f"weather [rounds=5]{markers}", streamed, model=model, **fields
        )
    assert len(upstream.bodies) == 6
    assert "Result" in messages[-1]["content"]
    newest = thinking_sent(upstream.bodies[-1])
    assert len(newest) == 5
    assert all(newest)
    assert [json.dumps(turn) for turn in newest[:4]] == [
        json.dumps(turn) for turn in thinking_sent(upstream.bodies[-2])
    ]


def test_two_gateways_share_one_thinking_store() -> None:
    upstream, table = FakeAnthropic(bound=True), memory_table()
    with openai_clients(upstream, table, table) as gateway_clients:
        run_tool_loop(gateway_clients, "weather [rounds=5]", model="claude-sonnet-5-5")
    assert [bool(turn) for turn in thinking_sent(upstream.bodies[-1])] == [True] * 5


class WarningsReader:
    """Sends requests and reads the warnings header of the response."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    def warnings(self, messages: list[Any], **fields: Any) -> str:
        raw = self._client.chat.completions.with_raw_response.create(
            model="claude-sonnet-5-5", messages=messages, tools=TOOLS, **fields
        )
        assert raw.parse().choices[0].message.content
        return str(raw.headers.get("x-claudexia-warnings", ""))


def pending_conversation(client: OpenAI) -> list[Any]:
    """A conversation that ends with tool results."""
    return run_tool_loop([client], "weather [rounds=1]", model="claude-sonnet-5-5")[:-1]


def test_missing_thinking_is_reported() -> None:
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table(), memory_table()) as (first, second):
        messages = pending_conversation(first)
        assert WarningsReader(first).warnings(messages) == ""
        assert "messages[1]" in WarningsReader(second).warnings(messages)
    assert thinking_sent(upstream.bodies[-1]) == [[]]


def test_thinking_is_stored_per_key() -> None:
    upstream = FakeAnthropic()
    with openai_clients(upstream, memory_table(), keys=(KEY, OTHER_KEY)) as (owner, other):
        messages = pending_conversation(owner)
        assert "messages[1]" in WarningsReader(other).warnings(messages)
    assert thinking_sent(upstream.bodies[-1]) == [[]]


@pytest.mark.parametrize(
    ("edit", "warning"),
    [
        ({"content": "Something else."}, "messages[1]"),
        ({"tool_calls": "renamed"}, "messages[1]"),
    ],
    ids=["text", "arguments"],
)
def test_an_edited_message_is_sent_without_its_thinking(edit: dict[str, Any], warning: str) -> None:
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table()) as (client,):
        messages = pending_conversation(client)
        if "content" in edit:
            messages[1].update(edit)
        else:
            messages[1]["tool_calls"][0]["function"]["arguments"] = '{"city": "Rome"}'
        assert warning in WarningsReader(client).warnings(messages)
    assert thinking_sent(upstream.bodies[-1]) == [[]]


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(("model", "fields"), MODELS, ids=[model for model, _ in MODELS])
def test_thinking_refused_by_the_upstream_is_deleted(
    model: str, fields: dict[str, Any], streamed: bool
) -> None:
    """The user message before the block was edited, so the block's signature is no longer valid."""
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table()) as (client,):
        create = client.chat.completions.with_raw_response.create
        messages = run_tool_loop([client], "weather [rounds=1]", model=model, **fields)[:-1]
        messages[0]["content"] = "weather [rounds=1], please"
        again: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "tools": TOOLS,
            "stream": streamed,
            **fields,
        }
        before = len(upstream.bodies)
        with pytest.raises(BadRequestError) as caught:
            create(extra_headers={"x-claudexia-strict": "true"}, **again)
        assert caught.value.param == "messages"
        assert len(upstream.bodies) == before + 1
        raw = create(**again)
        assert "messages: the upstream refused the replayed thinking" in raw.headers["x-claudexia-warnings"]
        assert len(upstream.bodies) == before + 3
        assert thinking_sent(upstream.bodies[-2]) != [[]]
        assert thinking_sent(upstream.bodies[-1]) == [[]]
        create(**again)
        assert len(upstream.bodies) == before + 4


def calls_reversed(answer: dict[str, Any], results: list[Any]) -> list[Any]:
    return [{**answer, "tool_calls": answer["tool_calls"][::-1]}, *results]


def text_as_parts(answer: dict[str, Any], results: list[Any]) -> list[Any]:
    return [{**answer, "content": [{"type": "text", "text": answer["content"]}]}, *results]


def with_later_turns(answer: dict[str, Any], results: list[Any]) -> list[Any]:
    fields = [{"role": "user", "content": "Thanks."}, {"role": "assistant", "content": "Welcome."}]
    return [
        answer,
        *results,
        {"role": "assistant", "content": "It is fine."},
        *fields,
        {"role": "user", "content": "a"},
    ]


# Changes that clients make to a conversation without changing the meaning of Claude's message.
CLIENT_EDITS: dict[str, Any] = {
    "results in another order": lambda answer, results: [answer, *results[::-1]],
    "calls in another order": calls_reversed,
    "text left out": lambda answer, results: [{**answer, "content": None}, *results],
    "text emptied": lambda answer, results: [{**answer, "content": ""}, *results],
    "text in parts": text_as_parts,
    "a question after the results": lambda answer, results: [answer, *results, {"role": "user", "content": "Hurry."}],
    "a plain turn between": with_later_turns,
}  # fmt: skip


@pytest.mark.parametrize(("model", "fields"), MODELS, ids=[model for model, _ in MODELS])
@pytest.mark.parametrize("client_edit", CLIENT_EDITS.values(), ids=CLIENT_EDITS)
def test_thinking_is_restored_after_client_edits(client_edit: Any, model: str, fields: dict[str, Any]) -> None:
    """In strict mode, lost thinking would be an error."""
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table()) as (client,):
        question, answer, *results = run_tool_loop(
            [client], "weather [rounds=1] [interleave]", model=model, **fields
        )[:-1]
        messages = [question, *client_edit(answer, results)]
        client.chat.completions.create(
            model=model, messages=messages, tools=TOOLS, extra_headers={"x-claudexia-strict": "true"}, **fields
        )
    assert len(upstream.bodies) == 3
    assert len(thinking_sent(upstream.bodies[-1])[0]) == 2


def test_thinking_of_each_choice_is_restored() -> None:
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table()) as (client,):
        fields: list[Any] = [{"role": "user", "content": "weather [rounds=1]"}]
        completion = client.chat.completions.create(
            model="claude-sonnet-5-5", messages=fields, tools=TOOLS, n=2
        )
        for choice in completion.choices:
            answer = openai_fields(choice.message)
            results = [
                {"role": "tool", "tool_call_id": c["id"], "content": "fine"} for c in answer["tool_calls"]
            ]
            assert WarningsReader(client).warnings([*fields, answer, *results]) == ""
    restored = [thinking_sent(body)[0] for body in upstream.bodies[2:]]
    assert len(restored) == 2
    assert restored[0]
    assert restored[1]
    assert restored[0] != restored[1]


def test_thinking_before_custom_tool_calls_is_restored() -> None:
    upstream = FakeAnthropic(bound=True)
    tools: Any = [{"type": "custom", "custom": {"name": "run_code"}}]
    with openai_clients(upstream, memory_table()) as (client,):
        messages: list[Any] = [{"role": "user", "content": "Use the tool [rounds=1]."}]
        for _ in range(2):
            completion = client.chat.completions.create(
                model="claude-sonnet-5-5", messages=messages, tools=tools,
                extra_headers={"x-claudexia-strict": "true"},
            )  # fmt: skip
            message = completion.choices[0].message
            messages += [message.model_dump(exclude_none=True)]
            for call in message.tool_calls or []:
                assert call.type == "custom"
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "fine"})
    assert [len(turn) for turn in thinking_sent(upstream.bodies[-1])] == [1]


def test_tools_removed_later_do_not_break_the_loop() -> None:
    """The signature covers the tools, so the thinking is left out and reported."""
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table()) as (client,):
        raw = client.chat.completions.with_raw_response.create(
            model="claude-sonnet-5-5", messages=pending_conversation(client)
        )
        assert "thinking" in raw.headers["x-claudexia-warnings"]
        assert raw.parse().choices[0].message.content == "Result: get_weather: fine; get_time: fine"


def test_thinking_before_legacy_function_calls_is_restored() -> None:
    upstream = FakeAnthropic(bound=True)
    functions: Any = [tool["function"] for tool in TOOLS]
    with openai_clients(upstream, memory_table()) as (client,):
        create = client.chat.completions.with_raw_response.create
        messages: list[Any] = [{"role": "user", "content": "weather [rounds=1]"}]
        message = (
            create(model="claude-sonnet-5-5", messages=messages, functions=functions).parse().choices[0].message
        )
        assert message.function_call
        messages.append(
            {"role": "assistant", "content": message.content, "function_call": message.function_call}
        )
        messages.append({"role": "function", "name": message.function_call.name, "content": "fine"})
        raw = create(model="claude-sonnet-5-5", messages=messages, functions=functions)
    assert "x-claudexia-warnings" not in raw.headers
    assert thinking_sent(upstream.bodies[-1])[0]
    assert raw.parse().choices[0].message.content == "Result: fine"


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_returned_thinking_blocks_take_precedence(streamed: bool) -> None:
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table(), memory_table()) as (client, second):
        fields: dict[str, Any] = {
            "model": "claude-sonnet-5-5", "tools": TOOLS, "messages": [{"role": "user", "content": "weather [redacted]"}],
            "extra_headers": {"x-claudexia-thinking-blocks": "true"},
        }  # fmt: skip
        message = first_choice(client, streamed, **fields).message
        returned_blocks = [
            {key: value for key, value in block.items() if key != "index"} for block in message.thinking_blocks
        ]
        assert {block["host"] for block in returned_blocks} == {"anthropic"}
        assert [block["type"] for block in returned_blocks] == ["thinking", "redacted_thinking"]
        answer = {**openai_fields(message), "thinking_blocks": returned_blocks}
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "fine"} for call in answer["tool_calls"]
        ]
        messages = [*fields["messages"], answer, *results]
        assert WarningsReader(second).warnings(messages) == ""
    assert thinking_sent(upstream.bodies[-1]) == [without_host(returned_blocks)]


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_returned_thinking_blocks_are_put_in_order(streamed: bool) -> None:
    """The blocks stand before and after the text; `thinking_blocks` alone does not show their position."""
    upstream = FakeAnthropic(bound=True)
    with openai_clients(upstream, memory_table()) as (client,):
        messages: list[Any] = [{"role": "user", "content": "weather [interleave]"}]
        message = first_choice(
            client, streamed, model="claude-sonnet-5-5", messages=messages, tools=TOOLS,
            extra_headers={"x-claudexia-thinking-blocks": "true"},
        ).message  # fmt: skip
        returned_blocks = [
            {key: value for key, value in block.items() if key != "index"} for block in message.thinking_blocks
        ]
        assert {block["host"] for block in returned_blocks} == {"anthropic"}
        results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls]
        messages += [{**openai_fields(message), "thinking_blocks": returned_blocks}, *results]
        assert WarningsReader(client).warnings(messages) == ""
    assert thinking_sent(upstream.bodies[-1]) == [without_host(returned_blocks)]
