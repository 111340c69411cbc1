"""response_format, through the OpenAI SDK's parse and stream helpers, over real sockets."""

import json
from enum import Enum
from typing import Any, Literal

import pytest
from openai import BadRequestError, ContentFilterFinishReasonError, LengthFinishReasonError, OpenAI
from pydantic import BaseModel, Field

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.sdk import first_choice
from tests.helpers.serving import KEY, Reply, Upstream, gateway, sse, text_events

MODELS = ["claude-sonnet-5-5", "claude-haiku-4-5"]


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    name: str = Field(min_length=1, max_length=20)
    price: float = Field(ge=0)
    color: Color
    note: str | None


class Order(BaseModel):
    """An order."""

    kind: Literal["order"]
    items: list[Item]
    customer: str | None = None


def request_fields(prompt: str = "Give me an order.", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], **more}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_parse(model: str, streamed: bool) -> None:
    with gateway(FakeAnthropic()) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        if streamed:
            with client.chat.completions.stream(
                model=model, response_format=Order, **request_fields()
            ) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = (
                client.chat.completions.parse(model=model, response_format=Order, **request_fields())
                .choices[0]
                .message
            )
    assert isinstance(message.parsed, Order)


def test_relaxed_constraints_are_reported_or_refused_in_strict_mode() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}
    response_format: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.with_raw_response.create
        raw = create(model=MODELS[0], response_format=response_format, **request_fields())
        with pytest.raises(BadRequestError) as caught:
            create(
                model=MODELS[0],
                response_format=response_format,
                extra_headers={"x-claudexia-strict": "true"},
                **request_fields(),
            )
    assert caught.value.param == "response_format.json_schema.schema"
    assert len(upstream.bodies) == 1
    assert "age" in raw.headers["x-claudexia-warnings"]
    sent = upstream.bodies[0]["output_config"]["format"]["schema"]["properties"]["age"]
    assert "minimum" not in sent
    assert "18" in sent["description"]


TOOL: Any = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_a_schema_in_a_tool_loop(model: str, streamed: bool) -> None:
    """The tool is called as without the schema, and the last reply conforms to the schema."""
    order: Any = {"type": "json_schema", "json_schema": {"name": "order", "schema": Order.model_json_schema()}}
    upstream = FakeAnthropic(bound=True)
    messages: list[Any] = [{"role": "user", "content": "Use the tool."}]
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        fields: dict[str, Any] = {"model": model, "tools": [TOOL], "response_format": order}
        called = first_choice(client, streamed, messages=messages, **fields)
        assert called.finish_reason == "tool_calls"
        (call,) = called.message.tool_calls
        messages += [called.message, {"role": "tool", "tool_call_id": call.id, "content": "found"}]
        last = first_choice(client, streamed, messages=messages, **fields)
    assert Order.model_validate_json(last.message.content).kind == "order"
    assert all(body["output_config"]["format"]["type"] == "json_schema" for body in upstream.bodies)


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize(
    ("stop_reason", "raised"),
    [("max_tokens", LengthFinishReasonError), ("refusal", ContentFilterFinishReasonError)],
)
def test_a_truncated_object_is_not_parsed(stop_reason: str, raised: type[Exception], streamed: bool) -> None:
    """OpenAI's SDK distinguishes these from a malformed reply by the finish_reason."""
    with gateway(Upstream(Reply([sse(*text_events('{"kind": "ord', stop_reason))]))) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        with pytest.raises(raised):
            if streamed:
                with client.chat.completions.stream(
                    model=MODELS[0], response_format=Order, **request_fields()
                ) as stream:
                    stream.get_final_completion()
            else:
                client.chat.completions.parse(model=MODELS[0], response_format=Order, **request_fields())


def test_each_of_several_streamed_choices_is_one_object() -> None:
    with gateway(FakeAnthropic()) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        texts = ["", ""]
        for chunk in client.chat.completions.create(
            model=MODELS[0],
            response_format={"type": "json_object"},
            stream=True,
            n=2,
            **request_fields("capital"),
        ):
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert [json.loads(text) for text in texts] == [{"answer": "Paris"}] * 2


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_json_object_is_taken_out_of_a_code_fence(model: str, streamed: bool) -> None:
    """The fake API replies with JSON in a sentence and a code fence, as Claude does."""
    with gateway(FakeAnthropic()) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        response_format: Any = {"type": "json_object"}
        if streamed:
            chunks = client.chat.completions.create(
                model=model, response_format=response_format, stream=True, **request_fields("capital")
            )
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            completion = client.chat.completions.create(
                model=model, response_format=response_format, **request_fields("capital")
            )
            text = completion.choices[0].message.content or ""
    assert json.loads(text) == {"answer": "Paris"}


def test_a_recursive_schema_falls_back_to_an_instruction() -> None:
    class Tree(BaseModel):
        value: int
        children: list["Tree"]

    reply_text = 'Sure:\n```json\n{"value": 1, "children": [{"value": 2, "children": []}]}\n```\nDone.'
    upstream = Upstream(Reply([sse(*text_events(reply_text))]))
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        message = (
            client.chat.completions.parse(model=MODELS[0], response_format=Tree, **request_fields())
            .choices[0]
            .message
        )
    assert message.parsed == Tree(value=1, children=[Tree(value=2, children=[])])
    assert "format" not in upstream.bodies[0].get("output_config", {})
    assert "children" in upstream.bodies[0]["system"][-1]["text"]
