"""openai-python with the Responses API, the same script for both major versions."""

from typing import Any

import cases
import openai
from openai import OpenAI, pydantic_function_tool

client = OpenAI(base_url=cases.BASE_URL, api_key=cases.API_KEY)


def text() -> None:
    response = client.responses.create(model=cases.MODEL, input=cases.QUESTION)
    assert response.output_text
    assert response.status == "completed"
    assert response.usage.total_tokens > 0


def stream() -> None:
    with client.responses.stream(model=cases.MODEL, input=cases.QUESTION) as events:
        pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
        response = events.get_final_response()
    cases.assert_pieces(pieces, response.output_text)


def tools() -> None:
    offered: list[Any] = [
        pydantic_function_tool(cases.GetWeather, name="get_weather"),
        pydantic_function_tool(cases.GetTime, name="get_time"),
    ]
    offered = [{"type": "function", **tool["function"]} for tool in offered]
    first = client.responses.parse(model=cases.MODEL, input=cases.TOOLS_QUESTION, tools=offered)
    outputs: list[Any] = [
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": cases.FUNCTIONS[call.name](**cases.parsed(call.arguments)),
        }
        for call in first.output
        if call.type == "function_call"
    ]
    final = client.responses.create(
        model=cases.MODEL, previous_response_id=first.id, input=outputs, tools=offered
    )
    cases.assert_tools_ran(final.output_text)


def structured() -> None:
    response = client.responses.parse(model=cases.MODEL, input=cases.PLAN_QUESTION, text_format=cases.Plan)
    assert isinstance(response.output_parsed, cases.Plan)


def image() -> None:
    content: list[Any] = [
        {"type": "input_text", "text": cases.IMAGE_QUESTION},
        {"type": "input_image", "image_url": cases.IMAGE, "detail": "auto"},
    ]
    response = client.responses.create(model=cases.MODEL, input=[{"role": "user", "content": content}])
    cases.assert_image_seen(response.output_text)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        client.responses.create(model=cases.WRONG_MODEL, input=cases.QUESTION)
    with cases.assert_raises(openai.AuthenticationError, 401):
        client.with_options(api_key=cases.WRONG_KEY).responses.create(model=cases.MODEL, input=cases.QUESTION)
