"""openai-python, the same script for both major versions."""

import cases
import openai
from openai import OpenAI, pydantic_function_tool

client = OpenAI(base_url=cases.BASE_URL, api_key=cases.API_KEY)


def text() -> None:
    completion = client.chat.completions.create(model=cases.MODEL, messages=cases.user_message(cases.QUESTION))
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens > 0


def stream() -> None:
    with client.chat.completions.stream(
        model=cases.MODEL, messages=cases.user_message(cases.QUESTION), stream_options={"include_usage": True}
    ) as events:
        pieces = [event.delta for event in events if event.type == "content.delta"]
        completion = events.get_final_completion()
    cases.assert_pieces(pieces, completion.choices[0].message.content)
    assert completion.usage.total_tokens > 0


def tools() -> None:
    offered = [
        pydantic_function_tool(cases.GetWeather, name="get_weather"),
        pydantic_function_tool(cases.GetTime, name="get_time"),
    ]
    messages = cases.user_message(cases.TOOLS_QUESTION)
    message = (
        client.chat.completions.parse(model=cases.MODEL, messages=messages, tools=offered).choices[0].message
    )
    messages.append(message)
    for call in message.tool_calls:
        result = cases.FUNCTIONS[call.function.name](**call.function.parsed_arguments.model_dump())
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    final = client.chat.completions.parse(model=cases.MODEL, messages=messages, tools=offered)
    cases.assert_tools_ran(final.choices[0].message.content)


def structured() -> None:
    completion = client.chat.completions.parse(
        model=cases.MODEL, messages=cases.user_message(cases.PLAN_QUESTION), response_format=cases.Plan
    )
    assert isinstance(completion.choices[0].message.parsed, cases.Plan)


def image() -> None:
    parts = [
        {"type": "text", "text": cases.IMAGE_QUESTION},
        {"type": "image_url", "image_url": {"url": cases.IMAGE}},
    ]
    completion = client.chat.completions.create(model=cases.MODEL, messages=cases.user_message(parts))
    cases.assert_image_seen(completion.choices[0].message.content)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        client.chat.completions.create(model=cases.WRONG_MODEL, messages=cases.user_message(cases.QUESTION))
    with cases.assert_raises(openai.AuthenticationError, 401):
        client.with_options(api_key=cases.WRONG_KEY).chat.completions.create(
            model=cases.MODEL, messages=cases.user_message(cases.QUESTION)
        )


if cases.RESPONSES:
    import openai_responses as responses

    cases.run(
        "openai",
        responses.text,
        responses.stream,
        responses.tools,
        responses.structured,
        responses.image,
        responses.error,
    )
else:
    cases.run("openai", text, stream, tools, structured, image, error)
