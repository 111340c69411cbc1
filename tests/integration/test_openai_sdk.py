"""The unmodified OpenAI SDK over a real socket, with each of its ways to make a request."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.helpers.sdk import first_choice
from tests.helpers.serving import KEY, Reply, Upstream, error_body, sse, text_events, tool_events

MODEL = "claude-sonnet-4.5"
QUESTION: list[Any] = [{"role": "user", "content": "Hello?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALLS = [("get_weather", '{"city": "Paris"}'), ("get_time", "")]


@pytest.fixture
def client(gateway: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway, api_key=KEY, max_retries=0) as client:
        yield client


def test_create(client: OpenAI, upstream: Upstream) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=100)
    assert completion.choices[0].message.content == "Hello there"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "claude-sonnet-4-5-20250929"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 2)
    assert completion._request_id == "req_upstream"
    assert upstream.bodies == [
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
            "stream": True,
        }
    ]
    assert upstream.headers[0]["anthropic-version"] == "2023-06-01"
    assert upstream.headers[0]["x-api-key"] == "sk-ant-of-the-gateway"
    assert KEY not in json.dumps(upstream.headers)


def test_create_streamed(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
        deltas = [chunk.choices[0].delta.content for chunk in stream]
    assert deltas == ["", "Hello", " there", None]


def test_include_usage_adds_a_last_chunk(client: OpenAI) -> None:
    with client.chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    ) as stream:
        *chunks, last = list(stream)
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 9


def test_stream_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=QUESTION) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert text == final.choices[0].message.content == "Hello there"


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_tools(client: OpenAI, upstream: Upstream, streamed: bool) -> None:
    upstream.replies = Upstream(Reply([sse(*tool_events(*CALLS))])).replies
    choice = first_choice(client, streamed, model=MODEL, messages=QUESTION, tools=[WEATHER])
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert calls == [("get_weather", '{"city": "Paris"}'), ("get_time", "{}")]


def test_tool_loop(client: OpenAI, upstream: Upstream) -> None:
    upstream.replies = Upstream(
        Reply([sse(*tool_events(*CALLS))]), Reply([sse(*text_events("It rains"))])
    ).replies
    first = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=[WEATHER])
    answer = first.choices[0].message
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in answer.tool_calls or []
    ]
    second = client.chat.completions.create(
        model=MODEL, messages=[*QUESTION, cast("Any", answer.to_dict()), *results], tools=[WEATHER]
    )
    assert second.choices[0].message.content == "It rains"
    assert upstream.bodies[1]["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "toolu_0", "name": "get_weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": id_, "content": [{"type": "text", "text": "rain"}]}
                for id_ in ("toolu_0", "toolu_1")
            ],
        },
    ]


@pytest.mark.parametrize("path", ["", "/v1"])
def test_base_url_with_and_without_v1(gateway: str, path: str) -> None:
    with OpenAI(base_url=gateway.removesuffix("/v1") + path, api_key=KEY) as client:
        assert client.chat.completions.create(model=MODEL, messages=QUESTION).choices


def test_models(client: OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert "claude-sonnet-5-5" in listed
    assert client.models.retrieve("anthropic/claude-sonnet-4.5").id == "claude-sonnet-4-5"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("gpt-4o")


FAILURES = [
    pytest.param(400, "invalid_request_error", "bad", openai.BadRequestError, None, id="400"),
    pytest.param(404, "not_found_error", "model: x", openai.NotFoundError, "model_not_found", id="404"),
    pytest.param(413, "request_too_large", "big", openai.APIStatusError, "request_too_large", id="413"),
    pytest.param(429, "rate_limit_error", "slow", openai.RateLimitError, "rate_limit_exceeded", id="429"),
    pytest.param(500, "api_error", "bad", openai.InternalServerError, None, id="500"),
    pytest.param(529, "overloaded_error", "busy", openai.InternalServerError, "server_is_overloaded", id="529"),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(("status", "kind", "message", "exception", "code"), FAILURES)
def test_errors_before_the_first_event(
    client: OpenAI,
    upstream: Upstream,
    status: int,
    kind: str,
    message: str,
    exception: type[openai.APIStatusError],
    code: str | None,
    streamed: bool,
) -> None:
    upstream.replies = Upstream(Reply([error_body(kind, message)], status)).replies
    with pytest.raises(exception) as caught:
        client.chat.completions.create(model=MODEL, messages=QUESTION, stream=streamed)
    assert caught.value.status_code == (503 if status == 529 else status)
    assert caught.value.code == code
    assert caught.value.request_id == "req_upstream"


def test_wrong_key(gateway: str) -> None:
    with (
        OpenAI(base_url=gateway, api_key="sk_cdx_wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert caught.value.code == "invalid_api_key"
    assert "sk_cdx_wrong" not in str(caught.value)


def test_the_sdk_retries_an_overloaded_upstream(gateway: str, upstream: Upstream) -> None:
    busy = Reply([error_body("overloaded_error", "Overloaded")], 529, {"retry-after-ms": "1"})
    upstream.replies = Upstream(busy, Reply([sse(*text_events())])).replies
    with OpenAI(base_url=gateway, api_key=KEY, max_retries=1) as client:
        assert client.chat.completions.create(model=MODEL, messages=QUESTION).choices
    assert len(upstream.bodies) == 2


def test_the_sdk_does_not_retry_a_spent_budget(gateway: str, upstream: Upstream) -> None:
    body = error_body("rate_limit_error", "limit", error_code="enforced_spend_limit_reached")
    upstream.replies = Upstream(Reply([body], 429)).replies
    with (
        OpenAI(base_url=gateway, api_key=KEY, max_retries=2) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert caught.value.code == "insufficient_quota"
    assert len(upstream.bodies) == 1


HALF = text_events()[:4]
BROKEN = [
    pytest.param(Reply([sse(*HALF)]), "broke off", id="upstream-just-stops"),
    pytest.param(Reply([sse(*HALF)], then="break"), "connection to the upstream broke", id="connection-cut"),
    pytest.param(
        Reply(
            [
                sse(*HALF),
                b'event: error\ndata: {"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"}   }\n\n',
            ]
        ),
        "Overloaded",
        id="error-event",
    ),
    pytest.param(Reply([sse(*HALF), b"data: {no json\n\n"]), "not JSON", id="garbage"),
    pytest.param(Reply([sse(*text_events()[:-1])]), "broke off", id="all-but-message_stop"),
]


@pytest.mark.parametrize(("reply", "message"), BROKEN)
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_errors_in_the_middle_of_a_stream_are_raised(
    client: OpenAI, upstream: Upstream, reply: Reply, message: str, streamed: bool
) -> None:
    upstream.replies = Upstream(reply).replies
    received: list[Any] = []
    with pytest.raises(openai.APIError, match=message):
        if streamed:
            with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
                received.extend(chunk.choices[0] for chunk in stream)
        else:
            client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert not any(choice.finish_reason for choice in received)
    assert not streamed or received


async def _three_calls(client: AsyncOpenAI) -> tuple[str | None, str]:
    buffered = await client.chat.completions.create(model=MODEL, messages=QUESTION)
    stream = await client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    async with stream:
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    async with client.chat.completions.stream(model=MODEL, messages=QUESTION) as helper:
        final = await helper.get_final_completion()
    assert final.choices[0].message.content == text
    return buffered.choices[0].message.content, text


def test_async(gateway: str) -> None:
    async def run() -> tuple[str | None, str]:
        async with AsyncOpenAI(base_url=gateway, api_key=KEY) as client:
            return await _three_calls(client)

    assert asyncio.run(run()) == ("Hello there", "Hello there")
