"""The echo upstream, read with Anthropic's SDK and types."""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import anthropic
import httpx
import httpx2
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from claudexia.api.models import by_id, listed_models
from claudexia.app import create_app
from claudexia.settings import Settings
from claudexia_cli.echo import EchoTransport
from tests.helpers.serving import KEY, serving

Body = Mapping[str, object]
T = TypeVar("T")

EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
URL = "https://api.anthropic.test/v1/messages"
WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius"]}},
        "required": ["city", "unit"],
    },
}
PING = {"name": "ping", "input_schema": {"type": "object", "properties": {}}}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "ping", "input": {}}]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 degrees"}


class Bridge(httpx2.AsyncBaseTransport):
    """Connects the SDK, whose client is httpx2, to an httpx transport."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sent = httpx.Request(request.method, str(request.url), content=await request.aread())
        got = await EchoTransport(delay=0).handle_async_request(sent)
        return httpx2.Response(got.status_code, headers=list(got.headers.items()), content=await got.aread())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def body(content: object = "hello world", **more: object) -> dict[str, object]:
    return {
        "model": "claude-sonnet-5-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": content}],
        **more,
    }


def post(content: bytes, url: str = URL, method: str = "POST") -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=EchoTransport(delay=0)) as client:
            return await client.request(method, url, content=content)

    return run(send())


def message(params: Body) -> Message:
    """The reply. Asserts that it is the same with and without streaming."""

    async def send_both() -> tuple[Message, Message]:
        async with anthropic.AsyncAnthropic(
            api_key="none", max_retries=0, http_client=httpx2.AsyncClient(transport=Bridge())
        ) as client:
            buffered = await client.post("/v1/messages", body=params, cast_to=Message)
            stream: Any = client.messages.stream
            async with stream(**params) as events:
                streamed: Message = await events.get_final_message()
        return buffered, streamed

    buffered, streamed = run(send_both())
    assert without_ids(streamed) == without_ids(buffered)
    return streamed


def without_ids(answer: Message) -> dict[str, object]:
    fields = answer.model_dump(
        mode="json", exclude={"id": True, "content": {"__all__": {"id", "parsed_output"}}}
    )
    return {name: value for name, value in fields.items() if value is not None}


def reply_text(params: Body) -> str:
    return "".join(block.text for block in message(params).content if block.type == "text")


def events(params: Body) -> list[dict[str, Any]]:
    """The streamed events. Asserts that each has its SSE name and, except for `ping`, the SDK's type."""
    response = post(json.dumps({**params, "stream": True}).encode())
    assert response.headers["content-type"].startswith("text/event-stream")
    parsed = []
    for frame in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        if event["type"] != "ping":
            assert EVENT.validate_python(event).type == event["type"]
        parsed.append(event)
    return parsed


def deltas(params: Body) -> list[str]:
    found = [event["delta"] for event in events(params) if event["type"] == "content_block_delta"]
    return [delta.get("text", delta.get("partial_json")) for delta in found]


def test_stream_has_the_api_events_in_order() -> None:
    assert [event["type"] for event in events(body())] == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_usage_is_counted_per_piece_and_stays_cumulative() -> None:
    start, *_, stop, _ = events(body("x" * 400))
    usage = start["message"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (101, 1)
    assert (stop["usage"]["input_tokens"], stop["usage"]["output_tokens"]) == (101, 2)


def test_one_word_is_one_delta() -> None:
    assert deltas(body("hello\n wide world")) == ["Echo:", " hello", "\n wide", " world"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("hello", "Echo: hello", id="string"),
        pytest.param([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "Echo: a\nb", id="blocks"),
        pytest.param(
            [
                {"type": "image", "source": {"type": "url", "url": "https://x.test/1.png"}},
                {"type": "text", "text": "this?"},
            ],
            "Echo: [image]\nthis?",
            id="image",
        ),
        pytest.param(
            [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}],
            "Echo: [document]",
            id="document",
        ),
        pytest.param('grüße 🌍 \u2028 \\ "quoted"', 'Echo: grüße 🌍 \u2028 \\ "quoted"', id="unicode"),
    ],
)
def test_last_user_turn_is_repeated(content: object, expected: str) -> None:
    assert reply_text(body(content)) == expected


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
                {"role": "user", "content": "three"},
            ],
            "Echo: three",
            id="last-turn-only",
        ),
        pytest.param(
            [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
            "Echo: one\ntwo",
            id="neighbours-are-one-turn",
        ),
        pytest.param(
            [{"role": "user", "content": "one"}, {"role": "system", "content": "be brief"}],
            "Echo: one",
            id="system-in-between",
        ),
        pytest.param(
            [{"role": "user", "content": "ping"}, CALL, {"role": "user", "content": [RESULT]}],
            "Echo: 18 degrees",
            id="tool-result",
        ),
        pytest.param(
            [
                {"role": "user", "content": "ping"},
                CALL,
                {"role": "user", "content": [{**RESULT, "content": ""}]},
            ],
            "Echo:",
            id="empty-tool-result",
        ),
        pytest.param(
            [
                {"role": "user", "content": "ping"},
                CALL,
                {
                    "role": "user",
                    "content": [
                        {**RESULT, "content": [{"type": "text", "text": "warm"}, {"type": "image"}]},
                        {"type": "text", "text": "ping again"},
                    ],
                },
            ],
            "Echo: warm\n[image]\nping again",
            id="tool-result-blocks-and-text",
        ),
    ],
)
def test_reply_repeats_the_last_user_turn_of_a_conversation(messages: Sequence[Body], expected: str) -> None:
    choice = {"type": "any"} if messages[-1]["role"] == "user" and CALL in messages else {"type": "auto"}
    assert reply_text(body(messages=messages, tools=[PING], tool_choice=choice)) == expected


@pytest.mark.parametrize(
    ("more", "text", "reason", "sequence"),
    [
        pytest.param({}, "Echo: one two three", "end_turn", None, id="end-of-turn"),
        pytest.param({"max_tokens": 3}, "Echo: one two", "max_tokens", None, id="max-tokens"),
        pytest.param({"max_tokens": 4}, "Echo: one two three", "end_turn", None, id="just-enough-tokens"),
        pytest.param(
            {"stop_sequences": ["three", " tw"]}, "Echo: one", "stop_sequence", " tw", id="first-stop"
        ),
        pytest.param({"stop_sequences": ["four"]}, "Echo: one two three", "end_turn", None, id="absent-stop"),
        pytest.param({"stop_sequences": ["Echo"]}, "", "stop_sequence", "Echo", id="nothing-before-stop"),
        pytest.param(
            {"stop_sequences": ["three"], "max_tokens": 1},
            "Echo:",
            "max_tokens",
            None,
            id="tokens-before-stop",
        ),
    ],
)
def test_stop_reason_and_sequence(more: Body, text: str, reason: str, sequence: str | None) -> None:
    answer = message({**body("one two three"), **more})
    assert "".join(block.text for block in answer.content if block.type == "text") == text
    assert (answer.stop_reason, answer.stop_sequence) == (reason, sequence)


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        pytest.param("What does GET_WEATHER say?", {"type": "auto"}, "get_weather", id="auto-named"),
        pytest.param("How is the weather?", {"type": "auto"}, None, id="auto-unnamed"),
        pytest.param("pingpong and ping-pong", {"type": "auto"}, None, id="auto-part-of-a-word"),
        pytest.param("hello", {"type": "any"}, "get_weather", id="any-first"),
        pytest.param("Please ping.", {"type": "any"}, "ping", id="any-named"),
        pytest.param("get_weather", {"type": "tool", "name": "ping"}, "ping", id="tool"),
        pytest.param("get_weather", {"type": "none"}, None, id="none"),
    ],
)
def test_tool_choice_and_prompt_decide_the_call(text: str, choice: Body, called: str | None) -> None:
    answer = message(body(text, tools=[WEATHER, PING], tool_choice=choice))
    names = [block.name for block in answer.content if block.type == "tool_use"]
    assert names == ([called] if called else [])
    assert answer.stop_reason == ("tool_use" if called else "end_turn")


def test_tool_input_is_streamed_after_an_empty_piece() -> None:
    params = body("In Rome", tools=[WEATHER], tool_choice={"type": "any"})
    assert deltas(params) == ["", '{"city":', ' "In', ' Rome",', ' "unit":', ' "celsius"}']
    (block,) = message(params).content
    assert block.type == "tool_use"
    assert block.input == {"city": "In Rome", "unit": "celsius"}


def test_empty_tool_input_is_one_empty_piece() -> None:
    assert deltas(body("ping", tools=[PING])) == [""]


def test_max_tokens_truncates_tool_input() -> None:
    params = body("In Rome", tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=3)
    assert deltas(params) == ["", '{"city":', ' "In']
    assert events(params)[-2]["delta"]["stop_reason"] == "max_tokens"


def test_structured_output_follows_its_schema() -> None:
    output = {"format": {"type": "json_schema", "schema": WEATHER["input_schema"]}}
    assert json.loads(reply_text(body("In Rome", output_config=output))) == {
        "city": "In Rome",
        "unit": "celsius",
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_invalid_request_gets_the_api_error(stream: bool) -> None:
    response = post(json.dumps(body(seed=1, stream=stream)).encode())
    assert response.status_code == 400
    assert response.json() == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "seed: Extra inputs are not permitted"},
        "request_id": response.headers["request-id"],
    }


@pytest.mark.parametrize("text", ["hello", 'say "hi"', "[json]"])
def test_json_mode_through_the_gateway_is_one_object(text: str) -> None:
    """The gateway asks for it in the system prompt."""
    settings = Settings(anthropic_base_url="http://echo.invalid", api_keys={"test": KEY})
    with serving(create_app(settings, transport=EchoTransport(delay=0))) as url:
        response = httpx.post(
            f"{url}/v1/chat/completions",
            headers={"authorization": f"Bearer {KEY}"},
            json={
                "model": "claude-sonnet-5-5",
                "messages": [{"role": "user", "content": text}],
                "response_format": {"type": "json_object"},
            },
            trust_env=False,
        )
    assert json.loads(response.json()["choices"][0]["message"]["content"]) == {"echo": text}


@pytest.mark.parametrize("content", [b"", b"{", b'{"model": "\xff"}', b"[]"])
def test_body_that_is_not_a_json_object_is_rejected(content: bytes) -> None:
    response = post(content)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "url", ["https://api.anthropic.test/v1/models?limit=1000", "https://proxy.test/a/v1/models"]
)
def test_model_list_is_complete_for_the_gateway(url: str) -> None:
    response = post(b"", url, "GET")
    assert response.status_code == 200
    today = date(2026, 11, 26)
    assert listed_models({}, today, by_id(response.json()["data"])) == listed_models({}, today)


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("POST", "https://api.anthropic.test/v1/complete", 404),
        ("GET", URL, 404),
        ("POST", "https://proxy.test/anthropic/v1/messages", 200),
    ],
)
def test_other_endpoints_are_not_found(method: str, url: str, status: int) -> None:
    response = post(json.dumps(body()).encode(), url, method)
    assert response.status_code == status
    assert response.headers["request-id"].startswith("req_echo_")
    assert status == 200 or response.json()["error"]["type"] == "not_found_error"
