"""llama-index with its model of OpenAI-compatible servers, its own agent, and its structured output."""

import asyncio

import cases
import openai
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai_like import OpenAILike


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY, **more: bool) -> OpenAILike:
    return OpenAILike(
        model=name,
        api_base=cases.BASE_URL,
        api_key=api_key,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        **more,
    )


def text() -> None:
    response = model().chat([ChatMessage(cases.QUESTION)])
    assert response.message.content
    assert response.raw.usage.total_tokens > 0


def stream() -> None:
    responses = list(model().stream_chat([ChatMessage(cases.QUESTION)]))
    cases.assert_pieces([response.delta or "" for response in responses], responses[-1].message.content)


def tools() -> None:
    async def answer() -> str:
        agent = FunctionAgent(tools=[cases.get_weather, cases.get_time], llm=model())
        return str(await agent.run(cases.TOOLS_QUESTION))

    cases.assert_tools_ran(asyncio.run(answer()))


def structured() -> None:
    """By a forced call and by an answer schema, whole and streamed."""
    for by_schema in (False, True):
        chosen = model(should_use_structured_outputs=by_schema)
        response = chosen.as_structured_llm(cases.Plan).chat([ChatMessage(cases.PLAN_QUESTION)])
        assert isinstance(response.raw, cases.Plan), (by_schema, response)
        *_, plan = chosen.stream_structured_predict(cases.Plan, PromptTemplate(cases.PLAN_QUESTION))
        cases.Plan.model_validate(plan.model_dump())


def image() -> None:
    blocks = [TextBlock(text=cases.IMAGE_QUESTION), ImageBlock(url=cases.IMAGE)]
    cases.assert_image_seen(model().chat([ChatMessage(blocks=blocks)]).message.content)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        model(cases.WRONG_MODEL).chat([ChatMessage(cases.QUESTION)])
    with cases.assert_raises(openai.AuthenticationError, 401):
        model(api_key=cases.WRONG_KEY).chat([ChatMessage(cases.QUESTION)])


cases.run("llama-index-llms-openai-like", text, stream, tools, structured, image, error)
