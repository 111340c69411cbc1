"""OpenAI's chat completions to Anthropic's messages, and back.

Pure functions and a few state machines. They are given the time and ids; they use no HTTP, no AWS and no clock.

    request     parse_params -> find_model -> to_message_params
    response    EventDecoder -> MessageAccumulator -> ChatCompletionStream -> encode      streamed
                EventDecoder -> MessageAccumulator -> to_chat_completion                  whole
    failure     APIError

The Responses API takes the same way: its request is read into the same pieces (to_response_pieces), and its
events come from the same accumulator (ResponseStream, to_response).
"""

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.request.build import MessageRequest, replay_keys, to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.prompt_cache import estimate_tokens
from claudexia.translate.request.thinking_replay import without_refused
from claudexia.translate.response.accumulator import MessageAccumulator, replay_content
from claudexia.translate.response.completion import to_chat_completion
from claudexia.translate.response.stream import ChatCompletionStream
from claudexia.translate.response.usage import add_usage
from claudexia.translate.sse import EventDecoder

__all__ = [
    "APIError",
    "ChatCompletionStream",
    "EventDecoder",
    "MessageAccumulator",
    "MessageRequest",
    "add_usage",
    "estimate_tokens",
    "find_model",
    "parse_params",
    "replay_content",
    "replay_keys",
    "to_chat_completion",
    "to_message_params",
    "without_refused",
]
