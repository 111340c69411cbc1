"""Unpaired surrogates in a request body: half of an emoji, which a client has cut in two.

JavaScript and Python keep them in strings and write them as an escape, which strict JSON parsers refuse. Such a
string would fail every later request of its conversation, so U+FFFD takes their place.

Source: https://www.rfc-editor.org/rfc/rfc8259#section-8.2
"""

import json
import re

from claudexia.translate.report import MAX_WARNINGS, Report
from claudexia.translate.request.json_paths import paths_to

# Every body with an unpaired surrogate has a match: a first half that no second half follows, a second half
# without a first one before it, or an escaped backslash, after which \ud800 is no surrogate.
_MAY_BE_UNPAIRED = re.compile(
    rb"\\(?:u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])"
    rb"|\\u[dD])"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Of a warning's path: what is nested deeper is reported at the value around it, so that paths stay short.
_MAX_STEPS = 16


def replace_unpaired_surrogates(body: bytes, report: Report) -> bytes:
    """`body` with U+FFFD in place of each unpaired surrogate; `report` gets a warning for each such string."""
    if not _MAY_BE_UNPAIRED.search(body):
        return body
    try:
        document: object = json.loads(body)  # keeps unpaired surrogates, unlike pydantic's parser
        text = json.dumps(document, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body  # the API's own parser reports the error
    if not _SURROGATE.search(text):
        return body
    for number, path in enumerate(paths_to(_has_surrogate, document)):
        if number == MAX_WARNINGS:
            report.at(*path[:1]).warn("halves of further characters were replaced with U+FFFD")
            break
        steps = [_replaced(step) if isinstance(step, str) else step for step in path[:_MAX_STEPS]]
        report.at(*steps).warn("half of a character, an unpaired surrogate, was replaced with U+FFFD")
    return _replaced(text).encode()


def _replaced(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _has_surrogate(value: object) -> bool:
    """Whether `value`, any JSON, is a string with one, or an object that has one in a key."""
    if isinstance(value, str):
        return bool(_SURROGATE.search(value))
    return isinstance(value, dict) and any(map(_SURROGATE.search, value))
