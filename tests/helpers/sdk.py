"""Ways of the OpenAI SDK to ask that more than one test takes."""

from typing import Any

from openai import OpenAI


def first_choice(client: OpenAI, streamed: bool, **asked: Any) -> Any:
    """The answer's only choice, whole or as the SDK's stream helper puts it together."""
    if not streamed:
        return client.chat.completions.create(**asked).choices[0]
    with client.chat.completions.stream(**asked) as stream:
        return stream.get_final_completion().choices[0]
