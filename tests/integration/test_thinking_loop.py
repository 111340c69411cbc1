"""Signed thinking in a tool loop, where the client drops every field that OpenAI does not have."""

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


def memory() -> MemoryTable:
    return MemoryTable(lambda: datetime.now(UTC))


@contextmanager
def clients(
    upstream: FakeAnthropic, *tables: MemoryTable, keys: tuple[str, ...] = (KEY,)
) -> Iterator[list[OpenAI]]:
    """One gateway for each table, as containers are; each of `keys` asks each of them."""
    with ExitStack() as stack:
        urls = [stack.enter_context(gateway(upstream, table=table)) for table in tables]
        yield [OpenAI(base_url=url, api_key=key, max_retries=0) for url in urls for key in keys]


def plain(message: Any) -> dict[str, Any]:
    """The message with OpenAI's own fields only."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
        for call in message.tool_calls or []
    ]  # fmt: skip
    return {"role": "assistant", "content": message.content, **({"tool_calls": calls} if calls else {})}


def run(asking: list[OpenAI], prompt: str, streamed: bool = False, **asked: Any) -> list[dict[str, Any]]:
    """Calls tools until Claude answers, the clients taking turns. Returns the conversation."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    for round_ in range(12):
        client = asking[round_ % len(asking)]
        choice = first_choice(client, streamed, messages=messages, tools=TOOLS, **asked)
        messages.append(plain(choice.message))
        if choice.finish_reason != "tool_calls":
            return messages
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name}: fine"}
            for call in choice.message.tool_calls
        ]
    raise AssertionError("the loop does not end")


def thoughts_sent(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The thinking blocks of each assistant turn of a request."""
    return [
        [block for block in turn["content"] if block["type"] in THINKING]
        for turn in body["messages"]
        if turn["role"] == "assistant"
    ]


MODELS = [
    ("claude-sonnet-5-5", {}),
    ("claude-opus-5-5", {"reasoning_effort": "high"}),
    ("claude-opus-4-8", {"reasoning_effort": "medium"}),
    ("claude-haiku-4-5", {"reasoning_effort": "low"}),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "asked"), MODELS, ids=[model for model, _ in MODELS])
@pytest.mark.parametrize("marks", ["", " [interleave]", " [redacted]"])
def test_five_rounds(model: str, asked: dict[str, Any], marks: str, streamed: bool) -> None:
    """The fake API rejects a thinking block that is changed, moved or from another conversation."""
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory()) as asking:
        messages = run(asking, f"weather [rounds=5]{marks}", streamed, model=model, **asked)
    assert len(upstream.bodies) == 6
    assert "Result" in messages[-1]["content"]
    newest = thoughts_sent(upstream.bodies[-1])
    assert len(newest) == 5
    assert all(newest)
    assert [json.dumps(turn) for turn in newest[:4]] == [
        json.dumps(turn) for turn in thoughts_sent(upstream.bodies[-2])
    ]


def test_two_containers_take_turns_on_one_store() -> None:
    upstream, table = FakeAnthropic(bound=True), memory()
    with clients(upstream, table, table) as asking:
        run(asking, "weather [rounds=5]", model="claude-sonnet-5-5")
    assert [bool(turn) for turn in thoughts_sent(upstream.bodies[-1])] == [True] * 5


class Listener:
    """Asks with the raw response, to see the warnings."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    def warnings(self, messages: list[Any], **asked: Any) -> str:
        raw = self._client.chat.completions.with_raw_response.create(
            model="claude-sonnet-5-5", messages=messages, tools=TOOLS, **asked
        )
        assert raw.parse().choices[0].message.content
        return str(raw.headers.get("x-claudexia-warnings", ""))


def half_way(client: OpenAI) -> list[Any]:
    """A conversation whose last message is a tool's result."""
    return run([client], "weather [rounds=1]", model="claude-sonnet-5-5")[:-1]


def test_a_lost_store_is_told() -> None:
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory(), memory()) as (knowing, forgetful):
        messages = half_way(knowing)
        assert Listener(knowing).warnings(messages) == ""
        assert "messages[1]" in Listener(forgetful).warnings(messages)
    assert thoughts_sent(upstream.bodies[-1]) == [[]]


def test_thoughts_belong_to_the_key_that_asked() -> None:
    upstream = FakeAnthropic()
    with clients(upstream, memory(), keys=(KEY, OTHER_KEY)) as (owner, other):
        messages = half_way(owner)
        assert "messages[1]" in Listener(other).warnings(messages)
    assert thoughts_sent(upstream.bodies[-1]) == [[]]


@pytest.mark.parametrize(
    ("edited", "told"),
    [
        ({"content": "Something else."}, "messages[1]"),
        ({"tool_calls": "renamed"}, "messages[1]"),
    ],
    ids=["text", "arguments"],
)
def test_an_answer_that_was_changed_is_sent_without_its_thinking(edited: dict[str, Any], told: str) -> None:
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory()) as (client,):
        messages = half_way(client)
        if "content" in edited:
            messages[1].update(edited)
        else:
            messages[1]["tool_calls"][0]["function"]["arguments"] = '{"city": "Rome"}'
        assert told in Listener(client).warnings(messages)
    assert thoughts_sent(upstream.bodies[-1]) == [[]]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "asked"), MODELS, ids=[model for model, _ in MODELS])
def test_refused_thinking_is_left_out_once_and_for_all(
    model: str, asked: dict[str, Any], streamed: bool
) -> None:
    """The question before it was edited, so the block's signature no longer holds."""
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory()) as (client,):
        create = client.chat.completions.with_raw_response.create
        messages = run([client], "weather [rounds=1]", model=model, **asked)[:-1]
        messages[0]["content"] = "weather [rounds=1], please"
        again: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "tools": TOOLS,
            "stream": streamed,
            **asked,
        }
        before = len(upstream.bodies)
        with pytest.raises(BadRequestError) as caught:
            create(extra_headers={"x-claudexia-strict": "true"}, **again)
        assert caught.value.param == "messages"
        assert len(upstream.bodies) == before + 1
        raw = create(**again)
        assert "messages: the upstream refused the replayed thinking" in raw.headers["x-claudexia-warnings"]
        assert len(upstream.bodies) == before + 3
        assert thoughts_sent(upstream.bodies[-2]) != [[]]
        assert thoughts_sent(upstream.bodies[-1]) == [[]]
        create(**again)
        assert len(upstream.bodies) == before + 4


def swapped(answer: dict[str, Any], results: list[Any]) -> list[Any]:
    return [{**answer, "tool_calls": answer["tool_calls"][::-1]}, *results]


def in_parts(answer: dict[str, Any], results: list[Any]) -> list[Any]:
    return [{**answer, "content": [{"type": "text", "text": answer["content"]}]}, *results]


def later(answer: dict[str, Any], results: list[Any]) -> list[Any]:
    asked = [{"role": "user", "content": "Thanks."}, {"role": "assistant", "content": "Welcome."}]
    return [
        answer,
        *results,
        {"role": "assistant", "content": "It is fine."},
        *asked,
        {"role": "user", "content": "a"},
    ]


# What clients do to a conversation that leaves Claude's answer what it was.
HANDLED: dict[str, Any] = {
    "results in another order": lambda answer, results: [answer, *results[::-1]],
    "calls in another order": swapped,
    "text left out": lambda answer, results: [{**answer, "content": None}, *results],
    "text emptied": lambda answer, results: [{**answer, "content": ""}, *results],
    "text in parts": in_parts,
    "a question after the results": lambda answer, results: [answer, *results, {"role": "user", "content": "Hurry."}],
    "a plain turn between": later,
}  # fmt: skip


@pytest.mark.parametrize(("model", "asked"), MODELS, ids=[model for model, _ in MODELS])
@pytest.mark.parametrize("handled", HANDLED.values(), ids=HANDLED)
def test_thinking_is_restored_however_clients_handle_it(
    handled: Any, model: str, asked: dict[str, Any]
) -> None:
    """In strict mode, so that nothing is lost without an error."""
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory()) as (client,):
        question, answer, *results = run([client], "weather [rounds=1] [interleave]", model=model, **asked)[:-1]
        messages = [question, *handled(answer, results)]
        client.chat.completions.create(
            model=model, messages=messages, tools=TOOLS, extra_headers={"x-claudexia-strict": "true"}, **asked
        )
    assert len(upstream.bodies) == 3
    assert len(thoughts_sent(upstream.bodies[-1])[0]) == 2


def test_each_of_several_choices_is_restored() -> None:
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory()) as (client,):
        asked: list[Any] = [{"role": "user", "content": "weather [rounds=1]"}]
        completion = client.chat.completions.create(model="claude-sonnet-5-5", messages=asked, tools=TOOLS, n=2)
        for choice in completion.choices:
            answer = plain(choice.message)
            results = [
                {"role": "tool", "tool_call_id": c["id"], "content": "fine"} for c in answer["tool_calls"]
            ]
            assert Listener(client).warnings([*asked, answer, *results]) == ""
    restored = [thoughts_sent(body)[0] for body in upstream.bodies[2:]]
    assert len(restored) == 2
    assert restored[0]
    assert restored[1]
    assert restored[0] != restored[1]


def test_custom_calls_are_restored() -> None:
    upstream = FakeAnthropic(bound=True)
    tools: Any = [{"type": "custom", "custom": {"name": "run_code"}}]
    with clients(upstream, memory()) as (client,):
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
    assert [len(turn) for turn in thoughts_sent(upstream.bodies[-1])] == [1]


def test_tools_that_are_absent_later_do_not_break_the_loop() -> None:
    """Other tools before it are another conversation for the signature: reported, and answered."""
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory()) as (client,):
        raw = client.chat.completions.with_raw_response.create(
            model="claude-sonnet-5-5", messages=half_way(client)
        )
        assert "thinking" in raw.headers["x-claudexia-warnings"]
        assert raw.parse().choices[0].message.content == "Result: get_weather: fine; get_time: fine"


def test_legacy_calls_are_known_by_what_they_say() -> None:
    upstream = FakeAnthropic(bound=True)
    functions: Any = [tool["function"] for tool in TOOLS]
    with clients(upstream, memory()) as (client,):
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
    assert thoughts_sent(upstream.bodies[-1])[0]
    assert raw.parse().choices[0].message.content == "Result: fine"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_blocks_that_a_client_returns_win(streamed: bool) -> None:
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory(), memory()) as (client, forgetful):
        asked: dict[str, Any] = {
            "model": "claude-sonnet-5-5", "tools": TOOLS, "messages": [{"role": "user", "content": "weather [redacted]"}],
            "extra_headers": {"x-claudexia-thinking-blocks": "true"},
        }  # fmt: skip
        message = first_choice(client, streamed, **asked).message
        kept = [
            {key: value for key, value in block.items() if key != "index"} for block in message.thinking_blocks
        ]
        assert [block["type"] for block in kept] == ["thinking", "redacted_thinking"]
        answer = {**plain(message), "thinking_blocks": kept}
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "fine"} for call in answer["tool_calls"]
        ]
        messages = [*asked["messages"], answer, *results]
        assert Listener(forgetful).warnings(messages) == ""
    assert thoughts_sent(upstream.bodies[-1]) == [kept]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_blocks_that_a_client_returns_find_their_place(streamed: bool) -> None:
    """Claude thought twice, before its words and after them: `thinking_blocks` alone would not tell."""
    upstream = FakeAnthropic(bound=True)
    with clients(upstream, memory()) as (client,):
        messages: list[Any] = [{"role": "user", "content": "weather [interleave]"}]
        message = first_choice(
            client, streamed, model="claude-sonnet-5-5", messages=messages, tools=TOOLS,
            extra_headers={"x-claudexia-thinking-blocks": "true"},
        ).message  # fmt: skip
        kept = [
            {key: value for key, value in block.items() if key != "index"} for block in message.thinking_blocks
        ]
        results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls]
        messages += [{**plain(message), "thinking_blocks": kept}, *results]
        assert Listener(client).warnings(messages) == ""
    assert thoughts_sent(upstream.bodies[-1]) == [kept]
