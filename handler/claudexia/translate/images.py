"""Images: an https URL is passed on, never downloaded; a data URL becomes base64 with the type its bytes show.

Limits: https://platform.claude.com/docs/en/build-with-claude/vision
"""

import base64
import binascii
import re

from claudexia.translate.anthropic_params import ImageBlockParam
from claudexia.translate.errors import APIError, invalid_request
from claudexia.translate.fields import Report
from claudexia.translate.message_params import ImagePart

MAX_BASE64 = 10 * 1024 * 1024
_SPACES = re.compile(r"\s+")
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
    scheme, _, rest = url.partition(":")
    match scheme.lower():
        case "https" | "http":
            return {"type": "image", "source": {"type": "url", "url": url}}
        case "data":
            return _from_data(rest, f"{path}.image_url.url")
    raise _invalid(f"{path}.image_url.url", "expected an https URL or a data URL with base64 content")


def _from_data(rest: str, path: str) -> ImageBlockParam:
    label, comma, encoded = rest.partition(",")
    if not comma or not label.lower().endswith(";base64"):
        raise _invalid(path, "expected 'data:image/...;base64,' and the encoded image")
    data = _SPACES.sub("", encoded)
    if len(data) > MAX_BASE64:
        raise _invalid(
            path, f"the image is larger than {MAX_BASE64 // 2**20} MB, Claude's limit", "image_too_large"
        )
    media_type = _media_type(_start(data, path))
    if media_type is None:
        raise _invalid(path, "the data is no PNG, JPEG, GIF or WebP image", "invalid_image_format")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _start(data: str, path: str) -> bytes:
    """The first bytes, after all of it has been checked: the API's own complaint would name no field."""
    try:
        return base64.b64decode(data, validate=True)[:16]
    except (binascii.Error, ValueError):
        raise _invalid(path, "the data is not valid base64", "invalid_base64") from None


def _media_type(start: bytes) -> str | None:
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((name for signature, name in _SIGNATURES if start.startswith(signature)), None)


def _invalid(path: str, why: str, code: str = "invalid_value") -> APIError:
    return invalid_request(f"Invalid '{path}': {why}.", path, code)
