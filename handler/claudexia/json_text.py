"""JSON that every parser and every line reader can read."""

from pydantic_core import to_json

# In UTF-8: the line ends of Unicode that JSON does not escape. Readers that split text into lines
# (str.splitlines, httpx's and requests' iter_lines) cut a body there.
# https://www.unicode.org/standard/reports/tr13/tr13-5.html
_LINE_ENDS = ((b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"), (b"\xc2\x85", rb"\u0085"))


def dump(value: object) -> bytes:
    """`value` as UTF-8 JSON in one line. NaN and the infinities, for which JSON has no word, become null."""
    return with_line_ends_escaped(to_json(value, inf_nan_mode="null"))


def with_line_ends_escaped(data: bytes) -> bytes:
    """`data`, JSON or events whose data is JSON, with these characters of its strings as escapes."""
    if data.isascii():
        return data
    for character, escape in _LINE_ENDS:
        data = data.replace(character, escape)
    return data
