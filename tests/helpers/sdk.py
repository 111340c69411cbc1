"""Calls of the OpenAI SDK that are used by several tests."""

from typing import Any

from openai import OpenAI


def first_choice(client: OpenAI, streamed: bool, **params: Any) -> Any:
    """The only choice of the completion, buffered or collected by the SDK's stream helper."""
    if not streamed:
        return client.chat.completions.create(**params).choices[0]
    with client.chat.completions.stream(**params) as stream:
        return stream.get_final_completion().choices[0]
