"""smolagents with its model of OpenAI's chat completions, and its ToolCallingAgent.

The agent sends the results of its tools as text of the user, so each result plans the call that follows.
"""

import base64
import io

import cases
import openai
from PIL import Image
from smolagents import LogLevel, OpenAIModel, ToolCallingAgent, tool


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> OpenAIModel:
    return OpenAIModel(model_id=name, api_base=cases.BASE_URL, api_key=api_key, retry=False)


@tool
def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: its name
    """
    return f'{cases.get_weather(city)} [use get_time {{"city": "Paris"}}]'


@tool
def get_time(city: str) -> str:
    """The time of day in a city.

    Args:
        city: its name
    """
    return f'{cases.get_time(city)} [use final_answer {{"answer": "17 degrees and dry at 12:34"}}]'


def text() -> None:
    message = model().generate(cases.user_message(cases.QUESTION))
    assert message.content
    assert message.token_usage.total_tokens > 0


def stream() -> None:
    deltas = list(model().generate_stream(cases.user_message(cases.QUESTION)))
    pieces = [delta.content or "" for delta in deltas]
    cases.assert_pieces(pieces, f"You said: {cases.QUESTION}")


def tools() -> None:
    agent = ToolCallingAgent(
        tools=[get_weather, get_time], model=model(), verbosity_level=LogLevel.OFF, max_steps=4
    )
    cases.assert_tools_ran(str(agent.run('[use get_weather {"city": "Paris"}]')))


def structured() -> None:
    schema = {"name": "Plan", "schema": cases.Plan.model_json_schema()}
    message = model().generate(
        cases.user_message(cases.PLAN_QUESTION),
        response_format={"type": "json_schema", "json_schema": schema},
    )
    cases.Plan.model_validate_json(message.content)


def image() -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(cases.PNG)))
    content = [{"type": "text", "text": cases.IMAGE_QUESTION}, {"type": "image", "image": picture}]
    cases.assert_image_seen(model().generate(cases.user_message(content)).content)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        model(cases.WRONG_MODEL).generate(cases.user_message(cases.QUESTION))
    with cases.assert_raises(openai.AuthenticationError, 401):
        model(api_key=cases.WRONG_KEY).generate(cases.user_message(cases.QUESTION))


cases.run("smolagents", text, stream, tools, structured, image, error)
