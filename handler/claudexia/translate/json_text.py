"""JSONObjectText: the one JSON object in what Claude wrote, whatever stands around it.

Asked in words for JSON, Claude may say a sentence first or put it into a code fence. OpenAI's clients parse
the content as it is.
"""

import re

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
