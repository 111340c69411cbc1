"""The core: OpenAI's chat completions as Anthropic's messages, and back.

Pure functions and one state machine. Time and ids are given to it; it knows no HTTP, no AWS and no clock.

    request     parse_params -> find_model -> to_message_params
    answer      EventDecoder -> ChatCompletionStream -> encode                    streamed
                EventDecoder -> MessageAccumulator -> to_chat_completion          whole
    failure     APIError
"""

from claudexia.translate.accumulate import MessageAccumulator
from claudexia.translate.errors import APIError
from claudexia.translate.models import find_model
from claudexia.translate.request import MessageRequest, to_message_params
from claudexia.translate.response import to_chat_completion
from claudexia.translate.sse import EventDecoder
from claudexia.translate.stream import ChatCompletionStream
from claudexia.translate.validation import parse_params

__all__ = [
    "APIError",
    "ChatCompletionStream",
    "EventDecoder",
    "MessageAccumulator",
    "MessageRequest",
    "find_model",
    "parse_params",
    "to_chat_completion",
    "to_message_params",
]
