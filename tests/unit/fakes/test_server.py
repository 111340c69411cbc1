"""The fake API, called by Anthropic's SDK."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, APIStatusError, BadRequestError, NotFoundError
from jsonschema import Draft202012Validator

from tests.fakes.anthropic.sdk import (
    MODEL,
    SCHEMA,
    SUMMARIZING_MODEL,
    TOOLS,
    assistant_turn,
    block_types,
    create_message,
    sdk,
    tool_results,
)
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import serving
from tests.helpers.waiting import PATIENCE

SEARCH = [{"type": "web_search_20250305", "name": "web_search"}]


@pytest.fixture
def fake() -> FakeAnthropic:
    return FakeAnthropic()


@pytest.fixture
def client(fake: FakeAnthropic) -> Iterator[Anthropic]:
    with serving(fake) as url, sdk(url) as client:
        yield client


@pytest.mark.parametrize("streamed", [True, False])
def test_reply_has_thinking_text_and_usage(client: Anthropic, fake: FakeAnthropic, streamed: bool) -> None:
    message = create_message(client, "Hello", streamed=streamed)
    assert block_types(message) == ["thinking", "text"]
    assert message.content[0].thinking == ""
    assert message.content[1].text == "You said: Hello"
    assert (message.model, message.stop_reason) == (MODEL, "end_turn")
    assert message.usage.output_tokens_details.thinking_tokens > 0
    assert fake.bodies[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert fake.headers[0]["authorization"] == "Bearer sk-ant-one"


@pytest.mark.parametrize("streamed", [True, False])
def test_tools_are_called_for_the_requested_rounds(client: Anthropic, streamed: bool) -> None:
    turns: list[Any] = ["[rounds=2][interleave][redacted] Go"]
    ids = set()
    for _ in range(2):
        message = create_message(client, *turns, tools=TOOLS, streamed=streamed)
        assert block_types(message) == [
            "thinking",
            "redacted_thinking",
            "text",
            "thinking",
            "tool_use",
            "tool_use",
        ]
        assert message.stop_reason == "tool_use"
        for call in message.content[-2:]:
            Draft202012Validator(SCHEMA).validate(call.input)
            ids.add(call.id)
        turns += [assistant_turn(message), tool_results(message)]
    message = create_message(client, *turns, tools=TOOLS, streamed=streamed)
    assert message.content[-1].text == "Result: sunny; sunny"
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "auto"}, []),
        ({"type": "any"}, ["weather", "clock"]),
        ({"type": "any", "disable_parallel_tool_use": True}, ["weather"]),
        ({"type": "tool", "name": "third"}, ["third"]),
        ({"type": "none"}, []),
    ],
)
def test_tool_choice_decides_the_calls(client: Anthropic, choice: Any, names: list[str]) -> None:
    message = create_message(client, "Hi", model="claude-haiku-5-5", tools=TOOLS, tool_choice=choice)
    assert [block.name for block in message.content if block.type == "tool_use"] == names


def test_cache_reads_grow_with_the_conversation(client: Anthropic) -> None:
    turns: list[Any] = ["word " * 600]
    read = []
    for question in ("And?", "Then?", "So?"):
        message = create_message(client, *turns, cache_control={"type": "ephemeral"})
        usage = message.usage
        read.append(usage.cache_read_input_tokens)
        assert usage.cache_creation.ephemeral_5m_input_tokens == usage.cache_creation_input_tokens > 0
        turns += [assistant_turn(message), question]
    assert read[0] == 0 < read[1] < read[2]


@pytest.mark.parametrize("streamed", [True, False])
def test_structured_output_follows_its_schema(client: Anthropic, streamed: bool) -> None:
    output = {"format": {"type": "json_schema", "schema": SCHEMA}}
    message = create_message(client, "Hi", output_config=output, streamed=streamed)
    Draft202012Validator(SCHEMA).validate(json.loads(message.content[-1].text))
    called = create_message(client, "Use a tool", output_config=output, tools=TOOLS)
    turns = ["Use a tool", assistant_turn(called), tool_results(called)]
    final = create_message(client, *turns, output_config=output, tools=TOOLS, streamed=streamed)
    assert block_types(final) == ["thinking", "text"]
    Draft202012Validator(SCHEMA).validate(json.loads(final.content[-1].text))


@pytest.mark.parametrize("streamed", [True, False])
def test_web_search_results_must_be_sent_back_unchanged(client: Anthropic, streamed: bool) -> None:
    message = create_message(client, "Please search", tools=SEARCH, streamed=streamed)
    assert block_types(message)[1:4] == ["text", "server_tool_use", "web_search_tool_result"]
    cited = [block.citations[0] for block in message.content if block.type == "text" and block.citations]
    assert [citation.url for citation in cited] == ["https://example.com/paris", "https://example.org/seine"]
    assert message.usage.server_tool_use.web_search_requests == 1
    turn = assistant_turn(message)
    assert (
        create_message(client, "Please search", turn, "Thanks", tools=SEARCH).content[-1].text
        == "You said: Thanks"
    )
    turn["content"][3]["content"][0]["encrypted_content"] = "abcd"
    with pytest.raises(BadRequestError, match="encrypted_content"):
        create_message(client, "Please search", turn, "Thanks", tools=SEARCH)


def test_paused_search_continues_only_unchanged(client: Anthropic) -> None:
    paused = create_message(client, "[pause] search", tools=SEARCH)
    assert paused.stop_reason == "pause_turn"
    turn = assistant_turn(paused)
    message = create_message(client, "[pause] search", turn, tools=SEARCH)
    assert message.stop_reason == "end_turn"
    assert any(block.type == "text" and block.citations for block in message.content)
    changed = {**turn, "content": [block for block in turn["content"] if block["type"] != "text"]}
    with pytest.raises(BadRequestError, match="cannot be modified"):
        create_message(client, "[pause] search", changed, tools=SEARCH)


ENDINGS = {"[refuse]": "refusal", "[refuse-late]": "refusal", "[long]": "max_tokens", "[empty]": "end_turn"}


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(("words", "reason"), ENDINGS.items())
def test_marker_decides_the_stop_reason(client: Anthropic, words: str, reason: str, streamed: bool) -> None:
    message = create_message(client, words, streamed=streamed)
    assert message.stop_reason == reason
    assert bool(message.content) == (words in ("[long]", "[refuse-late]"))
    assert bool(message.stop_details) == (reason == "refusal")


def test_media_stop_sequence_and_json_prompt(client: Anthropic) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    paper = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    message_param = {"role": "user", "content": [image, paper, {"type": "text", "text": "What?"}]}
    assert (
        create_message(client, message_param).content[-1].text
        == "I see an image. I read a document. You said: What?"
    )
    message = create_message(client, message_param, stop_sequences=["document"])
    assert (message.content[-1].text, message.stop_sequence) == ("I see an image. I read a ", "document")
    fenced = create_message(client, "Which city?", system="Answer with a JSON object.").content[-1].text
    assert '```json\n{"answer": "Paris"}\n```' in fenced


def test_errors_reach_the_sdk(client: Anthropic) -> None:
    for words, kind in [("[overloaded]", "overloaded_error"), ("[overloaded-later]", "overloaded_error")]:
        with pytest.raises(APIStatusError) as raised:
            create_message(client, words)
        assert raised.value.type == kind
    with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
        create_message(client, "[break]")
    with pytest.raises(BadRequestError, match=r"thinking\.type: this type of thinking is not supported"):
        create_message(client, "Hi", thinking={"type": "disabled"})
    with pytest.raises(NotFoundError):
        create_message(client, "Hi", model="gpt-4o")
    assert (
        httpx.post(client.base_url.join("v1/messages").__str__(), json={}, timeout=PATIENCE).status_code == 401
    )


def test_models_are_listed_and_retrieved(client: Anthropic, fake: FakeAnthropic) -> None:
    models = list(client.models.list())
    assert models[0].id == "claude-nova-6"
    assert next(model for model in models if model.id == SUMMARIZING_MODEL).capabilities is not None
    assert client.models.retrieve("claude-sonnet-4-5").id == "claude-sonnet-4-5-20250929"
    with pytest.raises(NotFoundError):
        client.models.retrieve("claude-unheard-of")
    assert fake.model_requests == 3
