"""The JSON object in a text is extracted, whatever surrounds it and however it is split."""

import json

import pytest

from claudexia.translate.response.text_filters import JSONObjectText

CASES = [
    pytest.param('{"a": 1}', '{"a": 1}', id="bare"),
    pytest.param('\n\n {"a": 1}\n', '{"a": 1}', id="space-around"),
    pytest.param('```json\n{"a": 1}\n```', '{"a": 1}', id="fence"),
    pytest.param('```\n{\n  "a": 1\n}\n```\nDone.', '{\n  "a": 1\n}', id="fence-without-language"),
    pytest.param('Here it is:\n\n```json\n{"a": {"b": [1, {"c": {}}]}}\n```\nAnything else?', '{"a": {"b": [1, {"c": {}}]}}', id="sentences-around"),
    pytest.param('{"a": "} {\\"b\\": 1} \\\\"} tail', '{"a": "} {\\"b\\": 1} \\\\"}', id="braces-and-escapes-in-strings"),
    pytest.param('{"a\\"}{": {"b": "\\\\"}} {"c": 1}', '{"a\\"}{": {"b": "\\\\"}}', id="escapes-in-keys"),
    pytest.param('{"ä": "\U0001f600 ü"}', '{"ä": "\U0001f600 ü"}', id="not-ascii"),
    pytest.param('Use {name} or {"name"} or {"name": value}: {"name": true}', '{"name": true}', id="braces-in-prose"),
    pytest.param('{{"a": null}}', '{"a": null}', id="doubled-braces"),
    pytest.param('{"a": 1} {"b": 2}', '{"a": 1}', id="two-objects"),
    pytest.param('[{"a": -1}]', '{"a": -1}', id="in-an-array"),
    pytest.param("{}", "{}", id="empty-object"),
    pytest.param("Nothing was found:\n```json\n{ }\n```", "{ }", id="empty-object-in-a-fence"),
    pytest.param('Instead of {} take {"a": 1}', '{"a": 1}', id="empty-object-in-prose-first"),
    pytest.param("I cannot put {} into words.", "I cannot put {} into words.", id="empty-braces-in-prose"),
    pytest.param("I cannot help with that.", "I cannot help with that.", id="no-object"),
    pytest.param("Take {name}.", "Take {name}.", id="only-braces-in-prose"),
    pytest.param("", "", id="nothing"),
    pytest.param('Sure: {"a": [1, {"b": "c', '{"a": [1, {"b": "c', id="cut-short"),
    pytest.param('Sure: {"a', 'Sure: {"a', id="cut-short-before-it-is-one"),
    pytest.param('Sure: {"a": "\\', '{"a": "\\', id="cut-short-in-an-escape"),
]  # fmt: skip


def filtered(text: str, size: int) -> str:
    json_text = JSONObjectText()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return "".join([*map(json_text.feed, pieces), json_text.feed(""), json_text.close()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(("text", "extracted"), CASES)
def test_extracted_text(text: str, extracted: str, size: int) -> None:
    assert filtered(text, size) == extracted


def test_an_object_is_streamed_while_it_arrives() -> None:
    json_text = JSONObjectText()
    assert json_text.feed('Here you are:\n```json\n{"a') == ""
    assert json_text.feed('": "b') == '{"a": "b'
    assert json_text.feed("c") == "c"
    assert json_text.feed('"}\n``') == '"}'
    assert json_text.feed("`") == ""
    assert json_text.close() == ""


def test_an_empty_piece_between_an_escape_and_its_character() -> None:
    json_text = JSONObjectText()
    extracted = "".join(map(json_text.feed, ['{"a": "\\', "", '"}', '"', "}", "x"]))
    assert json.loads(extracted) == {"a": '"}'}


def test_long_prose_is_searched_once() -> None:
    """Each piece is searched once. A search from the start for each piece would take many minutes here."""
    text = '{"' * 250_000 + "{ " * 250_000
    assert filtered(text, 4) == text
