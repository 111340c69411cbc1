"""The stand-in as the official SDK meets it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, APIStatusError, BadRequestError, NotFoundError
from jsonschema import Draft202012Validator

from tests.fakes.anthropic.http import NEW, SCHEMA, SUMMARIZES, TOOLS, ask, kinds, results, said, sdk
from tests.fakes.anthropic.server import StandIn
from tests.helpers.serving import serving
from tests.helpers.waiting import PATIENCE

SEARCH = [{"type": "web_search_20250305", "name": "web_search"}]


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[Anthropic]:
    with serving(stand_in) as url, sdk(url) as client:
        yield client


@pytest.mark.parametrize("streamed", [True, False])
def test_a_greeting(client: Anthropic, stand_in: StandIn, streamed: bool) -> None:
    message = ask(client, "Hello", streamed=streamed)
    assert kinds(message) == ["thinking", "text"]
    assert message.content[0].thinking == ""
    assert message.content[1].text == "You said: Hello"
    assert (message.model, message.stop_reason) == (NEW, "end_turn")
    assert message.usage.output_tokens_details.thinking_tokens > 0
    assert stand_in.bodies[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert stand_in.headers[0]["authorization"] == "Bearer sk-ant-one"


@pytest.mark.parametrize("streamed", [True, False])
def test_rounds_of_tools(client: Anthropic, streamed: bool) -> None:
    turns: list[Any] = ["[rounds=2][interleave][redacted] Go"]
    ids = set()
    for _ in range(2):
        message = ask(client, *turns, tools=TOOLS, streamed=streamed)
        assert kinds(message) == ["thinking", "redacted_thinking", "text", "thinking", "tool_use", "tool_use"]
        assert message.stop_reason == "tool_use"
        for call in message.content[-2:]:
            Draft202012Validator(SCHEMA).validate(call.input)
            ids.add(call.id)
        turns += [said(message), results(message)]
    message = ask(client, *turns, tools=TOOLS, streamed=streamed)
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
def test_choices(client: Anthropic, choice: Any, names: list[str]) -> None:
    message = ask(client, "Hi", model="claude-haiku-5-5", tools=TOOLS, tool_choice=choice)
    assert [block.name for block in message.content if block.type == "tool_use"] == names


def test_the_cache_grows_with_the_conversation(client: Anthropic) -> None:
    turns: list[Any] = ["word " * 600]
    read = []
    for question in ("And?", "Then?", "So?"):
        message = ask(client, *turns, cache_control={"type": "ephemeral"})
        usage = message.usage
        read.append(usage.cache_read_input_tokens)
        assert usage.cache_creation.ephemeral_5m_input_tokens == usage.cache_creation_input_tokens > 0
        turns += [said(message), question]
    assert read[0] == 0 < read[1] < read[2]


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_in_a_schema(client: Anthropic, streamed: bool) -> None:
    output = {"format": {"type": "json_schema", "schema": SCHEMA}}
    message = ask(client, "Hi", output_config=output, streamed=streamed)
    Draft202012Validator(SCHEMA).validate(json.loads(message.content[-1].text))
    called = ask(client, "Use a tool", output_config=output, tools=TOOLS)
    turns = ["Use a tool", said(called), results(called)]
    told = ask(client, *turns, output_config=output, tools=TOOLS, streamed=streamed)
    assert kinds(told) == ["thinking", "text"]
    Draft202012Validator(SCHEMA).validate(json.loads(told.content[-1].text))


@pytest.mark.parametrize("streamed", [True, False])
def test_web_search(client: Anthropic, streamed: bool) -> None:
    message = ask(client, "Please search", tools=SEARCH, streamed=streamed)
    assert kinds(message)[1:4] == ["text", "server_tool_use", "web_search_tool_result"]
    cited = [block.citations[0] for block in message.content if block.type == "text" and block.citations]
    assert [citation.url for citation in cited] == ["https://example.com/paris", "https://example.org/seine"]
    assert message.usage.server_tool_use.web_search_requests == 1
    turn = said(message)
    assert ask(client, "Please search", turn, "Thanks", tools=SEARCH).content[-1].text == "You said: Thanks"
    turn["content"][3]["content"][0]["encrypted_content"] = "abcd"
    with pytest.raises(BadRequestError, match="encrypted_content"):
        ask(client, "Please search", turn, "Thanks", tools=SEARCH)


def test_a_paused_search_is_continued_verbatim(client: Anthropic) -> None:
    paused = ask(client, "[pause] search", tools=SEARCH)
    assert paused.stop_reason == "pause_turn"
    turn = said(paused)
    message = ask(client, "[pause] search", turn, tools=SEARCH)
    assert message.stop_reason == "end_turn"
    assert any(block.type == "text" and block.citations for block in message.content)
    changed = {**turn, "content": [block for block in turn["content"] if block["type"] != "text"]}
    with pytest.raises(BadRequestError, match="cannot be modified"):
        ask(client, "[pause] search", changed, tools=SEARCH)


ENDINGS = {"[refuse]": "refusal", "[refuse-late]": "refusal", "[long]": "max_tokens", "[empty]": "end_turn"}


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(("words", "reason"), ENDINGS.items())
def test_endings(client: Anthropic, words: str, reason: str, streamed: bool) -> None:
    message = ask(client, words, streamed=streamed)
    assert message.stop_reason == reason
    assert bool(message.content) == (words in ("[long]", "[refuse-late]"))
    assert bool(message.stop_details) == (reason == "refusal")


def test_what_is_seen_and_where_it_stops(client: Anthropic) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    paper = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    asked = {"role": "user", "content": [image, paper, {"type": "text", "text": "What?"}]}
    assert ask(client, asked).content[-1].text == "I see an image. I read a document. You said: What?"
    message = ask(client, asked, stop_sequences=["document"])
    assert (message.content[-1].text, message.stop_sequence) == ("I see an image. I read a ", "document")
    fenced = ask(client, "Which city?", system="Answer with a JSON object.").content[-1].text
    assert '```json\n{"answer": "Paris"}\n```' in fenced


def test_failures(client: Anthropic) -> None:
    for words, kind in [("[overloaded]", "overloaded_error"), ("[overloaded-later]", "overloaded_error")]:
        with pytest.raises(APIStatusError) as raised:
            ask(client, words)
        assert raised.value.type == kind
    with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
        ask(client, "[break]")
    with pytest.raises(BadRequestError, match=r"thinking\.type: this type of thinking is not supported"):
        ask(client, "Hi", thinking={"type": "disabled"})
    with pytest.raises(NotFoundError):
        ask(client, "Hi", model="gpt-4o")
    assert (
        httpx.post(client.base_url.join("v1/messages").__str__(), json={}, timeout=PATIENCE).status_code == 401
    )


def test_models(client: Anthropic, stand_in: StandIn) -> None:
    models = list(client.models.list())
    assert models[0].id == "claude-nova-6"
    assert next(one for one in models if one.id == SUMMARIZES).capabilities is not None
    assert client.models.retrieve("claude-sonnet-4-5").id == "claude-sonnet-4-5-20250929"
    with pytest.raises(NotFoundError):
        client.models.retrieve("claude-unheard-of")
    assert stand_in.listed == 3
