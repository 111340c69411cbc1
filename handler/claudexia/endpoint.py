"""Endpoint: what one way to ask makes of a request's body, and of the answer's parts."""

from collections.abc import Callable
from dataclasses import dataclass

from claudexia.translate import parse_params
from claudexia.translate.completion_params import CompletionCreateParams
from claudexia.translate.openai import ChatCompletion, ChatCompletionChunk
from claudexia.translate.text_completion import to_chat_body, to_text_chunk, to_text_completion


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A way to ask: `parse` reads a body, `whole` and `chunk` give the answer's parts their shape; a chunk that
    is None is told to nobody.
    """

    parse: Callable[[bytes], CompletionCreateParams]
    whole: Callable[[ChatCompletion], object]
    chunk: Callable[[ChatCompletionChunk], object]


CHAT = Endpoint(parse_params, lambda completion: completion, lambda chunk: chunk)
TEXT = Endpoint(lambda body: parse_params(to_chat_body(body)), to_text_completion, to_text_chunk)
