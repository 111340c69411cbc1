"""haystack with its generator of OpenAI's chat completions, and its own agent."""

import cases
import openai
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, ImageContent
from haystack.tools import create_tool_from_function
from haystack.utils import Secret


def generator(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(
        api_key=Secret.from_token(api_key), model=name, api_base_url=cases.BASE_URL, max_retries=0
    )


def reply(content: str, **more: object) -> ChatMessage:
    return generator().run([ChatMessage.from_user(content)], **more)["replies"][0]


def text() -> None:
    message = reply(cases.QUESTION)
    assert message.text
    assert message.meta["usage"]["total_tokens"] > 0


def stream() -> None:
    pieces: list[str] = []
    message = reply(cases.QUESTION, streaming_callback=lambda chunk: pieces.append(chunk.content))
    cases.assert_pieces(pieces, message.text)


def tools() -> None:
    offered = [create_tool_from_function(cases.get_weather), create_tool_from_function(cases.get_time)]
    agent = Agent(chat_generator=generator(), tools=offered)
    cases.assert_tools_ran(agent.run([ChatMessage.from_user(cases.TOOLS_QUESTION)])["last_message"].text)


def structured() -> None:
    message = reply(cases.PLAN_QUESTION, generation_kwargs={"response_format": cases.Plan})
    cases.Plan.model_validate_json(message.text)


def image() -> None:
    picture = ImageContent(base64_image=cases.PNG, mime_type="image/png")
    message = ChatMessage.from_user(content_parts=[cases.IMAGE_QUESTION, picture])
    cases.assert_image_seen(generator().run([message])["replies"][0].text)


def error() -> None:
    question = [ChatMessage.from_user(cases.QUESTION)]
    with cases.assert_raises(openai.NotFoundError, 404):
        generator(cases.WRONG_MODEL).run(question)
    with cases.assert_raises(openai.AuthenticationError, 401):
        generator(api_key=cases.WRONG_KEY).run(question)


cases.run("haystack-ai", text, stream, tools, structured, image, error)
