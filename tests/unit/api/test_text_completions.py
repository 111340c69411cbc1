"""OpenAI's legacy completions: the request becomes a chat request, the response a text completion."""

import json
from typing import Any

import pytest
from openai.types import Completion

from claudexia.api.text_completions import to_chat_body, to_text_chunk, to_text_completion
from claudexia.errors import APIError
from claudexia.translate.request.parse import parse_params
from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.completion import to_chat_completion
from claudexia.translate.response.stream import ChatCompletionStream
from tests.helpers.serving import text_events, tool_events

REQUEST: dict[str, Any] = {"model": "claude-sonnet-4-5", "prompt": "Say hello."}


@pytest.mark.parametrize("prompt", ["Say hello.", ["Say hello."]], ids=["text", "list-of-one"])
def test_a_prompt_becomes_the_only_message(prompt: Any) -> None:
    shared = {"max_tokens": 5, "temperature": 0.5, "stop": ["x"], "stream": True, "n": 2, "user": "u"}
    harmless = {"echo": False, "suffix": None, "best_of": 1, "logprobs": None}
    body = to_chat_body(json.dumps({**REQUEST, "prompt": prompt, **shared, **harmless}).encode())
    messages = [{"role": "user", "content": "Say hello."}]
    assert json.loads(body) == {"model": REQUEST["model"], **shared, "messages": messages}
    assert parse_params(body).model_extra == {}


REFUSED = [
    pytest.param({"prompt": None}, "prompt", "missing_required_parameter", id="no-prompt"),
    pytest.param({"prompt": ""}, "prompt", "invalid_value", id="empty"),
    pytest.param({"prompt": [" "]}, "prompt", "invalid_value", id="blank"),
    pytest.param({"prompt": []}, "prompt", "empty_array", id="no-prompts"),
    pytest.param({"prompt": ["a", "b"]}, "prompt", "unsupported_parameter", id="two-prompts"),
    pytest.param({"prompt": [1, 2]}, "prompt", "unsupported_parameter", id="token-ids"),
    pytest.param({"prompt": [[1, 2]]}, "prompt", "unsupported_parameter", id="lists-of-token-ids"),
    pytest.param({"prompt": [7]}, "prompt", "unsupported_parameter", id="one-token-id"),
    pytest.param({"prompt": 7}, "prompt", "invalid_type", id="number"),
    pytest.param({"prompt": {"a": 1}}, "prompt", "invalid_type", id="object"),
    pytest.param({"suffix": "end"}, "suffix", "unsupported_parameter", id="suffix"),
    pytest.param({"echo": True}, "echo", "unsupported_parameter", id="echo"),
    pytest.param({"best_of": 2}, "best_of", "unsupported_parameter", id="best_of"),
    pytest.param({"best_of": True}, "best_of", "unsupported_parameter", id="best_of-true"),
    pytest.param({"logprobs": 0}, "logprobs", "unsupported_parameter", id="logprobs"),
    pytest.param({"messages": []}, "messages", "unsupported_parameter", id="messages"),
    pytest.param({"tools": [{}]}, "tools", "unsupported_parameter", id="tools"),
]


@pytest.mark.parametrize(("fields", "param", "code"), REFUSED)
def test_fields_without_a_counterpart_are_refused(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(APIError) as caught:
        to_chat_body(json.dumps({**REQUEST, **fields}).encode())
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"'])
def test_invalid_bodies_have_the_same_errors_as_chat_completions(body: bytes) -> None:
    with pytest.raises(APIError) as caught:
        parse_params(to_chat_body(body))
    assert caught.value.status == 400


def answers(events: list[dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """The buffered completion of these events, and what their chunks add up to."""
    accumulator, stream = MessageAccumulator(), ChatCompletionStream(created=7, include_usage=True)
    chunks: list[Any] = []
    with_text: set[int] = set()
    for event in events:
        given: Any = event
        if event["type"] != "ping":
            accumulator.feed(given)
            chunks += [to_text_chunk(chunk, with_text) for chunk in stream.feed(given)]
    chunks.append(to_text_chunk(stream.usage_chunk(accumulator.usage), with_text))
    return dict(to_text_completion(to_chat_completion([accumulator.message], created=7))), chunks


@pytest.mark.parametrize(
    ("events", "text", "reason"),
    [
        pytest.param(text_events("Hello there"), "Hello there", "stop", id="text"),
        pytest.param(text_events("Hello", "max_tokens"), "Hello", "length", id="length"),
        pytest.param(tool_events(("f", '{"a": 1}')), "", "stop", id="nothing-to-say"),
    ],
)
def test_answers(events: list[dict[str, Any]], text: str, reason: str) -> None:
    buffered, chunks = answers(events)
    parsed = Completion.model_validate(buffered, strict=True)
    assert buffered.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert (parsed.id, parsed.created, parsed.choices[0].text) == ("cmpl-test", 7, text)
    assert parsed.choices[0].finish_reason == reason

    streamed = [chunk for chunk in chunks if chunk]
    assert None in chunks, "the role alone is not told"
    assert "".join(choice["text"] for chunk in streamed for choice in chunk["choices"]) == text
    assert [choice["finish_reason"] for chunk in streamed for choice in chunk["choices"]][-1] == reason
    assert (streamed[-1]["choices"], streamed[-1]["usage"]) == ([], buffered["usage"])
    assert {(chunk["id"], chunk["object"]) for chunk in streamed} == {("cmpl-test", "text_completion")}


@pytest.mark.parametrize("text", ["", "I will"], ids=["without text", "after text"])
def test_a_refusal_is_returned_as_text_if_there_is_none(text: str) -> None:
    buffered, chunks = answers(text_events(text, "refusal"))
    assert buffered["choices"][0]["finish_reason"] == "content_filter"
    streamed = "".join(choice["text"] for chunk in chunks if chunk for choice in chunk["choices"])
    assert buffered["choices"][0]["text"] == streamed == (text or "Claude declined to answer this request.")
