"""semantic-kernel with its service of OpenAI's chat completions, and its own function calling."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import cases
import openai
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory, ChatMessageContent, ImageContent, TextContent
from semantic_kernel.exceptions import ServiceResponseException
from semantic_kernel.functions import kernel_function


def service(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> OpenAIChatCompletion:
    client = openai.AsyncOpenAI(base_url=cases.BASE_URL, api_key=api_key, max_retries=0)
    return OpenAIChatCompletion(ai_model_id=name, async_client=client)


def history(question: str = cases.QUESTION) -> ChatHistory:
    conversation = ChatHistory()
    conversation.add_user_message(question)
    return conversation


def reply(
    conversation: ChatHistory,
    chosen: OpenAIChatCompletion | None = None,
    kernel: Kernel | None = None,
    **more: object,
) -> ChatMessageContent:
    settings = OpenAIChatPromptExecutionSettings(**more)
    chosen = chosen or service()
    return asyncio.run(chosen.get_chat_message_content(conversation, settings, kernel=kernel))


async def streamed(conversation: ChatHistory, kernel: Kernel | None = None, **more: object) -> list[str]:
    settings = OpenAIChatPromptExecutionSettings(**more)
    chunks = service().get_streaming_chat_message_content(conversation, settings, kernel=kernel)
    return [str(chunk) async for chunk in chunks if chunk]


def text() -> None:
    message = reply(history())
    assert str(message)
    assert message.metadata["usage"].completion_tokens > 0


def stream() -> None:
    cases.assert_pieces(asyncio.run(streamed(history())), str(reply(history())))


def tools() -> None:
    """Functions that the kernel calls by itself, whole and streamed."""
    kernel = Kernel()
    offered = [kernel_function(cases.get_weather), kernel_function(cases.get_time)]
    kernel.add_plugin(plugin_name="city", plugin={function.__name__: function for function in offered})
    choice = {"kernel": kernel, "function_choice_behavior": FunctionChoiceBehavior.Auto()}
    cases.assert_tools_ran(str(reply(history(cases.TOOLS_QUESTION), **choice)))
    cases.calls.clear()
    cases.assert_tools_ran("".join(asyncio.run(streamed(history(cases.TOOLS_QUESTION), **choice))))


def structured() -> None:
    message = reply(history(cases.PLAN_QUESTION), response_format=cases.Plan)
    cases.Plan.model_validate_json(str(message))


def image() -> None:
    conversation = ChatHistory()
    picture = ImageContent(data_uri=cases.IMAGE)
    conversation.add_user_message([TextContent(text=cases.IMAGE_QUESTION), picture])
    cases.assert_image_seen(str(reply(conversation)))


@contextmanager
def cause() -> Iterator[None]:
    """The service's exception has the SDK's as its cause."""
    try:
        yield
    except ServiceResponseException as error:
        raise error.__cause__ from None


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404), cause():
        reply(history(), service(cases.WRONG_MODEL))
    with cases.assert_raises(openai.AuthenticationError, 401), cause():
        reply(history(), service(api_key=cases.WRONG_KEY))


cases.run("semantic-kernel", text, stream, tools, structured, image, error)
