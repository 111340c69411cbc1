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
