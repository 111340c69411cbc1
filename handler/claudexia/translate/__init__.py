"""The core: OpenAI's chat completions as Anthropic's messages, and back.

Pure functions and a few state machines. Time and ids are given to it; it knows no HTTP, no AWS and no clock.

    request     parse_params -> find_model -> to_message_params
    answer      EventDecoder -> ChatCompletionStream -> encode                    streamed
                EventDecoder -> MessageAccumulator -> to_chat_completion          whole
    a pause     ContinuedTurn, before either
    failure     APIError
"""

from claudexia.translate.accumulate import MessageAccumulator, replayable
from claudexia.translate.cache_marks import estimated_tokens
from claudexia.translate.continued_turn import ContinuedTurn
from claudexia.translate.errors import APIError
from claudexia.translate.models import find_model
from claudexia.translate.replay import refuses_thinking, thoughtless, turn_key
from claudexia.translate.request import MessageRequest, to_message_params, turns_to_recall
from claudexia.translate.response import to_chat_completion
from claudexia.translate.sse import EventDecoder
from claudexia.translate.stream import ChatCompletionStream
from claudexia.translate.usage import add_usage
from claudexia.translate.validation import parse_params

__all__ = [
    "APIError",
    "ChatCompletionStream",
    "ContinuedTurn",
    "EventDecoder",
    "MessageAccumulator",
    "MessageRequest",
    "add_usage",
    "estimated_tokens",
    "find_model",
    "parse_params",
    "refuses_thinking",
    "replayable",
    "thoughtless",
    "to_chat_completion",
    "to_message_params",
    "turn_key",
    "turns_to_recall",
]
