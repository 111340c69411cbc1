"""The input of a custom tool: a plain string, which Claude writes as `{"input": "..."}`."""

import re

from pydantic_core import from_json

# Patterns, not compiled before they are needed: few requests have custom tools, and imports are cold start.
_HEAD = r'\s*\{\s*"input"\s*:\s*"'
_HEAD_SIZE = 64
_LOW = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
# One escape that is whole; half of a pair is whole only when its other half does not follow.
_ESCAPE = rf"{_HIGH}{_LOW}|{_HIGH}(?=[^\\]|\\[^u]|\\u[0-9a-fA-F]{{4}})|(?!{_HIGH})\\u[0-9a-fA-F]{{4}}|\\[^u]"
_CHARACTERS = rf'(?:[^"\\]+|{_ESCAPE})*'
_NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class CustomInput:
    """feed() the JSON as it comes, cut anywhere, then close(); both return what is to be told now.

    An object that does not begin with `input` is read at its end, and where it has no such string, its JSON is
    the input: what Claude wrote is told in any case.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._head = self._rest = ""
        self._inside = self._ended = False

    def feed(self, text: str) -> str:
        if self._ended:
            return ""
        if self._inside:
            return self._characters(text)
        self._pieces.append(text)
        if len(self._head) < _HEAD_SIZE:
            self._head = (self._head + text)[:_HEAD_SIZE]
        if not (head := re.match(_HEAD, self._head)):
            return ""
        self._inside = True
        return self._characters("".join(self._pieces)[head.end() :])

    def close(self) -> str:
        return "" if self._inside else _read("".join(self._pieces))

    def _characters(self, text: str) -> str:
        text = self._rest + text
        if '"' not in text and "\\" not in text:
            self._rest = ""
            return text
        characters = re.match(_CHARACTERS, text)
        end = characters.end() if characters else 0
        self._rest = text[end:]
        self._ended = self._rest.startswith('"')
        return re.sub(_ESCAPE, _unescaped, text[:end])


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[0]
    if code[1] != "u":
        return _NAMED.get(code[1], code[1])
    # UTF-16, so that a pair is one character; half of one is none and becomes U+FFFD.
    return bytes.fromhex(code.replace("\\u", "")).decode("utf-16-be", "replace")


def _read(text: str) -> str:
    try:
        value = from_json(text or "{}", allow_partial="trailing-strings")
    except ValueError:
        return text
    if value == {}:
        return ""
    found = value.get("input") if isinstance(value, dict) else None
    return found if isinstance(found, str) else text


# --- claudexia.translate.json_text
# JSONObjectText: the one JSON object in what Claude wrote, whatever stands around it.
#
# Asked in words for JSON, Claude may say a sentence first or put it into a code fence. OpenAI's clients parse
# the content as it is.

# A first key and the first character of its value: `{name}` or `{"name"}` in a sentence is not meant.
_SPACE = r"[ \t\r\n]{0,200}"
_BEGINNING = re.compile(rf'\{{{_SPACE}"(?:[^"\\\x00-\x1f]|\\.){{0,256}}"{_SPACE}:{_SPACE}["{{\[\-0-9tfn]')
# What further text may still make one.
_MAY_BEGIN = re.compile(
    rf'\{{{_SPACE}(?:"(?:[^"\\\x00-\x1f]|\\.){{0,256}}(?:\\|"{_SPACE}(?::{_SPACE})?)?)?\Z', re.DOTALL
)
# At the end of a line or of the answer.
_EMPTY = re.compile(rf"\{{{_SPACE}\}}(?=[ \t\r]*(?:\n|```|\Z))")
_OUTSIDE = re.compile(r'["{}]')
_INSIDE = re.compile(r'["\\]')


class JSONObjectText:
    """feed() text as it comes, cut anywhere; close() when there is no more.

    What stands before the object is held back, what follows it is dropped. Where no object begins, close()
    gives everything back, so that no answer is lost; an object that is cut short is told as far as it goes.
    """

    def __init__(self) -> None:
        self._held = ""
        self._searched = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._ended = False

    def feed(self, text: str) -> str:
        """What can be told now."""
        if self._ended or not text:
            return ""
        if self._depth:
            return self._passed(text)
        self._held += text
        while (start := self._held.find("{", self._searched)) >= 0:
            if _BEGINNING.match(self._held, start):
                beginning, self._held = self._held[start:], ""
                return self._passed(beginning)
            if _MAY_BEGIN.match(self._held, start):
                self._searched = start
                return ""
            self._searched = start + 1
        self._searched = len(self._held)
        return ""

    def close(self) -> str:
        """The rest: nothing after an object, else all that was held; of that, an empty object alone."""
        held, self._held, self._ended = self._held, "", True
        empty = _EMPTY.search(held)
        return empty[0] if empty else held

    def _passed(self, text: str) -> str:
        """`text` up to the brace that closes the object."""
        at = 1 if self._escaped else 0
        self._escaped = False
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(text, at):
            at = found.end()
            match found[0]:
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    self._escaped = at == len(text)
                    at += 1
                case "{":
                    self._depth += 1
                case "}":
                    self._depth -= 1
            if not self._depth:
                self._ended = True
                return text[:at]
        return text
