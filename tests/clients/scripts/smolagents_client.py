"""smolagents with its model of OpenAI-compatible servers, and its agent, which forces a tool call in each step."""

import base64
import io

import cases
import openai
from PIL import Image
from smolagents import LogLevel, OpenAIModel, ToolCallingAgent, tool
from smolagents.models import ChatMessage, MessageRole


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> OpenAIModel:
    return OpenAIModel(
        model_id=name, api_base=cases.BASE_URL, api_key=api_key, client_kwargs={"max_retries": 0}
    )


def question(*parts: dict[str, object], words: str = cases.QUESTION) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": words}, *parts])]


def text() -> None:
    message = model().generate(question())
    assert message.content
    assert message.token_usage.output_tokens > 0


def stream() -> None:
    deltas = list(model().generate_stream(question()))
    cases.assert_pieces([delta.content or "" for delta in deltas], model().generate(question()).content)
    assert deltas[-1].token_usage.output_tokens > 0


@tool
def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: The city's name.
    """
    return cases.get_weather(city)


@tool
def get_time(city: str) -> str:
    """The time of day in a city.

    Args:
        city: The city's name.
    """
    return cases.get_time(city)


def tools() -> None:
    """One step of the agent for each tool, then its final answer, each whole and streamed."""
    for streamed in (False, True):
        cases.calls.clear()
        agent = ToolCallingAgent(
            tools=[get_weather, get_time],
            model=model(),
            stream_outputs=streamed,
            verbosity_level=LogLevel.OFF,
            max_steps=1,
        )
        tasks = [f'[use {name} {{"city": "Paris"}}]' for name in ("get_weather", "get_time")]
        cases.assert_tools_ran(" ".join(str(agent.run(task)) for task in tasks))


def structured() -> None:
    schema = {"name": "plan", "schema": cases.Plan.model_json_schema()}
    message = model().generate(
        question(words=cases.PLAN_QUESTION), response_format={"type": "json_schema", "json_schema": schema}
    )
    cases.Plan.model_validate_json(message.content)


def image() -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(cases.PNG)))
    message = model().generate(question({"type": "image", "image": picture}, words=cases.IMAGE_QUESTION))
    cases.assert_image_seen(message.content)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        model(cases.WRONG_MODEL).generate(question())
    with cases.assert_raises(openai.AuthenticationError, 401):
        model(api_key=cases.WRONG_KEY).generate(question())


cases.run("smolagents", text, stream, tools, structured, image, error)
