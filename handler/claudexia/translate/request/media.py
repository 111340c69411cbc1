"""Images and files in messages: images become image blocks, PDFs and text become documents.

A URL is passed on and never downloaded here. For base64 the type is taken from the bytes, not from the label.
Base64 is checked here because the API's own error would name no field.

Limits: https://platform.claude.com/docs/en/build-with-claude/vision and /pdf-support
"""

import base64
import binascii
import re

from claudexia.errors import APIError
from claudexia.translate.report import Report, check_extras
from claudexia.translate.types.anthropic import DocumentBlockParam, ImageBlockParam
from claudexia.translate.types.messages import BareImageURL, FilePart, ImagePart

MAX_BASE64 = 10 * 1024 * 1024
MAX_FILE_BASE64 = 32 * 1024 * 1024
FILES_NOT_STORED = "the gateway stores no files; send the content itself as base64, for example in 'file_data'"

_FILE_FIELDS = ("file_data", "file_url", "file_id")  # in order of preference
_WEB_URL = re.compile(r"https?:", re.IGNORECASE)
_ANY_URL = re.compile(r"https?:|data:", re.IGNORECASE)
_NO_IMAGE = "invalid_image_format"
_IMAGE_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_ACCEPTED = "Claude reads PDF files, text files in UTF-8 and PNG, JPEG, GIF or WebP images"


def to_image(part: ImagePart, report: Report) -> ImageBlockParam | DocumentBlockParam:
    """Raises APIError 400 for what Claude cannot read."""
    report = report.at("image_url")
    check_extras(part.image_url, report)
    if part.image_url.detail not in (None, "auto"):
        report.at("detail").warn("Claude chooses the resolution itself")
    if not isinstance(part.image_url, BareImageURL):
        report = report.at("url")
    scheme, _, rest = part.image_url.url.strip().partition(":")
    match scheme.lower():
        case "https" | "http":
            return {"type": "image", "source": {"type": "url", "url": f"{scheme.lower()}:{rest}"}}
        case "data":
            return image_or_document(
                _data_url_base64(rest, "'data:image/...;base64,' and the encoded image", report), report
            )
    raise report.invalid("expected an https URL or a data URL with base64 content")


def image_or_document(encoded: str, report: Report) -> ImageBlockParam | DocumentBlockParam:
    """Some clients send every file as an image. Raises APIError 400 like image_from_base64()."""
    try:
        return image_from_base64(encoded, report)
    except APIError as error:
        data = _within_limit(encoded, report)
        document = _document(data, _decoded(data, report)) if error.code == _NO_IMAGE else None
        if document is None:
            raise
        return document


def image_from_base64(encoded: str, report: Report) -> ImageBlockParam:
    """Raises APIError 400 if it is too large, not base64 or not an image that Claude reads."""
    data = _without_spaces(encoded)
    media_type = _image_type(_decoded(data, report))
    if media_type is None:
        raise report.invalid("the data is not a PNG, JPEG, GIF or WebP image", _NO_IMAGE)
    if len(data) > MAX_BASE64:
        raise report.invalid(
            f"the image is larger than {MAX_BASE64 // 2**20} MB, Claude's limit", "image_too_large"
        )
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def to_file(part: FilePart, report: Report) -> DocumentBlockParam | ImageBlockParam:
    """Raises APIError 400 for what Claude cannot read."""
    file, report = part.file, report.at("file")
    check_extras(file, report)
    field, given = next(
        ((name, text.strip()) for name in _FILE_FIELDS if (text := getattr(file, name))), ("file_data", "")
    )
    if field == "file_id" and not _ANY_URL.match(given):
        raise report.at("file_id").unsupported(FILES_NOT_STORED)
    if not given:
        raise report.at("file_data").missing()
    block = _from_url(given) if _WEB_URL.match(given) else _from_data(given, report.at(field))
    name = (file.filename or "").strip()
    if name and block["type"] == "document":
        block["title"] = name
    elif name:
        report.at("filename").warn("Claude's images have no name")
    return block


def document_from_base64(encoded: str, report: Report) -> DocumentBlockParam:
    """Raises APIError 400 if it is neither a PDF nor text."""
    data = _within_limit(encoded, report)
    document = _document(data, _decoded(data, report))
    if document is None:
        raise report.invalid("the data is neither a PDF nor text in UTF-8", "invalid_file_format")
    return document


def _document(data: str, content: bytes) -> DocumentBlockParam | None:
    """The document of the base64 `data`, decoded as `content`; None if it is neither a PDF nor a text."""
    if _is_pdf(content):
        return _pdf(data)
    text = _text(content)
    return _text_document(text) if text and text.strip() else None


def _from_url(url: str) -> DocumentBlockParam:
    """The API downloads it and takes only PDFs from a URL."""
    scheme, _, rest = url.partition(":")
    return {"type": "document", "source": {"type": "url", "url": f"{scheme.lower()}:{rest}"}}


def _from_data(given: str, report: Report) -> DocumentBlockParam | ImageBlockParam:
    scheme, _, rest = given.partition(":")
    is_data_url = scheme.lower() == "data"
    encoded = (
        _data_url_base64(rest, "'data:...;base64,' and the encoded file", report) if is_data_url else given
    )
    data = _within_limit(encoded, report)
    content = _decoded(data, report)
    if _is_pdf(content):
        return _pdf(data)
    if _image_type(content):
        return image_from_base64(data, report)
    text = _text(content)
    if text is None:
        raise report.invalid(f"{_ACCEPTED}, and this file is none of them", "invalid_file_format")
    if not text.strip():
        raise report.invalid("the file is empty", "invalid_file_format")
    return _text_document(text)


def _text_document(text: str) -> DocumentBlockParam:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}


def _data_url_base64(rest: str, expected: str, report: Report) -> str:
    """The base64 of a data URL; `rest` is what follows its scheme. Raises APIError 400 if there is none."""
    label, comma, encoded = rest.partition(",")
    if not comma or not label.lower().endswith(";base64"):
        raise report.invalid(f"expected {expected}")
    return _without_spaces(encoded)


def _without_spaces(encoded: str) -> str:
    return "".join(encoded.split())


def _decoded(data: str, report: Report) -> bytes:
    """Raises APIError 400 `invalid_base64`."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise report.invalid("the data is not valid base64", "invalid_base64") from None


def _within_limit(encoded: str, report: Report) -> str:
    data = _without_spaces(encoded)
    if len(data) > MAX_FILE_BASE64:
        raise report.invalid(
            f"the file is larger than {MAX_FILE_BASE64 // 2**20} MB, Claude's limit", "file_too_large"
        )
    return data


def _image_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((name for signature, name in _IMAGE_SIGNATURES if data.startswith(signature)), None)


def _is_pdf(content: bytes) -> bool:
    return content[:64].lstrip(b"\xef\xbb\xbf\0 \t\r\n").startswith(b"%PDF")


def _pdf(data: str) -> DocumentBlockParam:
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}


def _text(content: bytes) -> str | None:
    """None if it is not text."""
    try:
        return None if b"\0" in content else content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
