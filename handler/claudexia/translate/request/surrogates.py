"""Unpaired surrogates in a request body: half of an emoji, which a client has cut in two.

JavaScript and Python keep them in strings and write them as an escape, which strict JSON parsers refuse. Such a
string would fail every later request of its conversation, so U+FFFD takes their place.

Source: https://www.rfc-editor.org/rfc/rfc8259#section-8.2
"""

import json
import re

from claudexia.translate.report import Report, Step

# A backslash escapes the next character; a pair is one match, so what is left of \\ud800-\\udfff is unpaired.
_ESCAPE = re.compile(
    rb"\\(?:(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(u[dD][89a-fA-F])|.)", re.DOTALL
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_unpaired_surrogates(body: bytes, report: Report) -> bytes:
    """`body` with U+FFFD in place of each unpaired surrogate; `report` gets a warning for each such string."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    if not any(escape[2] for escape in _ESCAPE.finditer(body)):
        return body
    try:
        document: object = json.loads(body)  # keeps unpaired surrogates, unlike pydantic's parser
    except (ValueError, RecursionError):
        return body  # the API's own parser reports the error
    for path in _paths(document):
        report.at(*path).warn("half of a character, an unpaired surrogate, was replaced with U+FFFD")
    return _SURROGATE.sub("\ufffd", json.dumps(document, ensure_ascii=False)).encode()


def _paths(document: object) -> list[tuple[Step, ...]]:
    """The places of the strings and keys with an unpaired surrogate, in order."""
    found: list[tuple[Step, ...]] = []
    rest: list[tuple[tuple[Step, ...], object]] = [((), document)]
    while rest:
        path, node = rest.pop()
        if isinstance(node, str):
            found += [path] if _SURROGATE.search(node) else []
        elif isinstance(node, list):
            rest += [((*path, index), child) for index, child in enumerate(node)][::-1]
        elif isinstance(node, dict):
            found += [path for key in node if _SURROGATE.search(key)][:1]
            rest += [((*path, _SURROGATE.sub("\ufffd", key)), child) for key, child in node.items()][::-1]
    return found
