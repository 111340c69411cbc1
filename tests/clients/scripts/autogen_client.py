"""autogen's agent with its client of OpenAI's chat completions."""

import asyncio
from collections.abc import Sequence

import cases
import openai
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import ModelClientStreamingChunkEvent, MultiModalMessage
from autogen_core import Image
from autogen_ext.models.openai import OpenAIChatCompletionClient

INFO = {
    "vision": True,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
}


def agent(name: str = cases.MODEL, api_key: str = cases.API_KEY, **more: object) -> AssistantAgent:
    client = OpenAIChatCompletionClient(
        model=name, base_url=cases.BASE_URL, api_key=api_key, model_info=INFO, max_retries=0
    )
    return AssistantAgent("assistant", client, **more)


def result(chosen: AssistantAgent, task: str | MultiModalMessage = cases.QUESTION) -> TaskResult:
    return asyncio.run(chosen.run(task=task))


def text() -> None:
    message = result(agent()).messages[-1]
    assert message.content
    assert message.models_usage.completion_tokens > 0


def stream() -> None:
    async def streamed() -> Sequence[object]:
        return [event async for event in agent(model_client_stream=True).run_stream(task=cases.QUESTION)]

    events = asyncio.run(streamed())
    pieces = [event.content for event in events if isinstance(event, ModelClientStreamingChunkEvent)]
    cases.assert_pieces(pieces, events[-1].messages[-1].content)


def tools() -> None:
    """The agent's loop until there are no more calls, whole and streamed."""
    for streamed in (False, True):
        cases.calls.clear()
        offered = [cases.get_weather, cases.get_time]
        chosen = agent(tools=offered, max_tool_iterations=3, model_client_stream=streamed)
        cases.assert_tools_ran(result(chosen, cases.TOOLS_QUESTION).messages[-1].content)


def structured() -> None:
    plan = result(agent(output_content_type=cases.Plan), cases.PLAN_QUESTION).messages[-1].content
    assert isinstance(plan, cases.Plan), plan


def image() -> None:
    picture = MultiModalMessage(content=[cases.IMAGE_QUESTION, Image.from_base64(cases.PNG)], source="user")
    cases.assert_image_seen(result(agent(), picture).messages[-1].content)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        result(agent(cases.WRONG_MODEL))
    with cases.assert_raises(openai.AuthenticationError, 401):
        result(agent(api_key=cases.WRONG_KEY))


cases.run("autogen-agentchat", text, stream, tools, structured, image, error)
