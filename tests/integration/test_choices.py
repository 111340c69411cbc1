"""`n` > 1: the same request is sent n times, concurrently."""

from collections import Counter
from typing import Any

import pytest
from openai import APIError, BadRequestError, OpenAI

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, Reply, Upstream, gateway, sse, text_events

REQUEST: dict[str, Any] = {"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "hi"}]}


def text_replies(*texts: str) -> Upstream:
    return Upstream(*(Reply([sse(*text_events(text))]) for text in texts))


def test_buffered_choices() -> None:
    upstream = text_replies("one two", "three")
    with gateway(upstream) as url:
        completion = OpenAI(base_url=url, api_key=KEY).chat.completions.create(n=2, **REQUEST)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert sorted(str(choice.message.content) for choice in completion.choices) == ["one two", "three"]
    assert completion.usage
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (14, 3)
    assert upstream.bodies[0] == upstream.bodies[1]


def test_streamed_choices_are_interleaved_by_index() -> None:
    events = text_events("one two three four")
    slow = [item for event in events for item in (sse(event), 20)]
    with gateway(Upstream(*(Reply(slow) for _ in range(3)))) as url:
        client = OpenAI(base_url=url, api_key=KEY)
        options: Any = {"include_usage": True}
        chunks = list(client.chat.completions.create(n=3, stream=True, stream_options=options, **REQUEST))
    *content_chunks, usage = chunks
    assert usage.choices == []
    assert usage.usage
    assert (usage.usage.prompt_tokens, usage.usage.completion_tokens) == (21, 12)
    assert len({chunk.id for chunk in chunks}) == 1
    order = [chunk.choices[0].index for chunk in content_chunks]
    assert order != sorted(order), "the choices came one after the other"
    texts: Counter[int] = Counter()
    for chunk in content_chunks:
        texts[chunk.choices[0].index] += len(chunk.choices[0].delta.content or "")
    assert texts == dict.fromkeys(range(3), len("one two three four"))
    assert sorted(c.choices[0].index for c in content_chunks if c.choices[0].finish_reason == "stop") == [
        0,
        1,
        2,
    ]


def test_choices_of_one_stream_share_its_id() -> None:
    with gateway(FakeAnthropic()) as url:
        chunks = list(OpenAI(base_url=url, api_key=KEY).chat.completions.create(n=3, stream=True, **REQUEST))
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_one_upstream_error_fails_the_request(streamed: bool) -> None:
    good = Reply([sse(*text_events())])
    with gateway(
        Upstream(good, Reply([b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}'], 529))
    ) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        with pytest.raises(APIError) as caught:
            client.chat.completions.create(n=2, stream=streamed, **REQUEST)
    assert caught.value.code == "server_is_overloaded"


def test_one_truncated_upstream_stream_fails_the_stream() -> None:
    cut = Reply([sse(*text_events()[:4])])
    with gateway(Upstream(Reply([sse(*text_events())]), cut)) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        stream = client.chat.completions.create(n=2, stream=True, **REQUEST)
        with pytest.raises(APIError, match="broke off"):
            list(stream)


@pytest.mark.parametrize(("limit", "n"), [(8, 9), (2, 3), (1, 2)])
def test_n_is_limited_by_max_choices(limit: int, n: int) -> None:
    upstream = text_replies("never")
    with gateway(upstream, max_choices=limit) as url:
        client = OpenAI(base_url=url, api_key=KEY)
        with pytest.raises(BadRequestError) as caught:
            client.chat.completions.create(n=n, **REQUEST)
    assert caught.value.param == "n"
    assert f"<= {limit}" in caught.value.message
    assert upstream.bodies == []
