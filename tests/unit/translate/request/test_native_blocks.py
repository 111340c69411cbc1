"""Anthropic's own content blocks in OpenAI's messages: passed on, or refused where the API would refuse them."""

import json
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.request.build import MessageRequest, to_message_params
from claudexia.translate.request.parse import parse_params
from tests.fakes.anthropic.rules import assert_accepted

MODEL = "claude-sonnet-4-5"
PNG, PDF = "iVBORw0KGgo=", "JVBERi0xLjc="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
SEARCH: dict[str, Any] = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "q"},
}
PAGE = {"type": "web_search_result", "encrypted_content": "e", "title": "t", "url": "https://x"}
FOUND: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [PAGE]}
USE = {"type": "tool_use", "id": "x", "name": "f", "input": {"a": 1}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [*content]}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source}


def result(content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "x", **({"content": content} if content else {}), **fields}


def translate(messages: list[Any]) -> MessageRequest:
    body = json.dumps({"model": MODEL, "messages": messages}).encode()
    request = to_message_params(parse_params(body), find_model(MODEL, {}))
    assert_accepted(json.loads(json.dumps(request.params)))
    return request


PASSED = [
    pytest.param(IMAGE, id="image"),
    pytest.param({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}, id="image-url"),
    pytest.param(document(type="base64", media_type="application/pdf", data=PDF), id="pdf"),
    pytest.param(document(type="url", url="https://x/y.pdf"), id="pdf-url"),
    pytest.param(document(type="text", media_type="text/plain", data="a"), id="plain-text"),
    pytest.param(document(type="content", content="a"), id="content-string"),
    pytest.param(document(type="content", content=[text("a"), IMAGE]), id="content-blocks"),
    pytest.param(
        {**document(type="content", content="a"), "title": "t", "context": "c", "citations": {"enabled": True}},
        id="title-context-citations",
    ),
    pytest.param(
        {"type": "search_result", "source": "s", "title": "t", "content": [text("a")]}, id="search-result"
    ),
]


@pytest.mark.parametrize("block", PASSED)
def test_input_blocks_are_passed_on(block: Any) -> None:
    request = translate([user([block, text("b")])])
    assert request.params["messages"][0]["content"] == [block, text("b")]
    given = result([block])
    assert translate([user("a"), assistant(USE), user([given])]).params["messages"][2]["content"] == [given]
    assert not request.warnings


def test_the_bytes_determine_the_media_type() -> None:
    wrong = {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": PNG}}
    assert translate([user([wrong])]).params["messages"][0]["content"] == [IMAGE]


RESULTS = [
    pytest.param([result("1")], [result([text("1")])], id="string"),
    pytest.param([result([text("1"), IMAGE])], [result([text("1"), IMAGE])], id="blocks"),
    pytest.param([result()], [result()], id="nothing"),
    pytest.param([result("no", is_error=True)], [result([text("no")], is_error=True)], id="failed"),
    pytest.param([text("a"), result("1")], [result([text("1")]), text("a")], id="comes-first"),
]


@pytest.mark.parametrize(("content", "sent"), RESULTS)
def test_results_in_a_message_of_the_user(content: Any, sent: Any) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    for calling in ({"role": "assistant", "tool_calls": [call]}, assistant(USE)):
        request = translate([user("a"), calling, user(content)])
        turns: list[Any] = [turn["content"] for turn in request.params["messages"]]
        assert turns == [[text("a")], [USE], sent]
        assert not request.warnings


def test_a_tool_message_answers_a_native_call() -> None:
    foreign = {**USE, "id": "f:0", "name": "a.b", "caller": {"type": "direct"}}
    answer = {"role": "tool", "tool_call_id": "f:0", "content": "1"}
    request = translate([user("a"), assistant(foreign), answer])
    use: Any = request.params["messages"][1]["content"][0]
    assert (use["id"], request.options.original_name(use["name"]), use["input"]) == ("f_0", "a.b", {"a": 1})
    assert [tool["name"] for tool in request.params["tools"]] == [use["name"]]
    assert not request.warnings


ANSWERS = [
    pytest.param([SEARCH, FOUND, text("a")], id="web-search"),
    pytest.param(
        [SEARCH, {**FOUND, "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"}}],
        id="web-search-error",
    ),
    pytest.param(
        [
            {"type": "thinking", "thinking": "", "signature": "s"},
            {**SEARCH, "name": "code_execution"},
            {
                "type": "code_execution_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": {"type": "code_execution_tool_result_error", "error_code": "unavailable"},
            },
            text("a"),
        ],
        id="another-tool-after-thinking",
    ),
]


@pytest.mark.parametrize("blocks", ANSWERS)
def test_server_tool_blocks_are_passed_on(blocks: Any) -> None:
    body = {"model": MODEL, "messages": [user("q"), assistant(*blocks), user("b")]}
    request = to_message_params(parse_params(json.dumps(body).encode()), find_model(MODEL, {}))
    assert request.params["messages"][1]["content"] == blocks
    assert not request.warnings


def test_a_paused_turn_is_sent_back_as_it_is() -> None:
    body = {"model": "claude-sonnet-5-5", "messages": [user("q"), assistant(SEARCH)]}
    request = to_message_params(parse_params(json.dumps(body).encode()), find_model("claude-sonnet-5-5", {}))
    assert request.params["messages"][-1] == assistant(SEARCH)
    assert not request.warnings


def test_a_system_message_after_a_paused_turn_goes_to_the_front() -> None:
    messages = [user("q"), assistant(SEARCH), {"role": "system", "content": "s"}]
    body = {"model": "claude-sonnet-5-5", "messages": messages}
    request = to_message_params(parse_params(json.dumps(body).encode()), find_model("claude-sonnet-5-5", {}))
    assert request.params["messages"][-1] == assistant(SEARCH)
    assert request.params["system"] == [text("s")]
    assert [warning.param for warning in request.warnings] == ["messages[2]"]


def test_a_server_tool_result_may_follow_client_tool_results() -> None:
    messages = [user("q"), assistant(SEARCH, USE), user([result("1")]), assistant(FOUND, text("a")), user("b")]
    request = to_message_params(
        parse_params(json.dumps({"model": MODEL, "messages": messages}).encode()), find_model(MODEL, {})
    )
    assert request.params["messages"][3]["content"] == [FOUND, text("a")]


PART = "messages[0].content[0]"
REFUSED = [
    pytest.param([user([document(type="file", file_id="f")])], f"{PART}.source.file_id", id="stored-file"),
    pytest.param(
        [user([{"type": "image", "source": {"type": "file", "file_id": "f"}}])],
        f"{PART}.source.file_id",
        id="stored-image",
    ),
    pytest.param(
        [user([document(type="base64", media_type="x", data=PNG)])], f"{PART}.source.data", id="no-pdf"
    ),
    pytest.param(
        [user([{"type": "image", "source": {**IMAGE["source"], "data": "UEsAAA=="}}])],  # type: ignore[dict-item]
        f"{PART}.source.data",
        id="no-image",
    ),
    pytest.param([user([document(type="url", url="s3://x")])], f"{PART}.source.url", id="scheme"),
    pytest.param(
        [user([document(type="url", url="https://x", page=1)])], f"{PART}.source.page", id="extra-key"
    ),
    pytest.param(
        [user([document(type="text", media_type="text/plain", data=" ")])],
        f"{PART}.source.data",
        id="blank-text",
    ),
    pytest.param([user([{"type": "document"}])], f"{PART}.source", id="no-source"),
    pytest.param(
        [user([{"type": "search_result", "source": "s", "title": "t", "content": [text(" ")]}])],
        f"{PART}.content[0].text",
        id="blank-search-result",
    ),
    pytest.param([user([result("1")])], f"{PART}.tool_use_id", id="result-without-call"),
    pytest.param([user("a"), assistant(USE), user("b")], "messages.[1].role", id="call-without-result"),
    pytest.param([user("a"), assistant({**USE, "input": "{}"})], "messages[1].content[0].input", id="input"),
    pytest.param([user([USE])], f"{PART}.type", id="call-by-the-user"),
    pytest.param([user("a"), assistant(result())], "messages[1].content[0].type", id="result-by-the-assistant"),
    pytest.param([user("a"), assistant(SEARCH), user("b")], "messages[2].content", id="search-without-result"),
    pytest.param([user("a"), assistant(FOUND), user("b")], "messages[1].content", id="result-without-search"),
    pytest.param(
        [user("a"), assistant(SEARCH, FOUND, SEARCH, FOUND), user("b")],
        "messages[1].content",
        id="id-used-twice",
    ),
    pytest.param(
        [user("a"), assistant({**SEARCH, "id": "x"}), user("b")], "messages[1].content[0].id", id="foreign-id"
    ),
    pytest.param(
        [user("a"), assistant({"type": "container_upload", "file_id": "f"})],
        "messages[1].content[0].type",
        id="unknown-block",
    ),
]


@pytest.mark.parametrize(("messages", "param"), REFUSED)
def test_refused(messages: list[Any], param: str) -> None:
    with pytest.raises(APIError) as caught:
        translate(messages)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert len(caught.value.message) < 400


def test_unknown_keys_are_left_out_and_reported() -> None:
    request = translate([user([{**IMAGE, "transformations": {"oversized_image": "error"}}])])
    assert request.params["messages"][0]["content"] == [IMAGE]
    assert [warning.param for warning in request.warnings] == [f"{PART}.transformations"]
