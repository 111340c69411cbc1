"""`web_search_options`: Claude searches, OpenAI's clients get annotations."""

from typing import Any

import pytest
from openai import OpenAI

from tests.asking import first_choice
from tests.serving import KEY, gateway
from tests.stand_in.server import StandIn

ASKED: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "web_search_options": {
        "search_context_size": "medium",
        "user_location": {"type": "approximate", "approximate": {"city": "Berlin", "country": "DE"}},
    },
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("prompt", ["search for it", "search for it [pause]"], ids=["at once", "paused"])
def test_citations(prompt: str, streamed: bool) -> None:
    upstream = StandIn()
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        choice = first_choice(client, streamed, messages=[{"role": "user", "content": prompt}], **ASKED)
    assert upstream.bodies[0]["tools"][0]["user_location"]["city"] == "Berlin"
    assert len(upstream.bodies) == (2 if "[pause]" in prompt else 1)
    assert choice.finish_reason == "stop"
    assert choice.message.tool_calls in (None, [])
    content, annotations = choice.message.content, choice.message.annotations
    assert annotations
    for annotation in annotations:
        cited = annotation if isinstance(annotation, dict) else annotation.model_dump()
        assert cited["type"] == "url_citation"
        citation = cited["url_citation"]
        assert citation["url"].startswith("https://")
        assert citation["title"]
        assert content[citation["start_index"] : citation["end_index"]].strip()


def test_usage_of_a_resumed_answer_is_the_sum() -> None:
    upstream = StandIn()
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        paused, straight = (
            client.chat.completions.create(messages=[{"role": "user", "content": prompt}], **ASKED).usage
            for prompt in ("search for it [pause]", "search for it now ok")
        )
    assert paused
    assert straight
    assert paused.prompt_tokens > 1.5 * straight.prompt_tokens
