"""A request's body as UTF-8: content codings and other encodings of text undone, or refused by name.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-8.4 and https://www.rfc-editor.org/rfc/rfc8259#section-8.1
"""

import codecs
import json
import re
import zlib

from claudexia.errors import APIError, invalid_request, shorten

# By the coding's name, the format for zlib: a header of either kind, which is detected.
_CODINGS = {"gzip": 47, "x-gzip": 47, "deflate": 47}
_RAW_DEFLATE = -15  # some clients send `deflate` without zlib's header
_UNICODE = ("utf-16", "utf-32")
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^\s;"']+)""", re.IGNORECASE)
_SINGLE_BYTE = ("iso8859-1", "iso8859-15", "cp1252")


def too_large(limit: int) -> APIError:
    return APIError(
        413, f"The request is larger than {limit // 2**20} MB, the limit.", code="request_too_large"
    )


def decompressed(body: bytes, content_encoding: str, limit: int) -> bytes:
    """`body` without its content codings; at most `limit` bytes are made of it.

    Raises APIError 413 if they are more, 415 for an unknown coding, 400 if the body has another one.
    """
    codings = [name.strip().lower() for name in content_encoding.split(",") if name.strip()]
    for coding in reversed(codings):
        if coding == "identity":
            continue
        if coding not in _CODINGS or len(codings) > 1:
            raise APIError(
                415,
                f"The content-encoding '{shorten(content_encoding)}' is not supported: send the body as it is, "
                "or with one of gzip and deflate.",
                code="unsupported_content_encoding",
            )
        body = _inflated(body, coding, limit)
    return body


def _inflated(body: bytes, coding: str, limit: int) -> bytes:
    try:
        return _inflate(body, _CODINGS[coding], limit)
    except zlib.error:
        pass
    try:
        if coding == "deflate":
            return _inflate(body, _RAW_DEFLATE, limit)
    except zlib.error:
        pass
    raise invalid_request(
        f"The body could not be decompressed: it is not {coding} data, or it was damaged on its way. Send it "
        "without a content-encoding.",
        None,
        "invalid_body",
    )


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    """All members of `body`, which gzip allows to be several. Raises zlib.error if the last one has no end."""
    parts: list[bytes] = []
    size = 0
    while True:
        inflater = zlib.decompressobj(window)
        parts.append(inflater.decompress(body, limit + 1 - size))
        size += len(parts[-1])
        if size > limit:
            raise too_large(limit)
        if not inflater.eof:
            raise zlib.error("incomplete")
        body = inflater.unused_data
        if not body.strip(b"\0"):
            return b"".join(parts)


def in_utf8(body: bytes, content_type: str) -> bytes:
    """`body`, which is JSON, in UTF-8 without a byte order mark. Raises APIError 415 for an unknown charset.

    UTF-16 and UTF-32 are recognized without a charset. A body in UTF-8 is taken as such, whatever its charset.
    """
    detected = json.detect_encoding(body)
    if detected == "utf-8-sig":
        return body.removeprefix(codecs.BOM_UTF8)
    if detected != "utf-8":
        return body.decode(detected, "replace").encode()
    charset = _charset(content_type)
    if charset in ("", "utf-8", "ascii"):
        return body
    if charset.startswith(_UNICODE):
        return body.decode(charset, "replace").encode()
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode(charset, "replace").encode()
    return body


def _charset(content_type: str) -> str:
    """Python's name of the charset in `content_type`; "" without one."""
    parameter = _CHARSET.search(content_type)
    if not parameter:
        return ""
    name = parameter[1]
    try:
        found = codecs.lookup(name).name
    except LookupError:
        found = ""
    if found in ("utf-8", "ascii", *_SINGLE_BYTE) or found.startswith(_UNICODE):
        return found
    raise APIError(
        415,
        f"The charset '{shorten(name)}' is not supported: send the body in UTF-8.",
        code="unsupported_charset",
    )
