"""Files in messages: PDFs and text become documents, images become images; the bytes decide, not the label.

Limits: https://platform.claude.com/docs/en/build-with-claude/pdf-support
"""

import re

from claudexia.translate.anthropic_params import DocumentBlockParam, ImageBlockParam
from claudexia.translate.data_urls import decoded, encoded_part, invalid, without_spaces
from claudexia.translate.errors import missing, unsupported
from claudexia.translate.extras import check_extras
from claudexia.translate.fields import Report
from claudexia.translate.images import from_base64, image_type
from claudexia.translate.part_params import FilePart

MAX_BASE64 = 32 * 1024 * 1024
NO_STORE = "the gateway stores no files; send the content itself as base64, for example in 'file_data'"
_ACCEPTED = "Claude reads PDF files, text files in UTF-8 and PNG, JPEG, GIF or WebP images"
_IS_URL = re.compile(r"https?:", re.IGNORECASE)


def to_file(part: FilePart, path: str, report: Report) -> DocumentBlockParam | ImageBlockParam:
    """`path` is where the part stands in the request. Raises APIError 400 for what Claude cannot read."""
    file, where = part.file, f"{path}.file"
    check_extras(file, where, report)
    given = (file.file_data or file.file_url or "").strip()
    if not given:
        raise unsupported(f"{where}.file_id", NO_STORE) if file.file_id else missing(f"{where}.file_data")
    data_path = f"{where}.file_data" if file.file_data else f"{where}.file_url"
    block = _from_url(given) if _IS_URL.match(given) else _from_data(given, data_path)
    name = (file.filename or "").strip()
    if name and block["type"] == "document":
        block["title"] = name
    elif name:
        report.warn(f"{where}.filename", "Claude's images have no name")
    return block


def pdf_from_base64(encoded: str, path: str) -> DocumentBlockParam:
    """Raises APIError 400 for what is no PDF."""
    data = _within_limit(encoded, path)
    if not _is_pdf(decoded(data, path)):
        raise invalid(path, "the data is no PDF", "invalid_file_format")
    return _pdf(data)


def _from_url(url: str) -> DocumentBlockParam:
    """The API fetches it, and takes only PDFs from there."""
    scheme, _, rest = url.partition(":")
    return {"type": "document", "source": {"type": "url", "url": f"{scheme.lower()}:{rest}"}}


def _from_data(given: str, path: str) -> DocumentBlockParam | ImageBlockParam:
    scheme, _, rest = given.partition(":")
    labeled = scheme.lower() == "data"
    data = _within_limit(
        encoded_part(rest, "'data:...;base64,' and the encoded file", path) if labeled else given, path
    )
    content = decoded(data, path)
    if _is_pdf(content):
        return _pdf(data)
    if image_type(content):
        return from_base64(data, path)
    text = _text(content)
    if text is None:
        raise invalid(path, f"{_ACCEPTED}, and this file is none of them", "invalid_file_format")
    if not text.strip():
        raise invalid(path, "the file is empty", "invalid_file_format")
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}


def _within_limit(encoded: str, path: str) -> str:
    data = without_spaces(encoded)
    if len(data) > MAX_BASE64:
        raise invalid(
            path, f"the file is larger than {MAX_BASE64 // 2**20} MB, Claude's limit", "file_too_large"
        )
    return data


def _is_pdf(content: bytes) -> bool:
    return content[:64].lstrip(b"\xef\xbb\xbf\0 \t\r\n").startswith(b"%PDF")


def _pdf(data: str) -> DocumentBlockParam:
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}


def _text(content: bytes) -> str | None:
    try:
        return None if b"\0" in content else content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
