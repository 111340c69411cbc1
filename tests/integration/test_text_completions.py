"""POST /v1/completions with the OpenAI SDK."""

from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, Upstream, gateway


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_a_single_prompt(streamed: bool) -> None:
    upstream = Upstream()
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        if streamed:
            chunks = list(client.completions.create(model="claude-haiku-4-5", prompt="Say hi", stream=True))
            text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
            reason = chunks[-1].choices[0].finish_reason
            assert len(chunks) > 2
        else:
            completion = client.completions.create(model="claude-haiku-4-5", prompt="Say hi", max_tokens=9)
            text, reason = completion.choices[0].text, completion.choices[0].finish_reason
            assert completion.object == "text_completion"
            assert completion.usage
    assert (text, reason) == ("Hello there", "stop")
    assert upstream.bodies[0]["messages"][0]["content"][0]["text"] == "Say hi"


@pytest.mark.parametrize("stream_options", [None, {"include_usage": True}], ids=["without usage", "with usage"])
def test_usage_is_in_the_last_chunk_if_include_usage_is_set(stream_options: Any) -> None:
    with gateway(FakeAnthropic()) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        *chunks, last = client.completions.create(
            model="claude-haiku-4-5", prompt="Say hi", stream=True, stream_options=stream_options
        )
    assert not any(chunk.usage for chunk in chunks)
    assert (last.usage is not None) == bool(stream_options)
    assert last.choices == [] if stream_options else last.choices[0].finish_reason == "stop"


def test_two_prompts_are_refused() -> None:
    upstream = Upstream()
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        with pytest.raises(BadRequestError) as caught:
            client.completions.create(model="claude-haiku-4-5", prompt=["a", "b"])
    assert caught.value.param == "prompt"
    assert upstream.bodies == []
