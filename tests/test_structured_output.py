"""response_format, from the OpenAI SDK's own helpers to parsed answers, over real sockets."""

import json
from enum import Enum
from typing import Any, Literal

import pytest
from openai import OpenAI
from pydantic import BaseModel, Field

from tests.serving import KEY, Reply, Upstream, gateway, sse, text_events
from tests.stand_in.server import StandIn

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
    with gateway(StandIn()) as url:
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
    upstream = StandIn()
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.with_raw_response.create
        raw = create(model=MODELS[0], response_format=form, **asked())
    assert "age" in raw.headers["x-claudexia-warnings"]
    sent = upstream.bodies[0]["output_config"]["format"]["schema"]["properties"]["age"]
    assert "minimum" not in sent
    assert "18" in sent["description"]


def test_tools_and_a_schema_together() -> None:
    tool: Any = {
        "type": "function",
        "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
    }
    upstream = StandIn()
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        messages: list[Any] = [{"role": "user", "content": "Use the tool, then give me an order."}]
        first = client.chat.completions.parse(
            model=MODELS[0], messages=messages, tools=[], response_format=Order
        )
        assert first.choices[0].message.parsed
        called = client.chat.completions.create(model=MODELS[0], messages=messages, tools=[tool])
        call = (called.choices[0].message.tool_calls or [])[0]
        messages += [
            called.choices[0].message,
            {"role": "tool", "tool_call_id": call.id, "content": "found"},
        ]
        form: Any = {"type": "json_schema", "json_schema": {"name": "o", "schema": Order.model_json_schema()}}
        last = client.chat.completions.create(
            model=MODELS[0], messages=messages, tools=[tool], response_format=form
        )
    text = last.choices[0].message.content or ""
    assert Order.model_validate_json(text[text.index("{") :]).kind == "order"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_json_object_is_one_object_out_of_a_fence(model: str, streamed: bool) -> None:
    """The stand-in wraps its JSON in a sentence and a fence, as Claude does."""
    with gateway(StandIn()) as url:
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
