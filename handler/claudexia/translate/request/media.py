"""Files in messages: PDFs and text become documents, images become images; the bytes decide, not the label.

Limits: https://platform.claude.com/docs/en/build-with-claude/pdf-support
"""

import base64
import binascii
import re

from claudexia.errors import APIError, invalid_request, missing, unsupported
from claudexia.translate.report import Report, check_extras
from claudexia.translate.types.anthropic import DocumentBlockParam, ImageBlockParam
from claudexia.translate.types.messages import FilePart, ImagePart

# --- claudexia.translate.data_urls
# Base64 as clients send it: taken out of its data URL, checked, and decoded to see what it is.
#
# The API's own complaint would name no field, so all of it is checked here.

_SPACES = re.compile(r"\s+")


def without_spaces(encoded: str) -> str:
    return _SPACES.sub("", encoded)


def encoded_part(rest: str, expected: str, path: str) -> str:
    """The base64 in what follows a data URL's scheme. Raises APIError 400 where there is none."""
    label, comma, encoded = rest.partition(",")
    if not comma or not label.lower().endswith(";base64"):
        raise invalid(path, f"expected {expected}")
    return without_spaces(encoded)


def decoded(data: str, path: str) -> bytes:
    """Raises APIError 400 `invalid_base64`."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(path, "the data is not valid base64", "invalid_base64") from None


def invalid(path: str, why: str, code: str = "invalid_value") -> APIError:
    return invalid_request(f"Invalid '{path}': {why}.", path, code)


# --- claudexia.translate.images
# Images: an https URL is passed on, never downloaded; a data URL becomes base64 with the type its bytes show.
#
# Limits: https://platform.claude.com/docs/en/build-with-claude/vision

MAX_BASE64 = 10 * 1024 * 1024
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def to_image(part: ImagePart, path: str, report: Report) -> ImageBlockParam:
    """`path` is where the part stands in the request. Raises APIError 400 for what Claude cannot read."""
    url = part.image_url.url.strip()
    if part.image_url.detail not in (None, "auto"):
        report.warn(f"{path}.image_url.detail", "Claude chooses the resolution itself")
    where = f"{path}.image_url.url"
    scheme, _, rest = url.partition(":")
    match scheme.lower():
        case "https" | "http":
            return {"type": "image", "source": {"type": "url", "url": f"{scheme.lower()}:{rest}"}}
        case "data":
            return from_base64(
                encoded_part(rest, "'data:image/...;base64,' and the encoded image", where), where
            )
    raise invalid(where, "expected an https URL or a data URL with base64 content")


def from_base64(encoded: str, path: str) -> ImageBlockParam:
    """Raises APIError 400 for what is too large, no base64 or no image that Claude reads."""
    data = without_spaces(encoded)
    if len(data) > MAX_BASE64:
        raise invalid(
            path, f"the image is larger than {MAX_BASE64 // 2**20} MB, Claude's limit", "image_too_large"
        )
    media_type = image_type(decoded(data, path))
    if media_type is None:
        raise invalid(path, "the data is no PNG, JPEG, GIF or WebP image", "invalid_image_format")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def image_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), None)


MAX_FILE_BASE64 = 32 * 1024 * 1024
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
    if len(data) > MAX_FILE_BASE64:
        raise invalid(
            path, f"the file is larger than {MAX_FILE_BASE64 // 2**20} MB, Claude's limit", "file_too_large"
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
