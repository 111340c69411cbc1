"""response_format, from the OpenAI SDK's own helpers to parsed answers, over real sockets."""

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


def asked(prompt: str = "Give me an order.", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], **more}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_parse(model: str, streamed: bool) -> None:
    with gateway(FakeAnthropic()) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        if streamed:
            with client.chat.completions.stream(model=model, response_format=Order, **asked()) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = (
                client.chat.completions.parse(model=model, response_format=Order, **asked()).choices[0].message
            )
    assert isinstance(message.parsed, Order)


def test_what_was_relaxed_is_reported_and_strict_mode_refuses_it() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.with_raw_response.create
        raw = create(model=MODELS[0], response_format=form, **asked())
        with pytest.raises(BadRequestError) as caught:
            create(
                model=MODELS[0], response_format=form, extra_headers={"x-claudexia-strict": "true"}, **asked()
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
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_schema_in_a_tool_loop(model: str, streamed: bool) -> None:
    """The tool is called as without the schema, and the last answer follows it."""
    order: Any = {"type": "json_schema", "json_schema": {"name": "order", "schema": Order.model_json_schema()}}
    upstream = FakeAnthropic(bound=True)
    messages: list[Any] = [{"role": "user", "content": "Use the tool."}]
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        given: dict[str, Any] = {"model": model, "tools": [TOOL], "response_format": order}
        called = first_choice(client, streamed, messages=messages, **given)
        assert called.finish_reason == "tool_calls"
        (call,) = called.message.tool_calls
        messages += [called.message, {"role": "tool", "tool_call_id": call.id, "content": "found"}]
        last = first_choice(client, streamed, messages=messages, **given)
    assert Order.model_validate_json(last.message.content).kind == "order"
    assert all(body["output_config"]["format"]["type"] == "json_schema" for body in upstream.bodies)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("stop_reason", "raised"),
    [("max_tokens", LengthFinishReasonError), ("refusal", ContentFilterFinishReasonError)],
)
def test_an_answer_that_is_no_whole_object_is_not_parsed(
    stop_reason: str, raised: type[Exception], streamed: bool
) -> None:
    """OpenAI's SDK tells these from a malformed answer by the finish_reason."""
    with gateway(Upstream(Reply([sse(*text_events('{"kind": "ord', stop_reason))]))) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        with pytest.raises(raised):
            if streamed:
                with client.chat.completions.stream(
                    model=MODELS[0], response_format=Order, **asked()
                ) as stream:
                    stream.get_final_completion()
            else:
                client.chat.completions.parse(model=MODELS[0], response_format=Order, **asked())


def test_each_of_several_streamed_choices_is_one_object() -> None:
    with gateway(FakeAnthropic()) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        texts = ["", ""]
        for chunk in client.chat.completions.create(
            model=MODELS[0], response_format={"type": "json_object"}, stream=True, n=2, **asked("capital")
        ):
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert [json.loads(text) for text in texts] == [{"answer": "Paris"}] * 2


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_json_object_is_one_object_out_of_a_fence(model: str, streamed: bool) -> None:
    """The fake API replies with JSON in a sentence and a code fence, as Claude does."""
    with gateway(FakeAnthropic()) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        form: Any = {"type": "json_object"}
        if streamed:
            chunks = client.chat.completions.create(
                model=model, response_format=form, stream=True, **asked("capital")
            )
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            completion = client.chat.completions.create(model=model, response_format=form, **asked("capital"))
            text = completion.choices[0].message.content or ""
    assert json.loads(text) == {"answer": "Paris"}


def test_a_recursive_schema_falls_back_to_an_instruction() -> None:
    class Tree(BaseModel):
        value: int
        children: list["Tree"]

    said = 'Sure:\n```json\n{"value": 1, "children": [{"value": 2, "children": []}]}\n```\nDone.'
    upstream = Upstream(Reply([sse(*text_events(said))]))
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        message = (
            client.chat.completions.parse(model=MODELS[0], response_format=Tree, **asked()).choices[0].message
        )
    assert message.parsed == Tree(value=1, children=[Tree(value=2, children=[])])
    assert "format" not in upstream.bodies[0].get("output_config", {})
    assert "children" in upstream.bodies[0]["system"][-1]["text"]
