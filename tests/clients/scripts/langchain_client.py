"""langchain-openai, with LangChain's own agent for the tools."""

import cases
import openai
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=cases.BASE_URL, api_key=api_key, stream_usage=True)


def text() -> None:
    message = model().invoke(cases.QUESTION)
    assert message.text
    assert message.usage_metadata["total_tokens"] > 0


def stream() -> None:
    chunks = list(model().stream(cases.QUESTION))
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined += chunk
    cases.assert_pieces([chunk.text for chunk in chunks], joined.text)
    assert joined.usage_metadata["total_tokens"] > 0


def tools() -> None:
    agent = create_agent(model(), [cases.get_weather, cases.get_time])
    state = agent.invoke({"messages": [HumanMessage(cases.TOOLS_QUESTION)]})
    cases.assert_tools_ran(state["messages"][-1].text)


def structured() -> None:
    for method in ("json_schema", "function_calling"):
        plan = model().with_structured_output(cases.Plan, method=method).invoke(cases.PLAN_QUESTION)
        assert isinstance(plan, cases.Plan), (method, plan)


def image() -> None:
    parts = [
        {"type": "text", "text": cases.IMAGE_QUESTION},
        {"type": "image", "base64": cases.PNG, "mime_type": "image/png"},
    ]
    cases.assert_image_seen(model().invoke([HumanMessage(content=parts)]).text)


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        model(cases.WRONG_MODEL).invoke(cases.QUESTION)
    with cases.assert_raises(openai.AuthenticationError, 401):
        model(api_key=cases.WRONG_KEY).invoke(cases.QUESTION)


cases.run("langchain-openai", text, stream, tools, structured, image, error)
