"""openai-agents with its chat completions model."""

import asyncio

import cases
import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    RunResultStreaming,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

set_tracing_disabled(disabled=True)  # traces go to OpenAI's own servers


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> OpenAIChatCompletionsModel:
    client = AsyncOpenAI(base_url=cases.BASE_URL, api_key=api_key)
    return OpenAIChatCompletionsModel(model=name, openai_client=client)


def text() -> None:
    result = Runner.run_sync(Agent(name="a", model=model()), cases.QUESTION)
    assert result.final_output
    assert result.context_wrapper.usage.total_tokens > 0


def stream() -> None:
    async def streamed() -> tuple[list[str], RunResultStreaming]:
        agent = Agent(name="a", model=model(), model_settings=ModelSettings(include_usage=True))
        result = Runner.run_streamed(agent, cases.QUESTION)
        pieces = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
        ]
        return pieces, result

    pieces, result = asyncio.run(streamed())
    cases.assert_pieces(pieces, result.final_output)
    assert result.context_wrapper.usage.total_tokens > 0


def tools() -> None:
    offered = [function_tool(cases.get_weather), function_tool(cases.get_time)]
    result = Runner.run_sync(Agent(name="a", model=model(), tools=offered), cases.TOOLS_QUESTION)
    cases.assert_tools_ran(result.final_output)


def structured() -> None:
    result = Runner.run_sync(Agent(name="a", model=model(), output_type=cases.Plan), cases.PLAN_QUESTION)
    assert isinstance(result.final_output, cases.Plan), result.final_output


def image() -> None:
    parts = [
        {"type": "input_text", "text": cases.IMAGE_QUESTION},
        {"type": "input_image", "image_url": cases.IMAGE, "detail": "auto"},
    ]
    result = Runner.run_sync(Agent(name="a", model=model()), cases.user_message(parts))
    cases.assert_image_seen(result.final_output)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        Runner.run_sync(Agent(name="a", model=model(cases.WRONG_MODEL)), cases.QUESTION)
    with cases.assert_raises(openai.AuthenticationError, 401):
        Runner.run_sync(Agent(name="a", model=model(api_key=cases.WRONG_KEY)), cases.QUESTION)


cases.run("openai-agents", text, stream, tools, structured, image, error)
