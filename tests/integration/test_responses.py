"""The Responses API with the real OpenAI SDK over real sockets, against the fake Anthropic API and scripted replies."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.deployment import deployment
from tests.helpers.responses import validated
from tests.helpers.serving import (
    KEY,
    OTHER_KEY,
    Reply,
    Upstream,
    error_body,
    gateway,
    sse,
    text_events,
    tool_events,
)
from tests.helpers.waiting import PATIENCE

MODEL = "claude-sonnet-5-5"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
CALLS = [("get_weather", '{"city": "Paris"}'), ("get_weather", '{"city": "Rome"}')]


@pytest.fixture
def upstream() -> FakeAnthropic:
    return FakeAnthropic(bound=True)


@pytest.fixture
def base_url(upstream: FakeAnthropic) -> Iterator[str]:
    with gateway(upstream) as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        yield client


def respond(client: OpenAI, streamed: bool, **params: Any) -> Any:
    """The response, whole or as the SDK's stream helper collects it."""
    if not streamed:
        return client.responses.create(**params)
    with client.responses.stream(**params) as stream:
        return stream.get_final_response()


def events_of(url: str, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream as they were sent, each with its name."""
    body = {"model": MODEL, "input": "Hello?", "stream": True, **fields}
    response = httpx.post(
        f"{url}/responses", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    events = []
    for frame in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@both
def test_text(client: OpenAI, streamed: bool) -> None:
    response = respond(
        client, streamed, model=MODEL, input="Hello?", instructions="Be brief.", metadata={"a": "b"}
    )
    assert response.output_text
    assert (response.status, response.error, response.incomplete_details) == ("completed", None, None)
    assert response.id.startswith("resp_")
    assert [item.id[:4] for item in response.output if item.type == "message"] == ["msg_"]
    assert (response.model, response.instructions, response.metadata) == (MODEL, "Be brief.", {"a": "b"})
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0


def test_the_events_of_a_stream() -> None:
    with gateway(Upstream()) as url:
        events = validated(events_of(url))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip


def test_the_async_client(base_url: str) -> None:
    async def ask() -> str:
        async with AsyncOpenAI(base_url=base_url, api_key=KEY) as client:
            stream = await client.responses.create(model=MODEL, input="Hello?", stream=True)
            return "".join(
                [event.delta async for event in stream if event.type == "response.output_text.delta"]
            )

    assert asyncio.run(ask())


class Answer(BaseModel):
    city: str
    degrees: int


def test_parse(client: OpenAI) -> None:
    parsed = client.responses.parse(model=MODEL, input="Weather?", text_format=Answer).output_parsed
    assert isinstance(parsed, Answer)


def test_a_stream_of_parsed_text(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Weather?", text_format=Answer) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Answer)


def outputs(response: Any) -> list[Any]:
    return [
        {"type": "function_call_output", "call_id": item.call_id, "output": f"{item.name}: fine"}
        for item in response.output
        if item.type == "function_call"
    ]


def thinking_sent(upstream: FakeAnthropic) -> list[bool]:
    """Whether each assistant turn of the last request begins with thinking."""
    turns = [turn for turn in upstream.bodies[-1]["messages"] if turn["role"] == "assistant"]
    return [turn["content"][0]["type"] in ("thinking", "redacted_thinking") for turn in turns]


CARRIED: dict[str, dict[str, Any]] = {
    # How a client carries the conversation from one round of a tool loop to the next.
    "items": {"store": False, "include": ["reasoning.encrypted_content"]},
    "items-without-reasoning": {"store": False},
    "previous_response_id": {},
    "item-references": {},
}


def next_round(carried_as: str, items: list[Any], response: Any) -> dict[str, Any]:
    if carried_as == "previous_response_id":
        return {"previous_response_id": response.id, "input": outputs(response)}
    output = [item.to_dict() for item in response.output]
    if carried_as == "items-without-reasoning":
        output = [item for item in output if item["type"] != "reasoning"]
    if carried_as == "item-references":
        output = [{"type": "item_reference", "id": item["id"]} for item in output]
    items += [*output, *outputs(response)]
    return {"input": items}


@both
@pytest.mark.parametrize("carried_as", CARRIED)
@pytest.mark.parametrize("marks", ["", " [interleave]", " [redacted]"])
def test_thinking_survives_a_tool_loop(
    client: OpenAI, upstream: FakeAnthropic, carried_as: str, marks: str, streamed: bool
) -> None:
    """The fake API rejects a thinking block that is changed, moved or from another conversation."""
    items: list[Any] = [{"role": "user", "content": f"weather [rounds=3]{marks}"}]
    asked: dict[str, Any] = {"model": MODEL, "tools": [WEATHER], **CARRIED[carried_as]}
    response = respond(client, streamed, input=items, **asked)
    for _ in range(3):
        assert any(item.type == "function_call" for item in response.output)
        response = respond(client, streamed, **asked, **next_round(carried_as, items, response))
    assert "Result" in response.output_text
    assert len(upstream.bodies) == 4
    assert thinking_sent(upstream) == [True] * 3


@both
@pytest.mark.parametrize("summary", ["auto", None])
def test_a_summary_only_if_asked_for(client: OpenAI, streamed: bool, summary: Any) -> None:
    response = respond(
        client, streamed, model=MODEL, input="Hello?", reasoning={"effort": "high", "summary": summary}
    )
    (reasoning,) = (item for item in response.output if item.type == "reasoning")
    assert bool(reasoning.summary) is bool(summary)
    assert reasoning.encrypted_content
    assert reasoning.id.startswith("rs_")


@both
def test_a_tool_in_a_namespace_is_called_by_both_names(streamed: bool) -> None:
    group: Any = {
        "type": "namespace",
        "name": "agents",
        "description": "Agents.",
        "tools": [{**WEATHER, "name": "spawn"}],
    }
    with gateway(Upstream(Reply([sse(*tool_events(("agents__spawn", "{}")))]))) as url:
        client = OpenAI(base_url=url, api_key=KEY)
        response = respond(client, streamed, model=MODEL, input="a", tools=[group])
    (call,) = response.output
    assert (call.type, call.namespace, call.name, call.arguments) == ("function_call", "agents", "spawn", "{}")


@both
def test_a_custom_tool_is_called_with_text(streamed: bool) -> None:
    tool: Any = {"type": "custom", "name": "run", "description": "Runs it."}
    with gateway(Upstream(Reply([sse(*tool_events(("run", '{"input": "ls \\"a\\""}')))]))) as url:
        client = OpenAI(base_url=url, api_key=KEY)
        response = respond(client, streamed, model=MODEL, input="a", tools=[tool])
    (call,) = response.output
    assert (call.type, call.name, call.input, call.id[:4]) == ("custom_tool_call", "run", 'ls "a"', "ctc_")


@both
def test_web_search(client: OpenAI, streamed: bool) -> None:
    response = respond(
        client, streamed, model=MODEL, input="What is new? [search]", tools=[{"type": "web_search"}],
        include=["web_search_call.action.sources"],
    )  # fmt: skip
    searches = [item for item in response.output if item.type == "web_search_call"]
    assert searches
    assert all(item.status == "completed" and item.action.query and item.action.sources for item in searches)
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    notes = [(part, note) for part in parts for note in part.annotations]
    assert notes
    assert all(0 <= note.start_index < note.end_index <= len(part.text) for part, note in notes)


ENDS = [
    pytest.param("max_tokens", "max_output_tokens", id="max_tokens"),
    pytest.param("refusal", "content_filter", id="refusal"),
]


@both
@pytest.mark.parametrize(("stop_reason", "reason"), ENDS)
def test_an_incomplete_response(stop_reason: str, reason: str, streamed: bool) -> None:
    with gateway(Upstream(Reply([sse(*text_events(stop_reason=stop_reason))]))) as url:
        if streamed:
            last = validated(events_of(url))[-1]
            assert last.type == "response.incomplete"
            response = last.response
        else:
            response = OpenAI(base_url=url, api_key=KEY).responses.create(model=MODEL, input="a")
    assert (response.status, response.incomplete_details.reason) == ("incomplete", reason)
    (message,) = response.output
    assert message.status == "incomplete"
    assert [part.type for part in message.content] == ["output_text"] + ["refusal"] * (stop_reason == "refusal")


FAILURES = [
    pytest.param([sse(*text_events()[:4])], "cut short", "server_error", id="cut-short"),
    pytest.param([sse(*text_events()[:4]), error_body("overloaded_error", "busy")], "", "server_error", id="malformed"),
    pytest.param([sse(*text_events()[:4], {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})], "busy", "server_error", id="overloaded"),
    pytest.param([sse(*text_events()[:4], {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}})], "slow", "rate_limit_exceeded", id="rate-limit"),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "words", "code"), FAILURES)
def test_a_failure_after_the_start(pieces: list[bytes], words: str, code: str) -> None:
    with gateway(Upstream(Reply(pieces))) as url:
        *_, last = validated(events_of(url))
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error.code == code
    assert [item.status for item in last.response.output] == ["incomplete"]


REFUSED = [
    pytest.param(401, "authentication_error", openai.InternalServerError, id="the-gateways-key"),
    pytest.param(429, "rate_limit_error", openai.RateLimitError, id="rate-limit"),
    pytest.param(400, "invalid_request_error", openai.BadRequestError, id="invalid"),
    pytest.param(529, "overloaded_error", openai.InternalServerError, id="overloaded"),
]


@both
@pytest.mark.parametrize(("status", "kind", "raised"), REFUSED)
def test_a_failure_before_the_start_has_its_status(status: int, kind: str, raised: Any, streamed: bool) -> None:
    with gateway(Upstream(Reply([error_body(kind, "no")], status))) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        with pytest.raises(raised):
            client.responses.create(model=MODEL, input="a", stream=streamed)


def test_headers(base_url: str) -> None:
    body = {"model": MODEL, "input": "a", "client_metadata": {"x": 1}, "truncation": "auto"}
    response = httpx.post(
        f"{base_url}/responses", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE
    )
    assert response.headers["x-request-id"]
    warnings = response.headers["x-claudexia-warnings"]
    assert "truncation: " in warnings
    assert "client_metadata: " in warnings
    strict = {"authorization": f"Bearer {KEY}", "x-claudexia-strict": "true"}
    refused = httpx.post(f"{base_url}/responses", json=body, headers=strict, timeout=PATIENCE)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "truncation")


def test_a_key_and_a_model_are_needed(base_url: str) -> None:
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=base_url, api_key="sk_cdx_wrong").responses.create(model=MODEL, input="a")
    with pytest.raises(openai.NotFoundError):
        OpenAI(base_url=base_url, api_key=KEY).responses.create(model="gpt-6", input="a")


def test_an_alias() -> None:
    with gateway(FakeAnthropic(), model_aliases={"gpt-*": MODEL}) as url:
        assert OpenAI(base_url=url, api_key=KEY).responses.create(model="gpt-6", input="a").model == MODEL


def test_a_chat_completion_with_input_is_told_where_to_go(base_url: str) -> None:
    body = {"model": MODEL, "input": "a"}
    response = httpx.post(
        f"{base_url}/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE
    )
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "messages")
    assert "POST /v1/responses" in error["message"]


# Stored responses


def test_a_stored_response(client: OpenAI) -> None:
    items: Any = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "Three"},
    ]
    made = client.responses.create(model=MODEL, input=items, instructions="Count.")
    assert made.store is True  # type: ignore[attr-defined]  # the SDK's model does not name it
    assert client.responses.retrieve(made.id).to_dict() == made.to_dict()
    listed: Any = client.responses.input_items.list(made.id, order="asc")
    assert [item.content[0].text for item in listed.data] == ["One", "Two", "Three"]
    first: Any = client.responses.input_items.list(made.id, limit=2)
    assert [item.content[0].text for item in first.data] == ["Three", "Two"]
    assert (first.has_more, first.last_id) == (True, first.data[-1].id)
    rest: Any = client.responses.input_items.list(made.id, after=first.last_id)
    assert [item.content[0].text for item in rest.data] == ["One"]
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(made.id)
    client.responses.delete(made.id)
    for call in (
        client.responses.retrieve,
        client.responses.cancel,
        client.responses.delete,
        client.responses.input_items.list,
    ):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_a_conversation_by_its_last_response(client: OpenAI, upstream: FakeAnthropic) -> None:
    first = client.responses.create(model=MODEL, input="One", instructions="Not carried on.")
    second = client.responses.create(model=MODEL, input="Two", previous_response_id=first.id)
    third = client.responses.create(model=MODEL, input="Three", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    body = upstream.bodies[-1]
    said = [block["text"] for turn in body["messages"] for block in turn["content"] if block["type"] == "text"]
    assert said == ["One", first.output_text, "Two", second.output_text, "Three"]
    assert "system" not in body


def test_what_is_not_stored_is_not_found(client: OpenAI, base_url: str) -> None:
    kept = client.responses.create(model=MODEL, input="a")
    lost = client.responses.create(model=MODEL, input="a", store=False)
    other = OpenAI(base_url=base_url, api_key=OTHER_KEY, max_retries=0)
    for asking, id_ in ((client, lost.id), (other, kept.id), (client, "resp_nothing")):
        with pytest.raises(openai.NotFoundError, match="not found"):
            asking.responses.retrieve(id_)
        with pytest.raises(openai.BadRequestError, match="not found") as caught:
            asking.responses.create(model=MODEL, input="b", previous_response_id=id_)
        assert caught.value.code == "previous_response_not_found"
    reference: Any = [{"type": "item_reference", "id": lost.output[-1].id}]
    with pytest.raises(openai.NotFoundError, match="Item with id"):
        client.responses.create(model=MODEL, input=reference)


def test_nothing_is_kept_for_0_days() -> None:
    with gateway(FakeAnthropic(), responses_days=0) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        raw = client.responses.with_raw_response.create(model=MODEL, input="a")
        assert "x-claudexia-warnings" not in raw.headers
        assert raw.parse().store is False  # type: ignore[attr-defined]
        told = client.responses.with_raw_response.create(model=MODEL, input="a", store=True)
        assert told.headers["x-claudexia-warnings"] == "store: this deployment keeps no responses"
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(raw.parse().id)


def test_a_response_is_kept_in_the_table_for_the_days_of_the_setting() -> None:
    with deployment(FakeAnthropic(), responses_days=2) as deployed:
        client = deployed.client(deployed.key())
        made = client.responses.create(model=MODEL, input="a")
        deployed.clock.advance(hours=47)
        assert client.responses.retrieve(made.id).output_text == made.output_text
        deployed.clock.advance(hours=2)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)


def test_a_table_that_fails() -> None:
    """The response comes all the same; what needs a stored one is a 503."""
    with deployment(FakeAnthropic()) as deployed:
        client = deployed.client(deployed.key())
        kept = client.responses.create(model=MODEL, input="a")
        deployed.table.fault = "throttled"
        raw = client.responses.with_raw_response.create(model=MODEL, input="a")
        lost = raw.parse()
        assert lost.output_text
        assert lost.store is False  # type: ignore[attr-defined]  # the SDK's model does not name it
        assert raw.headers["x-claudexia-warnings"] == "store: the response could not be stored"
        with pytest.raises(openai.InternalServerError) as caught:
            client.responses.create(model=MODEL, input="b", previous_response_id=kept.id)
        assert caught.value.status_code == 503
        deployed.table.fault = ""
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(lost.id)


def test_a_stream_whose_response_is_not_stored_says_so_at_its_end() -> None:
    """The headers have been sent by then."""
    with deployment(FakeAnthropic()) as deployed:
        client = deployed.client(deployed.key())
        client.responses.create(model=MODEL, input="a")  # so that the key is known
        deployed.table.fault = "throttled"
        events = [event.to_dict() for event in client.responses.create(model=MODEL, input="a", stream=True)]
    assert events[-1]["type"] == "response.completed"
    responses: list[Any] = [event["response"] for event in events if "response" in event]
    assert [response["store"] for response in responses] == [True, True, False]


@pytest.mark.parametrize("strict", ["false", "true"])
def test_a_warning_of_saving_comes_beside_the_others(strict: str) -> None:
    with deployment(FakeAnthropic()) as deployed:
        client = deployed.client(deployed.key())
        client.responses.create(model=MODEL, input="a")
        deployed.table.fault = "throttled"
        fields: dict[str, Any] = {} if strict == "true" else {"prompt_cache_key": "k"}
        raw = client.responses.with_raw_response.create(
            model=MODEL, input="a", store=True, extra_headers={"x-claudexia-strict": strict}, **fields
        )
    *others, last = raw.headers["x-claudexia-warnings"].split("; ")
    assert last == "store: the response could not be stored"
    assert [warning.partition(":")[0] for warning in others] == [*fields]


RENAMED: Any = {
    "type": "function",
    "name": "find",
    "parameters": {
        "type": "object",
        "properties": {"$filter": {"type": "string"}},
        "required": ["$filter"],
        "additionalProperties": False,
    },
    "strict": False,
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"tool_choice": {"type": "function", "name": "find"}}, id="named"),
        pytest.param({"tool_choice": "required"}, id="required"),
        pytest.param({"tool_choice": "required", "parallel_tool_calls": False}, id="required, one call"),
    ],
)
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5"])
def test_a_forced_call_has_the_clients_argument_names(
    client: OpenAI, model: str, fields: dict[str, Any], streamed: bool
) -> None:
    response = respond(client, streamed, model=model, input="Hello", tools=[RENAMED], **fields)
    calls = [item for item in response.output if item.type == "function_call"]
    assert calls
    for call in calls:
        assert (call.name, call.status) == ("find", "completed")
        assert json.loads(call.arguments).keys() == {"$filter"}
    results: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "fine"} for call in calls
    ]
    following = client.responses.create(
        model=model, input=results, tools=[RENAMED], previous_response_id=response.id
    )
    assert "fine" in following.output_text
