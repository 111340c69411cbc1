"""agno's agent with its model of OpenAI-compatible servers."""

import base64

import cases
from agno.agent import Agent
from agno.exceptions import ModelProviderError
from agno.media import Image
from agno.models.message import Message
from agno.models.openai.like import OpenAILike
from agno.run.agent import RunContentEvent, RunOutput


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> OpenAILike:
    return OpenAILike(id=name, base_url=cases.BASE_URL, api_key=api_key)


def text() -> None:
    response = Agent(model=model(), telemetry=False).run(cases.QUESTION)
    assert response.content
    assert response.metrics.total_tokens > 0


def stream() -> None:
    agent = Agent(model=model(), telemetry=False)
    events = list(agent.run(cases.QUESTION, stream=True, yield_run_output=True))
    pieces = [event.content for event in events if isinstance(event, RunContentEvent)]
    (whole,) = (event for event in events if isinstance(event, RunOutput))
    cases.assert_pieces(pieces, whole.content)
    assert whole.metrics.total_tokens > 0


def tools() -> None:
    agent = Agent(model=model(), tools=[cases.get_weather, cases.get_time], telemetry=False)
    cases.assert_tools_ran(agent.run(cases.TOOLS_QUESTION).content)


def structured() -> None:
    response = Agent(model=model(), output_schema=cases.Plan, telemetry=False).run(cases.PLAN_QUESTION)
    assert isinstance(response.content, cases.Plan), response.content


def image() -> None:
    pictures = [Image(content=base64.b64decode(cases.PNG), mime_type="image/png")]
    response = Agent(model=model(), telemetry=False).run(cases.IMAGE_QUESTION, images=pictures)
    cases.assert_image_seen(response.content)


def attempt(refused: OpenAILike) -> None:
    """Calls the model itself, since the agent has errors as a status of its run."""
    refused.response(messages=[Message(role="user", content=cases.QUESTION)])


def error() -> None:
    with cases.assert_raises(ModelProviderError, 404):
        attempt(model(cases.WRONG_MODEL))
    with cases.assert_raises(ModelProviderError, 401):
        attempt(model(api_key=cases.WRONG_KEY))


cases.run("agno", text, stream, tools, structured, image, error)
