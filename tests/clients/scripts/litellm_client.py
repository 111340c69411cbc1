"""litellm as a client of an OpenAI-compatible server."""

import json
from typing import Any

import cases
import litellm

CITY = {"type": "string", "description": "The city"}
UNIT = {"type": "string", "enum": ["celsius", "fahrenheit"]}


def function(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def complete(content: Any, **more: Any) -> Any:
    chosen = {
        "model": f"openai/{cases.MODEL}",
        "api_base": cases.BASE_URL,
        "api_key": cases.API_KEY,
        "messages": cases.user_message(content),
        **more,
    }
    return litellm.completion(**chosen)


def text() -> None:
    response = complete(cases.QUESTION)
    assert response.choices[0].message.content
    assert response.usage.total_tokens > 0


def stream() -> None:
    chunks = list(complete(cases.QUESTION, stream=True, stream_options={"include_usage": True}))
    buffered = litellm.stream_chunk_builder(chunks)
    cases.assert_pieces(
        [choice.delta.content or "" for chunk in chunks for choice in chunk.choices],
        buffered.choices[0].message.content,
    )
    assert any(chunk.usage.total_tokens > 0 for chunk in chunks if getattr(chunk, "usage", None))


def tools() -> None:
    offered = [
        function("get_weather", {"city": CITY, "unit": UNIT}),
        function("get_time", {"city": CITY}),
    ]
    messages = cases.user_message(cases.TOOLS_QUESTION)
    message = complete(None, messages=messages, tools=offered).choices[0].message
    messages.append(message)
    for call in message.tool_calls:
        result = cases.FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    cases.assert_tools_ran(complete(None, messages=messages, tools=offered).choices[0].message.content)


def structured() -> None:
    response = complete(cases.PLAN_QUESTION, response_format=cases.Plan)
    cases.Plan.model_validate_json(response.choices[0].message.content)


def image() -> None:
    parts = [
        {"type": "text", "text": cases.IMAGE_QUESTION},
        {"type": "image_url", "image_url": {"url": cases.IMAGE}},
    ]
    cases.assert_image_seen(complete(parts).choices[0].message.content)


def error() -> None:
    with cases.assert_raises(litellm.NotFoundError, 404):
        complete(cases.QUESTION, model=f"openai/{cases.WRONG_MODEL}")
    with cases.assert_raises(litellm.AuthenticationError, 401):
        complete(cases.QUESTION, api_key=cases.WRONG_KEY)


cases.run("litellm", text, stream, tools, structured, image, error)
