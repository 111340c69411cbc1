"""Filters of streamed text: a custom tool's input, a JSON object in prose, the keys of a JSON object.

CustomToolInput: OpenAI's input of a custom tool is a plain string, which Claude writes as `{"input": "..."}`.
ObjectText: the names of some arguments are not those that Claude was given.
JSONObjectText: if the prompt asks for JSON, Claude may write a sentence or a code fence around the object, but
OpenAI's clients parse the content as it is.
"""

import re
from collections.abc import Mapping

from pydantic_core import from_json, to_json

# Patterns that are compiled on first use: few requests have custom tools, and imports are part of a cold start.
_HEAD = r'\s*\{\s*"input"\s*:\s*"'
_HEAD_SIZE = 64
_LOW = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_CODE = r"\\u[0-9a-fA-F]{4}"
# Not JSON. It is sent as it stands, so that no more than one escape waits for its end.
_NO_CODE = r"\\u(?=[0-9a-fA-F]{0,3}[^0-9a-fA-F])"
# One complete escape. Half of a surrogate pair is complete only if its other half does not follow.
_ESCAPE = rf"{_HIGH}{_LOW}|{_HIGH}(?=[^\\]|\\[^u]|{_CODE}|{_NO_CODE})|(?!{_HIGH}){_CODE}|{_NO_CODE}|\\[^u]"
# The same in text that ends with a complete one.
_COMPLETE = rf"{_HIGH}{_LOW}|{_CODE}|\\."
# Possessive: to go back, the search would note each escape, 65 bytes for one of text.
_CHARACTERS = rf'(?:[^"\\]+|{_ESCAPE})*+'
_NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class CustomToolInput:
    """feed() takes the JSON, split at any position; close() ends it. Both return text to send.

    An object that does not begin with `input` is decoded at its end. If it has no such string, its JSON is the
    input, so nothing that Claude wrote is lost.
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
        return "" if self._inside else _decode("".join(self._pieces))

    def _characters(self, text: str) -> str:
        text = self._rest + text
        if '"' not in text and "\\" not in text:
            self._rest = ""
            return text
        characters = re.match(_CHARACTERS, text)
        end = characters.end() if characters else 0
        self._rest = text[end:]
        self._ended = self._rest.startswith('"')
        return re.sub(_COMPLETE, _unescape, text[:end], flags=re.DOTALL)


def _unescape(escape: re.Match[str]) -> str:
    code = escape[0]
    if code == "\\u":
        return code
    if code[1] != "u":
        return _NAMED.get(code[1], code[1])
    # UTF-16, so that a surrogate pair becomes one character. Half of a pair becomes U+FFFD.
    return bytes.fromhex(code.replace("\\u", "")).decode("utf-16-be", "replace")


def _decode(text: str) -> str:
    try:
        value = from_json(text or "{}", allow_partial="trailing-strings")
    except ValueError:
        return text
    if value == {}:
        return ""
    found = value.get("input") if isinstance(value, dict) else None
    return found if isinstance(found, str) else text


# A first key and the first character of its value, so that `{name}` or `{"name"}` in a sentence does not match.
_SPACE = r"[ \t\r\n]{0,200}"
_BEGINNING = re.compile(rf'\{{{_SPACE}"(?:[^"\\\x00-\x1f]|\\.){{0,256}}"{_SPACE}:{_SPACE}["{{\[\-0-9tfn]')
# The end of the text so far, if more text may complete it to a _BEGINNING.
_MAY_BEGIN = re.compile(
    rf'\{{{_SPACE}(?:"(?:[^"\\\x00-\x1f]|\\.){{0,256}}(?:\\|"{_SPACE}(?::{_SPACE})?)?)?\Z', re.DOTALL
)
# An empty object, at the end of a line or of the answer.
_EMPTY = re.compile(rf"\{{{_SPACE}\}}(?=[ \t\r]*(?:\n|```|\Z))")
_OUTSIDE = re.compile(r'["{}]')
_INSIDE = re.compile(r'["\\]')


class JSONObjectText:
    """feed() takes text, split at any position; close() ends it. Both return text to send.

    Text before the object is held back and text after it is dropped. If no object begins, close() returns all
    text, so that no answer is lost. An object that is cut off is sent as far as it goes.
    """

    def __init__(self) -> None:
        self._searched: list[str] = []  # held back, without the beginning of an object
        self._tail = ""  # held back after that: it may be the start of a beginning
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._ended = False

    def feed(self, text: str) -> str:
        if self._ended or not text:
            return ""
        if self._depth:
            return self._up_to_end(text)
        text, start = self._tail + text, 0
        while (start := text.find("{", start)) >= 0:
            if _BEGINNING.match(text, start):
                self._searched, self._tail = [], ""
                return self._up_to_end(text[start:])
            if _MAY_BEGIN.match(text, start):
                break
            start += 1
        end = len(text) if start < 0 else start
        self._searched.append(text[:end])
        self._tail = text[end:]
        return ""

    def close(self) -> str:
        """The text held back, or only the empty object in it; "" after an object."""
        held = "".join([*self._searched, self._tail])
        self._searched, self._tail, self._ended = [], "", True
        empty = _EMPTY.search(held)
        return empty[0] if empty else held

    def _up_to_end(self, text: str) -> str:
        """`text` up to the brace that closes the object."""
        position = 1 if self._escaped else 0
        self._escaped = False
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(text, position):
            position = found.end()
            match found[0]:
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    self._escaped = position == len(text)
                    position += 1
                case "{":
                    self._depth += 1
                case "}":
                    self._depth -= 1
            if not self._depth:
                self._ended = True
                return text[:position]
        return text


_STRUCTURE = re.compile(r'["{}\[\],]')
_NO_NAMES: Mapping[str, str] = {}


class ObjectText:
    """feed() takes the JSON of an object, split at any position, and returns it up to its end.

    Keys of the outermost object that are in `names` are replaced. `ended` is true once the object is complete,
    and `end` is then its end in the latest piece. close() returns what is held of an object that is cut off.
    """

    def __init__(self, names: Mapping[str, str] = _NO_NAMES) -> None:
        self.ended = False
        self.end = 0
        self._names = names
        self._depth = 0
        self._in_string = self._escaped = False
        self._key_follows = False  # whether the next string is a key of the outermost object
        self._key: list[str] | None = None  # a key that may be replaced, as far as it was received

    def feed(self, text: str, position: int = 0) -> str:
        """`position`: where the piece begins in `text`."""
        sent: list[str] = []
        while position < len(text) and not self.ended:
            start = position
            if self._in_string:
                position, ended = self._string_end(text, position)
                piece = text[start:position]
                if self._key is not None:
                    self._key.append(piece)
                    piece = self._take_key() if ended else ""
            else:
                found = _STRUCTURE.search(text, position)
                position = found.end() if found else len(text)
                piece = text[start:position]
                if found and self._step(found[0]):
                    piece, self._key = piece[:-1], [found[0]]
            sent.append(piece)
        self.end = position
        return "".join(sent)

    def close(self) -> str:
        held, self._key = "".join(self._key or ()), None
        return held

    def _string_end(self, text: str, position: int) -> tuple[int, bool]:
        """The position after the string's closing quote, or the end of `text`, and whether the string ended."""
        if self._escaped:
            position += 1
            self._escaped = False
        while found := _INSIDE.search(text, position):
            position = found.end()
            if found[0] == '"':
                self._in_string = False
                return position, True
            self._escaped = position == len(text)
            position += 1
        return len(text), False

    def _step(self, character: str) -> bool:
        """Whether `character` begins a key that may be replaced."""
        match character:
            case '"':
                self._in_string = True
                is_key, self._key_follows = self._key_follows, False
                return is_key and bool(self._names)
            case "{" | "[":
                self._depth += 1
                self._key_follows = self._depth == 1
            case "}" | "]":
                self._depth -= 1
                self.ended = not self._depth
            case _:
                self._key_follows = self._depth == 1
        return False

    def _take_key(self) -> str:
        key = self.close()
        try:
            name = self._names.get(from_json(key))
        except ValueError:
            name = None
        return key if name is None else to_json(name).decode()
