"""A custom tool's input is read from its JSON, split anywhere."""

import json

import pytest

from claudexia.translate.response.text_filters import CustomToolInput
from tests.helpers.steps import count_steps

TEXTS = {
    "plain": "ls -l",
    "empty": "",
    "quotes-and-backslashes": 'echo "\\n" \\\\ \\" end\\',
    "control": "a\tb\r\nc\b\f/\x01",
    "beyond-latin": "π 🌞 日本",
    "looks-like-an-escape": "\\u0041 \\\\u0041 \\ud83d",
    "looks-like-the-end": 'x"}, {"input": "y"}',
}


def read(written: str, step: int) -> str:
    decoder = CustomToolInput()
    pieces = [written[start : start + step] for start in range(0, len(written), step)]
    return "".join(decoder.feed(piece) for piece in pieces) + decoder.close()


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "raw"])
@pytest.mark.parametrize("name", TEXTS)
def test_written_input_is_read(name: str, ascii_only: bool) -> None:
    written = json.dumps({"input": TEXTS[name], "more": 'not "this"'}, ensure_ascii=ascii_only)
    for step in range(1, len(written) + 1):
        assert read(written, step) == TEXTS[name]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("{}", "", id="empty-object"),
        pytest.param(' {\n "input" : "x"}', "x", id="spaces"),
        pytest.param('{"note": 1, "input": "x\\n"}', "x\n", id="input-is-not-first"),
        pytest.param('{"inp', "", id="cut-before-it-began"),
        pytest.param('{"input": "ls \\', "ls ", id="cut-in-an-escape"),
        pytest.param('{"input": "ls \\u00', "ls ", id="cut-in-a-code"),
        pytest.param('{"input": "\\ud83d', "", id="cut-in-a-pair"),
        pytest.param('{"input": "\\ud83d!\\ude00\\ud83d\\u0041"}', "�!��A", id="halves-of-pairs"),
        pytest.param('{"input": "a\\u12G4b\\u\\n\\ud83d\\u12"}', "a\\u12G4b\\u\n�\\u12", id="no-codes"),
        pytest.param('{"input": "\\ud83d"}', "�", id="half-of-a-pair-at-the-end"),
        pytest.param('{"input": {"a": 1}}', '{"input": {"a": 1}}', id="no-string"),
        pytest.param('{"command": "ls"}', '{"command": "ls"}', id="another-key"),
        pytest.param("[1", "[1", id="no-object"),
        pytest.param("ls -l", "ls -l", id="no-json"),
    ],
)
def test_unexpected_json(written: str, text: str) -> None:
    for step in range(1, len(written) + 2):
        assert read(written, step) == text


@pytest.mark.parametrize(
    "piece",
    [
        "word ",
        "\\n",
        "\\",
        "\\u00e9 ",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\u12 ",
        "\\ud83d\\uzz",
        '"',
        '", "more": "',
    ],
)
@pytest.mark.parametrize("head", ['{"input": "', '{"note": "', "  ", '{"input": "\\u'], ids=repr)
def test_the_work_for_a_delta_does_not_grow_with_what_came_before(head: str, piece: str) -> None:
    def cost(deltas: int) -> tuple[int, int]:
        decoder = CustomToolInput()
        decoder.feed(head)
        for _ in range(deltas):
            decoder.feed(piece)
        return count_steps(lambda: decoder.feed(piece)), len(decoder._rest)

    steps, held = cost(100)
    assert cost(2000) == (steps, held)
    assert held < 20


def test_text_is_returned_as_it_arrives() -> None:
    decoder = CustomToolInput()
    pieces_read = [decoder.feed(piece) for piece in ('{"input": "', "a", "b\\", "u0063", '"}', "")]
    assert pieces_read == ["", "a", "b", "c", "", ""]
