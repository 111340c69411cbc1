"""A tool call that the client demands, on models that refuse `tool_choice` any and tool.

The fake of Anthropic's API refuses such a choice, and ignores what the system prompt says about tools. So only
structured output keeps the promise.
"""

import json
from typing import Any

import pytest
from openai import APIError, BadRequestError, InternalServerError, OpenAI

from claudexia_cli.echo.params import is_forced
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.sdk import first_choice
from tests.helpers.serving import KEY, Reply, Upstream, error_body, gateway, sse, text_events

MODELS = ["claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-2"]
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# Schemas that structured output takes, and such that it does not.
CLOSED = {**CITY, "additionalProperties": False}
OPEN: Any = {"type": "object", "properties": {"labels": {"type": "object"}}, "required": ["labels"]}
TREE: Any = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/N"}},
    "$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}},
}
MANY: Any = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(30)}}


def function(name: str, parameters: Any = CITY, **fields: Any) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **fields}}


def named(name: str) -> Any:
    return {"type": "function", "function": {"name": name}}


def asked(**fields: Any) -> Any:
    return {"model": MODELS[0], "messages": [{"role": "user", "content": "Hello"}], **fields}


def answer(upstream: Any, streamed: bool, **fields: Any) -> Any:
    with gateway(upstream) as url:
        return first_choice(OpenAI(base_url=url, api_key=KEY, max_retries=0), streamed, **asked(**fields))


def calls_of(choice: Any) -> list[tuple[str, Any]]:
    calls = choice.message.tool_calls or []
    assert all(call.id.startswith("call_") for call in calls)
    assert len({call.id for call in calls}) == len(calls)
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


A, B = ("get_weather", {"city": "a"}), ("get_time", {"city": "a"})
TWO = [function("get_weather"), function("get_time")]
CHOICES = [
    pytest.param({"tools": TWO, "tool_choice": named("get_time")}, [B], "stop", id="named"),
    pytest.param({"tools": TWO[:1], "tool_choice": "required"}, [A], "tool_calls", id="required-of-one"),
    pytest.param({"tools": TWO, "tool_choice": "required"}, [A], "tool_calls", id="required-of-two"),
    pytest.param(
        {"tools": TWO, "tool_choice": "required", "parallel_tool_calls": False}, [A], "tool_calls", id="one-call"
    ),
    pytest.param({"tools": TWO, "tool_choice": {"type": "any"}}, [A], "tool_calls", id="anthropics-any"),
    pytest.param(
        {"tools": TWO, "tool_choice": {"type": "tool", "name": "get_time"}}, [B], "stop", id="anthropics-tool"
    ),
    pytest.param(
        {
            "tools": TWO,
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [named("get_time")]},
            },
        },
        [B],
        "tool_calls",
        id="allowed",
    ),
    pytest.param(
        {"tools": [function("a.b/c"), *TWO], "tool_choice": named("a.b/c")},
        [("a.b/c", {"city": "a"})],
        "stop",
        id="name-that-claude-does-not-take",
    ),
    pytest.param(
        {"tools": [function("f", {})], "tool_choice": named("f")}, [("f", {})], "stop", id="no-parameters"
    ),
    pytest.param(
        {"tools": [function("f", CLOSED, strict=True), *TWO], "tool_choice": named("f")},
        [("f", {"city": "a"})],
        "stop",
        id="strict-tool",
    ),
    pytest.param(
        {"tools": [function("f", {"type": "object", "properties": {"$top": {"type": "integer"}}, "required": ["$top"]})],
         "tool_choice": "required"},
        [("f", {"$top": 1})],
        "tool_calls",
        id="name-of-an-argument-that-claude-does-not-take",
    ),
    pytest.param(
        {"tools": TWO, "tool_choice": named("get_time"), "response_format": {"type": "json_object"}},
        [B],
        "stop",
        id="beside-a-response-format",
    ),
    pytest.param(
        {"tools": TWO, "tool_choice": named("get_time"), "stop": ["a", "city"]}, [B], "stop", id="stop-sequences"
    ),
]  # fmt: skip


@STREAMED
@pytest.mark.parametrize(("fields", "calls", "reason"), CHOICES)
def test_the_call_is_made(fields: Any, calls: Any, reason: str, streamed: bool) -> None:
    upstream = FakeAnthropic()
    choice = answer(upstream, streamed, **fields)
    assert calls_of(choice) == calls
    assert choice.finish_reason == reason
    assert choice.message.content is None
    (body,) = upstream.bodies
    assert body["tool_choice"] == {"type": "none"}
    assert "system" not in body  # the prefix is that of a request without the choice


@pytest.mark.parametrize("model", MODELS)
@STREAMED
def test_every_model_that_refuses_the_choice(model: str, streamed: bool) -> None:
    fields = {"model": model, "tools": TWO, "tool_choice": named("get_time")}
    assert calls_of(answer(FakeAnthropic(), streamed, **fields)) == [B]


@STREAMED
def test_a_model_that_takes_the_choice_gets_it(streamed: bool) -> None:
    upstream = FakeAnthropic()
    choice = answer(upstream, streamed, model="claude-haiku-5-5", tools=TWO, tool_choice=named("get_time"))
    assert choice.message.tool_calls[0].function.name == "get_time"
    assert choice.finish_reason == "stop"
    assert is_forced(upstream.bodies[0])


SECOND = [
    pytest.param({"tools": [function("f", OPEN)], "tool_choice": named("f")}, "f", id="open-object"),
    pytest.param({"tools": [function("f", TREE)], "tool_choice": "required"}, "f", id="recursion"),
    pytest.param({"tools": [function("f", MANY)], "tool_choice": named("f")}, "f", id="too-many-options"),
    pytest.param(
        {"tools": [*TWO, function("f", OPEN)], "tool_choice": "required"}, "get_weather", id="one-of-three"
    ),
    pytest.param(
        {"tools": [function(f"f{n}") for n in range(30)], "tool_choice": "required"}, "f0", id="many-tools"
    ),
    pytest.param({"tools": TWO, "tool_choice": "required", "web_search_options": {}}, "get_weather", id="search"),
]  # fmt: skip


@STREAMED
@pytest.mark.parametrize(("fields", "name"), SECOND)
def test_a_second_request_makes_the_call(fields: Any, name: str, streamed: bool) -> None:
    upstream = FakeAnthropic()
    choice = answer(upstream, streamed, **fields)
    assert [called for called, _ in calls_of(choice)] == [name]
    assert choice.finish_reason == ("tool_calls" if fields["tool_choice"] == "required" else "stop")
    first, second = upstream.bodies
    assert "Answer this turn by calling" in first["system"][-1]["text"]
    assert first["messages"] == second["messages"]
    assert first["tools"] == second["tools"]
    assert second["tool_choice"] == {"type": "none"}


@STREAMED
def test_no_second_request_if_words_are_enough(streamed: bool) -> None:
    upstream = FakeAnthropic()
    messages = [{"role": "user", "content": "Use the tool"}]
    choice = answer(upstream, streamed, messages=messages, tools=[function("f", OPEN)], tool_choice=named("f"))
    assert choice.message.tool_calls[0].function.name == "f"
    assert len(upstream.bodies) == 1


@STREAMED
def test_both_requests_are_counted(streamed: bool) -> None:
    fields = asked(tools=[function("f", OPEN)], tool_choice=named("f"))
    with gateway(FakeAnthropic()) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.create
        one = create(**asked(tools=[function("f", OPEN)], tool_choice="none")).usage
        if streamed:
            *_, last = create(**fields, stream=True, stream_options={"include_usage": True})
            usage = last.usage
        else:
            usage = create(**fields).usage
    assert one
    assert usage.prompt_tokens > 2 * one.prompt_tokens


@STREAMED
def test_without_a_call_in_the_second_answer_it_is_an_error(streamed: bool) -> None:
    upstream = FakeAnthropic()
    messages = [{"role": "user", "content": "[bad-arguments]"}]
    with pytest.raises(APIError if streamed else InternalServerError) as caught:
        answer(upstream, streamed, messages=messages, tools=[function("f", OPEN)], tool_choice=named("f"))
    assert "did not call the tool" in str(caught.value)
    assert len(upstream.bodies) == 2


@STREAMED
def test_a_schema_that_the_api_refuses_is_replaced(streamed: bool) -> None:
    refusal = error_body("invalid_request_error", "Schema is too complex for compilation.")
    selected = json.dumps({"name": "get_time", "arguments": '{"city": "a"}'})
    upstream = Upstream(Reply([refusal], 400), Reply([sse(*text_events(selected))]))
    choice = answer(upstream, streamed, tools=TWO, tool_choice=named("get_time"))
    assert calls_of(choice) == [B]
    assert len(upstream.bodies) == 2


ENDS = [
    pytest.param("[refuse]", "content_filter", id="refusal"),
    pytest.param("[refuse-late]", "content_filter", id="late-refusal"),
    pytest.param("[long]", "length", id="cut-off"),
]


@STREAMED
@pytest.mark.parametrize("parameters", [CITY, OPEN], ids=["constrained", "in-words"])
@pytest.mark.parametrize(("prompt", "reason"), ENDS)
def test_an_answer_that_ends_early_is_no_reason_for_a_second_request(
    prompt: str, reason: str, parameters: Any, streamed: bool
) -> None:
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.create
        fields = asked(
            messages=[{"role": "user", "content": prompt}],
            tools=[function("f", parameters)],
            tool_choice=named("f"),
        )
        if streamed:
            reasons = [c.choices[0].finish_reason for c in create(**fields, stream=True) if c.choices]
            assert reasons[-1] == reason
        else:
            assert create(**fields).choices[0].finish_reason == reason
    assert len(upstream.bodies) == 1


@STREAMED
def test_strict_callers_are_served(streamed: bool) -> None:
    for parameters in (CITY, OPEN):
        choice = answer(
            FakeAnthropic(),
            streamed,
            tools=[function("f", parameters)],
            tool_choice=named("f"),
            extra_headers={"x-claudexia-strict": "true"},
        )
        assert choice.message.tool_calls[0].function.name == "f"


@STREAMED
@pytest.mark.parametrize("fields", [{}, {"parallel_tool_calls": True}], ids=["default", "parallel"])
def test_a_legacy_function_call(fields: Any, streamed: bool) -> None:
    asked_for = {"functions": [{"name": "f", "parameters": CITY}], "function_call": {"name": "f"}, **fields}
    with gateway(FakeAnthropic()) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.create
        if streamed:
            deltas = [c.choices[0] for c in create(**asked(**asked_for), stream=True)]
            called = [each.delta.function_call for each in deltas if each.delta.function_call]
            name, arguments = called[0].name, "".join(call.arguments or "" for call in called)
            reason = deltas[-1].finish_reason
        else:
            choice = create(**asked(**asked_for)).choices[0]
            name, arguments = choice.message.function_call.name, choice.message.function_call.arguments
            reason = choice.finish_reason
    assert (name, json.loads(arguments), reason) == ("f", {"city": "a"}, "stop")


@STREAMED
def test_a_custom_tool(streamed: bool) -> None:
    tool = {"type": "custom", "custom": {"name": "shell"}}
    with gateway(FakeAnthropic()) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.create
        fields = asked(tools=[tool], tool_choice={"type": "custom", "custom": {"name": "shell"}})
        if streamed:
            deltas = [c.choices[0].delta for c in create(**fields, stream=True)]
            calls = [delta.model_dump()["tool_calls"][0]["custom"] for delta in deltas if delta.tool_calls]
            name, text = calls[0]["name"], "".join(call["input"] for call in calls)
        else:
            (call,) = create(**fields).choices[0].message.tool_calls
            name, text = call.custom.name, call.custom.input
    assert (name, text) == ("shell", "a")


@pytest.mark.parametrize("bound", [False, True], ids=["", "bound"])
@pytest.mark.parametrize("parameters", [CITY, OPEN], ids=["constrained", "second-request"])
@STREAMED
def test_the_next_turn_replays_the_call_with_its_thinking(parameters: Any, bound: bool, streamed: bool) -> None:
    upstream = FakeAnthropic(bound=bound)
    tools = [function("f", parameters)]
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        first = first_choice(client, streamed, **asked(tools=tools, tool_choice=named("f")))
        (call,) = first.message.tool_calls
        messages = [
            {"role": "user", "content": "Hello"},
            first.message.model_dump(include={"role", "content", "tool_calls"}),
            {"role": "tool", "tool_call_id": call.id, "content": "fine"},
        ]
        last = first_choice(client, streamed, **asked(messages=messages, tools=tools))
    assert "fine" in last.message.content
    _, replayed, results = upstream.bodies[-1]["messages"]
    (use,) = [block for block in replayed["content"] if block["type"] == "tool_use"]
    assert use["input"] == json.loads(call.function.arguments)
    assert results["content"][0]["tool_use_id"] == use["id"] == call.id
    has_thinking = any(block["type"] == "thinking" for block in replayed["content"])
    # Where thinking is bound to its conversation, it is left out of a turn that two requests made.
    assert has_thinking == (parameters is CITY or not bound)


PARALLEL_TEXT = (
    '{"calls": [{"name": "get_time", "arguments": {"city": "a \\" } { \\\\"}}, '
    '{"name": "get_weather", "arguments": {}},{"name":"get_time","arguments":{"x":[{"name": "n", "arguments": {}}]}}]}'
)


@STREAMED
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_parallel_calls_split_anywhere(size: int, streamed: bool) -> None:
    events = text_events(PARALLEL_TEXT)
    start, end = events[:2], events[-3:]
    pieces = [PARALLEL_TEXT[at : at + size] for at in range(0, len(PARALLEL_TEXT), size)]
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in pieces
    ]
    start = [event for event in events if event["type"] in ("message_start", "content_block_start")]
    upstream = Upstream(Reply([sse(*start, *deltas, *end)]))
    choice = answer(upstream, streamed, tools=TWO, tool_choice="required")
    assert calls_of(choice) == [
        ("get_time", {"city": 'a " } { \\'}),
        ("get_weather", {}),
        ("get_time", {"x": [{"name": "n", "arguments": {}}]}),
    ]
    assert [call.id for call in choice.message.tool_calls] == ["call_test", "call_test_2", "call_test_3"]


CITY_EVENTS = text_events('{"city": "a"}')
DELTA = next(index for index, event in enumerate(CITY_EVENTS) if event["type"] == "content_block_delta")
DAMAGED: dict[str, list[Any]] = {
    "the-start-is-lost": [event for event in CITY_EVENTS if event["type"] != "content_block_start"],
    "a-delta-of-another-block": [
        *CITY_EVENTS[:DELTA],
        {**CITY_EVENTS[DELTA], "index": 7},
        *CITY_EVENTS[DELTA:],
    ],
    "an-index-that-is-false": [
        *CITY_EVENTS[:DELTA],
        {**CITY_EVENTS[DELTA], "index": False},
        *CITY_EVENTS[DELTA + 1 :],
    ],
    "a-delta-after-the-end": [*CITY_EVENTS[:-2], CITY_EVENTS[DELTA], *CITY_EVENTS[-2:]],
    "the-end-of-another-block": [
        {**event, "index": 7} if event["type"] == "content_block_stop" else event for event in CITY_EVENTS
    ],
}


@STREAMED
@pytest.mark.parametrize("name", DAMAGED)
def test_damage_in_the_text_of_a_call_is_an_upstream_error(name: str, streamed: bool) -> None:
    with pytest.raises(APIError) as caught:
        answer(Upstream(Reply([sse(*DAMAGED[name])])), streamed, tools=TWO, tool_choice=named("get_time"))
    assert "malformed stream" in caught.value.message


def test_arguments_are_streamed_as_they_come() -> None:
    words = '{"city": "a long name of a city"}'
    upstream = Upstream(Reply([sse(*text_events(words))]))
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        chunks = client.chat.completions.create(**asked(tools=TWO, tool_choice=named("get_time")), stream=True)
        deltas = [chunk.choices[0].delta for chunk in chunks]
    pieces = [delta.tool_calls[0].function.arguments for delta in deltas if delta.tool_calls]
    assert "".join(pieces) == words
    assert len(pieces) > 5


def test_an_unknown_name_is_still_refused() -> None:
    with pytest.raises(BadRequestError) as caught:
        answer(FakeAnthropic(), False, tools=TWO, tool_choice=named("g"))
    assert caught.value.param == "tool_choice"
