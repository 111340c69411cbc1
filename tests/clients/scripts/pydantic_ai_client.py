"""pydantic-ai with its OpenAI chat model."""

import cases
from pydantic_ai import Agent, ImageUrl, ModelHTTPError, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> OpenAIChatModel:
    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=cases.BASE_URL, api_key=api_key))


def text() -> None:
    result = Agent(model()).run_sync(cases.QUESTION)
    assert result.output
    assert result.usage.output_tokens > 0


def stream() -> None:
    result = Agent(model()).run_stream_sync(cases.QUESTION)
    pieces = list(result.stream_text(delta=True, debounce_by=None))
    cases.assert_pieces(pieces, result.response.text)
    assert result.usage.output_tokens > 0


def tools() -> None:
    agent = Agent(model(), tools=[cases.get_weather, cases.get_time])
    cases.assert_tools_ran(agent.run_sync(cases.TOOLS_QUESTION).output)


def structured() -> None:
    for output_type in (NativeOutput(cases.Plan), cases.Plan):
        result = Agent(model(), output_type=output_type).run_sync(cases.PLAN_QUESTION)
        assert isinstance(result.output, cases.Plan), result.output


def image() -> None:
    result = Agent(model()).run_sync([cases.IMAGE_QUESTION, ImageUrl(cases.IMAGE)])
    cases.assert_image_seen(result.output)


def error() -> None:
    with cases.assert_raises(ModelHTTPError, 404):
        Agent(model(cases.WRONG_MODEL)).run_sync(cases.QUESTION)
    with cases.assert_raises(ModelHTTPError, 401):
        Agent(model(api_key=cases.WRONG_KEY)).run_sync(cases.QUESTION)


cases.run("pydantic-ai-slim", text, stream, tools, structured, image, error)
