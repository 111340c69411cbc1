"""Images: an https URL is passed on, never downloaded; a data URL becomes base64 with the type its bytes show.

Limits: https://platform.claude.com/docs/en/build-with-claude/vision
"""

from claudexia.translate.anthropic_params import ImageBlockParam
from claudexia.translate.data_urls import decoded, encoded_part, invalid, without_spaces
from claudexia.translate.fields import Report
from claudexia.translate.part_params import ImagePart

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
