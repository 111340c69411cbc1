"""strands-agents with its model of OpenAI's chat completions, which always streams."""

import asyncio
import base64

import cases
import openai
from strands import Agent, tool
from strands.models.openai import OpenAIModel


def agent(name: str = cases.MODEL, api_key: str = cases.API_KEY, **more: object) -> Agent:
    arguments = {"base_url": cases.BASE_URL, "api_key": api_key}
    return Agent(model=OpenAIModel(client_args=arguments, model_id=name), callback_handler=None, **more)


def text() -> None:
    result = agent()(cases.QUESTION)
    assert str(result).strip()
    assert result.metrics.accumulated_usage["totalTokens"] > 0


def stream() -> None:
    async def streamed() -> tuple[list[str], str]:
        events = [event async for event in agent().stream_async(cases.QUESTION)]
        (result,) = (event["result"] for event in events if "result" in event)
        return [event["data"] for event in events if "data" in event], str(result).removesuffix("\n")

    cases.assert_pieces(*asyncio.run(streamed()))


def tools() -> None:
    offered = [tool(cases.get_weather), tool(cases.get_time)]
    cases.assert_tools_ran(str(agent(tools=offered)(cases.TOOLS_QUESTION)))


def structured() -> None:
    """By a call of a tool that the agent makes of the model, forced if it does not come by itself."""
    for question in (cases.PLAN_QUESTION, cases.QUESTION):
        result = agent()(question, structured_output_model=cases.Plan)
        assert isinstance(result.structured_output, cases.Plan), result


def image() -> None:
    content = [
        {"text": cases.IMAGE_QUESTION},
        {"image": {"format": "png", "source": {"bytes": base64.b64decode(cases.PNG)}}},
    ]
    cases.assert_image_seen(str(agent()(content)))


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        agent(cases.WRONG_MODEL)(cases.QUESTION)
    with cases.assert_raises(openai.AuthenticationError, 401):
        agent(api_key=cases.WRONG_KEY)(cases.QUESTION)


cases.run("strands-agents", text, stream, tools, structured, image, error)
