"""`web_search_options`: Claude searches, OpenAI's clients get annotations."""

from typing import Any

import pytest
from openai import OpenAI

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.sdk import first_choice
from tests.helpers.serving import KEY, Reply, Upstream, gateway, sse, text_events
from tests.integration.test_thinking_loop import TOOLS, openai_fields, thinking_sent

REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "web_search_options": {
        "search_context_size": "medium",
        "user_location": {"type": "approximate", "approximate": {"city": "Berlin", "country": "DE"}},
    },
}


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize("prompt", ["search for it", "search for it [pause]"], ids=["at once", "paused"])
def test_citations(prompt: str, streamed: bool) -> None:
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        choice = first_choice(client, streamed, messages=[{"role": "user", "content": prompt}], **REQUEST)
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


def test_usage_of_a_resumed_turn_is_the_sum() -> None:
    upstream = FakeAnthropic()
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        paused, straight = (
            client.chat.completions.create(messages=[{"role": "user", "content": prompt}], **REQUEST).usage
            for prompt in ("search for it [pause]", "search for it now ok")
        )
    assert paused
    assert straight
    assert paused.prompt_tokens > 1.5 * straight.prompt_tokens


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_citation_offsets_count_code_points(streamed: bool) -> None:
    """Characters outside of the Basic Multilingual Plane stand before the cited text."""
    cited = {
        "type": "web_search_result_location",
        "url": "https://example.com",
        "title": "t",
        "cited_text": "x",
    }
    texts: list[tuple[str, dict[str, Any] | None]] = [
        ("\U0001f600\U0001f680 so: ", None),
        ("caf\u00e9 \U0001f600", cited),
        (".", None),
    ]
    events = [text_events()[0]]
    for index, (text, citation) in enumerate(texts):
        events.append(
            {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
        )
        if citation:
            delta: dict[str, Any] = {"type": "citations_delta", "citation": citation}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        delta = {"type": "text_delta", "text": text}
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    with gateway(Upstream(Reply([sse(*events, *text_events()[-2:])]))) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        message = first_choice(client, streamed, messages=[{"role": "user", "content": "x"}], **REQUEST).message
    (annotation,) = message.annotations
    citation = (annotation if isinstance(annotation, dict) else annotation.model_dump())["url_citation"]
    assert message.content[citation["start_index"] : citation["end_index"]] == "caf\u00e9 \U0001f600"


def test_a_turn_that_stays_paused_ends_with_finish_reason_length() -> None:
    upstream = Upstream(Reply([sse(*text_events("part", "pause_turn"))]))
    with gateway(upstream) as url:
        create = OpenAI(base_url=url, api_key=KEY, max_retries=0).chat.completions.create
        messages: Any = [{"role": "user", "content": "x"}]
        choice = create(messages=messages, **REQUEST).choices[0]
        *chunks, last = create(messages=messages, stream=True, **REQUEST)
    assert (choice.message.content, choice.finish_reason) == ("part" * 9, "length")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "part" * 9
    assert last.choices[0].finish_reason == "length"
    assert [len(body["messages"]) for body in upstream.bodies] == ([1] + [2] * 8) * 2


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-haiku-4-5"])
def test_web_search_with_tools_and_thinking(model: str, streamed: bool) -> None:
    """A client tool, then a paused search. The fake API checks every block that is sent back."""
    upstream = FakeAnthropic(bound=True)
    fields: dict[str, Any] = {
        "model": model, "reasoning_effort": "low", "tools": TOOLS, "web_search_options": {},
        "extra_headers": {"x-claudexia-strict": "true"},
    }  # fmt: skip
    messages: list[Any] = [{"role": "user", "content": "Use the tool, then search for it [pause]"}]
    with gateway(upstream) as url:
        client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
        called = first_choice(client, streamed, messages=messages, **fields).message
        results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in called.tool_calls]
        messages += [openai_fields(called), *results]
        choice = first_choice(client, streamed, messages=messages, **fields)
    assert len(upstream.bodies) == 3
    assert choice.finish_reason == "stop"
    assert len(choice.message.annotations) == 2
    assert [len(turn) for turn in thinking_sent(upstream.bodies[-1])] == [1, 1]
